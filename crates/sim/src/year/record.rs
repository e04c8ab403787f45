//! The store of the year: what is committed goes into a digest, byte by byte.

use async_trait::async_trait;
use domain::meta::Revision;
use jiff::Timestamp;
use reconcile::Observer;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{
    Batch, Changes, CommitError, Committed, CounterKey, HolderId, Key, Kind, Lease, MemStore, Page, Record, Store, StoreError, Write,
};

/// What was committed, all in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    pub commits: u64,
    /// Refused because somebody was faster.
    pub conflicts: u64,
    /// Records written.
    pub puts: u64,
    pub bytes: u64,
    /// SHA-256 over every write of every commit, and over what was said of it; in hexadecimal.
    pub digest: String,
}

#[derive(Default)]
struct Book {
    recorded: Recorded,
    hasher: Sha256,
}

/// A store in memory that keeps book.
pub(super) struct Recorder {
    inner: MemStore,
    book: Mutex<Book>,
}

impl Recorder {
    pub fn new(inner: MemStore) -> Self {
        Self {
            inner,
            book: Mutex::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line into the digest.
    pub fn note(&self, line: &str) {
        let mut book = self.book();
        book.hasher.update(line);
        book.hasher.update(b"\n");
    }

    pub fn take(&self) -> Recorded {
        let book = self.book();
        let hash = book.hasher.clone().finalize();
        Recorded {
            digest: hex::encode(hash),
            ..book.recorded.clone()
        }
    }

    fn enter(&self, batch: &Batch, outcome: &Result<Committed, CommitError>) {
        let mut book = self.book();
        let Ok(committed) = outcome else {
            book.recorded.conflicts += 1;
            book.hasher.update(b"refused\n");
            return;
        };
        book.recorded.commits += 1;
        book.hasher.update(committed.revision.0.to_le_bytes());
        for write in &batch.writes {
            let key = write.key();
            book.hasher.update(key.to_string());
            match write {
                Write::Put { body, .. } => {
                    book.hasher.update(body.as_bytes());
                    book.recorded.puts += 1;
                    book.recorded.bytes += body.len() as u64;
                }
                Write::Delete { .. } => book.hasher.update(b"-"),
                Write::Check { .. } => book.hasher.update(b"?"),
            }
        }
    }
}

#[async_trait]
impl Store for Recorder {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        self.inner.list(kind, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let outcome = self.inner.commit(batch.clone()).await;
        self.enter(&batch, &outcome);
        outcome
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        self.inner.changes(after, limit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        self.inner.changed(after).await
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        self.inner.counters().await
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        self.inner.acquire(lease, holder, ttl, now).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
}

/// How the controller's steps ended.
#[derive(Default)]
pub(super) struct Steps(Mutex<BTreeMap<&'static str, u64>>);

impl Steps {
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) struct Counted(pub Arc<Steps>);

impl Observer for Counted {
    fn step(&self, outcome: &'static str) {
        let mut steps = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *steps.entry(outcome).or_insert(0) += 1;
    }

    fn queued(&self, _length: usize) {}
}
