//! Machines: they register, get ready, run pods, give signs of life, and start anew.

use super::{FAILS, KubeletOptions, RUN_SECONDS, STOP_SECONDS, Task};
use crate::objects::{Change, ChangeKind, Key, State, annotation, set, text};
use crate::server::later;
use serde_json::{Value, json};
use std::time::Duration;

/// Pods of Jobs end by themselves.
const JOB_SECONDS: u64 = 10;

fn user(node: &str) -> String {
    format!("system:node:{node}")
}

/// The status of a condition; empty if it is not there.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let found = conditions.into_iter().find(|one| text(one, "/type") == kind);
    found.map(|one| text(one, "/status")).unwrap_or_default()
}

/// Sets a condition; its transition time moves with its status only.
pub(crate) fn set_condition(object: &mut Value, now: &str, kind: &str, status: &str, reason: &str) {
    let mut conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let found = conditions.iter_mut().find(|one| text(one, "/type") == kind);
    if let Some(one) = found {
        if text(one, "/status") != status {
            set(one, &["lastTransitionTime"], json!(now));
        }
        set(one, &["status"], json!(status));
        set(one, &["reason"], json!(reason));
        if one.get("lastHeartbeatTime").is_some() {
            set(one, &["lastHeartbeatTime"], json!(now));
        }
    } else {
        conditions.push(json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": now}));
    }
    set(object, &["status", "conditions"], Value::Array(conditions));
}

/// The machine is there and its kubelet works.
fn is_up(state: &State, node: &str) -> bool {
    !state.twins.silent.contains_key(node) && !state.twins.rebooting.contains(node) && state.get("nodes", "", node).is_some()
}

pub(super) fn node_changed(state: &mut State, change: &Change, options: KubeletOptions) {
    let node = change.key.name.clone();
    if change.kind == ChangeKind::Deleted {
        return state.twins.drop_task(&Task::Heartbeat { node });
    }
    if change.kind == ChangeKind::Added {
        let at = later(state.now, options.heartbeat);
        state.twins.plan(at, Task::Heartbeat { node: node.clone() });
    }
    let is_new = change.kind == ChangeKind::Added && condition(&change.object, "Ready") != "True";
    if is_new && annotation(&change.object, FAILS).is_none() {
        let uid = text(&change.object, "/metadata/uid").to_owned();
        let at = later(state.now, options.ready_after);
        state.twins.plan(at, Task::NodeReady { node, uid });
    }
}

pub(super) fn node_ready(state: &mut State, node: &str, uid: &str) {
    let now = state.time();
    let key = Key::new("nodes", "", node);
    if !is_up(state, node) {
        return;
    }
    state.edit(&user(node), &key, |object| {
        if text(object, "/metadata/uid") == uid {
            set_condition(object, &now, "Ready", "True", "KubeletReady");
        }
    });
}

pub(super) fn heartbeat(state: &mut State, node: &str) {
    let Some(options) = state.twins.options.kubelet else {
        return;
    };
    let key = Key::new("nodes", "", node);
    let now = state.time();
    if is_up(state, node) {
        state.edit(&user(node), &key, |object| {
            let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            for one in conditions.into_iter().flatten() {
                set(one, &["lastHeartbeatTime"], json!(now));
            }
        });
    }
    if state.objects.contains_key(&key) {
        let at = later(state.now, options.heartbeat);
        state.twins.plan(at, Task::Heartbeat { node: node.to_owned() });
    }
}

/// The machine goes down, and comes back with another boot id.
pub(crate) fn reboot(state: &mut State, node: &str) {
    let Some(options) = state.twins.options.kubelet else {
        return;
    };
    let Some(object) = state.get("nodes", "", node).cloned() else {
        return;
    };
    if !state.twins.rebooting.insert(node.to_owned()) {
        return;
    }
    let now = state.time();
    let key = Key::new("nodes", "", node);
    // The kubelet says so while it shuts down.
    state.edit(&user(node), &key, |object| {
        set_condition(object, &now, "Ready", "False", "KubeletNotReady");
    });
    let uid = text(&object, "/metadata/uid").to_owned();
    let at = later(state.now, options.reboot);
    state.twins.plan(
        at,
        Task::NodeBack {
            node: node.to_owned(),
            uid,
        },
    );
}

pub(super) fn node_back(state: &mut State, node: &str, uid: &str) {
    state.twins.rebooting.remove(node);
    let (now, boot) = (state.time(), state.new_uid());
    let is_silent = state.twins.silent.contains_key(node);
    let key = Key::new("nodes", "", node);
    state.edit(&user(node), &key, |object| {
        if text(object, "/metadata/uid") == uid && !is_silent {
            set(object, &["status", "nodeInfo", "bootID"], json!(boot));
            set_condition(object, &now, "Ready", "True", "KubeletReady");
        }
    });
    // What was to be stopped or started meanwhile.
    let pods: Vec<(Key, Change)> = on_node(state, node);
    if let Some(options) = state.twins.options.kubelet {
        for (_, change) in pods {
            pod_changed(state, &change, options);
        }
    }
}

/// The pods of a node, each as if it had just changed.
pub(crate) fn on_node(state: &State, node: &str) -> Vec<(Key, Change)> {
    let pods = state.range("pods", "").filter(|(_, pod)| text(pod, "/spec/nodeName") == node);
    pods.map(|(key, pod)| {
        let change = Change {
            version: state.version,
            at: state.now,
            by: std::sync::Arc::from("system:node"),
            key: key.clone(),
            kind: ChangeKind::Modified,
            object: std::sync::Arc::clone(pod),
            before: None,
        };
        (key.clone(), change)
    })
    .collect()
}

pub(crate) fn pod_changed(state: &mut State, change: &Change, options: KubeletOptions) {
    let pod = &change.object;
    let node = text(pod, "/spec/nodeName");
    if change.kind == ChangeKind::Deleted || node.is_empty() || !is_up(state, node) {
        return;
    }
    let (key, uid) = (change.key.clone(), text(pod, "/metadata/uid").to_owned());
    let phase = text(pod, "/status/phase");
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        let grace = pod
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        let wish = annotation(pod, STOP_SECONDS).and_then(|text| text.parse().ok()).unwrap_or(1);
        let at = later(state.now, Duration::from_secs(grace.min(wish)));
        state.twins.plan(at, Task::PodStop { pod: key, uid });
    } else if phase == "Pending" {
        let at = later(state.now, options.pod_start);
        state.twins.plan(at, Task::PodStart { pod: key, uid });
    }
}

/// The pod, if it is still the one that was meant, on a machine that is up.
fn current(state: &State, key: &Key, uid: &str) -> Option<Value> {
    let pod = state.objects.get(key)?;
    let is_same = text(pod, "/metadata/uid") == uid && is_up(state, text(pod, "/spec/nodeName"));
    is_same.then(|| (**pod).clone())
}

pub(super) fn pod_start(state: &mut State, key: &Key, uid: &str) {
    let Some(pod) = current(state, key, uid) else {
        return;
    };
    if text(&pod, "/status/phase") != "Pending" || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return;
    }
    let node = text(&pod, "/spec/nodeName").to_owned();
    let now = state.time();
    let host = state
        .get("nodes", "", &node)
        .and_then(|node| node.pointer("/status/addresses/0/address"))
        .cloned();
    state.edit(&user(&node), key, |pod| {
        set(pod, &["status", "phase"], json!("Running"));
        set(pod, &["status", "startTime"], json!(now));
        set(pod, &["status", "hostIP"], host.unwrap_or_default());
        for kind in ["Initialized", "PodScheduled", "ContainersReady", "Ready"] {
            set_condition(pod, &now, kind, "True", "");
        }
    });
    if asks_for_reboot(&pod) {
        end(state, key, "Succeeded");
        return reboot(state, &node);
    }
    let is_jobs = pod.pointer("/metadata/ownerReferences/0/kind").and_then(Value::as_str) == Some("Job");
    let own = annotation(&pod, RUN_SECONDS).and_then(|text| text.parse().ok());
    if let Some(seconds) = own.or(is_jobs.then_some(JOB_SECONDS)) {
        let at = later(state.now, Duration::from_secs(seconds));
        let task = Task::PodEnd {
            pod: key.clone(),
            uid: uid.to_owned(),
        };
        state.twins.plan(at, task);
    }
}

/// A privileged container whose command speaks of it.
fn asks_for_reboot(pod: &Value) -> bool {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    containers.into_iter().any(|container| {
        let privileged = container.pointer("/securityContext/privileged").and_then(Value::as_bool) == Some(true);
        let words = ["command", "args"]
            .iter()
            .filter_map(|field| container.get(*field)?.as_array())
            .flatten();
        privileged && words.filter_map(Value::as_str).any(|word| word.contains("reboot"))
    })
}

pub(super) fn pod_end(state: &mut State, key: &Key, uid: &str) {
    let Some(pod) = current(state, key, uid) else {
        return;
    };
    if text(&pod, "/status/phase") == "Running" {
        let phase = if annotation(&pod, FAILS).is_some() { "Failed" } else { "Succeeded" };
        end(state, key, phase);
    }
}

fn end(state: &mut State, key: &Key, phase: &str) {
    let now = state.time();
    state.edit("system:node", key, |pod| {
        set(pod, &["status", "phase"], json!(phase));
        set_condition(pod, &now, "Ready", "False", "PodCompleted");
    });
}

pub(super) fn pod_stop(state: &mut State, key: &Key, uid: &str) {
    let Some(pod) = current(state, key, uid) else {
        return;
    };
    let node = text(&pod, "/spec/nodeName").to_owned();
    if crate::delete::finalizers(&pod).is_empty() {
        state.commit(&user(&node), key.clone(), None);
    } else {
        state.edit(&user(&node), key, |pod| {
            set(pod, &["metadata", "deletionGracePeriodSeconds"], json!(0));
        });
    }
}
