//! The controller of Cluster API with its providers: Machines become Nodes, and go with all that they refer to.

use super::{FAILS, Task};
use crate::cluster::{NodeSpec, node_object};
use crate::objects::{Change, ChangeKind, Key, State, annotation, set, text};
use crate::server::later;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const USER: &str = "system:capi-controller";
pub(super) const MACHINES: &str = "machines.cluster.x-k8s.io";
const FINALIZER: &str = "machine.cluster.x-k8s.io";
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
const HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io";
/// Labels of Machines with this prefix are those of their Nodes.
const COPIED: &str = "node.cluster.x-k8s.io/";
/// What is not there is looked for again in so long.
const LOOK: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(5);
/// Time that a provider takes to take a machine away.
const REMOVAL: Duration = Duration::from_secs(20);

/// What the controller does later about a Machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Look,
    Up,
    Drain,
    Gone,
}

fn plan(state: &mut State, key: &Key, step: Step, wait: Duration) {
    let Some(machine) = state.objects.get(key) else { return };
    let uid = text(machine, "/metadata/uid").to_owned();
    let task = Task::Machine {
        key: key.clone(),
        uid,
        step,
    };
    let at = later(state.now, wait);
    state.twins.plan(at, task);
}

pub(super) fn changed(state: &mut State, change: &Change, takes: Duration) {
    let key = &change.key;
    let Some(machine) = state.objects.get(key).cloned().filter(|_| change.kind != ChangeKind::Deleted) else {
        return;
    };
    let has_finalizer = crate::delete::finalizers(&machine).iter().any(|one| one == FINALIZER);
    if machine.pointer("/metadata/deletionTimestamp").is_some() {
        if has_finalizer {
            drain(state, key);
        }
        return;
    }
    if !has_finalizer {
        let cluster = text(&machine, "/spec/clusterName").to_owned();
        state.edit(USER, key, |machine| {
            set(machine, &["metadata", "finalizers"], json!([FINALIZER]));
            set(machine, &["metadata", "labels", CLUSTER_NAME], json!(cluster));
            set(machine, &["status", "phase"], json!("Pending"));
        });
        look(state, key, takes);
    }
}

pub(super) fn perform(state: &mut State, key: &Key, uid: &str, step: Step) {
    let Some(takes) = state.twins.options.machines else { return };
    let Some(machine) = state
        .objects
        .get(key)
        .cloned()
        .filter(|machine| text(machine, "/metadata/uid") == uid)
    else {
        return;
    };
    let is_going = machine.pointer("/metadata/deletionTimestamp").is_some();
    match (step, is_going) {
        (Step::Look, false) => look(state, key, takes),
        (Step::Up, false) => up(state, key, &machine),
        (Step::Drain, true) => drain(state, key),
        (Step::Gone, true) => gone(state, key, &machine),
        (Step::Look | Step::Up, true) | (Step::Drain | Step::Gone, false) => {}
    }
}

/// What a Machine refers to, where it is there.
fn referred(state: &State, machine: &Value, pointer: &str) -> Option<Key> {
    let reference = machine.pointer(pointer)?;
    let mut types = state.types.iter();
    let ty = types.find(|ty| ty.group == text(reference, "/apiGroup") && ty.kind == text(reference, "/kind"))?;
    let key = Key::new(&ty.qualified(), text(machine, "/metadata/namespace"), text(reference, "/name"));
    state.objects.contains_key(&key).then_some(key)
}

const REFERENCES: [&str; 2] = ["/spec/bootstrap/configRef", "/spec/infrastructureRef"];

fn look(state: &mut State, key: &Key, takes: Duration) {
    let Some(machine) = state.objects.get(key).cloned() else { return };
    let found: Vec<Key> = REFERENCES.iter().filter_map(|pointer| referred(state, &machine, pointer)).collect();
    if found.len() < REFERENCES.len() {
        return plan(state, key, Step::Look, LOOK);
    }
    for own in found {
        let owner = json!([{
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": key.name, "uid": text(&machine, "/metadata/uid"),
            "controller": true, "blockOwnerDeletion": true,
        }]);
        state.edit(USER, &own, |object| set(object, &["metadata", "ownerReferences"], owner));
    }
    state.edit(USER, key, |machine| set(machine, &["status", "phase"], json!("Provisioning")));
    plan(state, key, Step::Up, takes);
}

/// The machine is there, and its kubelet has registered it.
fn up(state: &mut State, key: &Key, machine: &Value) {
    let Some(infrastructure) = referred(state, machine, REFERENCES[1]) else {
        return;
    };
    let Some(infrastructure) = state.objects.get(&infrastructure).cloned() else {
        return;
    };
    if let Some(reason) = annotation(&infrastructure, FAILS) {
        state.edit(USER, key, |machine| {
            set(machine, &["status", "phase"], json!("Failed"));
            set(machine, &["status", "deprecated", "v1beta1", "failureMessage"], json!(reason));
        });
        return;
    }
    let texts = |object: &Value, pointer: &str| -> BTreeMap<String, String> {
        object
            .pointer(pointer)
            .and_then(|all| serde_json::from_value(all.clone()).ok())
            .unwrap_or_default()
    };
    let mut labels = texts(&infrastructure, "/spec/labels");
    labels.insert("kubernetes.io/hostname".to_owned(), key.name.clone());
    if let Some(domain) = machine.pointer("/spec/failureDomain").and_then(Value::as_str) {
        labels.insert("topology.kubernetes.io/zone".to_owned(), domain.to_owned());
    }
    let copied = texts(machine, "/metadata/labels")
        .into_iter()
        .filter(|(name, _)| name.starts_with(COPIED));
    labels.extend(copied);
    let taints = infrastructure.pointer("/spec/taints").and_then(Value::as_array).cloned();
    let mut node = node_object(
        state,
        &NodeSpec {
            name: key.name.clone(),
            labels,
            resources: texts(&infrastructure, "/spec/resources"),
            taints: taints.unwrap_or_default(),
            is_ready: false,
        },
    );
    let annotations = json!({
        "cluster.x-k8s.io/machine": key.name,
        "cluster.x-k8s.io/cluster-namespace": key.namespace,
        CLUSTER_NAME: text(machine, "/spec/clusterName"),
    });
    set(&mut node, &["metadata", "annotations"], annotations);
    let addresses = node.pointer("/status/addresses").cloned().unwrap_or_default();
    let provider = node.pointer("/spec/providerID").cloned().unwrap_or_default();
    let node = state.stamped(node, 0);
    state.commit("system:node", Key::new("nodes", "", &key.name), Some(node));
    state.edit(USER, key, |machine| {
        set(machine, &["spec", "providerID"], provider);
        set(machine, &["status", "nodeRef"], json!({"name": key.name}));
        set(machine, &["status", "addresses"], addresses);
        set(machine, &["status", "phase"], json!("Running"));
    });
}

/// Empties the Node of a Machine that goes, unless somebody holds that up.
fn drain(state: &mut State, key: &Key) {
    let Some(machine) = state.objects.get(key).cloned() else { return };
    state.edit(USER, key, |machine| set(machine, &["status", "phase"], json!("Deleting")));
    let host = text(&machine, "/status/nodeRef/name").to_owned();
    let annotations = machine.pointer("/metadata/annotations").and_then(Value::as_object);
    let is_held = annotations.is_some_and(|all| all.keys().any(|name| name.starts_with(HOOK)));
    if is_held && !host.is_empty() {
        return;
    }
    let node = Key::new("nodes", "", &host);
    state.edit(USER, &node, |node| set(node, &["spec", "unschedulable"], json!(true)));
    let is_movable = |pod: &Value| {
        let owner = text(pod, "/metadata/ownerReferences/0/kind");
        !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !matches!(owner, "DaemonSet" | "Node")
    };
    let on_node = super::kubelet::on_node(state, &host);
    let left: Vec<Key> = on_node
        .into_iter()
        .filter(|(_, pod)| is_movable(&pod.object))
        .map(|(key, _)| key)
        .collect();
    if left.is_empty() {
        return plan(state, key, Step::Gone, REMOVAL);
    }
    for pod in left {
        if let Some(ty) = state.by_qualified("pods") {
            // It can only be gone already.
            let _gone = crate::delete::delete_one(state, USER, &ty, pod, &json!({}));
        }
    }
    plan(state, key, Step::Drain, DRAIN);
}

fn gone(state: &mut State, key: &Key, machine: &Value) {
    let host = text(machine, "/status/nodeRef/name").to_owned();
    let own: Vec<Key> = REFERENCES.iter().filter_map(|pointer| referred(state, machine, pointer)).collect();
    let node = Some(Key::new("nodes", "", &host)).filter(|node| state.objects.contains_key(node));
    for one in own.into_iter().chain(node) {
        state.commit(USER, one, None);
    }
    state.commit(USER, key.clone(), None);
}
