//! The driver roll-out: a node's label says which version it is to have, and after a while another which one it has.

use super::Task;
use crate::objects::{Change, ChangeKind, Key, State, label, set, text, unset};
use crate::server::later;
use serde_json::{Value, json};
use std::time::Duration;

const USER: &str = "system:gpu-operator";
const WANTED: &str = "poolkeeper.io/gpu-driver";
const INSTALLED: &str = "nvidia.com/cuda.driver-version.full";
const RESOURCE: &str = "nvidia.com/gpu";

pub(super) fn node_changed(state: &mut State, change: &Change, takes: Duration) {
    let node = &change.object;
    let (Some(wanted), false) = (label(node, WANTED), change.kind == ChangeKind::Deleted) else {
        return;
    };
    if label(node, INSTALLED) == Some(wanted) || !is_offered(state, wanted) {
        return;
    }
    let (wanted, name) = (wanted.to_owned(), change.key.name.clone());
    // Nothing can use the accelerators meanwhile.
    state.edit(USER, &change.key, |node| {
        unset(node, &["metadata", "labels", INSTALLED]);
        if node.pointer("/status/allocatable").and_then(|list| list.get(RESOURCE)).is_some() {
            set(node, &["status", "allocatable", RESOURCE], json!("0"));
        }
    });
    state.twins.plan(
        later(state.now, takes),
        Task::DriverDone {
            node: name,
            version: wanted,
        },
    );
}

/// Where drivers are objects, there has to be one of the version.
fn is_offered(state: &State, version: &str) -> bool {
    const DRIVERS: &str = "nvidiadrivers.nvidia.com";
    state.by_qualified(DRIVERS).is_none() || state.range(DRIVERS, "").any(|(_, driver)| text(driver, "/spec/version") == version)
}

pub(super) fn done(state: &mut State, node: &str, version: &str) {
    if state.twins.bad_drivers.contains(version) {
        return;
    }
    let key = Key::new("nodes", "", node);
    state.edit(USER, &key, |node| {
        if label(node, WANTED) != Some(version) {
            return;
        }
        set(node, &["metadata", "labels", INSTALLED], json!(version));
        let capacity = node.pointer("/status/capacity").and_then(|list| list.get(RESOURCE)).cloned();
        if let Some(capacity) = capacity.filter(|capacity| *capacity != Value::Null) {
            set(node, &["status", "allocatable", RESOURCE], capacity);
        }
    });
}
