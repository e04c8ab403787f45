//! Jobs, and Deployments as far as anybody asks whether they are available.

use super::{FAILS, Task};
use crate::objects::{Change, ChangeKind, Key, State, annotation, set, text};
use crate::server::later;
use crate::twins::kubelet::{condition, set_condition};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const USER: &str = "system:job-controller";

pub(super) fn pod_changed(state: &mut State, change: &Change) {
    let owner = change.object.pointer("/metadata/ownerReferences/0");
    if let Some(owner) = owner.filter(|owner| text(owner, "/kind") == "Job") {
        sync(state, &Key::new("jobs.batch", &change.key.namespace, text(owner, "/name")));
    }
}

/// Makes the pods that a Job lacks, and counts those that ended.
pub(super) fn sync(state: &mut State, key: &Key) {
    let Some(job) = state.objects.get(key).cloned() else {
        return;
    };
    if condition(&job, "Complete") == "True" || condition(&job, "Failed") == "True" || job.pointer("/metadata/deletionTimestamp").is_some()
    {
        return;
    }
    let uid = text(&job, "/metadata/uid");
    let pods: Vec<Arc<Value>> = state
        .range("pods", &key.namespace)
        .filter(|(_, pod)| pod.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str) == Some(uid))
        .map(|(_, pod)| Arc::clone(pod))
        .collect();
    let count = |phases: &[&str]| pods.iter().filter(|pod| phases.contains(&text(pod, "/status/phase"))).count() as u64;
    let (succeeded, failed, active) = (count(&["Succeeded"]), count(&["Failed"]), count(&["Pending", "Running"]));
    let number = |field: &str, default: u64| job.pointer(&format!("/spec/{field}")).and_then(Value::as_u64).unwrap_or(default);
    let parallelism = number("parallelism", 1);
    let completions = number("completions", parallelism);
    let has_failed = failed > number("backoffLimit", 6);
    let is_suspended = job.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    let missing = completions.saturating_sub(succeeded).min(parallelism).saturating_sub(active);
    let made = if has_failed || is_suspended { 0 } else { missing };
    for _ in 0..made {
        make_pod(state, key, &job);
    }
    let now = state.time();
    state.edit(USER, key, |job| {
        for (field, value) in [("active", active + made), ("succeeded", succeeded), ("failed", failed)] {
            if value > 0 {
                set(job, &["status", field], json!(value));
            } else {
                crate::objects::unset(job, &["status", field]);
            }
        }
        if job.pointer("/status/startTime").is_none() {
            set(job, &["status", "startTime"], json!(now));
        }
        if succeeded >= completions {
            set_condition(job, &now, "Complete", "True", "");
            set(job, &["status", "completionTime"], json!(now));
        } else if has_failed {
            set_condition(job, &now, "Failed", "True", "BackoffLimitExceeded");
        }
    });
}

fn make_pod(state: &mut State, key: &Key, job: &Value) {
    let mut pod = job.pointer("/spec/template").cloned().unwrap_or_default();
    let name = format!("{}-{}", key.name, state.suffix());
    set(&mut pod, &["metadata", "name"], json!(name));
    set(&mut pod, &["metadata", "namespace"], json!(key.namespace));
    set(&mut pod, &["metadata", "labels", "job-name"], json!(key.name));
    set(&mut pod, &["metadata", "labels", "batch.kubernetes.io/job-name"], json!(key.name));
    let owner = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": key.name, "uid": job.pointer("/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
    }]);
    set(&mut pod, &["metadata", "ownerReferences"], owner);
    set(&mut pod, &["status"], json!({"phase": "Pending"}));
    crate::admission::mutate_pod(state, &key.namespace, &mut pod);
    let pod = state.stamped(pod, 0);
    state.commit(USER, Key::new("pods", &key.namespace, &name), Some(pod));
}

pub(super) fn deployment_changed(state: &mut State, change: &Change, takes: Duration) {
    let generation = |pointer: &str| change.object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    if change.kind != ChangeKind::Deleted && generation("/status/observedGeneration") < generation("/metadata/generation") {
        let at = later(state.now, takes);
        state.twins.plan(at, Task::WorkloadReady { key: change.key.clone() });
    }
}

pub(super) fn deployment_ready(state: &mut State, key: &Key) {
    let now = state.time();
    state.edit("system:deployment-controller", key, |deployment| {
        let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        let fails = annotation(deployment, FAILS).is_some();
        let generation = deployment.pointer("/metadata/generation").cloned().unwrap_or_default();
        set(deployment, &["status", "observedGeneration"], generation);
        set(deployment, &["status", "replicas"], json!(replicas));
        set(
            deployment,
            &["status", "availableReplicas"],
            json!(if fails { 0 } else { replicas }),
        );
        set(deployment, &["status", "readyReplicas"], json!(if fails { 0 } else { replicas }));
        let (status, reason) = if fails {
            ("False", "MinimumReplicasUnavailable")
        } else {
            ("True", "MinimumReplicasAvailable")
        };
        set_condition(deployment, &now, "Available", status, reason);
    });
}
