//! The port.

use crate::batch::{Batch, CommitError, Committed, CounterKey};
use crate::object::Kind;
use async_trait::async_trait;
use domain::meta::{Fence, Revision};
use jiff::Timestamp;
use smol_str::SmolStr;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Address of an object. `project` is empty for what belongs to the whole installation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub project: SmolStr,
    pub name: SmolStr,
}

impl Key {
    pub fn new(kind: Kind, project: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        Self {
            kind,
            project: SmolStr::new(project),
            name: SmolStr::new(name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.as_str(), self.project, self.name)
    }
}

/// One stored object: its encoded text and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Key,
    pub revision: Revision,
    pub body: Arc<str>,
}

/// A part of a listing, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// More may follow after the last key.
    pub has_more: bool,
}

/// What became of one object, or of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put(Record),
    Deleted { key: Key, revision: Revision },
    Counter { key: CounterKey, value: u64, revision: Revision },
}

impl Change {
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(record) => record.revision,
            Self::Deleted { revision, .. } | Self::Counter { revision, .. } => *revision,
        }
    }
}

/// The latest state of everything that changed after some revision, in revision order. An object that changed several
/// times appears once, at its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub changes: Vec<Change>,
    /// Everything up to here is included.
    pub up_to: Revision,
}

/// A named right that one holder has at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: HolderId,
    /// Grows with every change of holder.
    pub epoch: u64,
    pub expires_at: Timestamp,
}

impl Lease {
    pub fn fence(&self) -> Fence {
        Fence {
            lease: self.name.clone(),
            epoch: self.epoch,
        }
    }

    /// The rule of [`Store::acquire`]: what becomes of `current` when `holder` asks at `now`, or `None` where it must
    /// wait. A holder that comes back before anybody else keeps its epoch, even after its time has run out.
    pub fn acquired(current: Option<&Self>, name: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Option<Self> {
        let epoch = match current {
            Some(held) if held.holder == *holder => held.epoch,
            Some(held) if held.expires_at > now => return None,
            Some(held) => held.epoch + 1,
            None => 1,
        };
        let expires_at = now.saturating_add(ttl).unwrap_or(Timestamp::MAX);
        Some(Self {
            name: name.to_owned(),
            holder: holder.clone(),
            epoch,
            expires_at,
        })
    }

    /// The rule of [`Store::release`]: what becomes of `self`, the current lease, when `given` is given back; `None`
    /// where `given` is no longer held. The epoch stays, so that the next holder gets a higher one.
    pub fn released(&self, given: &Self) -> Option<Self> {
        let is_held = self.epoch == given.epoch && self.holder == given.holder;
        is_held.then(|| Self {
            holder: HolderId(String::new()),
            expires_at: Timestamp::MIN,
            ..self.clone()
        })
    }
}

/// Who asks for a lease: one running process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HolderId(pub String);

/// Why the store could not answer. Nothing is known about a commit that fails this way: see [`StoreError::is_ambiguous`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the store is not reachable: {0}")]
    Unavailable(String),
    #[error("the outcome of the write is unknown: {0}")]
    Ambiguous(String),
    #[error("a stored record is damaged: {0}")]
    Corrupt(String),
    #[error("changes up to revision {0} are no longer kept")]
    Compacted(Revision),
}

impl StoreError {
    /// Whether a failed commit may have been carried out all the same.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Ambiguous(_) => true,
            Self::Unavailable(_) | Self::Corrupt(_) | Self::Compacted(_) => false,
        }
    }
}

/// Durable, ordered, all-or-nothing state.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Records of one kind in key order, after `after`, at most `limit`.
    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError>;

    /// The one write: all of the batch or nothing, checked and written in one transaction, on disk when this returns.
    /// A batch that writes nothing ([`Batch::is_writing`]) still has its checks made and gets the current revision.
    /// Dropping the future does not take the batch back.
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError>;

    /// What changed after a revision; `limit` bounds the number of changes. [`StoreError::Compacted`] where deletions
    /// that old are forgotten: then everything must be listed again.
    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError>;

    /// The newest revision.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Waits until something newer than `after` may be there. A hint: may return early, never late by more than the
    /// implementation's polling interval.
    async fn changed(&self, after: Revision) -> Result<Revision, StoreError>;

    /// The newest revision of which is known when it was the newest one, and that time. `None`: nobody else writes to the store,
    /// or nobody asks it.
    fn confirmed(&self) -> Option<(Revision, Timestamp)> {
        None
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError>;

    /// Takes or renews a lease: `None` while another holder's has not run out at `now`.
    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError>;

    /// Gives a lease back early. Does nothing if it is no longer held.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;
}
