//! The pure part of a commit: many requests decided one after the other on a picture of the state.

use domain::meta::Revision;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::batch::Ground;
use store::{Batch, CommitError, Committed, CounterKey, HolderId, Key, Lease, StoreError, Write};
use tokio::sync::oneshot;

/// Something to be done in a transaction, and who waits for it.
#[derive(Debug)]
pub(crate) enum Request {
    Commit(Batch, Reply<Committed, CommitError>),
    Acquire(Claim, Reply<Option<Lease>, StoreError>),
    Release(Lease, Reply<(), StoreError>),
}

/// Who wants which lease from now on.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) holder: HolderId,
    pub(crate) ttl: Duration,
    pub(crate) now: Timestamp,
}

/// An answer that is given only once the transaction has ended.
#[derive(Debug)]
pub(crate) struct Reply<T, E> {
    to: oneshot::Sender<Result<T, E>>,
    decided: Option<Result<T, E>>,
}

impl<T, E: From<StoreError>> Reply<T, E> {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (to, from) = oneshot::channel();
        (Self { to, decided: None }, from)
    }

    fn decide(&mut self, answer: Result<T, E>) {
        self.decided = Some(answer);
    }

    fn give(self, failure: Option<&StoreError>) {
        let answer = match (failure, self.decided) {
            (Some(failure), _) => Err(failure.clone().into()),
            (None, Some(decided)) => decided,
            (None, None) => Err(StoreError::Ambiguous("the request was not decided".to_owned()).into()),
        };
        // Nobody waits any more where the caller was dropped.
        let _gone = self.to.send(answer);
    }
}

impl Request {
    /// Whether it may need a revision.
    pub(crate) fn is_writing(&self) -> bool {
        match self {
            Self::Commit(batch, _) => batch.is_writing(),
            Self::Acquire(..) | Self::Release(..) => false,
        }
    }

    /// How much there is to write, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Commit(batch, _) => 1 + batch.writes.len() + batch.counts.len(),
            Self::Acquire(..) | Self::Release(..) => 1,
        }
    }

    /// May be called again where the transaction is repeated.
    pub(crate) fn decide(&mut self, picture: &mut Picture) {
        match self {
            Self::Commit(batch, reply) => reply.decide(picture.commit(batch)),
            Self::Acquire(claim, reply) => reply.decide(Ok(picture.acquire(claim))),
            Self::Release(lease, reply) => {
                picture.release(lease);
                reply.decide(Ok(()));
            }
        }
    }

    /// Answers as decided, or with the failure of the whole transaction.
    pub(crate) fn answer(self, failure: Option<&StoreError>) {
        match self {
            Self::Commit(_, reply) => reply.give(failure),
            Self::Acquire(_, reply) => reply.give(failure),
            Self::Release(_, reply) => reply.give(failure),
        }
    }
}

/// What must be read before a group can be decided.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    pub(crate) objects: BTreeSet<&'a Key>,
    pub(crate) counters: BTreeSet<&'a CounterKey>,
    pub(crate) leases: BTreeSet<&'a str>,
}

impl<'a> Needs<'a> {
    pub(crate) fn of(group: &'a [Request]) -> Self {
        let mut needs = Self::default();
        for request in group {
            match request {
                Request::Commit(batch, _) => {
                    needs.objects.extend(batch.writes.iter().map(Write::key));
                    needs.counters.extend(batch.counts.iter().map(|count| &count.key));
                    needs.leases.extend(batch.fence.iter().map(|fence| fence.lease.as_str()));
                }
                Request::Acquire(claim, _) => drop(needs.leases.insert(&claim.name)),
                Request::Release(lease, _) => drop(needs.leases.insert(&lease.name)),
            }
        }
        needs
    }
}

/// The state that a group of requests depends on: as it is stored, and what the requests so far made of it.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub(crate) revision: Revision,
    pub(crate) objects: BTreeMap<Key, Slot>,
    pub(crate) counters: BTreeMap<CounterKey, Tally>,
    pub(crate) leases: BTreeMap<String, Right>,
}

/// One key.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The revision of the stored object, if there is one.
    pub(crate) stored: Option<Revision>,
    pub(crate) now: Now,
}

#[derive(Debug, Default)]
pub(crate) enum Now {
    #[default]
    Unchanged,
    Put(Revision, Arc<str>),
    Deleted(Revision),
}

impl Slot {
    fn revision(&self) -> Option<Revision> {
        match &self.now {
            Now::Unchanged => self.stored,
            Now::Put(revision, _) => Some(*revision),
            Now::Deleted(_) => None,
        }
    }
}

/// One counter; the revision is that of its last change, if that was made here.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) value: u64,
    pub(crate) changed: Option<Revision>,
}

/// One lease; `None` if nobody ever had it.
#[derive(Debug, Default)]
pub(crate) struct Right {
    pub(crate) lease: Option<Lease>,
    pub(crate) is_changed: bool,
}

impl Ground for Picture {
    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.objects.get(key).and_then(Slot::revision)
    }

    fn counter(&self, key: &CounterKey) -> u64 {
        self.counters.get(key).map_or(0, |tally| tally.value)
    }

    fn epoch(&self, lease: &str) -> Option<u64> {
        self.lease(lease).map(|lease| lease.epoch)
    }
}

impl Picture {
    fn lease(&self, name: &str) -> Option<&Lease> {
        self.leases.get(name).and_then(|right| right.lease.as_ref())
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.objects.values().any(|slot| !matches!(slot.now, Now::Unchanged))
            || self.counters.values().any(|tally| tally.changed.is_some())
            || self.leases.values().any(|right| right.is_changed)
    }

    fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        let counters = batch.check(self)?;
        if batch.is_writing() {
            self.revision.0 += 1;
            self.apply(batch, &counters);
        }
        Ok(Committed {
            revision: self.revision,
            counters,
        })
    }

    fn apply(&mut self, batch: &Batch, counters: &[u64]) {
        let revision = self.revision;
        for write in &batch.writes {
            let slot = self.objects.entry(write.key().clone()).or_default();
            match write {
                Write::Put { body, .. } => slot.now = Now::Put(revision, Arc::clone(body)),
                Write::Delete { .. } if slot.revision().is_some() => slot.now = Now::Deleted(revision),
                Write::Delete { .. } | Write::Check { .. } => {}
            }
        }
        for (count, value) in batch.counts.iter().zip(counters).filter(|(count, _)| count.add != 0) {
            self.counters.insert(
                count.key.clone(),
                Tally {
                    value: *value,
                    changed: Some(revision),
                },
            );
        }
    }

    fn acquire(&mut self, claim: &Claim) -> Option<Lease> {
        let taken = Lease::acquired(self.lease(&claim.name), &claim.name, &claim.holder, claim.ttl, claim.now)?;
        self.leases.insert(
            claim.name.clone(),
            Right {
                lease: Some(taken.clone()),
                is_changed: true,
            },
        );
        Some(taken)
    }

    fn release(&mut self, given: &Lease) {
        if let Some(free) = self.lease(&given.name).and_then(|held| held.released(given)) {
            self.leases.insert(
                given.name.clone(),
                Right {
                    lease: Some(free),
                    is_changed: true,
                },
            );
        }
    }
}
