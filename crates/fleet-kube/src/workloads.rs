//! Workloads as pools show them: pods of a pool's name spaces by what owns them in the end, joined with what the scheduler says.

use crate::amount::{Amount, Amounts, add};
use crate::mark;
use crate::object::Resource as ObjectType;
use crate::scopes::{condition, is_true};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use fleet::{HostFact, PoolMark, WorkloadFact};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Label or annotation of an object or its pods: name and id of the job in the service that submitted it, its user, its flavor.
const JOB_NAME: &str = "poolkeeper.io/job-name";
const JOB_ID: &str = "poolkeeper.io/job-id";
const USER: &str = "poolkeeper.io/user";
const JOB_FLAVOR: &str = "poolkeeper.io/job-flavor";
/// Annotation of pods: their PodGroup.
const GROUP: &str = "scheduling.k8s.io/group-name";

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
            Self::VolcanoJob
            | Self::Job
            | Self::RayJob
            | Self::RayCluster
            | Self::Deployment
            | Self::StatefulSet
            | Self::ReplicaSet => true,
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
            let above = known.get(at).and_then(|(_, object)| controller(&object.metadata)).map(|owner| owner.uid.as_str());
            match above.filter(|uid| known.contains_key(uid)) {
                Some(above) => at = above,
                None => break,
            }
        }
        at
    };
    let mut groups: BTreeMap<&str, Group<'a>> = BTreeMap::new();
    for (uid, (kind, object)) in &known {
        let Some(space) = object.metadata.namespace.as_ref().and_then(|name| input.spaces.get(name)) else { continue };
        if top(uid) == *uid && wants_pods(*kind, object) {
            groups.insert(uid, of_object(space, *kind, object));
        }
    }
    for pod in input.pods {
        let meta = &pod.metadata;
        let Some(space) = meta.namespace.as_ref().and_then(|name| input.spaces.get(name)) else { continue };
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
    let live: Vec<&Host> = group.pods.iter().filter(|pod| !is_over(pod)).filter_map(|pod| hosts.get(node(pod)?)).collect();
    let mut places: Vec<HostFact> = live.iter().map(|host| HostFact { node: host.node.clone(), ip: host.ip.clone() }).collect();
    places.sort();
    places.dedup();
    let flavor = told(JOB_FLAVOR).and_then(|name| FlavorName::parse(&name).ok());
    let (nodes, resources) = needs(group);
    let uid = Uid::from_text(&group.meta.uid.replace('-', ""));
    let starts = group.pods.iter().filter_map(|pod| Some(pod.status.as_ref()?.start_time.as_ref()?.0));
    let priority = group.pods.iter().filter_map(|pod| pod.spec.as_ref()?.priority).max();
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
        flavor: flavor.or_else(|| live.iter().find_map(|host| host.flavor.clone())).unwrap_or_else(unknown_flavor),
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

struct Verdict {
    status: WorkloadStatus,
    reason: Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl From<WorkloadStatus> for Verdict {
    fn from(status: WorkloadStatus) -> Self {
        Self {
            status,
            reason: None,
            started_at: None,
            ended_at: None,
        }
    }
}

fn verdict(group: &Group<'_>, word: Option<(WorkKind, &DynamicObject)>, hosts: &BTreeMap<String, Host>) -> Verdict {
    let own = group.owner.and_then(|(kind, object)| own_word(kind, object));
    if let Some(own) = own.filter(|own| own.status.is_over()) {
        return own;
    }
    if group.owner.is_none()
        && let Some(over) = all_over(&group.pods)
    {
        return over;
    }
    let is_going = own_word_is_going(group);
    if group.meta.is_leaving || is_going || (group.owner.is_none() && group.pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some())) {
        return WorkloadStatus::Terminating.into();
    }
    let live = || group.pods.iter().filter(|pod| !is_over(pod));
    let phase = word.map(|(_, object)| object.data["status"]["phase"].as_str().unwrap_or_default());
    let is_sick = live().filter_map(|pod| hosts.get(node(pod)?)).any(|host| !host.is_sound);
    if is_sick || phase == Some("Unknown") {
        let reason = if is_sick { "a node of it is abnormal" } else { "some of its pods cannot run" };
        return Verdict {
            reason: Some(reason.to_owned()),
            ..WorkloadStatus::Abnormal.into()
        };
    }
    if phase == Some("Running") || live().any(|pod| phase_of(pod) == "Running") {
        return WorkloadStatus::Running.into();
    }
    if live().any(|pod| node(pod).is_some()) {
        return WorkloadStatus::Creating.into();
    }
    waiting(group, word)
}

/// Nothing of it has a node.
fn waiting(group: &Group<'_>, word: Option<(WorkKind, &DynamicObject)>) -> Verdict {
    let Some((kind, object)) = word else {
        let is_suspended = group.owner.is_some_and(|(_, object)| object.data["spec"]["suspend"] == true);
        let unscheduled = group.pods.iter().find_map(|pod| unscheduled(pod));
        return Verdict {
            reason: unscheduled,
            ..if is_suspended { WorkloadStatus::Queue } else { WorkloadStatus::Pending }.into()
        };
    };
    let conditions = &object.data["status"]["conditions"];
    let (is_let_in, says) = match kind {
        WorkKind::KueueWorkload => (is_true(conditions, "QuotaReserved"), condition(conditions, "QuotaReserved")),
        WorkKind::PodGroup
        | WorkKind::VolcanoJob
        | WorkKind::Job
        | WorkKind::RayJob
        | WorkKind::RayCluster
        | WorkKind::Deployment
        | WorkKind::StatefulSet
        | WorkKind::ReplicaSet => (object.data["status"]["phase"] == "Inqueue", condition(conditions, "Unschedulable")),
    };
    let message = says.and_then(|says| says["message"].as_str()).filter(|message| !message.is_empty());
    Verdict {
        reason: message.filter(|_| !is_let_in).map(str::to_owned),
        ..if is_let_in { WorkloadStatus::Pending } else { WorkloadStatus::Queue }.into()
    }
}

fn own_word_is_going(group: &Group<'_>) -> bool {
    let Some((WorkKind::VolcanoJob, object)) = group.owner else { return false };
    let phase = object.data["status"]["state"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Aborting" | "Terminating" | "Restarting")
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How it ended, by what its object says of itself.
fn own_word(kind: WorkKind, object: &DynamicObject) -> Option<Verdict> {
    let status = &object.data["status"];
    let over = |how: WorkloadStatus, reason: &Value, started_at: &Value, ended_at: &Value| {
        Some(Verdict {
            status: how,
            reason: reason.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
            started_at: time(started_at),
            ended_at: time(ended_at),
        })
    };
    match kind {
        WorkKind::VolcanoJob => {
            let state = &status["state"];
            let how = match state["phase"].as_str()? {
                "Completed" => WorkloadStatus::Completed,
                "Failed" => WorkloadStatus::Failed,
                "Aborted" | "Terminated" => WorkloadStatus::Terminated,
                _ => return None,
            };
            over(how, &state["message"], &Value::Null, &state["lastTransitionTime"])
        }
        WorkKind::Job => {
            let conditions = &status["conditions"];
            if let Some(done) = condition(conditions, "Complete").filter(|done| done["status"] == "True") {
                return over(WorkloadStatus::Completed, &Value::Null, &status["startTime"], &done["lastTransitionTime"]);
            }
            let failed = condition(conditions, "Failed").filter(|failed| failed["status"] == "True")?;
            over(WorkloadStatus::Failed, &failed["message"], &status["startTime"], &failed["lastTransitionTime"])
        }
        WorkKind::RayJob => {
            let how = match status["jobStatus"].as_str()? {
                "SUCCEEDED" => WorkloadStatus::Completed,
                "FAILED" => WorkloadStatus::Failed,
                "STOPPED" => WorkloadStatus::Terminated,
                _ => return None,
            };
            over(how, &status["message"], &status["startTime"], &status["endTime"])
        }
        WorkKind::RayCluster
        | WorkKind::Deployment
        | WorkKind::StatefulSet
        | WorkKind::ReplicaSet
        | WorkKind::PodGroup
        | WorkKind::KueueWorkload => None,
    }
}

fn phase_of(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_over(pod: &Pod) -> bool {
    matches!(phase_of(pod), "Succeeded" | "Failed")
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Why a pod has no node.
fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    scheduled.message.clone().filter(|message| !message.is_empty())
}

/// How pods ended that nobody speaks for. `None`: not all of them have.
fn all_over(pods: &[&Pod]) -> Option<Verdict> {
    if pods.is_empty() || !pods.iter().all(|pod| is_over(pod)) {
        return None;
    }
    let failed = pods.iter().find(|pod| phase_of(pod) == "Failed");
    let containers = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    let ends = containers.filter_map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    Some(Verdict {
        reason: failed.and_then(|pod| pod.status.as_ref()?.message.clone()),
        ended_at: ends.max(),
        ..if failed.is_some() { WorkloadStatus::Failed } else { WorkloadStatus::Completed }.into()
    })
}

/// How many pods it needs, and the most that one of them asks for.
fn needs(group: &Group<'_>) -> (u32, Amounts) {
    let mut most = Amounts::new();
    let mut count = 0;
    let mut take = |spec: &PodSpec, pods: u64| {
        count += pods;
        for (name, amount) in requests(spec) {
            let entry = most.entry(name).or_default();
            *entry = (*entry).max(amount);
        }
    };
    let templates = group.owner.map(|(kind, object)| templates(kind, &object.data["spec"])).unwrap_or_default();
    for (spec, pods) in &templates {
        take(spec, *pods);
    }
    if templates.is_empty() {
        group.pods.iter().filter_map(|pod| pod.spec.as_ref()).for_each(|spec| take(spec, 1));
    }
    (u32::try_from(count).unwrap_or(u32::MAX), most)
}

/// The pods that an object asks for, and how many of each.
fn templates(kind: WorkKind, spec: &Value) -> Vec<(PodSpec, u64)> {
    let read = |part: &Value, count: &Value| {
        let spec = serde_json::from_value(part["template"]["spec"].clone()).ok()?;
        Some((spec, count.as_u64().unwrap_or(1)))
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let cluster = |spec: &Value| {
        let workers = list(&spec["workerGroupSpecs"]);
        let workers = workers.iter().filter_map(|group| read(group, &group["replicas"]));
        read(&spec["headGroupSpec"], &Value::Null).into_iter().chain(workers).collect()
    };
    match kind {
        WorkKind::VolcanoJob => list(&spec["tasks"]).iter().filter_map(|task| read(task, &task["replicas"])).collect(),
        WorkKind::Job => read(spec, &spec["parallelism"]).into_iter().collect(),
        WorkKind::RayJob => cluster(&spec["rayClusterSpec"]),
        WorkKind::RayCluster => cluster(spec),
        WorkKind::Deployment | WorkKind::StatefulSet | WorkKind::ReplicaSet => read(spec, &spec["replicas"]).into_iter().collect(),
        WorkKind::PodGroup | WorkKind::KueueWorkload => Vec::new(),
    }
}

/// What a pod asks for: the sum of its containers, or the most of one that runs before them, and the overhead.
pub fn requests(spec: &PodSpec) -> Amounts {
    let of = |container: &k8s_openapi::api::core::v1::Container| -> Amounts {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
        requests.into_iter().filter_map(|(name, quantity)| Some((name, Amount::parse(&quantity.0)?))).collect()
    };
    let mut sum = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut sum, &of(container), 1));
    let (stay, pass): (Vec<_>, Vec<_>) = spec.init_containers.iter().flatten().partition(|init| init.restart_policy.as_deref() == Some("Always"));
    stay.into_iter().for_each(|container| add(&mut sum, &of(container), 1));
    for (name, amount) in pass.into_iter().flat_map(of) {
        let entry = sum.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
    for (name, quantity) in spec.overhead.iter().flatten() {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.plus(Amount::parse(&quantity.0).unwrap_or_default());
    }
    sum
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
        fact.resources = fact.resources.iter().map(|(name, quantity)| (key(name), quantity.to_owned())).collect::<Quantities>();
    }
}

/// A Node of a pool by its marks. `None`: it has none, or not all of them.
pub fn host(node: &k8s_openapi::api::core::v1::Node) -> Option<Host> {
    let claim: mark::ClaimNote = mark::read(node.metadata.annotations.as_ref(), mark::CLAIM)?;
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let ip = addresses.into_iter().find(|address| address.type_ == "InternalIP").map(|address| address.address.clone());
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
