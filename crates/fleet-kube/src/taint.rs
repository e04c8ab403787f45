//! Taints of a Node, edited so that those of others stay as they are.

use k8s_openapi::api::core::v1::{Node, Taint};

pub const NO_SCHEDULE: &str = "NoSchedule";

/// Puts a taint on the Node, in place of one with the same key.
pub fn set(node: &mut Node, key: &str, value: Option<&str>) {
    let taint = Taint {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        effect: NO_SCHEDULE.to_owned(),
        time_added: None,
    };
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    let is_alike = |known: &Taint| known.key == taint.key && known.value == taint.value && known.effect == taint.effect;
    if taints.iter().filter(|known| known.key == key).all(is_alike) && has(taints, key) {
        return;
    }
    taints.retain(|known| known.key != key);
    taints.push(taint);
}

/// Takes every taint with the key away. `true`: there was one.
pub fn remove(node: &mut Node, key: &str) -> bool {
    let Some(taints) = node.spec.as_mut().and_then(|spec| spec.taints.as_mut()) else {
        return false;
    };
    let was = has(taints, key);
    taints.retain(|known| known.key != key);
    was
}

fn has(taints: &[Taint], key: &str) -> bool {
    taints.iter().any(|taint| taint.key == key)
}

/// All taints of a Node.
pub fn of(node: &Node) -> &[Taint] {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
    taints.unwrap_or_default()
}
