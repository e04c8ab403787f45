//! The fence: its policies as they were shipped, and the number that they compare with.

use super::{Cluster, Finding, Known, Shipped, not_read};
use crate::config::KubeConfig;
use crate::mark;
use serde::Serialize;
use serde_json::Value;

const POLICIES: &str = "admission policies";
const FENCE: &str = "fence";
const PODS: &str = "pods of pools";

const CLAIMS: &str = "poolkeeper-node-claims";
const POD_POLICY: &str = "poolkeeper-pods";
const MACHINE_POLICY: &str = "poolkeeper-machines";
const APPLY_FOR_MACHINES: &str = "apply deploy/kubernetes/provisioning.yaml, or set provisioning.clusterApi in the chart";
const APPLY: &str = "apply deploy/kubernetes/admission.yaml, or set admission.validating in the chart";

pub(super) fn check(config: &KubeConfig, cluster: &Cluster, known: &Known, found: &mut Vec<Finding>) {
    match Shipped::new(&config.namespace, &cluster.account) {
        Ok(shipped) => policies(config, cluster, &shipped, found),
        Err(reason) => found.push(Finding::error(
            POLICIES,
            format!("the shipped policies cannot be read: {reason}"),
            "report this",
        )),
    }
    mutating(cluster, found);
    fence(config, cluster, known, found);
}

fn policies(config: &KubeConfig, cluster: &Cluster, shipped: &Shipped, found: &mut Vec<Finding>) {
    let (policies, bindings) = match (&cluster.policies, &cluster.bindings) {
        (Ok(policies), Ok(bindings)) => (policies, bindings),
        (Err(reason), _) | (_, Err(reason)) => return found.push(not_read(POLICIES, "admission policies", reason)),
    };
    let of_machines = config.provisioning().map(|_| (MACHINE_POLICY, APPLY_FOR_MACHINES));
    for (name, apply) in [(CLAIMS, APPLY), (POD_POLICY, APPLY)].into_iter().chain(of_machines) {
        let policy = policies.iter().find(|policy| policy.metadata.name.as_deref() == Some(name));
        let binding = bindings.iter().find(|binding| binding.metadata.name.as_deref() == Some(name));
        found.push(match (policy, binding) {
            (None, _) => Finding::error(POLICIES, format!("policy {name} is missing"), apply),
            (Some(_), None) => Finding::error(
                POLICIES,
                format!("binding {name} is missing, so that the policy has no effect"),
                apply,
            ),
            (Some(policy), Some(binding)) => {
                let policy = is_as_shipped(shipped, "ValidatingAdmissionPolicy", name, policy.spec.as_ref());
                let binding = is_as_shipped(shipped, "ValidatingAdmissionPolicyBinding", name, binding.spec.as_ref());
                match (policy, binding) {
                    (true, true) => Finding::ok(POLICIES, format!("{name} is as it was shipped")),
                    (false, _) => Finding::error(POLICIES, format!("policy {name} is not the one of this version"), apply),
                    (true, false) => Finding::error(POLICIES, format!("binding {name} is not the one of this version"), apply),
                }
            }
        });
    }
}

fn is_as_shipped(shipped: &Shipped, kind: &str, name: &str, live: Option<&impl Serialize>) -> bool {
    let Some(wanted) = shipped.specification(kind, name) else {
        return false;
    };
    let live = serde_json::to_value(live).unwrap_or_default();
    if name == POD_POLICY {
        // Which name spaces are left out, and whether more is refused, is the site's choice.
        return same(&without_choices(wanted), &without_choices(&live)) && has_all(&wanted["validations"], &live["validations"]);
    }
    same(wanted, &live)
}

fn without_choices(specification: &Value) -> Value {
    let mut specification = specification.clone();
    if let Some(object) = specification.as_object_mut() {
        object.remove("validations");
        if let Some(constraints) = object.get_mut("matchConstraints").and_then(Value::as_object_mut) {
            constraints.remove("namespaceSelector");
        }
    }
    specification
}

fn has_all(wanted: &Value, live: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let live = list(live);
    list(wanted).iter().all(|rule| live.iter().any(|other| same(rule, other)))
}

/// Whether two specifications say the same, but for what the server fills in.
fn same(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| same(value, live.get(key).unwrap_or(&Value::Null)))
                && live.iter().all(|(key, value)| wanted.contains_key(key) || is_filled_in(value))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(one, other)| same(one, other))
        }
        (wanted, live) => wanted == live,
    }
}

fn is_filled_in(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => matches!(text.as_str(), "Equivalent" | "*"),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn mutating(cluster: &Cluster, found: &mut Vec<Finding>) {
    found.push(match &cluster.mutating {
        Err(reason) => not_read(PODS, "MutatingAdmissionPolicies", reason),
        Ok(None) => Finding::warning(
            PODS,
            "the cluster serves no MutatingAdmissionPolicy",
            "pods must bring node selector and toleration of their pool themselves, or get them from Kueue; or upgrade to 1.36",
        ),
        Ok(Some(names)) if names.contains(POD_POLICY) => Finding::ok(PODS, "they are given node selector and toleration of their pool"),
        Ok(Some(_)) => Finding::warning(
            PODS,
            format!("MutatingAdmissionPolicy {POD_POLICY} or its binding is missing"),
            "apply deploy/kubernetes/mutating-admission.yaml, or set admission.mutating in the chart",
        ),
    });
}

fn fence(config: &KubeConfig, cluster: &Cluster, known: &Known, found: &mut Vec<Finding>) {
    let place = format!("ConfigMap {} in {}", mark::FENCE, config.namespace);
    let fence = match &cluster.fence {
        Ok(fence) => fence,
        Err(reason) => return found.push(not_read(FENCE, &place, reason)),
    };
    let text = fence
        .as_ref()
        .and_then(|fence| fence.data.as_ref())
        .and_then(|data| data.get("epoch"))
        .map(String::as_str);
    let epoch = match text.map(str::parse::<u64>) {
        None => {
            let held = known.lease_epoch.unwrap_or(0);
            return found.push(if held == 0 {
                Finding::ok(FENCE, format!("{place} has no epoch yet: nobody has had the lease"))
            } else {
                Finding::warning(
                    FENCE,
                    format!("{place} has no epoch, though the lease is at {held}"),
                    "the holder of the lease raises it with its first command; until then nodes with marks cannot be changed",
                )
            });
        }
        Some(Err(_)) => {
            return found.push(Finding::error(
                FENCE,
                format!("{place} has the epoch {:?}, which is no number", text.unwrap_or_default()),
                "remove the key data.epoch: the holder of the lease writes it anew",
            ));
        }
        Some(Ok(epoch)) => epoch,
    };
    found.push(match known.lease_epoch {
        Some(held) if epoch > held => Finding::error(
            FENCE,
            format!("{place} is at {epoch}, the lease is at {held}: every command is refused"),
            format!("after a restore: stop all replicas, `poolkeeper raise-epoch {epoch}`, start them. Else another installation uses this cluster"),
        ),
        Some(held) => Finding::ok(FENCE, format!("it is at {epoch}, the lease at {held}")),
        None => Finding::ok(FENCE, format!("it is at {epoch}; the lease was not read")),
    });
}
