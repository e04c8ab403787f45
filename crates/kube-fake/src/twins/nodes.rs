//! The node controller: taints of nodes that are not ready, and pods that do not bear with a taint.

use super::Task;
use super::kubelet::{condition, on_node, set_condition};
use super::scheduler::tolerates;
use crate::objects::{Change, ChangeKind, Key, State, set, text};
use crate::server::later;
use serde_json::{Value, json};
use std::time::Duration;

const USER: &str = "system:node-controller";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

pub(super) fn changed(state: &mut State, change: &Change) {
    if change.kind == ChangeKind::Deleted {
        return;
    }
    let Some(node) = state.objects.get(&change.key).cloned() else {
        return;
    };
    let taints = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted = wanted(&node);
    let is_ours = |taint: &Value| matches!(text(taint, "/key"), NOT_READY | UNREACHABLE | UNSCHEDULABLE);
    let same = |a: &Value, b: &(&str, &str)| text(a, "/key") == b.0 && text(a, "/effect") == b.1;
    let mut after: Vec<Value> = taints
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.iter().any(|one| same(taint, one)))
        .cloned()
        .collect();
    for (key, effect) in &wanted {
        if !after.iter().any(|taint| same(taint, &(key, effect))) {
            after.push(json!({"key": key, "effect": effect, "timeAdded": state.time()}));
        }
    }
    if after != taints {
        state.edit(USER, &change.key, |node| {
            if after.is_empty() {
                crate::objects::unset(node, &["spec", "taints"]);
            } else {
                set(node, &["spec", "taints"], Value::Array(after));
            }
        });
    }
    let pods = on_node(state, &change.key.name);
    for (_, pod) in pods {
        pod_changed(state, &pod);
    }
}

/// The taints that a node's state asks for.
fn wanted(node: &Value) -> Vec<(&'static str, &'static str)> {
    let mut wanted = match condition(node, "Ready") {
        "True" => Vec::new(),
        "Unknown" => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        _ => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
    };
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

/// No sign of life for too long.
pub(super) fn silent(state: &mut State, node: &str) {
    if !state.twins.silent.contains_key(node) {
        return;
    }
    let now = state.time();
    let key = Key::new("nodes", "", node);
    state.edit(USER, &key, |node| {
        let kinds: Vec<String> = node
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|one| text(one, "/type").to_owned())
            .collect();
        // The time of the last sign of life stays what it was.
        let beats: Vec<Value> = kinds.iter().enumerate().map(|(index, _)| beat(node, index)).collect();
        for kind in &kinds {
            set_condition(node, &now, kind, "Unknown", "NodeStatusUnknown");
        }
        let conditions = node.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        for (one, beat) in conditions.into_iter().flatten().zip(beats) {
            if !beat.is_null() {
                set(one, &["lastHeartbeatTime"], beat);
            }
        }
    });
}

fn beat(node: &Value, index: usize) -> Value {
    node.pointer(&format!("/status/conditions/{index}/lastHeartbeatTime"))
        .cloned()
        .unwrap_or_default()
}

/// A pod that does not bear with what keeps others from running on its node is ended, at once or after the time it bears.
pub(super) fn pod_changed(state: &mut State, change: &Change) {
    let pod = &change.object;
    let is_over = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") || pod.pointer("/metadata/deletionTimestamp").is_some();
    if change.kind == ChangeKind::Deleted || is_over {
        return;
    }
    let Some(node) = state.get("nodes", "", text(pod, "/spec/nodeName")).cloned() else {
        return;
    };
    let taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    let expelling = taints.filter(|taint| text(taint, "/effect") == "NoExecute");
    let patience = expelling.filter_map(|taint| patience(pod, taint)).min();
    let task = Task::PodExpelled {
        pod: change.key.clone(),
        uid: text(pod, "/metadata/uid").to_owned(),
    };
    match patience {
        Some(patience) => state.twins.plan(later(state.now, patience), task),
        None => state.twins.drop_task(&task),
    }
}

/// How long a pod bears with a taint. `None`: for ever.
fn patience(pod: &Value, taint: &Value) -> Option<Duration> {
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array).into_iter().flatten();
    let matching: Vec<&Value> = tolerations.filter(|one| tolerates(one, taint)).collect();
    if matching.is_empty() {
        return Some(Duration::ZERO);
    }
    let seconds = matching
        .iter()
        .filter_map(|one| one.get("tolerationSeconds").and_then(Value::as_u64))
        .min();
    seconds.map(Duration::from_secs)
}

pub(super) fn expel(state: &mut State, key: &Key, uid: &str) {
    let is_same = state.objects.get(key).is_some_and(|pod| text(pod, "/metadata/uid") == uid);
    if let (true, Some(ty)) = (is_same, state.by_qualified("pods")) {
        // It can only be gone already.
        let _gone = crate::delete::delete_one(state, USER, &ty, key.clone(), &json!({}));
    }
}
