//! Workloads as pools show them: pods of a pool's name spaces by what owns them in the end, joined with what the scheduler says.

mod needs;
mod verdict;

use crate::mark;
use crate::object::Resource as ObjectType;
use crate::pods::{GROUP, Pod};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use fleet::{HostFact, PoolMark, WorkloadFact};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;
use needs::needs;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use verdict::verdict;

/// Label or annotation of an object or its pods: name and id of the job in the service that submitted it, its user, its flavor.
const JOB_NAME: &str = "poolkeeper.io/job-name";
const JOB_ID: &str = "poolkeeper.io/job-id";
const USER: &str = "poolkeeper.io/user";
const JOB_FLAVOR: &str = "poolkeeper.io/job-flavor";

/// Kinds of objects that workloads consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKind {
    VolcanoJob,
    Job,
    RayJob,
    RayCluster,
    Deployment,
    StatefulSet,
    ReplicaSet,
    PodGroup,
    KueueWorkload,
}

impl WorkKind {
    pub const ALL: [Self; 9] = [
        Self::VolcanoJob,
        Self::Job,
        Self::RayJob,
        Self::RayCluster,
        Self::Deployment,
        Self::StatefulSet,
        Self::ReplicaSet,
        Self::PodGroup,
        Self::KueueWorkload,
    ];

    pub fn resource(self) -> ObjectType {
        match self {
            Self::VolcanoJob => ObjectType("batch.volcano.sh", "v1alpha1", "Job", "jobs"),
            Self::Job => ObjectType("batch", "v1", "Job", "jobs"),
            Self::RayJob => ObjectType("ray.io", "v1", "RayJob", "rayjobs"),
            Self::RayCluster => ObjectType("ray.io", "v1", "RayCluster", "rayclusters"),
            Self::Deployment => ObjectType("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ObjectType("apps", "v1", "StatefulSet", "statefulsets"),
            Self::ReplicaSet => ObjectType("apps", "v1", "ReplicaSet", "replicasets"),
            Self::PodGroup => ObjectType("scheduling.volcano.sh", "v1beta1", "PodGroup", "podgroups"),
            Self::KueueWorkload => ObjectType("kueue.x-k8s.io", "v1beta2", "Workload", "workloads"),
        }
    }

    /// Whether it makes pods, rather than says something about others.
    pub fn is_owner(self) -> bool {
        match self {
            Self::PodGroup | Self::KueueWorkload => false,
            Self::VolcanoJob | Self::Job | Self::RayJob | Self::RayCluster | Self::Deployment | Self::StatefulSet | Self::ReplicaSet => {
                true
            }
        }
    }
}

/// A name space of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    pub pool: PoolMark,
    pub kind: WorkloadKind,
}

/// A Node of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub node: NodeName,
    pub ip: Option<String>,
    pub flavor: Option<FlavorName>,
    pub is_sound: bool,
}

pub type WorkObject = (WorkKind, Arc<DynamicObject>);

/// What is known.
pub struct Input<'a> {
    pub spaces: &'a BTreeMap<String, Space>,
    pub objects: &'a [WorkObject],
    pub pods: &'a [Arc<Pod>],
    /// By the names of the Nodes in the cluster.
    pub hosts: &'a BTreeMap<String, Host>,
}

/// What belongs to one workload.
struct Group<'a> {
    space: &'a Space,
    meta: Meta<'a>,
    gvk: String,
    owner: Option<(WorkKind, &'a DynamicObject)>,
    pods: Vec<&'a Pod>,
}

/// Of its metadata, as far as is known.
struct Meta<'a> {
    uid: &'a str,
    name: &'a str,
    created_at: Timestamp,
    is_leaving: bool,
    all: Option<&'a ObjectMeta>,
}

/// The workloads of all the name spaces.
pub fn facts(input: &Input<'_>) -> Vec<WorkloadFact> {
    let words = Words::new(input.objects);
    let mut facts: Vec<WorkloadFact> = groups(input).iter().map(|group| fact(group, &words, input.hosts)).collect();
    place(&mut facts);
    facts
}

/// The objects at the top of a pool's name spaces that have to be ended, with all that they own: `None` is a pod.
pub fn tops<'a>(input: &Input<'a>) -> Vec<(Option<WorkKind>, &'a ObjectMeta)> {
    let mut tops = Vec::new();
    for group in groups(input) {
        match group.owner {
            Some((kind, object)) => tops.push((Some(kind), &object.metadata)),
            None => tops.extend(group.pods.iter().map(|pod| (None, &pod.metadata))),
        }
    }
    tops.retain(|(_, meta)| meta.deletion_timestamp.is_none());
    tops
}

fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

fn groups<'a>(input: &Input<'a>) -> Vec<Group<'a>> {
    let owners = input.objects.iter().filter(|(kind, _)| kind.is_owner());
    let known: BTreeMap<&str, (WorkKind, &DynamicObject)> = owners
        .filter_map(|(kind, object)| Some((object.metadata.uid.as_deref()?, (*kind, object.as_ref()))))
        .collect();
    let top = |uid: &'a str| {
        let mut at = uid;
        // Owners do not own each other in circles; if they do, one of them has to do.
        for _ in 0..8 {
            let above = known
                .get(at)
                .and_then(|(_, object)| controller(&object.metadata))
                .map(|owner| owner.uid.as_str());
            match above.filter(|uid| known.contains_key(uid)) {
                Some(above) => at = above,
                None => break,
            }
        }
        at
    };
    let mut groups: BTreeMap<&str, Group<'a>> = BTreeMap::new();
    for (uid, (kind, object)) in &known {
        let Some(space) = object.metadata.namespace.as_ref().and_then(|name| input.spaces.get(name)) else {
            continue;
        };
        if top(uid) == *uid && wants_pods(*kind, object) {
            groups.insert(uid, of_object(space, *kind, object));
        }
    }
    for pod in input.pods {
        let meta = &pod.metadata;
        let Some(space) = meta.namespace.as_ref().and_then(|name| input.spaces.get(name)) else {
            continue;
        };
        let Some(own_uid) = meta.uid.as_deref() else { continue };
        let owner = controller(meta);
        let uid = owner.map_or(own_uid, |owner| top(owner.uid.as_str()));
        let group = groups.entry(uid).or_insert_with(|| match (known.get(uid), owner) {
            (Some((kind, object)), _) => of_object(space, *kind, object),
            (None, Some(owner)) => of_reference(space, owner, pod),
            (None, None) => of_pod(space, pod),
        });
        group.pods.push(pod);
    }
    groups.into_values().collect()
}

/// What is scaled down to nothing is no workload.
fn wants_pods(kind: WorkKind, object: &DynamicObject) -> bool {
    !matches!(kind, WorkKind::Deployment | WorkKind::StatefulSet | WorkKind::ReplicaSet) || object.data["spec"]["replicas"] != 0
}

fn gvk(api_version: &str, kind: &str) -> String {
    format!("{api_version}, Kind={kind}")
}

fn created_at(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn meta_of(meta: &ObjectMeta) -> Meta<'_> {
    Meta {
        uid: meta.uid.as_deref().unwrap_or_default(),
        name: meta.name.as_deref().unwrap_or_default(),
        created_at: created_at(meta),
        is_leaving: meta.deletion_timestamp.is_some(),
        all: Some(meta),
    }
}

fn of_object<'a>(space: &'a Space, kind: WorkKind, object: &'a DynamicObject) -> Group<'a> {
    let ObjectType(group, version, name, _) = kind.resource();
    Group {
        space,
        meta: meta_of(&object.metadata),
        gvk: gvk(&format!("{group}/{version}"), name),
        owner: Some((kind, object)),
        pods: Vec::new(),
    }
}

/// Of an owner of which only the pod tells.
fn of_reference<'a>(space: &'a Space, owner: &'a OwnerReference, pod: &'a Pod) -> Group<'a> {
    Group {
        space,
        meta: Meta {
            uid: &owner.uid,
            name: &owner.name,
            created_at: created_at(&pod.metadata),
            is_leaving: false,
            all: None,
        },
        gvk: gvk(&owner.api_version, &owner.kind),
        owner: None,
        pods: Vec::new(),
    }
}

fn of_pod<'a>(space: &'a Space, pod: &'a Pod) -> Group<'a> {
    Group {
        space,
        meta: meta_of(&pod.metadata),
        gvk: gvk("v1", "Pod"),
        owner: None,
        pods: Vec::new(),
    }
}

/// What schedulers say, by the uid of an owner and by the name of a group of pods.
struct Words<'a> {
    by_owner: BTreeMap<&'a str, (WorkKind, &'a DynamicObject)>,
    by_name: BTreeMap<(&'a str, &'a str), &'a DynamicObject>,
}

impl<'a> Words<'a> {
    fn new(objects: &'a [WorkObject]) -> Self {
        let mut words = Self {
            by_owner: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        for (kind, object) in objects.iter().filter(|(kind, _)| !kind.is_owner()) {
            let meta = &object.metadata;
            for owner in meta.owner_references.iter().flatten() {
                words.by_owner.insert(&owner.uid, (*kind, object));
            }
            if let (WorkKind::PodGroup, Some(space), Some(name)) = (kind, &meta.namespace, &meta.name) {
                words.by_name.insert((space, name), object);
            }
        }
        words
    }

    fn about(&self, group: &Group<'_>) -> Option<(WorkKind, &'a DynamicObject)> {
        let by_name = || {
            let meta = &group.pods.first()?.metadata;
            let name = meta.annotations.as_ref()?.get(GROUP)?;
            let group = self.by_name.get(&(meta.namespace.as_deref()?, name.as_str()))?;
            Some((WorkKind::PodGroup, *group))
        };
        self.by_owner.get(group.meta.uid).copied().or_else(by_name)
    }
}

fn fact(group: &Group<'_>, words: &Words<'_>, hosts: &BTreeMap<String, Host>) -> WorkloadFact {
    let told = told(group);
    let word = words.about(group);
    let verdict = verdict(group, word, hosts);
    let live: Vec<&Host> = group
        .pods
        .iter()
        .filter(|pod| !pod.is_finished())
        .filter_map(|pod| hosts.get(pod.node.as_ref()?))
        .collect();
    let mut places: Vec<HostFact> = live
        .iter()
        .map(|host| HostFact {
            node: host.node.clone(),
            ip: host.ip.clone(),
        })
        .collect();
    places.sort();
    places.dedup();
    let flavor = told(JOB_FLAVOR).and_then(|name| FlavorName::parse(&name).ok());
    let (nodes, resources) = needs(group);
    let uid = Uid::from_text(&group.meta.uid.replace('-', ""));
    let starts = group.pods.iter().filter_map(|pod| pod.started_at);
    let priority = group.pods.iter().filter_map(|pod| pod.priority).max();
    let priority = priority.or_else(|| i32::try_from(word?.1.data["spec"]["priority"].as_i64()?).ok());
    WorkloadFact {
        job_name: told(JOB_NAME).unwrap_or_else(|| group.meta.name.to_owned()),
        job_id: told(JOB_ID).unwrap_or_else(|| group.meta.uid.to_owned()),
        uid,
        name: group.meta.name.to_owned(),
        gvk: group.gvk.clone(),
        kind: group.space.kind,
        pool: group.space.pool.clone(),
        owner: told(USER).unwrap_or_default(),
        flavor: flavor
            .or_else(|| live.iter().find_map(|host| host.flavor.clone()))
            .unwrap_or_else(unknown_flavor),
        priority: u32::try_from(priority.unwrap_or(0)).unwrap_or(0),
        nodes,
        resources: resources.iter().map(|(name, amount)| (name, amount.to_string())).collect(),
        reason: verdict.reason,
        position: None,
        created_at: group.meta.created_at,
        started_at: starts.min().or(verdict.started_at),
        ended_at: verdict.ended_at.filter(|_| verdict.status.is_over()),
        hosts: if verdict.status.is_over() { Vec::new() } else { places },
        status: verdict.status,
    }
}

/// Nobody said which: a name cannot be empty.
fn unknown_flavor() -> FlavorName {
    let parsed = FlavorName::parse("unknown");
    #[expect(clippy::unwrap_used, reason = "a constant that is a name")]
    parsed.unwrap()
}

/// Reads what whoever submitted it has written on it.
fn told<'a>(group: &'a Group<'_>) -> impl Fn(&str) -> Option<String> + 'a {
    let metas = group.meta.all.into_iter().chain(group.pods.first().map(|pod| &pod.metadata));
    let metas: Vec<&ObjectMeta> = metas.collect();
    move |key| {
        let of = |meta: &&ObjectMeta| {
            let maps = [meta.labels.as_ref(), meta.annotations.as_ref()];
            maps.into_iter().flatten().find_map(|map| map.get(key).cloned())
        };
        metas.iter().find_map(of)
    }
}

/// Numbers those that wait in the queue of their pool, from 1.
fn place(facts: &mut [WorkloadFact]) {
    let mut waiting: Vec<&mut WorkloadFact> = facts.iter_mut().filter(|fact| fact.status == WorkloadStatus::Queue).collect();
    waiting.sort_by(|one, other| {
        let order = |fact: &WorkloadFact| (fact.pool.uid.clone(), Reverse(fact.priority), fact.created_at, fact.uid.clone());
        order(one).cmp(&order(other))
    });
    for queue in waiting.chunk_by_mut(|one, next| one.pool.uid == next.pool.uid) {
        for (fact, position) in queue.iter_mut().zip(1..) {
            fact.position = Some(position);
        }
    }
}

/// What resources of one name are in the API.
pub fn renamed(facts: &mut [WorkloadFact], key: impl Fn(&str) -> String) {
    for fact in facts {
        fact.resources = fact
            .resources
            .iter()
            .map(|(name, quantity)| (key(name), quantity.to_owned()))
            .collect::<Quantities>();
    }
}

/// A Node of a pool by its marks. `None`: it has none, or not all of them.
pub fn host(node: &k8s_openapi::api::core::v1::Node) -> Option<Host> {
    let claim: mark::ClaimNote = mark::read(node.metadata.annotations.as_ref(), mark::CLAIM)?;
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let ip = addresses
        .into_iter()
        .find(|address| address.type_ == "InternalIP")
        .map(|address| address.address.clone());
    let mut conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let flavor = node.metadata.labels.as_ref().and_then(|labels| labels.get(mark::FLAVOR));
    Some(Host {
        node: claim.node,
        ip,
        flavor: flavor.and_then(|name| FlavorName::parse(name).ok()),
        is_sound: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    })
}

#[cfg(test)]
mod tests;
