//! A node of a pool becomes a free Node again.

use super::claim::restore;
use super::{annotate, hold, label, remove_label};
use crate::mark::{self, Hold};
use crate::taint;
use k8s_openapi::api::core::v1::Node;

/// Takes all our marks off, but for the epoch, and puts back what was there before.
pub fn free(node: &mut Node) {
    let restore = restore(node);
    for key in mark::CLAIM_LABELS {
        remove_label(node, key);
    }
    for (key, replaced) in restore.labels {
        // What somebody else has written since stays.
        if label(node, &key) == Some(replaced.set.as_str()) {
            match replaced.was {
                Some(was) => {
                    node.metadata.labels.get_or_insert_default().insert(key, was);
                }
                None => remove_label(node, &key),
            }
        }
    }
    remove_label(node, mark::DIRTY);
    for key in mark::CLAIM_ANNOTATIONS {
        annotate::<()>(node, key, None);
    }
    taint::remove(node, mark::TAINT_POOL);
    taint::remove(node, mark::TAINT_HOLD);
    if restore.unclaimed {
        taint::set(node, mark::TAINT_UNCLAIMED, None);
    }
}

/// Takes the marks of a pool off a Node that is on its way to another one. All else stays, and it takes nothing new.
pub fn depart(node: &mut Node) {
    for key in [mark::POOL, mark::POOL_NAME, mark::NODE_POOL, mark::QUOTA] {
        remove_label(node, key);
    }
    taint::remove(node, mark::TAINT_POOL);
    hold(node, Hold::Release);
}
