//! The read index: every object of the installation, decoded, in memory, with the orders that lists need.
//!
//! It holds committed state only. A batch becomes visible as a whole. Each entry keeps the rendered form of its object
//! once somebody has asked for it.

mod entries;
mod facet;
mod history;
mod snapshot;

pub use facet::Facet;
pub use history::Change;
pub use snapshot::Snapshot;

use crate::batch::CounterKey;
use crate::object::{Object, Resource};
use crate::port::Key;
use bytes::Bytes;
use domain::meta::Revision;
use entries::Entries;
use facet::{facets, sort_time};
use history::History;
use smol_str::SmolStr;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use tokio::sync::{mpsc, watch};

/// One object at one revision.
#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    pub revision: Revision,
    pub object: Object,
    rendered: OnceLock<Bytes>,
}

impl Entry {
    /// The serialised form, made by `render` the first time somebody asks.
    pub fn rendered(&self, render: impl FnOnce(&Object) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(&self.object))
    }

    pub fn get<T: Resource>(&self) -> Option<&Arc<T>> {
        T::of(&self.object)
    }
}

/// An object together with the revision it was read at.
#[derive(Debug)]
pub struct Versioned<T> {
    pub entry: Arc<Entry>,
    pub object: Arc<T>,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            object: Arc::clone(&self.object),
        }
    }
}

impl<T> Versioned<T> {
    pub fn revision(&self) -> Revision {
        self.entry.revision
    }
}

impl<T: Resource> Versioned<T> {
    /// `None`: the entry holds something else.
    pub fn of(entry: &Arc<Entry>) -> Option<Self> {
        T::of(&entry.object).map(|object| Self {
            entry: Arc::clone(entry),
            object: Arc::clone(object),
        })
    }
}

impl<T> std::ops::Deref for Versioned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

/// One object that a commit touched.
#[derive(Debug, Clone)]
pub struct Touched {
    /// The entry after the commit, or the last one before it where the object is gone.
    pub entry: Arc<Entry>,
    pub is_deleted: bool,
}

/// A change to be applied.
#[derive(Debug)]
pub enum IndexChange {
    Put(Object),
    Delete(Key),
    Counter(CounterKey, u64),
}

/// How often something has been applied. While it stays the same, so does everything that can be read. Revisions do not tell that:
/// commits come out of their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Age(u64);

#[derive(Debug)]
pub struct Index {
    inner: RwLock<Inner>,
    age: watch::Sender<Age>,
    newest: watch::Sender<Revision>,
    complete: watch::Sender<Revision>,
}

/// Where an object stands among those that are filed under the same value: newest first, then by name. The project only
/// keeps objects of one name apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What [`facet::sort_time`] gives: the negative of seconds since the epoch, for most kinds.
    time: i64,
    name: SmolStr,
    project: SmolStr,
}

impl Place {
    /// The place of an object that was created in this second. Orders, which go by finer times, have other places.
    pub fn created(second: i64, name: impl AsRef<str>, project: impl AsRef<str>) -> Self {
        Self {
            time: second.saturating_neg(),
            name: SmolStr::new(name),
            project: SmolStr::new(project),
        }
    }

    fn of(entry: &Entry) -> Self {
        Self {
            time: sort_time(&entry.object),
            name: entry.key.name.clone(),
            project: entry.key.project.clone(),
        }
    }
}

/// Entries under one value of a facet.
#[derive(Debug, Default)]
struct Drawer {
    entries: BTreeMap<Place, Arc<Entry>>,
    /// What somebody has made of all of them, until one of them changes.
    digest: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl Drawer {
    fn insert(&mut self, entry: Arc<Entry>) {
        self.forget();
        self.entries.insert(Place::of(&entry), entry);
    }

    fn remove(&mut self, entry: &Entry) {
        self.forget();
        self.entries.remove(&Place::of(entry));
    }

    fn forget(&mut self) {
        *self.digest.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Debug, Default)]
struct Inner {
    entries: Entries,
    /// No drawer is empty.
    drawers: BTreeMap<(Facet, SmolStr), Drawer>,
    counters: BTreeMap<CounterKey, (Revision, u64)>,
    /// Everything up to here has been applied.
    complete: Revision,
    /// Revisions after `complete` that have been applied already.
    ahead: BTreeSet<Revision>,
    /// Deletions after `complete`, so that an older change does not bring the object back.
    deleted: BTreeMap<Key, Revision>,
    history: History,
    subscribers: Vec<mpsc::UnboundedSender<Touched>>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            inner: RwLock::default(),
            age: watch::Sender::new(Age::default()),
            newest: watch::Sender::new(Revision::default()),
            complete: watch::Sender::new(Revision::default()),
        }
    }
}

impl Index {
    /// A consistent view. Cheap; held shortly: writers wait for it, and taking a second one inside the first can lock up.
    /// It cannot be held across an await, since it is not `Send`.
    pub fn read(&self) -> Snapshot<'_> {
        Snapshot(self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies the writes of one commit, which every reader sees together. Does nothing if everything up to `revision`
    /// has been applied already. `revision` must be one that the commit got for itself ([`crate::Batch::is_writing`]).
    pub fn apply(&self, revision: Revision, changes: Vec<IndexChange>) {
        let mut inner = self.write();
        for change in changes {
            inner.apply(revision, change);
        }
        inner.mark(revision);
        self.publish(revision, inner);
    }

    /// Applies a stretch of history as a whole: everything that changed after what is complete, up to `up_to`.
    pub fn advance(&self, changes: Vec<(Revision, IndexChange)>, up_to: Revision) {
        let mut inner = self.write();
        for (revision, change) in changes {
            inner.apply(revision, change);
        }
        inner.complete(up_to);
        self.publish(up_to, inner);
    }

    /// Takes over the whole state as it is at `revision`, in one step: what is not in it is gone, but for what newer
    /// commits wrote. Does nothing if the index is as far already.
    pub fn reset(&self, revision: Revision, objects: Vec<(Revision, Object)>, counters: Vec<(Revision, CounterKey, u64)>) {
        let mut inner = self.write();
        if revision <= inner.complete {
            return;
        }
        if !inner.entries.is_empty() {
            let known: BTreeSet<Key> = objects.iter().map(|(_, object)| object.key()).collect();
            let missing: Vec<Key> = inner
                .entries
                .iter()
                .map(|entry| entry.key.clone())
                .filter(|key| !known.contains(key))
                .collect();
            for key in missing {
                // Does nothing to what is newer.
                inner.delete(revision, &key);
            }
        }
        for (at, object) in objects {
            inner.put(at, object);
        }
        for (at, key, value) in counters {
            inner.count(at, key, value);
        }
        inner.history.forget(revision);
        inner.complete(revision);
        self.publish(revision, inner);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far the index is before anybody sees what has changed: who finds an object can answer with its revision.
    fn publish(&self, newest: Revision, inner: RwLockWriteGuard<'_, Inner>) {
        let complete = inner.complete;
        self.age.send_modify(|age| age.0 += 1);
        for (sender, revision) in [(&self.newest, newest), (&self.complete, complete)] {
            sender.send_if_modified(|known| {
                let is_newer = revision > *known;
                *known = revision.max(*known);
                is_newer
            });
        }
        drop(inner);
    }

    pub fn age(&self) -> Age {
        *self.age.borrow()
    }

    /// Waits until something has been applied since. The age is to be taken before what is looked at.
    pub async fn changed(&self, since: Age) {
        let mut age = self.age.subscribe();
        // The sender lives as long as the index, so there is always an answer.
        let _age = age.wait_for(|age| *age > since).await;
    }

    /// Waits until everything up to a revision, and something after `after`, has been applied; gives that revision.
    pub async fn completed(&self, after: Revision) -> Revision {
        let mut complete = self.complete.subscribe();
        complete
            .wait_for(|complete| *complete > after)
            .await
            .map_or(after, |complete| *complete)
    }

    /// Everything up to here has been applied.
    pub fn complete(&self) -> Revision {
        *self.complete.borrow()
    }

    /// The newest revision that has been applied.
    pub fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Every object touched from now on, in the order of application.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Touched> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.write().subscribers.push(sender);
        receiver
    }
}

impl Inner {
    fn apply(&mut self, revision: Revision, change: IndexChange) {
        // A late repetition must not bring back an object whose deletion is no longer remembered.
        if revision <= self.complete {
            return;
        }
        match change {
            IndexChange::Put(object) => self.put(revision, object),
            IndexChange::Delete(key) => self.delete(revision, &key),
            IndexChange::Counter(key, value) => self.count(revision, key, value),
        }
    }

    fn count(&mut self, revision: Revision, key: CounterKey, value: u64) {
        let slot = self.counters.entry(key).or_insert((revision, value));
        if revision >= slot.0 {
            *slot = (revision, value);
        }
    }

    fn put(&mut self, revision: Revision, object: Object) {
        let key = object.key();
        let is_known = self.entries.at(&key).is_some_and(|entry| entry.revision >= revision);
        let is_gone = self.deleted.get(&key).is_some_and(|at| *at >= revision);
        if is_known || is_gone {
            return;
        }
        let entry = Arc::new(Entry {
            key,
            revision,
            object,
            rendered: OnceLock::new(),
        });
        let before = self.entries.insert(Arc::clone(&entry));
        if let Some(old) = &before {
            self.unlink(old);
        }
        for facet in facets(&entry.object) {
            self.drawers.entry(facet).or_default().insert(Arc::clone(&entry));
        }
        self.remember(revision, before, Some(Arc::clone(&entry)));
        self.tell(&Touched { entry, is_deleted: false });
    }

    fn delete(&mut self, revision: Revision, key: &Key) {
        if self.entries.at(key).is_some_and(|entry| entry.revision > revision) {
            return;
        }
        let at = self.deleted.entry(key.clone()).or_insert(revision);
        *at = revision.max(*at);
        if let Some(entry) = self.entries.remove(key) {
            self.unlink(&entry);
            self.remember(revision, Some(Arc::clone(&entry)), None);
            self.tell(&Touched { entry, is_deleted: true });
        }
    }

    fn unlink(&mut self, entry: &Entry) {
        for facet in facets(&entry.object) {
            let Some(drawer) = self.drawers.get_mut(&facet) else { continue };
            drawer.remove(entry);
            if drawer.entries.is_empty() {
                self.drawers.remove(&facet);
            }
        }
    }

    fn remember(&mut self, revision: Revision, before: Option<Arc<Entry>>, after: Option<Arc<Entry>>) {
        let is_watched = |entry: &Arc<Entry>| entry.key.kind.is_watched();
        if before.iter().chain(&after).any(is_watched) {
            self.history.add(Change { revision, before, after });
        }
    }

    fn tell(&mut self, touched: &Touched) {
        self.subscribers.retain(|subscriber| subscriber.send(touched.clone()).is_ok());
    }

    fn mark(&mut self, revision: Revision) {
        if revision > self.complete {
            self.ahead.insert(revision);
            self.settle();
        }
    }

    fn complete(&mut self, up_to: Revision) {
        self.complete = self.complete.max(up_to);
        self.settle();
    }

    fn settle(&mut self) {
        while self.ahead.remove(&Revision(self.complete.0 + 1)) {
            self.complete.0 += 1;
        }
        let complete = self.complete;
        self.ahead.retain(|revision| *revision > complete);
        self.deleted.retain(|_, revision| *revision > complete);
        self.history.settle(complete);
    }
}

#[cfg(test)]
mod tests;
