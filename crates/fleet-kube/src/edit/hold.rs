//! Nodes that take nothing new, each for its reasons.

use super::annotate;
use crate::mark::{self, Hold};
use crate::taint;
use k8s_openapi::api::core::v1::Node;
use std::collections::BTreeSet;

/// Why the Node takes nothing new.
pub fn holds(node: &Node) -> BTreeSet<Hold> {
    mark::read(node.metadata.annotations.as_ref(), mark::HOLDS).unwrap_or_default()
}

pub fn hold(node: &mut Node, reason: Hold) {
    let mut all = holds(node);
    all.insert(reason);
    write(node, &all);
}

pub fn unhold(node: &mut Node, reason: Hold) {
    let mut all = holds(node);
    all.remove(&reason);
    write(node, &all);
}

fn write(node: &mut Node, all: &BTreeSet<Hold>) {
    if let Some(first) = all.first() {
        annotate(node, mark::HOLDS, Some(all));
        taint::set(node, mark::TAINT_HOLD, Some(first.as_str()));
    } else {
        annotate::<()>(node, mark::HOLDS, None);
        taint::remove(node, mark::TAINT_HOLD);
    }
}
