//! The ceilings of the disk: SQLite with the server's settings and the server's table, one row per statement, so many rows
//! per transaction; and reading a whole file.

use crate::stats::now;
use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Executor};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A database that rows are added to.
pub struct Ceiling {
    path: PathBuf,
    rows: u64,
}

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS object (
        kind TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, revision BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, project, name)
    );
    CREATE INDEX IF NOT EXISTS object_revision ON object (revision)";

impl Ceiling {
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("ceiling.db"),
            rows: 0,
        }
    }

    /// Rows per second: so many rows of `size` bytes in synced transactions of `group`.
    pub async fn rows_per_second(&mut self, rows: u64, group: u64, size: usize) -> Result<f64> {
        let mut connection = open(&self.path, true).await?;
        connection.execute(TABLE).await?;
        let body = "x".repeat(size);
        let began = now();
        let last = self.rows + rows;
        while self.rows < last {
            let mut transaction = connection.begin().await?;
            for _ in 0..group.min(last - self.rows) {
                self.rows += 1;
                sqlx::query("INSERT INTO object (kind, project, name, revision, body) VALUES ($1, $2, $3, $4, $5)")
                    .bind("pool")
                    .bind("6f5da086876d4cd084d36f8bd3346036")
                    .bind(format!("pool-{:08}-6f5da086876d4cd084d36f8bd3346036", self.rows))
                    .bind(self.rows.cast_signed())
                    .bind(&body)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
        }
        let elapsed = began.elapsed();
        connection.close().await?;
        Ok(rows as f64 / elapsed.as_secs_f64())
    }
}

/// The settings of the store's writer.
async fn open(path: &Path, is_writer: bool) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(is_writer)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON")
        .pragma("cache_size", "-65536")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", "4000");
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// How long it takes to read every row of a store.
pub async fn read_rows(path: &Path) -> Result<Duration> {
    let began = now();
    let mut connection = open(path, false).await?;
    let rows = connection
        .fetch_all("SELECT kind, project, name, revision, body FROM object")
        .await?;
    let elapsed = began.elapsed();
    drop(rows);
    connection.close().await?;
    Ok(elapsed)
}

/// How long it takes to read every byte of a file.
pub fn read_bytes(path: &Path) -> Result<Duration> {
    let began = now();
    let bytes = std::fs::read(path)?;
    let elapsed = began.elapsed();
    drop(bytes);
    Ok(elapsed)
}

/// How long one small write with a flush takes, each time.
pub fn flushes(folder: &Path, times: usize) -> Result<Vec<Duration>> {
    let mut file = std::fs::File::create(folder.join("flush"))?;
    (0..times)
        .map(|_| {
            let began = now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            Ok(began.elapsed())
        })
        .collect()
}
