//! The ceiling for durable writes: SQLite with the same settings, one row per write, so many rows per transaction.

use anyhow::Result;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

/// Rows per second, committed in groups of `group` rows of `size` bytes, each group synced to disk.
pub async fn rows_per_second(folder: &Path, group: usize, size: usize, time: Duration) -> Result<f64> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("ceiling.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE row (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body TEXT)")
        .execute(&mut connection)
        .await?;
    let body = "x".repeat(size);
    let began = crate::load::now();
    let mut rows = 0_u64;
    while began.elapsed() < time {
        let mut transaction = connection.begin().await?;
        for _ in 0..group {
            let name = format!("pool-{rows:08}");
            sqlx::query("INSERT INTO row (name, body) VALUES ($1, $2)")
                .bind(name)
                .bind(&body)
                .execute(&mut *transaction)
                .await?;
            rows += 1;
        }
        transaction.commit().await?;
    }
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}
