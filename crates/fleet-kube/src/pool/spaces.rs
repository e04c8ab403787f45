//! Name spaces of pools, and what is kept on them: what was asked for last.

use crate::kueue::SeenObjects;
use crate::mark;
use crate::object::{Key, Kind, Object};
use crate::plugins::Users;
use crate::quota::PerNode;
use crate::workloads::Space;
use domain::meta::Uid;
use domain::pool::JobType;
use domain::workload::WorkloadKind;
use fleet::{PoolMark, Quota};
use kube::api::DynamicObject;
use std::collections::BTreeMap;

/// Annotation: the quota of the pool as it was asked for last.
const QUOTA: &str = "poolkeeper.io/quota";
/// Annotation: what one node of each flavor counts in the queues of the pool, where the configuration does not say it.
const COUNTS: &str = "poolkeeper.io/counts";
/// Annotation: [`Users`].
const PLUGINS: &str = "poolkeeper.io/plugins";
/// Label: the pool is no longer wanted.
const ENDING: &str = "poolkeeper.io/ending";
/// Label: the physical pool is being removed.
const REMOVING: &str = "poolkeeper.io/removing";
const SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// The first name space of a pool: it comes first and goes last, and has the annotations.
pub fn first(uid: &Uid) -> String {
    name(uid, JobType::Train)
}

fn name(uid: &Uid, job_type: JobType) -> String {
    mark::object_name(uid, &format!("-{}", job_type.as_str().to_lowercase()))
}

/// What is said on the first name space of a pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Note {
    pub quota: Option<Quota>,
    pub plugins: Users,
    /// Of a physical pool: what one node of a flavor counts, where it was read off Nodes.
    pub counts: PerNode,
}

/// What is said on a name space. What cannot be read is as good as not there: it is asked for again.
pub fn note(space: &DynamicObject) -> Note {
    let annotations = space.metadata.annotations.as_ref();
    Note {
        quota: mark::read(annotations, QUOTA),
        plugins: mark::read(annotations, PLUGINS).unwrap_or_default(),
        counts: mark::read(annotations, COUNTS).unwrap_or_default(),
    }
}

/// The name spaces that a pool should have: the first one, and in a physical pool one for each further job type that is open.
pub fn wanted(root: &PoolMark, pool: &PoolMark, note: &Note, security: Option<&str>) -> Vec<Object> {
    let types = JobType::ALL.into_iter().filter(|job_type| is_wanted(root, pool, note, *job_type));
    types.map(|job_type| space(root, pool, job_type, note, security)).collect()
}

/// Its name spaces that are there for job types that are not open any more. They take no pods, and go once their workloads
/// have ended.
pub fn closing(root: &PoolMark, pool: &PoolMark, note: &Note, security: Option<&str>, seen: &SeenObjects) -> Vec<(JobType, Object)> {
    let types = JobType::ALL.into_iter().filter(|job_type| !is_wanted(root, pool, note, *job_type));
    let spaces = types.map(|job_type| (job_type, space(root, pool, job_type, note, security)));
    spaces.filter(|(_, space)| seen.contains_key(&space.key)).collect()
}

fn is_wanted(root: &PoolMark, pool: &PoolMark, note: &Note, job_type: JobType) -> bool {
    let is_open = || note.quota.as_ref().is_some_and(|quota| quota.open.contains(&job_type));
    job_type == JobType::Train || (root.uid == pool.uid && is_open())
}

/// The first of them.
pub fn wanted_first(root: &PoolMark, pool: &PoolMark, note: &Note, security: Option<&str>) -> Object {
    space(root, pool, JobType::Train, note, security)
}

fn space(root: &PoolMark, pool: &PoolMark, job_type: JobType, note: &Note, security: Option<&str>) -> Object {
    let key = Key::cluster(Kind::Namespace, &name(&pool.uid, job_type));
    let takes = note.quota.as_ref().is_some_and(|quota| quota.takes(job_type));
    let mut object = Object::of_pool(key, &root.uid, &pool.uid)
        .label(mark::POOL_NAME, mark::pool_slug(root))
        .label(mark::TYPE, job_type.as_str())
        .label(mark::CLOSING, (!takes).to_string())
        .label(ENDING, "false")
        .label(REMOVING, "false");
    if let Some(level) = security {
        object = object.label(SECURITY, level);
    }
    if job_type == JobType::Train {
        if let Some(quota) = &note.quota {
            object = object.annotation(QUOTA, mark::write(quota));
        }
        if !note.counts.is_empty() {
            object = object.annotation(COUNTS, mark::write(&note.counts));
        }
        object = object.annotation(PLUGINS, mark::write(&note.plugins));
    }
    object
}

/// A name space that is there, to be closed. `None`: it is.
pub fn closed(key: &Key, space: &DynamicObject, is_removing: bool) -> Option<Object> {
    let is_ours = |name: &String| (name.starts_with(mark::PREFIX) && name != mark::EPOCH) || name == SECURITY;
    let ours = |map: &Option<BTreeMap<String, String>>| -> BTreeMap<String, String> {
        let all = map.iter().flatten().filter(|(name, _)| is_ours(name));
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut object = Object {
        key: key.clone(),
        labels: ours(&space.metadata.labels),
        annotations: ours(&space.metadata.annotations),
        finalizers: Vec::new(),
        body: serde_json::Map::new(),
    };
    for label in [mark::CLOSING, ENDING] {
        object.labels.insert(label.to_owned(), "true".to_owned());
    }
    if is_removing {
        object.labels.insert(REMOVING.to_owned(), "true".to_owned());
    }
    (space.metadata.deletion_timestamp.is_none() && !object.is_met(space)).then_some(object)
}

fn label<'a>(space: &'a DynamicObject, name: &str) -> Option<&'a str> {
    space.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The pool that an object belongs to itself.
pub fn pool_of(object: &DynamicObject) -> Option<Uid> {
    label(object, mark::POOL).map(Uid::from_text)
}

/// Whether the pool is no longer wanted, and is told only for as long as something of it is left.
pub fn is_ending(space: &DynamicObject) -> bool {
    label(space, ENDING) == Some("true")
}

pub fn is_removing(space: &DynamicObject) -> bool {
    label(space, REMOVING) == Some("true")
}

/// Name spaces among the objects of a pool.
pub fn of(seen: &SeenObjects) -> impl Iterator<Item = (&Key, &DynamicObject)> {
    let spaces = seen.iter().filter(|(key, _)| key.kind == Kind::Namespace);
    spaces.map(|(key, space)| (key, space.as_ref()))
}

/// The names of the name spaces that each pool has and keeps.
pub fn names(seen: &SeenObjects) -> BTreeMap<Uid, Vec<String>> {
    let mut names: BTreeMap<Uid, Vec<String>> = BTreeMap::new();
    for (key, space) in of(seen).filter(|(_, space)| space.metadata.deletion_timestamp.is_none()) {
        if let Some(pool) = pool_of(space) {
            names.entry(pool).or_default().push(key.name.clone());
        }
    }
    names
}

/// The workloads of a job type in a pool.
pub fn space_of(pool: &PoolMark, job_type: JobType) -> Space {
    let kind = match job_type {
        JobType::Train => WorkloadKind::Train,
        JobType::Infer => WorkloadKind::Infer,
        JobType::Notebook => WorkloadKind::Notebook,
    };
    Space { pool: pool.clone(), kind }
}

/// Whose workloads are in which name space. Of a pool that never had a quota only the uid is known; it has no workloads.
pub fn workload_spaces(seen: &SeenObjects) -> BTreeMap<String, Space> {
    let notes: BTreeMap<Uid, PoolMark> = of(seen)
        .filter_map(|(_, space)| Some((pool_of(space)?, note(space).quota?.pool)))
        .collect();
    of(seen)
        .filter_map(|(key, space)| {
            let job_type = JobType::parse(label(space, mark::TYPE)?)?;
            Some((key.name.clone(), space_of(notes.get(&pool_of(space)?)?, job_type)))
        })
        .collect()
}
