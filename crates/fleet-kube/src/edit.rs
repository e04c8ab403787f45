//! Edits of a Node that is ours, or becomes it: pure, and sent as one patch each.

mod claim;
mod hold;
mod release;

pub use claim::{Claim, arrive, claim, dedicate, set_label};
pub use hold::{hold, holds, unhold};
pub use release::{depart, free};

use crate::context::Epoch;
use crate::mark::{self, Action, ClaimNote, Request};
use crate::taint;
use domain::meta::Uid;
use domain::name::NodeName;
use k8s_openapi::api::core::v1::Node;
use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Texts = BTreeMap<String, String>;

/// The one patch that makes a Node what it was edited to be; it relies on the version that was edited. `None`: nothing to do.
pub fn patch(before: &Node, after: &Node, epoch: Epoch) -> Option<Value> {
    let taints = taint::of(after);
    let is_tainted_anew = taint::of(before) != taints;
    let mut patch = metadata_patch(&before.metadata, &after.metadata, epoch, is_tainted_anew)?;
    if is_tainted_anew {
        let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
        patch["spec"] = json!({"taints": taints});
    }
    Some(patch)
}

/// The part of a patch that is about labels and annotations. `None`: they are as they were, and nothing else changes.
pub(crate) fn metadata_patch(before: &ObjectMeta, after: &ObjectMeta, epoch: Epoch, changes_more: bool) -> Option<Value> {
    let labels = difference(before.labels.as_ref(), after.labels.as_ref());
    let mut annotations = difference(before.annotations.as_ref(), after.annotations.as_ref());
    if labels.is_empty() && annotations.is_empty() && !changes_more {
        return None;
    }
    annotations.insert(mark::EPOCH.to_owned(), json!(epoch.number().to_string()));
    let mut patch = json!({"metadata": {"resourceVersion": before.resource_version, "annotations": annotations}});
    if !labels.is_empty() {
        patch["metadata"]["labels"] = Value::Object(labels);
    }
    Some(patch)
}

fn difference(before: Option<&Texts>, after: Option<&Texts>) -> Map<String, Value> {
    let mut changes = Map::new();
    let get = |texts: Option<&Texts>, key: &str| texts.and_then(|texts| texts.get(key).cloned());
    for key in [before, after].into_iter().flatten().flat_map(BTreeMap::keys) {
        let (was, is) = (get(before, key), get(after, key));
        if was != is {
            changes.insert(key.clone(), is.map_or(Value::Null, Value::String));
        }
    }
    changes
}

/// A label of a Node.
pub fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn remove_label(node: &mut Node, key: &str) {
    if let Some(labels) = &mut node.metadata.labels {
        labels.remove(key);
    }
}

/// The action that runs on a Node.
pub fn action(node: &Node) -> Option<Action> {
    mark::read(node.metadata.annotations.as_ref(), mark::ACTION)
}

/// Whether an action runs on a Node, or one that cannot be read.
pub fn has_action(node: &Node) -> bool {
    node.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(mark::ACTION))
}

/// The last numbered request to a Node.
pub fn request(node: &Node) -> Option<Request> {
    mark::read(node.metadata.annotations.as_ref(), mark::REQUEST)
}

/// Who claimed a Node.
pub fn note(node: &Node) -> Option<ClaimNote> {
    mark::read(node.metadata.annotations.as_ref(), mark::CLAIM)
}

/// The name of the node that a Node is. It is read from the claim; where that was lost, from the label.
pub fn node_name(node: &Node) -> Option<NodeName> {
    let short = label(node, mark::NODE)?;
    match note(node) {
        Some(note) if mark::own_slug(note.node.as_str()) == short => Some(note.node),
        Some(_) | None => NodeName::parse(short).ok(),
    }
}

/// Whether a Node is this node of this pool.
pub fn is_node_of(node: &Node, pool: &Uid, name: &NodeName) -> bool {
    label(node, mark::POOL) == Some(pool.as_str()) && label(node, mark::NODE) == Some(mark::own_slug(name.as_str()).as_str())
}

/// Sets one of our annotations, or removes it.
pub fn annotate<T: Serialize>(node: &mut Node, key: &str, value: Option<&T>) {
    let annotations = node.metadata.annotations.get_or_insert_default();
    match value {
        Some(value) => {
            annotations.insert(key.to_owned(), mark::write(value));
        }
        None => {
            annotations.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
