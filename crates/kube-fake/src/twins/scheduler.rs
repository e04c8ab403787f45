//! The scheduler: pods that wait get the first node they fit on, in the order of names.

use crate::objects::{Change, ChangeKind, Key, State, annotation, label, set, text};
use crate::quantity::{Amounts, add, amounts, requests};
use crate::twins::kubelet::{condition, set_condition};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const USER: &str = "system:scheduler";
const NODE_GROUP: &str = "volcano.sh/nodegroup-name";
const VOLCANO_QUEUE: &str = "scheduling.volcano.sh/queue-name";
const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";

pub(super) fn pod_changed(state: &mut State, change: &Change) {
    let pod = &change.object;
    let waits = change.kind != ChangeKind::Deleted
        && text(pod, "/spec/nodeName").is_empty()
        && text(pod, "/status/phase") == "Pending"
        && pod.pointer("/metadata/deletionTimestamp").is_none()
        && pod
            .pointer("/spec/schedulingGates")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
    if waits {
        state.twins.pending.insert(change.key.clone());
    } else {
        state.twins.pending.remove(&change.key);
    }
}

/// Binds what fits.
pub(super) fn pass(state: &mut State) {
    if state.twins.pending.is_empty() {
        return;
    }
    let mut free = free(state);
    let mut used = used_of_queues(state);
    for key in state.twins.pending.clone() {
        let Some(pod) = state.objects.get(&key).cloned() else {
            state.twins.pending.remove(&key);
            continue;
        };
        let wish = requests(&pod);
        if !is_admitted(state, &key, &pod, &wish, &used) {
            continue;
        }
        let groups = node_groups(state, &pod);
        let is_in_group = |node: &Value| {
            groups
                .as_ref()
                .is_none_or(|groups| groups.iter().any(|group| label(node, NODE_GROUP) == Some(group)))
        };
        let chosen = state.range("nodes", "").find(|(node_key, node)| {
            let room = free.get(&node_key.name);
            fits(&pod, node)
                && is_in_group(node)
                && room.is_some_and(|room| wish.iter().all(|(name, amount)| *amount <= room.get(name).copied().unwrap_or(0)))
        });
        let Some(node) = chosen.map(|(node_key, _)| node_key.name.clone()) else {
            continue;
        };
        let room = free.entry(node.clone()).or_default();
        for (name, amount) in &wish {
            *room.entry(name.clone()).or_default() -= amount;
        }
        *room.entry("pods".to_owned()).or_default() -= 1000;
        if let Some(queue) = queue(&pod) {
            add(used.entry(queue.to_owned()).or_default(), &wish);
        }
        state.twins.pending.remove(&key);
        let now = state.time();
        state.edit(USER, &key, |pod| {
            set(pod, &["spec", "nodeName"], json!(node));
            set_condition(pod, &now, "PodScheduled", "True", "");
        });
    }
}

fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// What is free on each node.
fn free(state: &State) -> BTreeMap<String, Amounts> {
    let mut free: BTreeMap<String, Amounts> = state
        .range("nodes", "")
        .map(|(key, node)| (key.name.clone(), amounts(node.pointer("/status/allocatable"))))
        .collect();
    for (_, pod) in state.range("pods", "").filter(|(_, pod)| !is_finished(pod)) {
        if let Some(room) = free.get_mut(text(pod, "/spec/nodeName")) {
            for (name, amount) in requests(pod) {
                *room.entry(name).or_default() -= amount;
            }
            *room.entry("pods".to_owned()).or_default() -= 1000;
        }
    }
    free
}

/// The queue that a pod was submitted to.
fn queue(pod: &Value) -> Option<&str> {
    annotation(pod, VOLCANO_QUEUE).or_else(|| label(pod, VOLCANO_QUEUE))
}

fn used_of_queues(state: &State) -> BTreeMap<String, Amounts> {
    let mut used: BTreeMap<String, Amounts> = BTreeMap::new();
    let bound = state
        .range("pods", "")
        .filter(|(_, pod)| !is_finished(pod) && !text(pod, "/spec/nodeName").is_empty());
    for (_, pod) in bound {
        if let Some(queue) = queue(pod) {
            add(used.entry(queue.to_owned()).or_default(), &requests(pod));
        }
    }
    used
}

/// The groups that Nodes of a pod's queue have to be in; `None`: any.
fn node_groups(state: &State, pod: &Value) -> Option<Vec<String>> {
    let queue = state.get("queues.scheduling.volcano.sh", "", queue(pod)?)?;
    let required = "/spec/affinity/nodeGroupAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let groups = queue.pointer(required)?.as_array()?.iter();
    Some(groups.filter_map(|group| group.as_str().map(str::to_owned)).collect())
}

/// The gate: a queue that is named exists, is open, and has room up to its capability.
fn is_admitted(state: &State, key: &Key, pod: &Value, wish: &Amounts, used: &BTreeMap<String, Amounts>) -> bool {
    if let Some(name) = queue(pod) {
        let Some(queue) = state.get("queues.scheduling.volcano.sh", "", name) else {
            return false;
        };
        let none = Amounts::new();
        let used = used.get(name).unwrap_or(&none);
        let limit = amounts(queue.pointer("/spec/capability"));
        let is_open = matches!(text(queue, "/status/state"), "" | "Open");
        return is_open
            && wish
                .iter()
                .all(|(name, amount)| limit.get(name).is_none_or(|most| used.get(name).unwrap_or(&0) + amount <= *most));
    }
    if let Some(name) = label(pod, KUEUE_QUEUE) {
        let local = state.get("localqueues.kueue.x-k8s.io", &key.namespace, name);
        let cluster = local.and_then(|local| state.get("clusterqueues.kueue.x-k8s.io", "", text(local, "/spec/clusterQueue")));
        return cluster.is_some_and(|cluster| matches!(text(cluster, "/spec/stopPolicy"), "" | "None"));
    }
    true
}

fn fits(pod: &Value, node: &Arc<Value>) -> bool {
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let selected = selector
        .into_iter()
        .flatten()
        .all(|(key, value)| label(node, key) == value.as_str());
    let taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    let mut barring = taints.filter(|taint| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute"));
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array);
    let bears = |taint: &Value| tolerations.into_iter().flatten().any(|one| tolerates(one, taint));
    condition(node, "Ready") == "True"
        && selected
        && has_affinity(pod, node)
        && barring.all(bears)
        && node.pointer("/spec/unschedulable").and_then(Value::as_bool) != Some(true)
}

fn has_affinity(pod: &Value, node: &Value) -> bool {
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let Some(terms) = pod.pointer(terms).and_then(Value::as_array) else {
        return true;
    };
    // The form of a term's expressions is that of a label selector's.
    let mut selectors = terms.iter().filter_map(crate::selector::LabelSelector::from_object);
    selectors.any(|selector| selector.matches(node))
}

pub(super) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
    let same_effect = effect.is_empty() || effect == text(taint, "/effect");
    let same_key = key == text(taint, "/key");
    let any = text(toleration, "/operator") == "Exists";
    same_effect && ((key.is_empty() && any) || (same_key && (any || text(toleration, "/value") == text(taint, "/value"))))
}
