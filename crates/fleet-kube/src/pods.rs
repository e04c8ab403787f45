//! What a pod is to the Node that it is on.

use crate::amount::{Amount, Amounts, add};
use crate::mark;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// It has ended, and uses nothing any more.
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// It belongs to its Node: a DaemonSet would make it anew at once, or the kubelet has it from a file.
pub fn is_resident(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let is_static = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    is_static || owners.iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node")
}

/// Somebody's work: what has to end before the Node is free.
pub fn is_movable(pod: &Pod) -> bool {
    !is_finished(pod) && !is_resident(pod)
}

/// It makes its Node busy.
pub fn is_work(pod: &Pod) -> bool {
    let is_ignored = pod.metadata.labels.as_ref().is_some_and(|all| all.contains_key(mark::IGNORE));
    let is_ours = pod.metadata.labels.as_ref().is_some_and(|all| all.contains_key(mark::MANAGED));
    is_movable(pod) && !is_ignored && !is_ours
}

/// What a pod needs: its containers together, or what its initialisation needs at most, and the overhead.
pub fn requests(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let mut running = Amounts::new();
    for container in &spec.containers {
        add(&mut running, &of_container(container), 1);
    }
    let mut most = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let needs = of_container(container);
        if container.restart_policy.as_deref() == Some("Always") {
            // It goes on beside the others.
            add(&mut running, &needs, 1);
        } else {
            for (name, amount) in needs {
                let known = most.entry(name).or_default();
                *known = (*known).max(amount);
            }
        }
    }
    for (name, amount) in most {
        let known = running.entry(name).or_default();
        *known = (*known).max(amount);
    }
    if let Some(overhead) = &spec.overhead {
        add(&mut running, &amounts(overhead), 1);
    }
    running
}

fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let mut needs = resources.and_then(|all| all.limits.as_ref()).map(amounts).unwrap_or_default();
    // A limit without a request is the request too.
    needs.extend(resources.and_then(|all| all.requests.as_ref()).map(amounts).unwrap_or_default());
    needs
}

/// Quantities that can be read.
pub fn amounts(quantities: &BTreeMap<String, Quantity>) -> Amounts {
    let read = |(name, quantity): (&String, &Quantity)| Some((name.clone(), Amount::parse(&quantity.0)?));
    quantities.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn pods_of_the_node_itself_are_not_work() {
        let work = json!({"metadata": {"name": "a"}});
        assert!(is_work(&pod(work.clone())));
        for other in [
            json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1"}]}}),
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
            json!({"metadata": {"labels": {"poolkeeper.io/ignore": "true"}}}),
            json!({"metadata": {}, "status": {"phase": "Succeeded"}}),
        ] {
            assert!(!is_work(&pod(other.clone())), "{other}");
        }
    }

    #[test]
    fn a_pod_needs_its_containers_or_its_initialisation_and_the_overhead() {
        let needs = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"nvidia.com/gpu": "1"}});
        let spec = json!({
            "containers": [{"name": "a", "resources": needs("1")}, {"name": "b", "resources": needs("500m")}],
            "initContainers": [
                {"name": "i", "resources": needs("3")},
                {"name": "s", "restartPolicy": "Always", "resources": needs("100m")},
            ],
            "overhead": {"cpu": "50m"},
        });
        let all = requests(&pod(json!({"metadata": {}, "spec": spec})));
        assert_eq!(all["cpu"], Amount::parse("3050m").unwrap());
        assert_eq!(all["nvidia.com/gpu"], Amount::parse("3").unwrap());
    }
}
