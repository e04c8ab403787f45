//! Reading the index.

use super::{Change, Drawer, Entry, Facet, Inner, Place, Versioned};
use crate::batch::CounterKey;
use crate::object::{Kind, Resource};
use crate::port::Key;
use domain::meta::{Revision, Uid};
use smol_str::SmolStr;
use std::any::Any;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

/// A consistent view of the index.
pub struct Snapshot<'a>(pub(super) RwLockReadGuard<'a, Inner>);

impl Snapshot<'_> {
    pub fn get<T: Resource>(&self, project: impl AsRef<str>, name: impl AsRef<str>) -> Option<Versioned<T>> {
        self.0.entries.get(T::KIND, project.as_ref(), name.as_ref()).and_then(Versioned::of)
    }

    pub fn at<T: Resource>(&self, key: &Key) -> Option<Versioned<T>> {
        self.0.entries.at(key).and_then(Versioned::of)
    }

    /// All objects of one kind in key order.
    pub fn all<T: Resource>(&self) -> Vec<Versioned<T>> {
        self.0.entries.of_kind(T::KIND).filter_map(Versioned::of).collect()
    }

    /// Entries filed under a facet's value: newest first, then by name (contract README §7).
    pub fn entries(&self, facet: Facet, value: impl AsRef<str>) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries_after(facet, value, None)
    }

    /// As [`Snapshot::entries`], from after a place on.
    pub fn entries_after(&self, facet: Facet, value: impl AsRef<str>, after: Option<&Place>) -> impl Iterator<Item = &Arc<Entry>> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let drawer = self.drawer(facet, value).into_iter();
        drawer
            .flat_map(move |drawer| drawer.entries.range((from.clone(), Bound::Unbounded)))
            .map(|(_, entry)| entry)
    }

    /// How many entries are filed under a facet's value. Does not count them.
    pub fn filed(&self, facet: Facet, value: impl AsRef<str>) -> usize {
        self.drawer(facet, value).map_or(0, |drawer| drawer.entries.len())
    }

    /// What `make` makes of all entries under a facet's value, in their order: kept until one of them changes, for as long as
    /// `is_valid` says so of it. For what would cost too much at each read. There is one for each value.
    pub fn digest<T: Any + Send + Sync>(
        &self,
        facet: Facet,
        value: impl AsRef<str>,
        is_valid: impl FnOnce(&T) -> bool,
        make: impl FnOnce(&mut dyn Iterator<Item = &Arc<Entry>>) -> T,
    ) -> Arc<T> {
        let Some(drawer) = self.drawer(facet, value) else {
            return Arc::new(make(&mut std::iter::empty()));
        };
        // Others who ask wait for the one who makes it.
        let mut digest = drawer.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = digest.as_ref().and_then(|known| Arc::clone(known).downcast::<T>().ok());
        if let Some(known) = known.filter(|known| is_valid(known)) {
            return known;
        }
        let made = Arc::new(make(&mut drawer.entries.values()));
        *digest = Some(Arc::<T>::clone(&made));
        made
    }

    fn drawer(&self, facet: Facet, value: impl AsRef<str>) -> Option<&Drawer> {
        self.0.drawers.get(&(facet, SmolStr::new(value)))
    }

    /// Objects filed under a facet's value: newest first, then by name.
    pub fn under<T: Resource>(&self, facet: Facet, value: impl AsRef<str>) -> Vec<Versioned<T>> {
        self.entries(facet, value).filter_map(Versioned::of).collect()
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.0.entries.count(kind)
    }

    pub fn counter(&self, key: &CounterKey) -> u64 {
        self.0.counters.get(key).map_or(0, |(_, value)| *value)
    }

    pub fn counters(&self) -> impl Iterator<Item = (&CounterKey, u64)> {
        self.0.counters.iter().map(|(key, (_, value))| (key, *value))
    }

    /// Everything up to here has been applied.
    pub fn complete(&self) -> Revision {
        self.0.complete
    }

    /// Changes of pools, nodes and events after a revision, up to [`Snapshot::complete`], in the order in which they were
    /// committed. `None`: some of them are forgotten.
    pub fn changes_after(&self, revision: Revision) -> Option<impl Iterator<Item = &Change>> {
        self.0.history.after(revision)
    }

    /// A pool by its uid.
    pub fn pool(&self, uid: &Uid) -> Option<Versioned<domain::pool::Pool>> {
        self.entries(Facet::PoolByUid, uid.as_str()).next().and_then(Versioned::of)
    }
}
