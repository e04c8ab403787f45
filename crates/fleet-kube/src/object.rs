//! Objects of the cluster that are wholly ours: how they are named, marked and written.

use crate::amount::Amount;
use crate::mark;
use domain::meta::Uid;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
    Application,
    NvidiaDriver,
}

impl Kind {
    pub fn resource(self) -> Resource {
        match self {
            Self::Namespace => Resource("", "v1", "Namespace", "namespaces"),
            Self::Queue => Resource("scheduling.volcano.sh", "v1beta1", "Queue", "queues"),
            Self::QueueCommand => Resource("bus.volcano.sh", "v1alpha1", "Command", "commands"),
            Self::ResourceFlavor => Resource("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors"),
            Self::Cohort => Resource("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts"),
            Self::ClusterQueue => Resource("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues"),
            Self::LocalQueue => Resource("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues"),
            Self::NvidiaDriver => Resource("nvidia.com", "v1alpha1", "NVIDIADriver", "nvidiadrivers"),
            Self::Application => Resource("argoproj.io", "v1alpha1", "Application", "applications"),
            Self::HelmRelease => Resource("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
        }
    }
}

/// A type of objects: group, version, kind, and its name in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

impl From<Resource> for ApiResource {
    fn from(Resource(group, version, kind, plural): Resource) -> Self {
        Self::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
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
    /// What others have to do before it may go.
    pub finalizers: Vec<String>,
    /// Everything but type and metadata.
    pub body: Map<String, Value>,
}

impl Object {
    /// An object that carries the mark of a pool of a tree.
    pub fn of_pool(key: Key, root: &Uid, pool: &Uid) -> Self {
        Self {
            key,
            labels: [(mark::POOL, pool), (mark::ROOT, root)]
                .map(|(name, uid)| (name.to_owned(), uid.to_string()))
                .into(),
            annotations: BTreeMap::new(),
            finalizers: Vec::new(),
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

    /// The object as it is sent.
    pub fn to_dynamic(&self) -> DynamicObject {
        let mut object = DynamicObject::new(&self.key.name, &self.key.kind.resource().into()).data(Value::Object(self.body.clone()));
        object.metadata.namespace.clone_from(&self.key.namespace);
        object.metadata.labels = Some(self.labels.clone());
        object.metadata.annotations = Some(self.annotations.clone());
        object.metadata.finalizers = (!self.finalizers.is_empty()).then(|| self.finalizers.clone());
        object
    }

    /// Whether an object is as it should be: it has all that is named here, and lists of the same length.
    pub fn is_met(&self, seen: &DynamicObject) -> bool {
        let has = |wanted: &BTreeMap<String, String>, seen: Option<&BTreeMap<String, String>>| {
            wanted
                .iter()
                .all(|(name, value)| seen.and_then(|seen| seen.get(name)) == Some(value))
        };
        let metadata = &seen.metadata;
        metadata.deletion_timestamp.is_none()
            && has(&self.labels, metadata.labels.as_ref())
            && has(&self.annotations, metadata.annotations.as_ref())
            && self.body.iter().all(|(field, value)| covers(&seen.data[field], value))
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Makes it, or brings it to this form.
    Put(Object),
    /// Makes it, unless it is there.
    Create(Object),
    Delete(Key),
}

/// Whether `seen` has everything of `wanted`. An empty object is as good as none, and quantities may be written in any way.
fn covers(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) => wanted
            .iter()
            .all(|(field, value)| covers(seen.get(field).unwrap_or(&Value::Null), value)),
        (Value::Array(seen), Value::Array(wanted)) => {
            seen.len() == wanted.len() && seen.iter().zip(wanted).all(|(seen, wanted)| covers(seen, wanted))
        }
        (Value::Null, Value::Object(wanted)) => wanted.values().all(|value| covers(&Value::Null, value)),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (seen, wanted) => seen == wanted || is_same_quantity(seen, wanted),
    }
}

fn is_same_quantity(seen: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_str().and_then(Amount::parse) else {
        return false;
    };
    let seen = seen.as_str().map_or_else(|| seen.to_string(), str::to_owned);
    Amount::parse(&seen) == Some(wanted)
}

#[cfg(test)]
mod tests;
