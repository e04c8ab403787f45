//! What is kept of Nodes and Pods: of a large cluster there are many.

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, PodStatus, ResourceRequirements};

/// Leaves out what is not needed, above all the times of signs of life.
pub(super) fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

/// Annotation of kubectl: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Leaves owner, labels, requests, phase and times. Every pod of the cluster is kept, so that lists are made anew, no longer than they are.
pub(super) fn trim_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            priority: spec.priority,
            overhead: spec.overhead,
            containers: spec.containers.iter().map(needs).collect(),
            init_containers: spec.init_containers.map(|all| all.iter().map(needs).collect()),
            ..PodSpec::default()
        });
    }
    if let Some(status) = pod.status.take() {
        let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        pod.status = Some(PodStatus {
            phase: status.phase,
            message: status.message,
            start_time: status.start_time,
            // They say when it ended.
            container_statuses: status.container_statuses.filter(|_| is_over),
            ..PodStatus::default()
        });
    }
}

/// What a container needs. Limits are left out where there is a request for each, as a server sees to.
fn needs(container: &Container) -> Container {
    let resources = container.resources.as_ref().map(|all| {
        let requests = all.requests.clone();
        let is_told = |name: &String| requests.as_ref().is_some_and(|requests| requests.contains_key(name));
        let limits = all.limits.clone().filter(|limits| !limits.keys().all(is_told));
        ResourceRequirements {
            limits,
            requests,
            ..ResourceRequirements::default()
        }
    });
    Container {
        name: container.name.clone(),
        restart_policy: container.restart_policy.clone(),
        resources,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods;
    use serde_json::json;

    #[test]
    fn a_trimmed_pod_needs_what_it_needed_and_is_small() {
        let container = |requests: serde_json::Value| {
            json!({
                "name": "a", "image": "tool", "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}, "requests": requests},
            })
        };
        let pod = |requests: &serde_json::Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "a", "annotations": {LAST_APPLIED: "{}", "poolkeeper.io/user": "u"}},
                "spec": {
                    "nodeName": "gpu-1", "priority": 5, "overhead": {"cpu": "50m"}, "volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [container(requests.clone())], "initContainers": [container(json!({"memory": "1Gi"}))],
                },
                "status": {"phase": "Running", "hostIP": "10.0.0.1", "startTime": "2026-01-01T00:00:00Z"},
            }))
            .unwrap()
        };
        for requests in [json!({}), json!({"cpu": "1"}), json!({"cpu": "1", "nvidia.com/gpu": "1"})] {
            let before = pod(&requests);
            let mut after = before.clone();
            trim_pod(&mut after);
            assert_eq!(pods::requests(&after), pods::requests(&before), "{requests}");
            let spec = after.spec.unwrap();
            assert_eq!((spec.node_name.as_deref(), spec.priority), (Some("gpu-1"), Some(5)));
            assert!(spec.volumes.is_none() && spec.containers[0].env.is_none());
            assert_eq!(after.metadata.annotations.unwrap().len(), 1);
            assert!(after.status.unwrap().start_time.is_some());
        }
    }
}
