//! The reference implementation: state in memory, records in their encoded form, as on disk.

use crate::batch::{Batch, CommitError, Committed, CounterKey, Ground, Write};
use crate::object::Kind;
use crate::port::{Change, Changes, HolderId, Key, Lease, Page, Record, Store, StoreError};
use async_trait::async_trait;
use domain::meta::Revision;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// State that lives as long as the process. Clones share it.
#[derive(Debug, Clone)]
pub struct MemStore {
    state: Arc<Mutex<MemState>>,
    newest: Arc<watch::Sender<Revision>>,
}

#[derive(Debug, Default)]
struct MemState {
    revision: Revision,
    records: BTreeMap<Key, (Revision, Arc<str>)>,
    counters: BTreeMap<CounterKey, (Revision, u64)>,
    deleted: BTreeMap<Key, Revision>,
    leases: BTreeMap<String, Lease>,
}

impl Default for MemStore {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            newest: Arc::new(watch::Sender::new(Revision::default())),
        }
    }
}

impl MemStore {
    fn state(&self) -> MutexGuard<'_, MemState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ground for MemState {
    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.records.get(key).map(|(revision, _)| *revision)
    }

    fn counter(&self, key: &CounterKey) -> u64 {
        self.counters.get(key).map_or(0, |(_, value)| *value)
    }

    fn epoch(&self, lease: &str) -> Option<u64> {
        self.leases.get(lease).map(|lease| lease.epoch)
    }
}

impl MemState {
    fn apply(&mut self, batch: &Batch, counters: &[u64], revision: Revision) {
        for write in &batch.writes {
            match write {
                Write::Put { key, body, .. } => {
                    self.deleted.remove(key);
                    self.records.insert(key.clone(), (revision, Arc::clone(body)));
                }
                Write::Delete { key, .. } => {
                    if self.records.remove(key).is_some() {
                        self.deleted.insert(key.clone(), revision);
                    }
                }
                Write::Check { .. } => {}
            }
        }
        for (count, value) in batch.counts.iter().zip(counters).filter(|(count, _)| count.add != 0) {
            self.counters.insert(count.key.clone(), (revision, *value));
        }
    }
}

#[async_trait]
impl Store for MemStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(self.state().records.get(key).map(|(revision, body)| record(key, *revision, body)))
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        let state = self.state();
        let first = Key::new(kind, "", "");
        let from = after.filter(|key| **key > first).unwrap_or(&first);
        let mut records = Vec::new();
        for (key, (revision, body)) in state.records.range(from.clone()..).filter(|(key, _)| Some(*key) != after) {
            if key.kind != kind {
                break;
            }
            if records.len() == limit.get() as usize {
                return Ok(Page { records, has_more: true });
            }
            records.push(record(key, *revision, body));
        }
        Ok(Page { records, has_more: false })
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        batch.check_text()?;
        let mut state = self.state();
        let counters = batch.check(&*state)?;
        if batch.is_writing() {
            state.revision.0 += 1;
            let revision = state.revision;
            state.apply(&batch, &counters, revision);
            // Under the lock, so that the newest revision never goes back.
            self.newest.send_replace(revision);
        }
        Ok(Committed {
            revision: state.revision,
            counters,
        })
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        let state = self.state();
        let mut changes: Vec<Change> = Vec::new();
        changes.extend(
            state
                .records
                .iter()
                .filter(|(_, (at, _))| *at > after)
                .map(|(key, (at, body))| Change::Put(record(key, *at, body))),
        );
        changes.extend(
            state
                .deleted
                .iter()
                .filter(|(_, at)| **at > after)
                .map(|(key, at)| Change::Deleted {
                    key: key.clone(),
                    revision: *at,
                }),
        );
        changes.extend(
            state
                .counters
                .iter()
                .filter(|(_, (at, _))| *at > after)
                .map(|(key, (at, value))| Change::Counter {
                    key: key.clone(),
                    value: *value,
                    revision: *at,
                }),
        );
        Ok(bounded(changes, state.revision, limit))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.state().revision)
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        let mut newest = self.newest.subscribe();
        let revision = newest.wait_for(|newest| *newest > after).await;
        revision
            .map(|newest| *newest)
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        Ok(self
            .state()
            .counters
            .iter()
            .map(|(key, (_, value))| (key.clone(), *value))
            .collect())
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        let mut state = self.state();
        let taken = Lease::acquired(state.leases.get(lease), lease, holder, ttl, now);
        if let Some(taken) = &taken {
            state.leases.insert(lease.to_owned(), taken.clone());
        }
        Ok(taken)
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(held) = state.leases.get_mut(&lease.name)
            && let Some(free) = held.released(lease)
        {
            *held = free;
        }
        Ok(())
    }
}

fn record(key: &Key, revision: Revision, body: &Arc<str>) -> Record {
    Record {
        key: key.clone(),
        revision,
        body: Arc::clone(body),
    }
}

/// Puts changes in order and cuts them to about `limit`, never in the middle of a revision.
pub fn bounded(mut changes: Vec<Change>, newest: Revision, limit: NonZeroU32) -> Changes {
    put_in_order(&mut changes);
    let limit = limit.get() as usize;
    if changes.len() <= limit {
        return Changes { changes, up_to: newest };
    }
    let up_to = changes[limit - 1].revision();
    let end = changes.partition_point(|change| change.revision() <= up_to);
    changes.truncate(end);
    Changes { changes, up_to }
}

/// The order of [`Changes`]: by revision, and within one objects by key, then counters.
pub fn put_in_order(changes: &mut [Change]) {
    changes.sort_by(|a, b| place(a).cmp(&place(b)));
}

fn place(change: &Change) -> (Revision, Option<&CounterKey>, Option<&Key>) {
    match change {
        Change::Put(record) => (record.revision, None, Some(&record.key)),
        Change::Deleted { key, revision } => (*revision, None, Some(key)),
        Change::Counter { key, revision, .. } => (*revision, Some(key), None),
    }
}

#[cfg(test)]
mod tests;
