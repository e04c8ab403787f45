//! One process per database file.

use crate::error::OpenError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Held as long as a process uses a database file. The operating system gives it back when the process ends, however
/// that happens; the file itself stays.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "kept open, for the lock lives as long as the handle")] File);

impl Lock {
    pub(crate) async fn take(database: &Path) -> Result<Self, OpenError> {
        let database = database.to_owned();
        let taken = tokio::task::spawn_blocking(move || take(&database)).await;
        taken.unwrap_or_else(|error| Err(OpenError::Unavailable(error.to_string())))
    }
}

fn take(database: &Path) -> Result<Lock, OpenError> {
    let failed = |error: std::io::Error| OpenError::Unavailable(format!("{}: {error}", database.display()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(database).map_err(failed)?)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The lock's path, the same by whichever link the database is reached.
fn beside(database: &Path) -> std::io::Result<PathBuf> {
    let real = match database.canonicalize() {
        Ok(real) => real,
        // Not made yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match (database.parent(), database.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
            (None, _) | (_, None) => return Err(error),
        },
        Err(error) => return Err(error),
    };
    let mut path = real.into_os_string();
    path.push(".lock");
    Ok(path.into())
}
