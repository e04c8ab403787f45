//! A store and its index, kept in step: what services and controllers read from and write to.

use crate::batch::{Batch, CommitError, Count, CounterKey, Expect, Write};
use crate::follow::{Aside, Follower, Following, Turn, is_aside};
use crate::index::{Index, IndexChange};
use crate::object::{Kind, Object};
use crate::port::{Change, Key, Store, StoreError};
use domain::meta::{Fence, Revision};
use std::collections::BTreeMap;
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
    following: Arc<Following>,
}

/// A stretch of history.
#[derive(Default)]
struct History {
    changes: Vec<(Revision, IndexChange)>,
    /// For the follower, if there is one.
    aside: Vec<Aside>,
    up_to: Revision,
}

impl State {
    /// Reads everything there is.
    pub async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let state = Self {
            store,
            index: Arc::new(Index::default()),
            following: Arc::default(),
        };
        let turn = state.following.next().await;
        state.reload(&turn).await?;
        turn.end();
        Ok(state)
    }

    /// From now on `follower`, which knows everything up to a revision, is told of what the index leaves out. Where it knows more than
    /// the index, the index learns of the rest as well: a stretch of history begins where the index is complete, or before.
    pub async fn follow_with(&self, follower: Arc<dyn Follower>, known: Revision) -> Result<(), StoreError> {
        let mut turn = self.following.next().await;
        turn.follow_with(follower);
        match self.history(known.min(self.index.complete()), &turn).await {
            Ok(history) => self.take_in(history, &turn),
            Err(StoreError::Compacted(_)) => self.reload(&turn).await?,
            Err(error) => return Err(error),
        }
        turn.end();
        Ok(())
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
        let (records, mut changes) = encode(batch)?;
        let is_writing = records.is_writing();
        let is_followed = records.writes.iter().any(|write| is_aside(write.key().kind));
        let counts: Vec<_> = records.counts.iter().map(|count| count.key.clone()).collect();
        match self.store.commit(records).await {
            Ok(committed) => {
                // Otherwise the revision is that of another commit, whose changes may not be here yet.
                if is_followed {
                    if let Err(error) = self.refresh().await {
                        tracing::warn!(%error, "could not follow a commit that was made");
                    }
                } else if is_writing {
                    changes.extend(
                        counts
                            .into_iter()
                            .zip(committed.counters)
                            .map(|(key, value)| IndexChange::Counter(key, value)),
                    );
                    self.index.apply(committed.revision, changes);
                }
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

    /// Applies what others wrote, and what a dropped [`State::commit`] did not come to apply.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let Some(turn) = self.following.turn().await else {
            return Ok(());
        };
        let after = self.index.complete();
        match self.history(after, &turn).await {
            Ok(history) => self.take_in(history, &turn),
            Err(StoreError::Compacted(_)) => self.reload(&turn).await?,
            Err(error) => return Err(error),
        }
        turn.end();
        Ok(())
    }

    /// The follower comes first: whoever sees a revision in the index finds all of it.
    fn take_in(&self, history: History, turn: &Turn<'_>) {
        if let Some(follower) = turn.follower() {
            follower.advance(history.aside, history.up_to);
        }
        self.index.advance(history.changes, history.up_to);
    }

    /// Applies what other processes write, for as long as it is polled. Ends with the store's error.
    pub async fn follow(&self) -> StoreError {
        loop {
            let seen = self.index.read().complete();
            let step = async {
                let newest = self.store.changed(seen).await?;
                // Own commits are mostly here already.
                if self.index.read().complete() < newest {
                    self.refresh().await
                } else {
                    Ok(())
                }
            };
            if let Err(error) = step.await {
                return error;
            }
        }
    }

    /// Everything that changed after a revision, and up to where. All of it is read before any of it is applied, since
    /// a page alone may hold one half of a batch whose other half was changed again later.
    async fn history(&self, after: Revision, turn: &Turn<'_>) -> Result<History, StoreError> {
        let mut history = History {
            up_to: after,
            ..History::default()
        };
        loop {
            let page = self.store.changes(history.up_to, PAGE).await?;
            let is_last = page.changes.len() < PAGE.get() as usize;
            history.up_to = page.up_to;
            for change in page.changes {
                if turn.follower().is_some() {
                    history.aside.extend(Aside::of(&change));
                }
                let revision = change.revision();
                history.changes.extend(index_change(change)?.map(|change| (revision, change)));
            }
            if is_last {
                return Ok(history);
            }
        }
    }

    async fn reload(&self, turn: &Turn<'_>) -> Result<(), StoreError> {
        loop {
            match self.read_all(turn).await {
                // The listing took longer than the store remembers deletions.
                Err(StoreError::Compacted(revision)) => tracing::warn!(%revision, "reading everything once more"),
                other => return other,
            }
        }
    }

    async fn read_all(&self, turn: &Turn<'_>) -> Result<(), StoreError> {
        // Read the revision first: what is written while listing comes again with the history since then.
        let begin = self.store.revision().await?;
        let mut counters: BTreeMap<CounterKey, (Revision, u64)> = self
            .store
            .counters()
            .await?
            .into_iter()
            .map(|(key, value)| (key, (begin, value)))
            .collect();
        let mut objects: Vec<(Revision, Object)> = Vec::new();
        let mut aside: BTreeMap<Key, Aside> = BTreeMap::new();
        let is_wanted = |kind: &Kind| is_indexed(*kind) || (turn.follower().is_some() && is_aside(*kind));
        for kind in Kind::ALL.iter().copied().filter(is_wanted) {
            let mut after: Option<Key> = None;
            loop {
                let page = self.store.list(kind, after.as_ref(), PAGE).await?;
                after = page.records.last().map(|record| record.key.clone());
                for record in page.records {
                    match Aside::put(&record) {
                        Some(machine) => drop(aside.insert(record.key, machine)),
                        None => objects.push((record.revision, Object::decode(&record)?)),
                    }
                }
                if !page.has_more {
                    break;
                }
            }
        }
        let History {
            changes,
            aside: later,
            up_to,
        } = self.history(begin, turn).await?;
        let mut changed: BTreeMap<Key, Option<(Revision, Object)>> = BTreeMap::new();
        for (revision, change) in changes {
            match change {
                IndexChange::Put(object) => drop(changed.insert(object.key(), Some((revision, object)))),
                IndexChange::Delete(key) => drop(changed.insert(key, None)),
                IndexChange::Counter(key, value) => drop(counters.insert(key, (revision, value))),
            }
        }
        if !changed.is_empty() {
            objects.retain(|(_, object)| !changed.contains_key(&object.key()));
            objects.extend(changed.into_values().flatten());
        }
        let counters = counters
            .into_iter()
            .map(|(key, (revision, value))| (revision, key, value))
            .collect();
        if let Some(follower) = turn.follower() {
            aside.extend(later.into_iter().map(|machine| (machine.key.clone(), machine)));
            follower.reset(aside.into_values().collect(), up_to);
        }
        self.index.reset(up_to, objects, counters);
        Ok(())
    }
}

/// `None` for what is not indexed.
fn index_change(change: Change) -> Result<Option<IndexChange>, StoreError> {
    Ok(match change {
        Change::Put(record) if !is_indexed(record.key.kind) => None,
        Change::Put(record) => Some(IndexChange::Put(Object::decode(&record)?)),
        Change::Deleted { key, .. } if !is_indexed(key.kind) => None,
        Change::Deleted { key, .. } => Some(IndexChange::Delete(key)),
        Change::Counter { key, value, .. } => Some(IndexChange::Counter(key, value)),
    })
}

/// Machines belong to the simulated fleet, which keeps its own picture of them; samples and the audit record are read from
/// the store where somebody asks for them.
fn is_indexed(kind: Kind) -> bool {
    !matches!(kind, Kind::Machine | Kind::SampleHour | Kind::AuditEntry)
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

#[cfg(test)]
mod tests;
