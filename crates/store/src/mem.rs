//! The reference implementation: state in memory, records in their encoded form, as on disk.

use crate::batch::{Batch, CommitError, Committed, CounterKey, Write};
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

impl MemState {
    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.records.get(key).map(|(revision, _)| *revision)
    }

    fn check(&self, batch: &Batch) -> Result<Vec<u64>, CommitError> {
        if let Some(fence) = &batch.fence
            && self.leases.get(&fence.lease).map(|lease| lease.epoch) != Some(fence.epoch)
        {
            return Err(CommitError::Fenced);
        }
        for write in &batch.writes {
            if !write.expect().holds(self.revision_of(write.key())) {
                return Err(CommitError::Conflict(write.key().clone()));
            }
        }
        let mut counters = BTreeMap::new();
        let mut values = Vec::new();
        for count in &batch.counts {
            let before = counters
                .get(&count.key)
                .copied()
                .unwrap_or_else(|| self.counters.get(&count.key).map_or(0, |(_, value)| *value));
            let after = count.apply(before).ok_or_else(|| CommitError::Limit(count.key.clone()))?;
            counters.insert(count.key.clone(), after);
            values.push(after);
        }
        Ok(values)
    }

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
        for (count, value) in batch.counts.iter().zip(counters) {
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
        let committed = {
            let mut state = self.state();
            let counters = state.check(&batch)?;
            let writes = batch.counts.iter().any(|count| count.add != 0)
                || batch
                    .writes
                    .iter()
                    .any(|write| matches!(write, Write::Put { .. } | Write::Delete { .. }));
            if writes {
                state.revision.0 += 1;
                let revision = state.revision;
                state.apply(&batch, &counters, revision);
            }
            Committed {
                revision: state.revision,
                counters,
            }
        };
        self.newest.send_replace(committed.revision);
        Ok(committed)
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
        changes.sort_by_key(Change::revision);
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
        let current = state.leases.get(lease);
        let epoch = match current {
            Some(held) if held.holder == *holder => held.epoch,
            Some(held) if held.expires_at > now => return Ok(None),
            Some(held) => held.epoch + 1,
            None => 1,
        };
        let expires_at = now.saturating_add(ttl).unwrap_or(Timestamp::MAX);
        let taken = Lease {
            name: lease.to_owned(),
            holder: holder.clone(),
            epoch,
            expires_at,
        };
        state.leases.insert(lease.to_owned(), taken.clone());
        Ok(Some(taken))
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(held) = state.leases.get_mut(&lease.name)
            && held.epoch == lease.epoch
            && held.holder == lease.holder
        {
            held.expires_at = Timestamp::MIN;
            held.holder = HolderId(String::new());
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

/// Cuts a sorted list of changes to about `limit`, never in the middle of a revision.
pub fn bounded(mut changes: Vec<Change>, newest: Revision, limit: NonZeroU32) -> Changes {
    let limit = limit.get() as usize;
    if changes.len() <= limit {
        return Changes { changes, up_to: newest };
    }
    let up_to = changes[limit - 1].revision();
    let end = changes.partition_point(|change| change.revision() <= up_to);
    changes.truncate(end);
    Changes { changes, up_to }
}
