//! A free Node becomes a node of a pool.

use super::{annotate, label};
use crate::mark::{self, ClaimNote, Hold, Replaced, Restore};
use crate::taint;
use domain::meta::Uid;
use fleet::{NodeRequest, PoolMark};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

/// What a claim writes.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub request: &'a NodeRequest,
    pub at: Timestamp,
    /// The label that drivers are asked for with.
    pub driver_label: Option<&'static str>,
}

/// Puts a pool's marks on a Node.
pub fn claim(node: &mut Node, claim: &Claim<'_>) {
    let Claim { request, at, driver_label } = *claim;
    for key in mark::CLAIM_ANNOTATIONS {
        annotate::<()>(node, key, None);
    }
    let mut marks = vec![
        (mark::POOL, request.pool.uid.to_string()),
        (mark::POOL_NAME, mark::pool_slug(&request.pool)),
        (mark::NODE, mark::own_slug(request.node.as_str())),
        (mark::FLAVOR, mark::own_slug(request.flavor.as_str())),
        (
            mark::NODE_GROUP,
            mark::node_group(&request.pool.uid, &mark::own_slug(request.flavor.as_str()), None),
        ),
    ];
    marks.extend(driver_label.zip(request.driver.clone()));
    let own = request.labels.iter().map(|(key, value)| (key.as_str(), value.clone()));
    for (key, value) in own.chain(marks) {
        set_label(node, key, &value);
    }
    let note = ClaimNote {
        at,
        node: request.node.clone(),
        pool: request.pool.clone(),
    };
    annotate(node, mark::CLAIM, Some(&note));
    if taint::remove(node, mark::TAINT_UNCLAIMED) {
        let mut restore = restore(node);
        restore.unclaimed = true;
        annotate(node, mark::RESTORE, Some(&restore));
    }
    taint::set(node, mark::TAINT_POOL, Some(&mark::pool_slug(&request.pool)));
}

/// Sets a label so that a release puts back what was there.
pub fn set_label(node: &mut Node, key: &str, value: &str) {
    let was = label(node, key).map(str::to_owned);
    let mut restore = restore(node);
    // What we have set before is not what was there.
    let original = match restore.labels.get(key) {
        Some(known) if was.as_deref() == Some(known.set.as_str()) => known.was.clone(),
        Some(_) | None => was,
    };
    if !mark::CLAIM_LABELS.contains(&key) {
        let replaced = Replaced {
            set: value.to_owned(),
            was: original,
        };
        restore.labels.insert(key.to_owned(), replaced);
        annotate(node, mark::RESTORE, Some(&restore));
    }
    node.metadata
        .labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}

pub(super) fn restore(node: &Node) -> Restore {
    mark::read(node.metadata.annotations.as_ref(), mark::RESTORE).unwrap_or_default()
}

/// Keeps a Node for a logical pool, or for everybody in its own.
pub fn dedicate(node: &mut Node, root: &Uid, to: Option<&Uid>) {
    match to {
        Some(uid) => set_label(node, mark::QUOTA, uid.as_str()),
        None => super::remove_label(node, mark::QUOTA),
    }
    if let Some(flavor) = label(node, mark::FLAVOR).map(str::to_owned) {
        set_label(node, mark::NODE_GROUP, &mark::node_group(root, &flavor, to));
    }
}

/// Puts the marks of another pool on a Node that has departed from its own.
pub fn arrive(node: &mut Node, pool: &PoolMark) {
    set_label(node, mark::POOL, pool.uid.as_str());
    set_label(node, mark::POOL_NAME, &mark::pool_slug(pool));
    if let Some(flavor) = label(node, mark::FLAVOR).map(str::to_owned) {
        set_label(node, mark::NODE_GROUP, &mark::node_group(&pool.uid, &flavor, None));
    }
    if let Some(mut note) = super::note(node) {
        note.pool = pool.clone();
        annotate(node, mark::CLAIM, Some(&note));
    }
    taint::set(node, mark::TAINT_POOL, Some(&mark::pool_slug(pool)));
    super::unhold(node, Hold::Release);
    annotate::<()>(node, mark::ACTION, None);
}
