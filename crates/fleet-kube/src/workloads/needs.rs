//! What a workload asks for.

use super::{Group, WorkKind};
use crate::amount::{Amount, Amounts, add};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// How many pods it needs, and the most that one of them asks for.
pub(super) fn needs(group: &Group<'_>) -> (u32, Amounts) {
    let mut most = Amounts::new();
    let mut count = 0;
    let mut take = |spec: &PodSpec, pods: u64| {
        count += pods;
        for (name, amount) in requests(spec) {
            let entry = most.entry(name).or_default();
            *entry = (*entry).max(amount);
        }
    };
    let templates = group
        .owner
        .map(|(kind, object)| templates(kind, &object.data["spec"]))
        .unwrap_or_default();
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
        WorkKind::VolcanoJob => list(&spec["tasks"])
            .iter()
            .filter_map(|task| read(task, &task["replicas"]))
            .collect(),
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
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.clone())
            .unwrap_or_default();
        requests
            .into_iter()
            .filter_map(|(name, quantity)| Some((name, Amount::parse(&quantity.0)?)))
            .collect()
    };
    let mut sum = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut sum, &of(container), 1));
    let (stay, pass): (Vec<_>, Vec<_>) = spec
        .init_containers
        .iter()
        .flatten()
        .partition(|init| init.restart_policy.as_deref() == Some("Always"));
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
