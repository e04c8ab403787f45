//! What the cluster's policies let through: the fence around a pool's nodes, and what pods of a pool's namespaces get.

use crate::call::{Call, Verb};
use crate::kinds::ResourceType;
use crate::objects::{Key, State, annotation, label, set};
use crate::queue_rules;
use crate::refusal::Refusal;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Name of the policy and of its binding.
pub(crate) const POLICY: &str = "poolkeeper-node-claims";
/// Whose writes to claimed nodes are let through.
pub(crate) const OWN_USER: &str = "system:serviceaccount:poolkeeper-system:poolkeeper";
const PREFIX: &str = "poolkeeper.io/";
const POOL: &str = "poolkeeper.io/pool";
const EPOCH: &str = "poolkeeper.io/epoch";
/// The same for Machines of Cluster API.
const MACHINE_POLICY: &str = "poolkeeper-machines";
const MACHINES: &str = "machines.cluster.x-k8s.io";
const MACHINE_NOTES: [&str; 3] = ["poolkeeper.io/order", "poolkeeper.io/request", "poolkeeper.io/action"];
const GUARDED: [&str; 6] = ["pool", "pool-name", "node", "flavor", "node-pool", "quota"];

/// Which rules are in force, and what they go by.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The fence, as an installed policy would be.
    pub fence: bool,
    /// Pods in a pool's namespaces get its node selector and toleration; others may not have them.
    pub pods: bool,
    /// Queues and what belongs to them are held to the rules of the webhooks of their schedulers.
    pub queues: bool,
    /// How far the server's copy of the fence's ConfigMap is behind.
    pub fence_lag: Duration,
    /// What the ConfigMap said, and since when. `None`: it was not there.
    seen: VecDeque<(Timestamp, Option<String>)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            fence: false,
            pods: false,
            queues: true,
            fence_lag: Duration::ZERO,
            seen: VecDeque::new(),
        }
    }
}

impl Rules {
    /// Remembers every version of the fence's ConfigMap.
    pub fn saw(&mut self, key: &Key, object: Option<&Arc<Value>>, now: Timestamp) {
        if &*key.ty == "configmaps" && key.namespace == "poolkeeper-system" && key.name == "fence" {
            let epoch = object.map(|object| crate::objects::text(object, "/data/epoch").to_owned());
            self.seen.push_back((now, epoch));
        }
    }

    /// The epoch that the policy compares with.
    fn fence_epoch(&self, now: Timestamp) -> Option<&str> {
        let until = now.checked_sub(self.fence_lag).unwrap_or(Timestamp::MIN);
        let known = self.seen.iter().rev().find(|(at, _)| *at <= until);
        known.and_then(|(_, epoch)| epoch.as_deref())
    }
}

/// Changes that the cluster makes to an object before it is validated.
pub(crate) fn mutate(state: &State, call: &Call, object: &mut Value) {
    let created = call.verb == Verb::Create && call.subresource.is_none();
    match (call.ty.qualified().as_str(), created) {
        ("nodes", true) => not_ready(object),
        ("pods", true) => {
            mutate_pod(state, &call.namespace, object);
        }
        _ => {}
    }
}

/// What a new pod of a namespace is given.
pub(crate) fn mutate_pod(state: &State, namespace: &str, pod: &mut Value) {
    pod_defaults(pod);
    if state.rules.pods {
        pool_pod(state, namespace, pod);
    }
}

/// A node is not ready until its kubelet says so.
fn not_ready(node: &mut Value) {
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let mut taints = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    if !taints
        .iter()
        .any(|one| one.get("key") == taint.get("key") && one.get("effect") == taint.get("effect"))
    {
        taints.push(taint);
    }
    set(node, &["spec", "taints"], Value::Array(taints));
}

/// What every pod is given: it bears with nodes that are away for five minutes.
fn pod_defaults(pod: &mut Value) {
    let mut tolerations = pod
        .pointer("/spec/tolerations")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covers = |one: &Value| {
            let any = one.get("key").and_then(Value::as_str).unwrap_or_default();
            let effect = one.get("effect").and_then(Value::as_str).unwrap_or_default();
            (any.is_empty() || any == key) && (effect.is_empty() || effect == "NoExecute")
        };
        if !tolerations.iter().any(covers) {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    set(pod, &["spec", "tolerations"], Value::Array(tolerations));
    let spec = [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("enableServiceLinks", json!(true)),
        ("priority", json!(0)),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        ("securityContext", json!({})),
    ];
    for (field, value) in spec {
        if pod.pointer(&format!("/spec/{field}")).is_none() {
            set(pod, &["spec", field], value);
        }
    }
}

/// A pod of a pool's namespace is bound to the pool's nodes.
fn pool_pod(state: &State, namespace: &str, pod: &mut Value) {
    let namespace = state.get("namespaces", "", namespace);
    let Some(slug) = namespace.and_then(|namespace| label(namespace, "poolkeeper.io/pool-name")) else {
        return;
    };
    set(pod, &["spec", "nodeSelector", "poolkeeper.io/pool-name"], json!(slug));
    let toleration = json!({"key": POOL, "operator": "Equal", "value": slug, "effect": "NoSchedule"});
    let mut tolerations = pod
        .pointer("/spec/tolerations")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if !tolerations.contains(&toleration) {
        tolerations.push(toleration);
    }
    set(pod, &["spec", "tolerations"], Value::Array(tolerations));
}

/// What the policies say to a write that is otherwise right.
pub(crate) fn validate(state: &State, call: &Call, before: Option<&Value>, after: &Value) -> Result<(), Refusal> {
    let name = crate::objects::text(after, "/metadata/name");
    match (call.ty.qualified().as_str(), call.subresource.as_deref()) {
        ("nodes", None) if state.rules.fence || has_policy(state) => guard(state, call, before, after, &NODE_MARKS),
        (MACHINES, None) if state.rules.fence || is_installed(state, MACHINE_POLICY) => guard(state, call, before, after, &MACHINE_MARKS),
        ("pods", None) if state.rules.pods && before.is_none() => foreign_pod(state, &call.ty, &call.namespace, name, after),
        (_, None) if state.rules.queues => queue_rules::validate(state, call, before, after),
        _ => Ok(()),
    }
}

/// What webhooks say to a deletion.
pub(crate) fn validate_delete(state: &State, ty: &ResourceType, name: &str) -> Result<(), Refusal> {
    if state.rules.queues {
        return queue_rules::validate_delete(state, ty, name);
    }
    Ok(())
}

/// The policy was installed by somebody, and bound.
fn has_policy(state: &State) -> bool {
    is_installed(state, POLICY)
}

fn is_installed(state: &State, policy: &str) -> bool {
    let has = |ty| state.get(ty, "", policy).is_some();
    has("validatingadmissionpolicies.admissionregistration.k8s.io") && has("validatingadmissionpolicybindings.admissionregistration.k8s.io")
}

fn epoch(node: Option<&Value>) -> i64 {
    let text = node.and_then(|node| annotation(node, EPOCH));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn own_taints(node: Option<&Value>) -> Vec<String> {
    let taints = node.and_then(|node| node.pointer("/spec/taints")).and_then(Value::as_array);
    let part = |taint: &Value, name: &str| taint.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ours = taints.into_iter().flatten().filter(|taint| part(taint, "key").starts_with(PREFIX));
    ours.map(|taint| format!("{}={}:{}", part(taint, "key"), part(taint, "value"), part(taint, "effect")))
        .collect()
}

/// A policy about objects with a pool's mark: the server's own writes carry an epoch that is not over, and others leave the marks alone.
struct Marks {
    policy: &'static str,
    /// Besides the epoch.
    is_untouched: fn(Option<&Value>, &Value) -> bool,
    /// What others are told who touch them.
    foreign: &'static str,
    /// Whether the object may go from one pool to another at once.
    may_change_pool: bool,
}

const NODE_MARKS: Marks = Marks {
    policy: POLICY,
    is_untouched: |before, after| has_same_labels(&GUARDED, before, after) && own_taints(before) == own_taints(Some(after)),
    foreign: "only poolkeeper may change the marks of a pool's node",
    may_change_pool: false,
};

const MACHINE_MARKS: Marks = Marks {
    policy: MACHINE_POLICY,
    is_untouched: |before, after| {
        let is_same = |key: &&str| before.and_then(|before| annotation(before, key)) == annotation(after, key);
        has_same_labels(&GUARDED[..4], before, after) && MACHINE_NOTES.iter().all(is_same)
    },
    foreign: "only poolkeeper may change the marks of a pool's machine",
    may_change_pool: true,
};

fn has_same_labels(names: &[&str], before: Option<&Value>, after: &Value) -> bool {
    names.iter().all(|name| {
        let key = format!("{PREFIX}{name}");
        before.and_then(|before| label(before, &key)).unwrap_or_default() == label(after, &key).unwrap_or_default()
    })
}

fn guard(state: &State, call: &Call, before: Option<&Value>, after: &Value, marks: &Marks) -> Result<(), Refusal> {
    let pool_of = |object: Option<&Value>| object.and_then(|object| label(object, POOL)).map(str::to_owned);
    let (was, now) = (pool_of(before), pool_of(Some(after)));
    if was.is_none() && now.is_none() {
        return Ok(());
    }
    let name = crate::objects::text(after, "/metadata/name");
    let refuse = |reason, why: &str| Err(Refusal::policy(&call.ty, name, marks.policy, reason, why));
    let Some(fence) = state.rules.fence_epoch(state.now) else {
        return refuse(
            "Forbidden",
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        );
    };
    let ours = &*call.user == OWN_USER;
    let (epoch_was, epoch_now) = (epoch(before), epoch(Some(after)));
    let is_untouched = epoch_was == epoch_now && (marks.is_untouched)(before, after);
    if !ours && !is_untouched {
        return refuse("Forbidden", marks.foreign);
    }
    let changes_pool = |(was, now): (String, String)| !was.is_empty() && !now.is_empty() && was != now;
    if !marks.may_change_pool && was.zip(now).is_some_and(changes_pool) {
        return refuse("Invalid", "a node changes pools only through release");
    }
    if ours && epoch_now < epoch_was {
        return refuse("Invalid", "stale epoch (object)");
    }
    if ours && epoch_now < fence.parse().unwrap_or(0) {
        return refuse("Invalid", "stale epoch (fence)");
    }
    Ok(())
}

/// Only pods of a pool's namespaces bear with its taint, and no namespace that is closing gets new ones.
fn foreign_pod(state: &State, ty: &ResourceType, namespace: &str, name: &str, pod: &Value) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::policy(ty, name, "poolkeeper-pods", "Forbidden", why));
    let place = state.get("namespaces", "", namespace);
    if place.and_then(|place| label(place, "poolkeeper.io/closing")) == Some("true") {
        return refuse("the namespace is closing");
    }
    let is_pools = place.is_some_and(|place| label(place, "poolkeeper.io/pool-name").is_some());
    if is_pools || matches!(namespace, "kube-system" | "gpu-operator" | "poolkeeper-system") {
        return Ok(());
    }
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array).into_iter().flatten();
    if tolerations
        .into_iter()
        .any(|one| one.get("key").and_then(Value::as_str) == Some(POOL))
    {
        return refuse("only pods of a pool's namespaces tolerate its taint");
    }
    let node = crate::objects::text(pod, "/spec/nodeName");
    let claimed = state.get("nodes", "", node).is_some_and(|node| label(node, POOL).is_some());
    if claimed {
        return refuse("only pods of a pool's namespaces run on its nodes");
    }
    Ok(())
}
