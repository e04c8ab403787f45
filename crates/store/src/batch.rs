//! The one write primitive.

use crate::port::{Key, StoreError};
use domain::meta::{Fence, Revision};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Writes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub writes: Vec<Write>,
    /// Bounded counters. Unlike records they do not conflict: concurrent batches add up, in the order of their commits.
    pub counts: Vec<Count>,
    /// Refused with [`CommitError::Fenced`] unless this epoch of the lease is the current one.
    pub fence: Option<Fence>,
}

/// What a batch is checked against: the state that the batches before it left.
pub trait Ground {
    fn revision_of(&self, key: &Key) -> Option<Revision>;

    fn counter(&self, key: &CounterKey) -> u64;

    /// The current epoch of a lease that has been held at least once.
    fn epoch(&self, lease: &str) -> Option<u64>;
}

impl Batch {
    /// Whether the batch gets a revision of its own: it puts, deletes or adds something, even where that turns out to
    /// change nothing. So the answer needs no store.
    pub fn is_writing(&self) -> bool {
        self.counts.iter().any(|count| count.add != 0)
            || self.writes.iter().any(|write| match write {
                Write::Put { .. } | Write::Delete { .. } => true,
                Write::Check { .. } => false,
            })
    }

    /// The checks of a commit, in the order that every store makes them: fence, expectations, counters. All expectations
    /// are about the state before the batch. Gives the values of the counters after the batch, in the order of `counts`.
    pub fn check(&self, ground: &impl Ground) -> Result<Vec<u64>, CommitError> {
        if let Some(fence) = &self.fence
            && ground.epoch(&fence.lease) != Some(fence.epoch)
        {
            return Err(CommitError::Fenced);
        }
        for write in &self.writes {
            if !write.expect().holds(ground.revision_of(write.key())) {
                return Err(CommitError::Conflict(write.key().clone()));
            }
        }
        let mut touched: BTreeMap<&CounterKey, u64> = BTreeMap::new();
        let mut values = Vec::with_capacity(self.counts.len());
        for count in &self.counts {
            let before = touched.get(&count.key).copied().unwrap_or_else(|| ground.counter(&count.key));
            let after = count.apply(before).ok_or_else(|| CommitError::Limit(count.key.clone()))?;
            touched.insert(&count.key, after);
            values.push(after);
        }
        Ok(values)
    }

    /// Refuses text that not every store can keep: PostgreSQL has no zero bytes in text.
    pub fn check_text(&self) -> Result<(), StoreError> {
        let is_bad = |text: &str| text.as_bytes().contains(&0);
        for write in &self.writes {
            let key = write.key();
            let is_bad_body = match write {
                Write::Put { body, .. } => is_bad(body),
                Write::Delete { .. } | Write::Check { .. } => false,
            };
            if is_bad(&key.project) || is_bad(&key.name) || is_bad_body {
                return Err(StoreError::Corrupt(format!("{key:?} has a zero byte")));
            }
        }
        let names = self
            .counts
            .iter()
            .map(|count| count.key.0.as_str())
            .chain(self.fence.iter().map(|fence| fence.lease.as_str()));
        match names.into_iter().find(|name| is_bad(name)) {
            Some(name) => Err(StoreError::Corrupt(format!("{name:?} has a zero byte"))),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Write {
    Put {
        key: Key,
        body: Arc<str>,
        expect: Expect,
    },
    Delete {
        key: Key,
        expect: Expect,
    },
    /// Changes nothing: the batch holds only if the expectation does.
    Check {
        key: Key,
        expect: Expect,
    },
}

impl Write {
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => *expect,
        }
    }
}

/// What must be true of the key before the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Absent,
    At(Revision),
    Any,
}

impl Expect {
    /// Whether the expectation holds for the key's current revision.
    pub fn holds(self, current: Option<Revision>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::At(revision) => current == Some(revision),
            Self::Any => true,
        }
    }
}

/// A named number ≥ 0, such as the pools of a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey(pub SmolStr);

impl CounterKey {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(SmolStr::new(text))
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds to a counter, where the sum stays between 0 and `at_most`. A sum below 0 is held at 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub key: CounterKey,
    pub add: i64,
    /// Checked after the addition. `None`: no bound. With `add` 0 it is a mere check.
    pub at_most: Option<u64>,
}

impl Count {
    /// The value after the addition, or `None` where the bound does not allow it. Taking away is always allowed.
    pub fn apply(&self, value: u64) -> Option<u64> {
        let next = value.saturating_add_signed(self.add);
        match self.at_most {
            Some(bound) if self.add >= 0 && next > bound => None,
            Some(_) | None => Some(next),
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision of every write of the batch.
    pub revision: Revision,
    /// The values of the touched counters after the batch, in the order of `Batch::counts`.
    pub counters: Vec<u64>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    #[error("{0} is not at the expected revision")]
    Conflict(Key),
    #[error("the counter {0} would pass its bound")]
    Limit(CounterKey),
    #[error("another holder has the lease")]
    Fenced,
    #[error("the store failed")]
    Store(#[from] StoreError),
}
