//! Errors, and how those of the driver are told. No message contains a URL.

use std::path::PathBuf;
use store::StoreError;

/// Why a store could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    #[error("the database URL is not valid: {0}")]
    Url(String),
    #[error("the database {0} is in use by another process: only one may use a SQLite database at a time")]
    InUse(PathBuf),
    #[error("the database is not reachable: {0}")]
    Unavailable(String),
    #[error("the database cannot be used: {0}")]
    Unsuitable(String),
    #[error("the tables could not be brought up to date: {0}")]
    Migration(String),
    #[error("the database was written by a newer version of this program")]
    Newer,
}

/// Why a copy could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    #[error("PostgreSQL is backed up with its own tools, such as pg_dump")]
    Unsupported,
    #[error("{0} is there already")]
    Exists(PathBuf),
    #[error("the copy could not be written: {0}")]
    Failed(String),
}

/// What a statement can end in.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    /// A row holds what this program never writes.
    Corrupt(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for StoreError {
    /// For everything but the end of a transaction, after which nothing is known.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sql(error) => Self::Unavailable(told(&error)),
            Fault::Corrupt(what) => Self::Corrupt(what),
        }
    }
}

pub(crate) const CLOSED: &str = "the store is closed";

/// The driver's error as text that may be shown to an operator.
pub(crate) fn told(error: &sqlx::Error) -> String {
    match error {
        // Its text may repeat parts of the URL.
        sqlx::Error::Configuration(_) => "the connection settings are not valid".to_owned(),
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        sqlx::Error::PoolClosed => CLOSED.to_owned(),
        other => other.to_string(),
    }
}

pub(crate) fn unavailable(error: &sqlx::Error) -> OpenError {
    match error {
        sqlx::Error::Configuration(_) => OpenError::Url(told(error)),
        other => OpenError::Unavailable(told(other)),
    }
}
