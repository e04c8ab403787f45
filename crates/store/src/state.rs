//! A store and its index, kept in step: what services and controllers read from and write to.

use crate::batch::{Batch, CommitError, Count, Expect, Write};
use crate::index::{Index, IndexChange};
use crate::object::{Kind, Object};
use crate::port::{Change, Key, Store, StoreError};
use domain::meta::{Fence, Revision};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A batch of objects instead of records.
#[derive(Debug, Clone, Default)]
pub struct TypedBatch {
    pub puts: Vec<(Object, Expect)>,
    pub deletes: Vec<(Key, Expect)>,
    pub checks: Vec<(Key, Expect)>,
    pub counts: Vec<Count>,
    pub fence: Option<Fence>,
}

impl TypedBatch {
    pub fn put(&mut self, object: impl Into<Object>, expect: Expect) {
        self.puts.push((object.into(), expect));
    }

    pub fn delete(&mut self, key: Key, expect: Expect) {
        self.deletes.push((key, expect));
    }

    pub fn check(&mut self, key: Key, expect: Expect) {
        self.checks.push((key, expect));
    }

    pub fn count(&mut self, count: Count) {
        self.counts.push(count);
    }

    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty() && self.counts.iter().all(|count| count.add == 0)
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    pub revision: Revision,
}

/// How many changes or records are read at a time.
const PAGE: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// A store and the index over it. Clones share both.
#[derive(Clone)]
pub struct State {
    store: Arc<dyn Store>,
    index: Arc<Index>,
}

impl State {
    /// Reads everything there is.
    pub async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let state = Self {
            store,
            index: Arc::new(Index::default()),
        };
        state.reload().await?;
        Ok(state)
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Commits and makes the result visible to readers of this process before it returns. After any failure the index
    /// has caught up with the store, as far as the store answers.
    pub async fn commit(&self, batch: TypedBatch) -> Result<Applied, CommitError> {
        let (records, changes) = encode(batch)?;
        let counts: Vec<_> = records.counts.iter().map(|count| count.key.clone()).collect();
        match self.store.commit(records).await {
            Ok(committed) => {
                let mut changes = changes;
                changes.extend(
                    counts
                        .into_iter()
                        .zip(committed.counters)
                        .map(|(key, value)| IndexChange::Counter(key, value)),
                );
                self.index.apply(committed.revision, changes);
                Ok(Applied {
                    revision: committed.revision,
                })
            }
            Err(error) => {
                if let Err(refresh) = self.refresh().await {
                    tracing::warn!(error = %refresh, "could not catch up with the store after a failed commit");
                }
                Err(error)
            }
        }
    }

    /// Applies what others wrote.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        loop {
            let after = self.index.read().complete();
            let changes = match self.store.changes(after, PAGE).await {
                Ok(changes) => changes,
                Err(StoreError::Compacted(_)) => return self.reload().await,
                Err(error) => return Err(error),
            };
            let up_to = changes.up_to;
            let is_partial = changes.changes.len() >= PAGE.get() as usize;
            self.apply_changes(changes.changes)?;
            self.index.complete_up_to(up_to);
            if !is_partial {
                return Ok(());
            }
        }
    }

    /// Applies what other processes write, for as long as it is polled. Ends with the store's error.
    pub async fn follow(&self) -> StoreError {
        loop {
            let seen = self.index.read().complete();
            let step = async {
                self.store.changed(seen).await?;
                self.refresh().await
            };
            if let Err(error) = step.await {
                return error;
            }
        }
    }

    fn apply_changes(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut pending: Vec<IndexChange> = Vec::new();
        let mut at = Revision::default();
        for change in changes {
            if change.revision() != at && !pending.is_empty() {
                self.index.apply(at, std::mem::take(&mut pending));
            }
            at = change.revision();
            pending.push(match change {
                Change::Put(record) => {
                    if !is_indexed(record.key.kind) {
                        continue;
                    }
                    IndexChange::Put(Object::decode(&record)?)
                }
                Change::Deleted { key, .. } => IndexChange::Delete(key),
                Change::Counter { key, value, .. } => IndexChange::Counter(key, value),
            });
        }
        if !pending.is_empty() {
            self.index.apply(at, pending);
        }
        Ok(())
    }

    async fn reload(&self) -> Result<(), StoreError> {
        // Read the revision first: what is written while listing is read again by the next refresh.
        let revision = self.store.revision().await?;
        for (key, value) in self.store.counters().await? {
            self.index.apply(revision, vec![IndexChange::Counter(key, value)]);
        }
        for kind in Kind::ALL.iter().copied().filter(|kind| is_indexed(*kind)) {
            let mut after: Option<Key> = None;
            loop {
                let page = self.store.list(kind, after.as_ref(), PAGE).await?;
                after = page.records.last().map(|record| record.key.clone());
                for record in &page.records {
                    self.index.apply(record.revision, vec![IndexChange::Put(Object::decode(record)?)]);
                }
                if !page.has_more {
                    break;
                }
            }
        }
        self.index.complete_up_to(revision);
        self.refresh_after_reload().await
    }

    async fn refresh_after_reload(&self) -> Result<(), StoreError> {
        Box::pin(self.refresh()).await
    }
}

/// Machines belong to the simulated fleet, which keeps its own picture of them.
fn is_indexed(kind: Kind) -> bool {
    kind != Kind::Machine
}

fn encode(batch: TypedBatch) -> Result<(Batch, Vec<IndexChange>), StoreError> {
    let mut records = Batch {
        writes: Vec::new(),
        counts: batch.counts,
        fence: batch.fence,
    };
    let mut changes = Vec::with_capacity(batch.puts.len() + batch.deletes.len());
    for (object, expect) in batch.puts {
        records.writes.push(Write::Put {
            key: object.key(),
            body: object.encode()?,
            expect,
        });
        if is_indexed(object.kind()) {
            changes.push(IndexChange::Put(object));
        }
    }
    for (key, expect) in batch.deletes {
        records.writes.push(Write::Delete { key: key.clone(), expect });
        changes.push(IndexChange::Delete(key));
    }
    records
        .writes
        .extend(batch.checks.into_iter().map(|(key, expect)| Write::Check { key, expect }));
    Ok((records, changes))
}
