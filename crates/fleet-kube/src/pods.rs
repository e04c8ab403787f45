//! Pods: what is kept of them, and what one is to the Node that it is on.
//!
//! Every pod of the cluster is known, so that little is kept of each: what is not needed is not even read from the server's answers.

use crate::amount::{Amount, Amounts, add};
use crate::mark;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::api::Evict;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Annotation of pods that the kubelet has from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Annotation of pods: their PodGroup.
pub const GROUP: &str = "scheduling.k8s.io/group-name";

/// A pod, as far as it matters here. Of its metadata there are name, name space, uid, version, times, owners, and the labels and
/// annotations that somebody here reads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct Pod {
    pub metadata: ObjectMeta,
    /// `None`: it waits for one.
    pub node: Option<String>,
    pub priority: Option<i32>,
    /// Its containers together, or what its initialisation needs at most, and the overhead.
    pub requests: Amounts,
    pub phase: Phase,
    /// What its phase says besides.
    pub message: Option<String>,
    /// Why it has no Node.
    pub unscheduled: Option<String>,
    pub started_at: Option<Timestamp>,
    /// When the last of its containers ended, once it is finished.
    pub ended_at: Option<Timestamp>,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    /// Its Node has not told for a while.
    Unknown,
}

impl Phase {
    fn read(text: &str) -> Self {
        match text {
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Unknown" => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Evict for Pod {}

impl Pod {
    /// It has ended, and uses nothing any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// It belongs to its Node: a DaemonSet would make it anew at once, or the kubelet has it from a file.
    fn is_resident(&self) -> bool {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        has(self.metadata.annotations.as_ref(), MIRROR) || owners.iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node")
    }

    /// Somebody's work: what has to end before the Node is free.
    pub fn is_movable(&self) -> bool {
        !self.is_finished() && !self.is_resident()
    }

    /// It makes its Node busy.
    pub fn is_work(&self) -> bool {
        let labels = self.metadata.labels.as_ref();
        self.is_movable() && !has(labels, mark::IGNORE) && !has(labels, mark::MANAGED)
    }

    pub fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

fn has(map: Option<&BTreeMap<String, String>>, key: &str) -> bool {
    map.is_some_and(|map| map.contains_key(key))
}

/// A pod as the server writes it.
#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// What a pod asks for, in a pod or in a template of pods.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    node_name: Option<String>,
    priority: Option<i32>,
    overhead: Option<Quantities>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

type Quantities = BTreeMap<String, Quantity>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    restart_policy: Option<String>,
    resources: Option<Resources>,
}

#[derive(Debug, Deserialize)]
struct Resources {
    limits: Option<Quantities>,
    requests: Option<Quantities>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    message: Option<String>,
    start_time: Option<Time>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: Option<String>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    state: Option<ContainerState>,
}

#[derive(Deserialize)]
struct ContainerState {
    terminated: Option<Terminated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    finished_at: Option<Time>,
}

impl From<Wire> for Pod {
    fn from(wire: Wire) -> Self {
        let Wire { metadata, spec, status } = wire;
        let phase = status.phase.as_deref().map(Phase::read).unwrap_or_default();
        let mut pod = Self {
            requests: spec.requests(),
            metadata: metadata.into(),
            node: spec.node_name.filter(|name| !name.is_empty()),
            priority: spec.priority,
            phase,
            message: status.message,
            unscheduled: status.conditions.into_iter().flatten().find_map(Condition::unscheduled),
            started_at: status.start_time.map(|time| time.0),
            ended_at: None,
        };
        if pod.is_finished() {
            let containers = status.container_statuses.into_iter().flatten();
            pod.ended_at = containers
                .filter_map(|container| Some(container.state?.terminated?.finished_at?.0))
                .max();
        }
        pod
    }
}

impl From<WireMeta> for ObjectMeta {
    fn from(wire: WireMeta) -> Self {
        let read = |map: Option<BTreeMap<String, String>>| {
            let mut map = map?;
            map.retain(|key, _| key.starts_with(mark::PREFIX) || key == GROUP || key == MIRROR);
            (!map.is_empty()).then_some(map)
        };
        Self {
            name: wire.name,
            namespace: wire.namespace,
            uid: wire.uid,
            resource_version: wire.resource_version,
            creation_timestamp: wire.creation_timestamp,
            deletion_timestamp: wire.deletion_timestamp,
            labels: read(wire.labels),
            annotations: read(wire.annotations),
            owner_references: wire.owner_references,
            ..Self::default()
        }
    }
}

impl Condition {
    fn unscheduled(self) -> Option<String> {
        let is_it = self.kind == "PodScheduled" && self.status == "False";
        self.message.filter(|message| is_it && !message.is_empty())
    }
}

impl Spec {
    /// The sum of its containers, or the most of one that runs before them, and the overhead.
    pub fn requests(&self) -> Amounts {
        let mut running = Amounts::new();
        for container in self.containers.iter().flatten() {
            add(&mut running, &container.requests(), 1);
        }
        let mut most = Amounts::new();
        for container in self.init_containers.iter().flatten() {
            let needs = container.requests();
            if container.restart_policy.as_deref() == Some("Always") {
                // It goes on beside the others.
                add(&mut running, &needs, 1);
            } else {
                raise(&mut most, needs);
            }
        }
        raise(&mut running, most);
        if let Some(overhead) = &self.overhead {
            add(&mut running, &amounts(overhead), 1);
        }
        running
    }
}

impl Container {
    fn requests(&self) -> Amounts {
        let of = |quantities: Option<&Quantities>| quantities.map(amounts).unwrap_or_default();
        let resources = self.resources.as_ref();
        // A limit without a request is the request too.
        let mut needs = of(resources.and_then(|all| all.limits.as_ref()));
        needs.extend(of(resources.and_then(|all| all.requests.as_ref())));
        needs
    }
}

/// Makes every amount at least as large as another.
pub fn raise(amounts: &mut Amounts, others: Amounts) {
    for (name, other) in others {
        let amount = amounts.entry(name).or_default();
        *amount = (*amount).max(other);
    }
}

/// Quantities that can be read.
pub fn amounts(quantities: &BTreeMap<String, Quantity>) -> Amounts {
    let read = |(name, quantity): (&String, &Quantity)| Some((name.clone(), Amount::parse(&quantity.0)?));
    quantities.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn pods_of_the_node_itself_are_not_work() {
        assert!(pod(json!({"metadata": {"name": "a"}})).is_work());
        for other in [
            json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1"}]}}),
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
            json!({"metadata": {"labels": {"poolkeeper.io/ignore": "true"}}}),
            json!({"metadata": {}, "status": {"phase": "Succeeded"}}),
        ] {
            assert!(!pod(other.clone()).is_work(), "{other}");
        }
    }

    #[test]
    fn a_pod_needs_its_containers_or_its_initialisation_and_the_overhead() {
        let needs = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"nvidia.com/gpu": "1"}});
        for (first, most) in [("3", "3050m"), ("1", "1650m")] {
            let spec = json!({
                "containers": [{"name": "a", "resources": needs("1")}, {"name": "b", "resources": needs("500m")}],
                "initContainers": [
                    {"name": "i", "resources": needs(first)},
                    {"name": "s", "restartPolicy": "Always", "resources": needs("100m")},
                ],
                "overhead": {"cpu": "50m"},
            });
            let all = pod(json!({"metadata": {}, "spec": spec})).requests;
            assert_eq!(all["cpu"], Amount::parse(most).unwrap());
            assert_eq!(all["nvidia.com/gpu"], Amount::parse("3").unwrap());
        }
    }

    /// As a server writes it: with what nobody reads here, and with `null` where there is nothing.
    #[test]
    fn what_matters_of_a_pod_is_read_and_the_rest_is_not_kept() {
        let whole = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "a", "namespace": "pk-1-train", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "a", "poolkeeper.io/user": "me"}, "annotations": {"note": "long", GROUP: "group"}, "ownerReferences": null,
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "nodeName": "gpu-1", "priority": 5, "overhead": null, "initContainers": null, "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"name": "a", "image": "tool", "env": [{"name": "A", "value": "b"}], "resources": {}}],
            },
            "status": {
                "phase": "Failed", "message": "out of memory", "startTime": "2026-01-01T00:01:00Z", "conditions": null,
                "containerStatuses": [
                    {"name": "a", "state": {"terminated": {"exitCode": 137, "finishedAt": "2026-01-01T00:03:00Z"}}},
                    {"name": "b", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T00:02:00Z"}}},
                ],
            },
        });
        let read = pod(whole);
        let time = |minute: i64| Some(Timestamp::from_second(1_767_225_600 + 60 * minute).unwrap());
        let map = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let expected = Pod {
            metadata: ObjectMeta {
                name: Some("a".to_owned()),
                namespace: Some("pk-1-train".to_owned()),
                uid: Some("u".to_owned()),
                resource_version: Some("7".to_owned()),
                creation_timestamp: time(0).map(Time),
                labels: map("poolkeeper.io/user", "me"),
                annotations: map(GROUP, "group"),
                ..ObjectMeta::default()
            },
            node: Some("gpu-1".to_owned()),
            priority: Some(5),
            requests: Amounts::new(),
            phase: Phase::Failed,
            message: Some("out of memory".to_owned()),
            unscheduled: None,
            started_at: time(1),
            ended_at: time(3),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_pod_that_waits_says_why() {
        let told = |status: &str, node: &str| {
            let condition = json!({"type": "PodScheduled", "status": status, "message": "no room"});
            let read = pod(json!({"metadata": {"name": "a"}, "spec": {"nodeName": node}, "status": {"conditions": [condition]}}));
            (read.node, read.unscheduled)
        };
        assert_eq!(told("False", ""), (None, Some("no room".to_owned())));
        assert_eq!(told("True", "gpu-1"), (Some("gpu-1".to_owned()), None));
    }
}
