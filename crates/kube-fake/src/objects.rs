//! The objects, their versions, and everything that ever happened to them.

use crate::admission::Rules;
use crate::apply::Owners;
use crate::faults::Faults;
use crate::kinds::{ResourceType, built_in};
use crate::refusal::Refusal;
use crate::twins::Twins;
use clock::{Entropy, SeededEntropy};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Who an object is, in all versions of its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `nodes`, `jobs.batch`.
    pub ty: Arc<str>,
    /// Empty where the type has none.
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// `ty`: `nodes`, `jobs.batch`.
    pub fn new(ty: &str, namespace: &str, name: &str) -> Self {
        Self {
            ty: Arc::from(ty),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One accepted write.
#[derive(Debug, Clone)]
pub struct Change {
    /// The `resourceVersion` that it made.
    pub version: u64,
    pub at: Timestamp,
    /// User name of the writer. Actors of the cluster are `system:…`.
    pub by: Arc<str>,
    pub key: Key,
    pub kind: ChangeKind,
    /// Without `apiVersion` and `kind`. Of a deleted object, its last form.
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
}

pub(crate) struct State {
    pub now: Timestamp,
    pub types: Vec<Arc<ResourceType>>,
    pub objects: BTreeMap<Key, Arc<Value>>,
    pub owners: BTreeMap<Key, Owners>,
    pub log: VecDeque<Change>,
    /// The newest version.
    pub version: u64,
    /// Nobody can go back to a version before this one.
    pub floor: u64,
    pub entropy: SeededEntropy,
    pub rules: Rules,
    pub faults: Faults,
    pub twins: Twins,
    /// (user, verb, resource) that RBAC refuses.
    pub denied: BTreeSet<(String, String, String)>,
    /// Nothing is kept while this is set.
    pub dry_run: bool,
}

impl State {
    pub fn new(now: Timestamp, seed: u64) -> Self {
        let mut state = Self {
            now,
            types: built_in(),
            objects: BTreeMap::new(),
            owners: BTreeMap::new(),
            log: VecDeque::new(),
            version: 1,
            floor: 1,
            entropy: SeededEntropy::new(seed),
            rules: Rules::default(),
            faults: Faults::new(seed),
            twins: Twins::default(),
            denied: BTreeSet::new(),
            dry_run: false,
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let namespace = json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            let key = Key::new("namespaces", "", name);
            let namespace = state.stamped(namespace, 0);
            state.commit("system:apiserver", key, Some(namespace));
        }
        state
    }

    /// The type as the version of a group names it.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceType>> {
        let mut types = self.types.iter();
        types
            .find(|ty| ty.group == group && ty.version == version && ty.plural == plural)
            .cloned()
    }

    /// The type in its first version, by `plural.group`.
    pub fn by_qualified(&self, qualified: &str) -> Option<Arc<ResourceType>> {
        self.types.iter().find(|ty| ty.qualified() == qualified).cloned()
    }

    pub fn get(&self, ty: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&Key::new(ty, namespace, name))
    }

    /// The objects of a type in a namespace, or, if that is empty, in all.
    pub fn range<'a>(&'a self, ty: &'a str, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let start = Key::new(ty, namespace, "");
        let here = move |key: &Key| &*key.ty == ty && (namespace.is_empty() || key.namespace == namespace);
        self.objects.range(start..).take_while(move |(key, _)| here(key))
    }

    /// Marks of a new object.
    pub fn stamped(&mut self, mut object: Value, generation: u64) -> Value {
        let uid = self.new_uid();
        let now = self.time();
        set(&mut object, &["metadata", "uid"], json!(uid));
        set(&mut object, &["metadata", "creationTimestamp"], json!(now));
        if generation > 0 {
            set(&mut object, &["metadata", "generation"], json!(generation));
        } else {
            unset(&mut object, &["metadata", "generation"]);
        }
        object
    }

    /// Now, as objects carry it: in whole seconds.
    pub fn time(&self) -> String {
        time(self.now)
    }

    pub fn new_uid(&self) -> String {
        let (a, b) = (self.entropy.next_u64(), self.entropy.next_u64());
        let hex = format!("{a:016x}{b:016x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-8{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    /// Five letters and digits, for generated names.
    pub fn suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut number = self.entropy.next_u64();
        let mut letter = || {
            let index = (number % LETTERS.len() as u64) as usize;
            number /= LETTERS.len() as u64;
            LETTERS.get(index).map_or('x', |letter| char::from(*letter))
        };
        (0..5).map(|_| letter()).collect()
    }

    /// Makes a version: puts the object, or takes it away. Returns it as it is then.
    pub fn commit(&mut self, by: &str, key: Key, object: Option<Value>) -> Arc<Value> {
        let before = self.objects.get(&key).cloned();
        let version = self.version + 1;
        let kind = match (&object, &before) {
            (None, _) => ChangeKind::Deleted,
            (Some(_), None) => ChangeKind::Added,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        let is_gone = object.is_none();
        let mut object = object.unwrap_or_else(|| before.as_deref().cloned().unwrap_or_default());
        if self.dry_run {
            return Arc::new(object);
        }
        set(&mut object, &["metadata", "resourceVersion"], json!(version.to_string()));
        let object = Arc::new(object);
        if is_gone {
            self.objects.remove(&key);
            self.owners.remove(&key);
        } else {
            self.objects.insert(key.clone(), Arc::clone(&object));
        }
        self.rules.saw(&key, if is_gone { None } else { Some(&object) }, self.now);
        self.version = version;
        self.log.push_back(Change {
            version,
            at: self.now,
            by: Arc::from(by),
            key,
            kind,
            object: Arc::clone(&object),
            before,
        });
        object
    }

    /// Changes an object in place, as an actor of the cluster does: no validation, no admission. Nothing is written if
    /// nothing changes. `false`: there is no such object.
    pub fn edit(&mut self, by: &str, key: &Key, change: impl FnOnce(&mut Value)) -> bool {
        let Some(before) = self.objects.get(key) else {
            return false;
        };
        let mut after = (**before).clone();
        change(&mut after);
        if after != **before {
            self.commit(by, key.clone(), Some(after));
        }
        true
    }

    /// Changes after a version, oldest first. Fails where that version is forgotten.
    pub fn since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, Refusal> {
        if version < self.floor {
            let message = format!("too old resource version: {version} ({})", self.floor);
            return Err(Refusal::gone(message));
        }
        let start = self.log.partition_point(|change| change.version <= version);
        Ok(self.log.range(start..))
    }

    /// The objects of a type as they were at a version.
    pub fn at(&self, version: u64, ty: &str, namespace: &str) -> Result<BTreeMap<Key, Arc<Value>>, Refusal> {
        let later: Vec<&Change> = self.since(version)?.collect();
        let mut objects: BTreeMap<Key, Arc<Value>> = self
            .range(ty, namespace)
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        let here = |key: &Key| &*key.ty == ty && (namespace.is_empty() || key.namespace == namespace);
        for change in later.into_iter().rev().filter(|change| here(&change.key)) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }

    /// Forgets what was before a version.
    pub fn compact(&mut self, version: u64) {
        self.floor = self.floor.max(version.min(self.version));
    }
}

/// As objects carry times: in whole seconds.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sets a field; what is on the way to it is made.
pub(crate) fn set(object: &mut Value, path: &[&str], value: Value) {
    let mut at = object;
    for name in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*name];
    }
    *at = value;
}

/// Takes a field away.
pub(crate) fn unset(object: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut at = object;
    for name in way {
        let Some(next) = at.get_mut(*name) else {
            return;
        };
        at = next;
    }
    if let Some(fields) = at.as_object_mut() {
        fields.remove(*last);
    }
}

/// A text field of an object, by pointer; empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A label of an object.
pub(crate) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// An annotation of an object.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}
