//! The port on top of it all.

use crate::engine::Target;
use crate::error::{BackupError, OpenError, told, unavailable};
use crate::group::{Claim, Reply, Request};
use crate::newest::{Newest, watch_others};
use crate::options::Options;
use crate::read;
use crate::writer::{Order, Transactions, Writer, closed};
use async_trait::async_trait;
use domain::meta::Revision;
use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, SqlSafeStr};
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Batch, Changes, CommitError, Committed, CounterKey, HolderId, Key, Kind, Lease, Page, Record, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Every step of the tables so far: version, name, text. What was released must never change.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "tables", include_str!("../migrations/0001_tables.sql"))];

/// How many requests may wait for the writer before callers wait to hand theirs over.
const QUEUE: usize = 1024;

/// State on SQLite or PostgreSQL.
///
/// Dropping it lets the writer finish what it was given; [`SqlStore::close`] also waits for that.
pub struct SqlStore {
    target: Target,
    orders: mpsc::Sender<Order>,
    readers: AnyPool,
    newest: Arc<Newest>,
    _watching: JoinSet<()>,
}

impl SqlStore {
    /// Connects, brings the tables up to date and starts the writer. Must be called inside a runtime.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let target = Target::of(&options)?;
        let lock = target.lock().await?;
        let mut connection = target.writer().await.map_err(|error| unavailable(&error))?;
        target.prepare(&mut connection).await?;
        migrate(&mut connection).await?;
        let readers = target.readers(options.readers.get());
        let revision = read::revision(&readers)
            .await
            .map_err(|fault| OpenError::Unavailable(StoreError::from(fault).to_string()))?;
        let newest = Arc::new(Newest::new(revision));
        let watching = watch_others(&target, &readers, &newest, options.poll_interval);
        let (orders, received) = mpsc::channel(QUEUE);
        let writer = Writer {
            transactions: Transactions {
                target: target.clone(),
                kept_deletions: options.kept_deletions,
            },
            observer: options.observer,
            orders: received,
            connection: Some(connection),
            newest: Arc::clone(&newest),
            readers: readers.clone(),
            lock,
        };
        tokio::spawn(writer.run());
        Ok(Self {
            target,
            orders,
            readers,
            newest,
            _watching: watching,
        })
    }

    /// Carries out what was handed over before, refuses what comes later, and closes the database. On SQLite the file is
    /// complete without its log after that.
    pub async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            // An error means that the writer is gone, which is what was wanted.
            let _gone = finished.await;
        }
    }

    /// Writes a copy of everything as it is at one moment to a new file, while the store goes on. SQLite only.
    pub async fn backup_to(&self, path: &Path) -> Result<(), BackupError> {
        self.target.backup_to(path).await
    }

    /// Hands a request over and waits for its answer.
    async fn ask<T, E: From<StoreError>>(&self, make: impl FnOnce(Reply<T, E>) -> Request) -> Result<T, E> {
        let (reply, answer) = Reply::new();
        self.orders.send(Order::Write(make(reply))).await.map_err(|_| closed())?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Ambiguous("the writer stopped".to_owned()).into()))
    }
}

async fn migrate(connection: &mut AnyConnection) -> Result<(), OpenError> {
    let steps = MIGRATIONS
        .iter()
        .map(|(version, name, text)| Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, (*text).into_sql_str(), false));
    match Migrator::with_migrations(steps.collect()).run(connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_)) => Err(OpenError::Newer),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(OpenError::Migration(told(&error))),
        Err(other) => Err(OpenError::Migration(other.to_string())),
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(read::get(&self.readers, key).await?)
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        Ok(read::list(&self.readers, kind, after, limit).await?)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        batch.check_text()?;
        self.ask(|reply| Request::Commit(batch, reply)).await
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        read::changes(&self.readers, after, limit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(read::revision(&self.readers).await?)
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        self.newest.after(after).await
    }

    fn confirmed(&self) -> Option<(Revision, Timestamp)> {
        self.newest.confirmed()
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        Ok(read::counters(&self.readers).await?)
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        let claim = Claim {
            name: lease.to_owned(),
            holder: holder.clone(),
            ttl,
            now,
        };
        self.ask(|reply| Request::Acquire(claim, reply)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.ask(|reply| Request::Release(lease, reply)).await
    }
}
