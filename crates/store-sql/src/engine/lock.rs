//! One process per database file.

use crate::error::OpenError;
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
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
        .mode(0o600)
        .open(beside(database).map_err(failed)?)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            keep_private(database).map_err(failed)?;
            Ok(Lock(file))
        }
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes the database's file, if it is not there, for its owner only, whatever the umask: it holds what is needed to guess
/// passwords. SQLite gives the files beside it the same rights. What is there already loses the rights of others.
pub(crate) fn keep_private(database: &Path) -> std::io::Result<()> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(database)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(database = %database.display(), "others could read the database; from now on only its owner can");
        for suffix in ["", "-wal", "-shm"] {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            match fs::set_permissions(&path, Permissions::from_mode(0o600)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_database_is_for_its_owner_only_whatever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new.db");
        let _held = take(&new).unwrap();
        assert_eq!((mode(&new), mode(&beside(&new).unwrap())), (0o600, 0o600));
        let old = folder.path().join("old.db");
        let log = folder.path().join("old.db-wal");
        for path in [&old, &log] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }
        let _held = take(&old).unwrap();
        assert_eq!((mode(&old), mode(&log)), (0o600, 0o600));
    }
}
