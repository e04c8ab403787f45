//! What belongs to nothing goes, deleted namespaces are emptied, and disruption budgets are counted.

use crate::objects::{Change, ChangeKind, Key, State, set, text};
use crate::selector::LabelSelector;
use crate::twins::kubelet::condition;
use serde_json::{Value, json};
use std::sync::Arc;

const USER: &str = "system:garbage-collector";
const BUDGETS: &str = "poddisruptionbudgets.policy";

pub(super) fn changed(state: &mut State, change: &Change) {
    match (&*change.key.ty, change.kind) {
        (_, ChangeKind::Deleted) => {
            orphans(state, text(&change.object, "/metadata/uid"));
            if &*change.key.ty == "nodes" {
                pods_of_node(state, &change.key.name);
            }
            for namespace in closing(state) {
                empty(state, &namespace);
            }
        }
        ("namespaces", _) if change.object.pointer("/metadata/deletionTimestamp").is_some() => empty(state, &change.key.name),
        _ => foreground(state, change),
    }
    if matches!(&*change.key.ty, "pods" | BUDGETS) {
        count_budgets(state, &change.key.namespace);
    }
}

/// A deletion that waits for dependants: they go, then it goes.
fn foreground(state: &mut State, change: &Change) {
    if change.object.pointer("/metadata/deletionTimestamp").is_none() || !state.objects.contains_key(&change.key) {
        return;
    }
    let mut finalizers = crate::delete::finalizers(&change.object);
    if !finalizers.iter().any(|one| one == "foregroundDeletion") {
        return;
    }
    orphans(state, text(&change.object, "/metadata/uid"));
    finalizers.retain(|one| one != "foregroundDeletion");
    state.edit(USER, &change.key, |object| {
        set(object, &["metadata", "finalizers"], json!(finalizers));
    });
    if finalizers.is_empty() {
        state.commit(USER, change.key.clone(), None);
    }
}

fn orphans(state: &mut State, uid: &str) {
    let owned = |object: &Value| {
        let owners = object
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        owners.into_iter().any(|owner| text(owner, "/uid") == uid)
    };
    let keys: Vec<Key> = state
        .objects
        .iter()
        .filter(|(_, object)| owned(object))
        .map(|(key, _)| key.clone())
        .collect();
    delete_all(state, keys);
}

fn pods_of_node(state: &mut State, node: &str) {
    let pods = state.range("pods", "").filter(|(_, pod)| text(pod, "/spec/nodeName") == node);
    let keys: Vec<Key> = pods.map(|(key, _)| key.clone()).collect();
    for key in keys {
        state.commit("system:pod-garbage-collector", key, None);
    }
}

fn delete_all(state: &mut State, keys: Vec<Key>) {
    for key in keys {
        if let Some(ty) = state.by_qualified(&key.ty) {
            // It can only be gone already.
            let _gone = crate::delete::delete_one(state, USER, &ty, key, &json!({}));
        }
    }
}

fn closing(state: &State) -> Vec<String> {
    let namespaces = state.range("namespaces", "");
    let closing = namespaces.filter(|(_, namespace)| namespace.pointer("/metadata/deletionTimestamp").is_some());
    closing.map(|(key, _)| key.name.clone()).collect()
}

/// Deletes what is in a namespace, and, once that is empty, the namespace.
fn empty(state: &mut State, namespace: &str) {
    let inside: Vec<Key> = state.objects.keys().filter(|key| key.namespace == namespace).cloned().collect();
    let waiting: Vec<Key> = inside
        .iter()
        .filter(|key| {
            state
                .objects
                .get(*key)
                .is_some_and(|object| object.pointer("/metadata/deletionTimestamp").is_none())
        })
        .cloned()
        .collect();
    delete_all(state, waiting);
    let is_empty = !state.objects.keys().any(|key| key.namespace == namespace);
    let key = Key::new("namespaces", "", namespace);
    if is_empty
        && state
            .objects
            .get(&key)
            .is_some_and(|object| crate::delete::finalizers(object).is_empty())
    {
        state.commit("system:namespace-controller", key, None);
    }
}

/// How many pods each budget of a namespace can spare now.
fn count_budgets(state: &mut State, namespace: &str) {
    let budgets: Vec<(Key, Arc<Value>)> = state
        .range(BUDGETS, namespace)
        .map(|(key, budget)| (key.clone(), Arc::clone(budget)))
        .collect();
    for (key, budget) in budgets {
        let Some(selector) = budget.pointer("/spec/selector").and_then(LabelSelector::from_object) else {
            continue;
        };
        let pods: Vec<&Arc<Value>> = state
            .range("pods", namespace)
            .map(|(_, pod)| pod)
            .filter(|pod| selector.matches(pod))
            .collect();
        let expected = pods.len() as i64;
        let is_healthy = |pod: &&&Arc<Value>| condition(pod, "Ready") == "True" && pod.pointer("/metadata/deletionTimestamp").is_none();
        let healthy = pods.iter().filter(is_healthy).count() as i64;
        let desired = match (budget.pointer("/spec/minAvailable"), budget.pointer("/spec/maxUnavailable")) {
            (Some(least), _) => share(least, expected),
            (None, Some(most)) => expected - share(most, expected),
            (None, None) => expected - 1,
        };
        state.edit("system:disruption-controller", &key, |budget| {
            let generation = budget.pointer("/metadata/generation").cloned().unwrap_or_default();
            let counts = [
                ("expectedPods", expected),
                ("currentHealthy", healthy),
                ("desiredHealthy", desired.max(0)),
                ("disruptionsAllowed", (healthy - desired).max(0)),
            ];
            set(budget, &["status", "observedGeneration"], generation);
            for (field, value) in counts {
                set(budget, &["status", field], json!(value));
            }
        });
    }
}

/// A number, or a share of all, rounded up.
fn share(value: &Value, of: i64) -> i64 {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%'))
        .and_then(|text| text.parse::<i64>().ok());
    match percent {
        Some(percent) => (of * percent + 99) / 100,
        None => value.as_i64().unwrap_or(0),
    }
}
