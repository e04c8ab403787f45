//! The entries of an index by key.

use super::Entry;
use crate::object::Kind;
use crate::port::Key;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

type ByName = BTreeMap<SmolStr, Arc<Entry>>;

/// A map in the order of [`Key`]. It is asked with borrowed texts, and compares only the part of a key that it has not
/// followed yet: names of one project often begin and end alike.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<Kind, BTreeMap<SmolStr, ByName>>);

impl Entries {
    pub fn get(&self, kind: Kind, project: &str, name: &str) -> Option<&Arc<Entry>> {
        self.0.get(&kind)?.get(project)?.get(name)
    }

    pub fn at(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.get(key.kind, &key.project, &key.name)
    }

    /// Gives the entry that had this key before.
    pub fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let key = &entry.key;
        let names = self.0.entry(key.kind).or_default().entry(key.project.clone()).or_default();
        names.insert(key.name.clone(), entry)
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let projects = self.0.get_mut(&key.kind)?;
        let names = projects.get_mut(&key.project)?;
        let removed = names.remove(&key.name);
        if names.is_empty() {
            projects.remove(&key.project);
        }
        removed
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Entry>> {
        let projects = self.0.get(&kind).into_iter();
        projects.flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.0.get(&kind).into_iter().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }
}
