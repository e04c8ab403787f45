//! The objects of pools, by physical pool.

use super::spaces;
use crate::kueue::SeenObjects;
use crate::mark;
use crate::object::{Key, Kind};
use domain::meta::Uid;
use kube::api::DynamicObject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Told by caches of every change.
#[derive(Default)]
pub struct Index(Mutex<Known>);

#[derive(Default)]
struct Known {
    roots: BTreeMap<Uid, SeenObjects>,
    /// The physical pool of a name space.
    spaces: BTreeMap<String, Uid>,
    /// Physical pools that are being removed.
    removing: BTreeSet<Uid>,
}

impl Index {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a change, and gives the pools that it is about.
    pub fn file(&self, kind: Kind, before: Option<&Arc<DynamicObject>>, after: Option<&Arc<DynamicObject>>) -> BTreeSet<Uid> {
        let mut known = self.known();
        let mut touched = BTreeSet::new();
        if let Some((before, root)) = before.and_then(|object| Some((object, root_of(object)?))) {
            let key = key(kind, before);
            if let Some(objects) = known.roots.get_mut(&root) {
                objects.remove(&key);
                if objects.is_empty() {
                    known.roots.remove(&root);
                }
            }
            if kind == Kind::Namespace {
                known.spaces.remove(&key.name);
            }
            touched.insert(root);
        }
        if let Some((after, root)) = after.and_then(|object| Some((object, root_of(object)?))) {
            let key = key(kind, after);
            if kind == Kind::Namespace {
                known.spaces.insert(key.name.clone(), root.clone());
            }
            known.roots.entry(root.clone()).or_default().insert(key, Arc::clone(after));
            touched.insert(root);
        }
        if kind == Kind::Namespace {
            for root in &touched {
                known.note_removal(root);
            }
        }
        touched
    }

    /// The physical pools that are being removed.
    pub fn removing(&self) -> Vec<Uid> {
        self.known().removing.iter().cloned().collect()
    }

    /// Physical pools of which something is there, but not the first name space: it comes first and goes last. What is left then was
    /// written by somebody whose request came after the pool had gone.
    pub fn remains(&self) -> Vec<Uid> {
        let known = self.known();
        let has_first = |root: &Uid, objects: &SeenObjects| objects.contains_key(&Key::cluster(Kind::Namespace, &spaces::first(root)));
        let remains = known.roots.iter().filter(|(root, objects)| !has_first(root, objects));
        remains.map(|(root, _)| root.clone()).collect()
    }

    /// Everything that has the mark of a physical pool.
    pub fn of(&self, root: &Uid) -> SeenObjects {
        self.known().roots.get(root).cloned().unwrap_or_default()
    }

    pub fn roots(&self) -> Vec<Uid> {
        self.known().roots.keys().cloned().collect()
    }

    pub fn root_of_space(&self, space: &str) -> Option<Uid> {
        self.known().spaces.get(space).cloned()
    }
}

impl Known {
    fn note_removal(&mut self, root: &Uid) {
        let mut spaces = self.roots.get(root).into_iter().flat_map(spaces::of);
        if spaces.any(|(_, space)| spaces::is_removing(space)) {
            self.removing.insert(root.clone());
        } else {
            self.removing.remove(root);
        }
    }
}

fn key(kind: Kind, object: &DynamicObject) -> Key {
    Key {
        kind,
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

fn root_of(object: &DynamicObject) -> Option<Uid> {
    let labels = object.metadata.labels.as_ref()?;
    labels
        .get(mark::ROOT)
        .or_else(|| labels.get(mark::POOL))
        .map(|uid| Uid::from_text(uid))
}
