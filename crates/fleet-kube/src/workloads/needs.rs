//! What a workload asks for.

use super::{Group, WorkKind};
use crate::amount::Amounts;
use crate::pods::{Spec, raise};
use serde_json::Value;

/// How many pods it needs, and the most that one of them asks for.
pub(super) fn needs(group: &Group<'_>) -> (u32, Amounts) {
    let mut most = Amounts::new();
    let mut count = 0;
    let mut take = |requests: Amounts, pods: u64| {
        count += pods;
        raise(&mut most, requests);
    };
    let templates = group
        .owner
        .map(|(kind, object)| templates(kind, &object.data["spec"]))
        .unwrap_or_default();
    for (spec, pods) in &templates {
        take(spec.requests(), *pods);
    }
    if templates.is_empty() {
        group.pods.iter().for_each(|pod| take(pod.requests.clone(), 1));
    }
    (u32::try_from(count).unwrap_or(u32::MAX), most)
}

/// The pods that an object asks for, and how many of each.
fn templates(kind: WorkKind, spec: &Value) -> Vec<(Spec, u64)> {
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
