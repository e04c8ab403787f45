//! Objects of the cluster that are wholly ours: how they are named, marked and written.

use domain::meta::Uid;
use domain::name::FlavorName;
use fleet::PoolMark;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The pool of an object.
pub const POOL: &str = "poolkeeper.io/pool";
/// The physical pool of an object, whose label `pool` may be that of a logical one.
pub const ROOT: &str = "poolkeeper.io/root";
/// The name of the pool on whose nodes pods of a name space run, for selectors.
pub const POOL_NAME: &str = "poolkeeper.io/pool-name";
/// The job type of a name space.
pub const TYPE: &str = "poolkeeper.io/type";
/// `true` on a name space that takes no more workloads, else `false`: what is not named in an apply stays as others made it.
pub const CLOSING: &str = "poolkeeper.io/closing";
/// The lease epoch of the last writer.
pub const EPOCH: &str = "poolkeeper.io/epoch";
/// The quota of a pool, as it was asked for last.
pub const QUOTA: &str = "poolkeeper.io/quota";
/// As whom objects are written.
pub const MANAGER: &str = "poolkeeper";

/// The kinds of objects that belong to pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Namespace,
    Queue,
    QueueCommand,
    ResourceFlavor,
    Cohort,
    ClusterQueue,
    LocalQueue,
    HelmRelease,
}

impl Kind {
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Queue => ("scheduling.volcano.sh", "v1beta1", "Queue", "queues"),
            Self::QueueCommand => ("bus.volcano.sh", "v1alpha1", "Command", "commands"),
            Self::ResourceFlavor => ("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors"),
            Self::Cohort => ("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts"),
            Self::ClusterQueue => ("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues"),
            Self::LocalQueue => ("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues"),
            Self::HelmRelease => ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    /// `None`: it is in no name space.
    pub namespace: Option<String>,
    pub name: String,
}

impl Key {
    pub fn cluster(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.to_owned(),
        }
    }

    pub fn inside(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }
}

/// An object as it should be. What is not named here is not ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub key: Key,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Everything but type and metadata.
    pub body: Map<String, Value>,
}

impl Object {
    /// An object that carries the mark of a pool of a tree.
    pub fn of_pool(key: Key, root: &Uid, pool: &Uid) -> Self {
        Self {
            key,
            labels: [(POOL, pool), (ROOT, root)].map(|(name, uid)| (name.to_owned(), uid.to_string())).into(),
            annotations: BTreeMap::new(),
            body: Map::new(),
        }
    }

    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body.insert(field.to_owned(), value);
        self
    }

    pub fn label(mut self, name: &str, value: impl Into<String>) -> Self {
        self.labels.insert(name.to_owned(), value.into());
        self
    }

    pub fn annotation(mut self, name: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// The whole object, as it is sent.
    pub fn to_json(&self, epoch: u64) -> Value {
        let resource = self.key.kind.resource();
        let mut annotations = self.annotations.clone();
        annotations.insert(EPOCH.to_owned(), epoch.to_string());
        let mut metadata = json!({"name": self.key.name, "labels": self.labels, "annotations": annotations});
        if let Some(namespace) = &self.key.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let mut all = self.body.clone();
        all.insert("apiVersion".to_owned(), json!(resource.api_version));
        all.insert("kind".to_owned(), json!(resource.kind));
        all.insert("metadata".to_owned(), metadata);
        Value::Object(all)
    }

    /// Whether an object is as it should be: it has all that is named here, and lists of the same length.
    pub fn is_met(&self, seen: &DynamicObject) -> bool {
        let has = |wanted: &BTreeMap<String, String>, seen: Option<&BTreeMap<String, String>>| {
            wanted.iter().all(|(name, value)| seen.and_then(|seen| seen.get(name)) == Some(value))
        };
        let metadata = &seen.metadata;
        metadata.deletion_timestamp.is_none()
            && has(&self.labels, metadata.labels.as_ref())
            && has(&self.annotations, metadata.annotations.as_ref())
            && self.body.iter().all(|(field, value)| covers(&seen.data[field], value))
    }
}

/// Whether `seen` has everything of `wanted`. An empty object is as good as none.
fn covers(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) => wanted
            .iter()
            .all(|(field, value)| covers(seen.get(field).unwrap_or(&Value::Null), value)),
        (Value::Array(seen), Value::Array(wanted)) => seen.len() == wanted.len() && seen.iter().zip(wanted).all(|(seen, wanted)| covers(seen, wanted)),
        (Value::Null, Value::Object(wanted)) => wanted.values().all(|value| covers(&Value::Null, value)),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (seen, wanted) => seen == wanted,
    }
}

fn digest(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..digits].to_owned()
}

/// A pool in names of objects of the whole cluster: `pk-` and twelve digits. Not the first digits of its uid: pools that are made in
/// one millisecond share them.
pub fn prefix(uid: &Uid) -> String {
    format!("pk-{}", digest(&[uid.as_str()], 12))
}

/// A pool's name where a label's value has to hold it: at most 63 characters.
pub fn slug(mark: &PoolMark) -> String {
    let name = mark.pool.name.as_str();
    if name.len() <= 63 {
        return name.to_owned();
    }
    let start: String = name.chars().take(52).collect();
    format!("{start}-{}", digest(&[mark.uid.as_str()], 10))
}

/// The group of a physical pool's nodes of a flavor, as Volcano knows it.
pub fn node_group(root: &Uid, flavor: &FlavorName) -> String {
    let prefix = prefix(root).replacen('-', ".", 1);
    format!("{prefix}.{}", digest(&[flavor.as_str(), ""], 10))
}

/// A part of a name that stands for a text of any length and alphabet.
pub fn part(text: &str) -> String {
    digest(&[text], 8)
}

#[cfg(test)]
mod tests;
