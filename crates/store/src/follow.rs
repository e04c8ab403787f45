//! Who keeps a picture of what the index leaves out, in step with the index.

use crate::object::Kind;
use crate::port::{Change, Key, Record};
use domain::meta::Revision;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, MutexGuard};

/// What became of an object that the index leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    pub revision: Revision,
    pub key: Key,
    /// Its encoded text. `None`: it is gone.
    pub body: Option<Arc<str>>,
}

impl Aside {
    /// `None`: it is not for followers.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Put(record) => Self::put(record),
            Change::Deleted { key, revision } => is_aside(key.kind).then(|| Self {
                revision: *revision,
                key: key.clone(),
                body: None,
            }),
            Change::Counter { .. } => None,
        }
    }

    pub(crate) fn put(record: &Record) -> Option<Self> {
        is_aside(record.key.kind).then(|| Self {
            revision: record.revision,
            key: record.key.clone(),
            body: Some(Arc::clone(&record.body)),
        })
    }
}

/// Machines belong to the simulated fleet, which keeps its own picture of them.
pub(crate) fn is_aside(kind: Kind) -> bool {
    kind == Kind::Machine
}

/// Follows machines. It is told of a write before any reader of the index sees something of it, and one call after the other.
pub trait Follower: Send + Sync + 'static {
    /// The last states of what was written since it was told before, up to a revision. What it knows already may be among it.
    fn advance(&self, changes: Vec<Aside>, up_to: Revision);

    /// Everything there is at a revision: what is not in it is gone.
    fn reset(&self, all: Vec<Aside>, up_to: Revision);
}

/// Who follows, and who catches up. One does at a time; those who wait for it need not do it again.
#[derive(Default)]
pub(crate) struct Following {
    begun: AtomicU64,
    done: AtomicU64,
    follower: Mutex<Option<Arc<dyn Follower>>>,
}

/// The right to catch up.
pub(crate) struct Turn<'a> {
    of: &'a Following,
    number: u64,
    follower: MutexGuard<'a, Option<Arc<dyn Follower>>>,
}

impl Following {
    /// `None`: somebody began to catch up after this was called, and has done it.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        let before = self.begun.load(Ordering::SeqCst);
        let turn = self.next().await;
        (self.done.load(Ordering::SeqCst) <= before).then_some(turn)
    }

    /// A turn in any case.
    pub async fn next(&self) -> Turn<'_> {
        let follower = self.follower.lock().await;
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        Turn {
            of: self,
            number,
            follower,
        }
    }
}

impl Turn<'_> {
    pub fn follower(&self) -> Option<&dyn Follower> {
        self.follower.as_deref()
    }

    pub fn follow_with(&mut self, follower: Arc<dyn Follower>) {
        *self.follower = Some(follower);
    }

    /// Everything that was there when the turn began is here now.
    pub fn end(self) {
        self.of.done.store(self.number, Ordering::SeqCst);
    }
}
