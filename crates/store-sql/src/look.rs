//! Looking at a database that a server may be using: for checks, copies and for putting a copy back.

use crate::engine::Target;
use crate::error::{BackupError, Fault, OpenError};
use crate::options::Options;
use crate::read;
use crate::store::{MIGRATIONS, SqlStore};
use crate::tables::{lease, number};
use async_trait::async_trait;
use domain::meta::Revision;
use jiff::Timestamp;
use sqlx::{AnyPool, Executor};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Batch, Changes, CommitError, Committed, CounterKey, HolderId, Key, Kind, Lease, Page, Record, Store, StoreError};

/// How far the tables of a database have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    pub version: i64,
    /// The version of this program.
    pub known: i64,
}

/// A database that is only read: no lock is taken, nothing is migrated, writes are refused. A server may be using it.
pub struct Look {
    target: Target,
    readers: AnyPool,
}

impl Look {
    /// Connects to a database that is there. Must be called inside a runtime.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let target = Target::of(options)?;
        if let Some(path) = target.file()
            && !tokio::fs::try_exists(path).await.unwrap_or(false)
        {
            return Err(OpenError::Unavailable(format!("{} is not there", path.display())));
        }
        target.try_reading().await?;
        let readers = target.readers(2);
        Ok(Self { target, readers })
    }

    /// The version of the tables. A server brings them up to its own when it starts.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let read = async {
            let row = self.readers.fetch_one("SELECT MAX(version) FROM _sqlx_migrations").await?;
            number(&row, 0)
        };
        Ok(Schema {
            version: read.await?,
            known: MIGRATIONS.last().map_or(0, |(version, ..)| *version),
        })
    }

    /// All leases that somebody ever had.
    pub async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let read = async {
            let rows = self
                .readers
                .fetch_all("SELECT name, holder, epoch, expires_at FROM lease ORDER BY name")
                .await?;
            rows.iter().map(lease).collect::<Result<_, Fault>>()
        };
        Ok(read.await?)
    }

    /// Writes a copy of everything as it is at one moment to a new file, while a server goes on. SQLite only.
    pub async fn backup_to(&self, path: &Path) -> Result<(), BackupError> {
        self.target.backup_to(path).await
    }

    fn refused() -> StoreError {
        StoreError::Unavailable("the database was opened for reading only".to_owned())
    }
}

#[async_trait]
impl Store for Look {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(read::get(&self.readers, key).await?)
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        Ok(read::list(&self.readers, kind, after, limit).await?)
    }

    async fn commit(&self, _batch: Batch) -> Result<Committed, CommitError> {
        Err(Self::refused().into())
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        read::changes(&self.readers, after, limit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(read::revision(&self.readers).await?)
    }

    async fn changed(&self, _after: Revision) -> Result<Revision, StoreError> {
        self.revision().await
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        Ok(read::counters(&self.readers).await?)
    }

    async fn acquire(&self, _lease: &str, _holder: &HolderId, _ttl: Duration, _now: Timestamp) -> Result<Option<Lease>, StoreError> {
        Err(Self::refused())
    }

    async fn release(&self, _lease: &Lease) -> Result<(), StoreError> {
        Err(Self::refused())
    }
}

/// Why a copy could not be put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("PostgreSQL is restored with its own tools, such as pg_restore")]
    Unsupported,
    /// Somebody must say that it may be replaced.
    #[error("there is a database at {0}")]
    Exists(PathBuf),
    #[error("the copy cannot be used")]
    Copy(#[source] OpenError),
    #[error("the database that is there cannot be replaced")]
    Database(#[source] OpenError),
    #[error("the copy could not be put in place: {0}")]
    Failed(String),
}

/// Puts a copy in the place of a database that nobody uses. One that is there is replaced only where `replace` says so. SQLite
/// only.
pub async fn restore(options: &Options, from: &Path, replace: bool) -> Result<(), RestoreError> {
    let failed = |error: std::io::Error| RestoreError::Failed(error.to_string());
    let target = Target::of(options).map_err(RestoreError::Database)?;
    let Some(path) = target.file().map(Path::to_owned) else {
        return Err(RestoreError::Unsupported);
    };
    let is_there = tokio::fs::try_exists(&path).await.map_err(failed)?;
    if is_there && !replace {
        return Err(RestoreError::Exists(path));
    }
    let partial = beside(&path, ".partial");
    remove_beside(&partial, &["-wal", "-shm"]).await?;
    tokio::fs::copy(from, &partial).await.map_err(failed)?;
    let checked = check_copy(options, &partial).await;
    remove_beside(&partial, if checked.is_ok() { &[".lock"] } else { &[".lock", ""] }).await?;
    checked?;
    if is_there {
        // Brings what stands in its log into the file and takes the log away, which must not outlive it.
        let replaced = SqlStore::open(options.clone()).await.map_err(RestoreError::Database)?;
        replaced.close().await;
    }
    let lock = target.lock().await.map_err(RestoreError::Database)?;
    tokio::fs::File::open(&partial)
        .await
        .map_err(failed)?
        .sync_all()
        .await
        .map_err(failed)?;
    tokio::fs::rename(&partial, &path).await.map_err(failed)?;
    remove_beside(&path, &["-wal", "-shm"]).await?;
    drop(lock);
    Ok(())
}

async fn remove_beside(path: &Path, endings: &[&str]) -> Result<(), RestoreError> {
    for ending in endings {
        match tokio::fs::remove_file(beside(path, ending)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(RestoreError::Failed(error.to_string())),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    PathBuf::from(beside)
}

/// Opens the copy as a server would, which also brings its tables up to date, and leaves it complete in one file.
async fn check_copy(options: &Options, copy: &Path) -> Result<(), RestoreError> {
    let text = copy
        .to_str()
        .ok_or_else(|| RestoreError::Failed("the path is not UTF-8".to_owned()))?;
    let options = Options {
        url: Target::url_of(text),
        ..options.clone()
    };
    // An empty file would be made a new database.
    let look = Look::open(&options).await.map_err(RestoreError::Copy)?;
    look.readers.close().await;
    let store = SqlStore::open(options).await.map_err(RestoreError::Copy)?;
    store.close().await;
    Ok(())
}
