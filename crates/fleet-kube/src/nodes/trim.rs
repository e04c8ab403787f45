//! What is kept of Nodes: of a large cluster there are many.

use k8s_openapi::api::core::v1::Node;

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
