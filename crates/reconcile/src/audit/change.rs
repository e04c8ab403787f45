//! What one commit may do to one record: legal transitions, and what never changes or never goes back.

use super::Violation;
use domain::meta::Uid;
use domain::node::{Node, NodePhase};
use domain::order::Order;
use domain::plugin::{Plugin, PluginPhase};
use domain::pool::{DriverState, Pool, PoolKind, PoolPhase, ScopeState};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::Touched;
use store::{Entry, Key, Object};

/// What is wrong with the step from one committed state of a record to the next. `None`: not there before, or no longer.
/// Pools, nodes, plug-ins and orders are looked at; about other records nothing is said.
pub fn audit_step(before: Option<&Entry>, after: Option<&Entry>) -> Vec<Violation> {
    let Some(entry) = after.or(before) else { return Vec::new() };
    let mut found = Found {
        object: entry.key.to_string(),
        violations: Vec::new(),
    };
    if let (Some(before), Some(after)) = (before, after) {
        found.unless(before.key == after.key, "states of one record are compared", || {
            before.key.to_string()
        });
        found.unless(before.revision <= after.revision, "a revision only grows", || {
            format!("{} -> {}", before.revision, after.revision)
        });
    }
    match (before.map(|entry| &entry.object), after.map(|entry| &entry.object)) {
        // A record that takes the name of another one.
        (Some(old), Some(new)) if uid(old) != uid(new) => {
            object(&mut found, Some(old), None);
            object(&mut found, None, Some(new));
        }
        (old, new) => object(&mut found, old, new),
    }
    found.violations
}

/// The last state of every record seen, so that each commit can be held against the one before: feed it every change.
#[derive(Default)]
pub struct Trail {
    last: BTreeMap<Key, Arc<Entry>>,
    /// Under which key a uid is known; remembered when the record has gone, since uids do not come back.
    uids: BTreeMap<Uid, Key>,
}

impl Trail {
    /// What is wrong with one more change.
    pub fn follow(&mut self, touched: &Touched) -> Vec<Violation> {
        let entry = &touched.entry;
        let before = self.last.remove(&entry.key);
        let after = (!touched.is_deleted).then_some(entry);
        let mut found = audit_step(before.as_deref(), after.map(AsRef::as_ref));
        let Some(after) = after else { return found };
        self.last.insert(after.key.clone(), Arc::clone(after));
        if let Some(uid) = uid(&after.object) {
            let is_new = before.as_deref().and_then(|before| self::uid(&before.object)) != Some(uid);
            match self.uids.insert(uid.clone(), after.key.clone()) {
                Some(known) if known != after.key => {
                    found.push(violation(&after.key, "a uid never changes its name or kind", known.to_string()));
                }
                Some(_) if is_new => found.push(violation(&after.key, "a uid does not come back", uid.to_string())),
                Some(_) | None => {}
            }
        }
        found
    }
}

fn violation(key: &Key, rule: &'static str, detail: String) -> Violation {
    Violation {
        object: key.to_string(),
        rule,
        detail,
    }
}

fn uid(object: &Object) -> Option<&Uid> {
    match object {
        Object::Pool(pool) => Some(&pool.uid),
        Object::Node(node) => Some(&node.uid),
        Object::Network(network) => Some(&network.uid),
        Object::ScheduledEvent(event) => Some(&event.id),
        Object::Order(_)
        | Object::Plugin(_)
        | Object::PluginTemplate(_)
        | Object::Flavor(_)
        | Object::Workspace(_)
        | Object::Event(_)
        | Object::OsConfig(_)
        | Object::Domain(_)
        | Object::Project(_)
        | Object::User(_)
        | Object::AccessKey(_)
        | Object::Token(_)
        | Object::Replay(_)
        | Object::Machine(_)
        | Object::VirtualTemplate(_)
        | Object::PeerSubnet(_)
        | Object::SfsTurbo(_)
        | Object::AuditEntry(_)
        | Object::SampleHour(_)
        | Object::Job(_) => None,
    }
}

/// What has been found wrong with one record.
struct Found {
    object: String,
    violations: Vec<Violation>,
}

impl Found {
    fn unless(&mut self, holds: bool, rule: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation {
                object: self.object.clone(),
                rule,
                detail: detail(),
            });
        }
    }

    /// `is_legal`: whether `to` may follow `from`.
    fn edge(&mut self, is_legal: bool, rule: &'static str, from: &str, to: &str) {
        self.unless(is_legal, rule, || format!("{from} -> {to}"));
    }

    fn same<T: PartialEq>(&mut self, before: &T, after: &T, what: &'static str) {
        self.unless(before == after, "what identifies a record never changes", || what.to_owned());
    }

    fn grows<T: PartialOrd + std::fmt::Display>(&mut self, before: T, after: T, rule: &'static str) {
        self.unless(before <= after, rule, || format!("{before} -> {after}"));
    }
}

fn object(found: &mut Found, before: Option<&Object>, after: Option<&Object>) {
    match (before, after) {
        (Some(Object::Pool(before)), Some(Object::Pool(after))) => pool(found, before, after),
        (None, Some(Object::Pool(pool))) => new_pool(found, pool),
        (Some(Object::Pool(pool)), None) => gone_pool(found, pool),
        (Some(Object::Node(before)), Some(Object::Node(after))) => node(found, before, after),
        (None, Some(Object::Node(node))) => {
            found.edge(
                matches!(node.phase, NodePhase::Creating { .. }),
                "nodes begin as creating",
                "none",
                node.phase.as_str(),
            );
        }
        (Some(Object::Plugin(before)), Some(Object::Plugin(after))) => plugin(found, before, after),
        (None, Some(Object::Plugin(plugin))) => {
            found.edge(
                plugin.phase == PluginPhase::Pending,
                "plug-ins begin as pending",
                "none",
                plugin.phase.as_str(),
            );
        }
        (Some(Object::Order(before)), Some(Object::Order(after))) => order(found, before, after),
        (Some(_) | None, Some(_) | None) => {}
    }
}

fn new_pool(found: &mut Found, pool: &Pool) {
    let is_legal = match pool.status.phase {
        PoolPhase::Waiting(_) => true,
        PoolPhase::Creating => pool.is_physical(),
        PoolPhase::Running => !pool.is_physical(),
        PoolPhase::Abnormal { .. }
        | PoolPhase::ScalingFailed { .. }
        | PoolPhase::CreationFailed { .. }
        | PoolPhase::Error { .. }
        | PoolPhase::Deleting => false,
    };
    found.edge(is_legal, "phases of pools follow their table", "none", pool.status.phase.as_str());
    found.unless(pool.generation == 1, "generations begin with 1", || pool.generation.to_string());
}

/// Physical pools go through `Deleting`, and failed ones by themselves; logical ones go at once.
fn gone_pool(found: &mut Found, pool: &Pool) {
    let is_legal = match pool.status.phase {
        PoolPhase::Deleting | PoolPhase::CreationFailed { .. } => true,
        PoolPhase::Error { .. } => pool.deleted_at.is_some() || !pool.is_physical(),
        PoolPhase::Waiting(_) | PoolPhase::Creating | PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } => {
            !pool.is_physical()
        }
    };
    found.edge(is_legal, "phases of pools follow their table", pool.status.phase.as_str(), "gone");
}

fn pool(found: &mut Found, before: &Pool, after: &Pool) {
    found.same(&before.name, &after.name, "name");
    found.same(&before.owner, &after.owner, "owner");
    found.same(&before.created_at, &after.created_at, "created_at");
    found.same(&before.is_physical(), &after.is_physical(), "type");
    found.grows(before.generation, after.generation, "a generation only grows");
    found.unless(
        before.generation < after.generation || is_same_spec(before, after),
        "a changed spec has a generation of its own",
        || before.generation.to_string(),
    );
    found.unless(
        before.deleted_at.is_none() || after.deleted_at.is_some(),
        "a deletion is not taken back",
        String::new,
    );
    let (was, is) = (&before.status, &after.status);
    found.edge(
        was.phase.may_become(&is.phase),
        "phases of pools follow their table",
        was.phase.as_str(),
        is.phase.as_str(),
    );
    found.grows(was.node_sequence, is.node_sequence, "sequences only grow");
    found.grows(was.event_sequence, is.event_sequence, "sequences only grow");
    let is_reopened = was.attempt.order == is.attempt.order && was.attempt.is_finished && !is.attempt.is_finished;
    found.unless(!is_reopened, "a finished attempt stays finished", || is.attempt.order.to_string());
    if after.is_physical() {
        scopes(found, before, after);
    }
    for (kind, driver) in &is.drivers {
        let from = was.drivers.get(kind).map(|driver| driver.state);
        let is_legal = from.map_or(driver.state == DriverState::Creating, |from| from.may_become(driver.state));
        let from = from.map_or("none", DriverState::as_str);
        found.edge(is_legal, "states of drivers follow their table", from, driver.state.as_str());
    }
}

/// Approval gives a logical pool its place in a tree; that is no change of what was asked for.
fn is_same_spec(before: &Pool, after: &Pool) -> bool {
    let mut adopted = before.spec.clone();
    if let (PoolKind::Logical(old), PoolKind::Logical(new)) = (&mut adopted.kind, &after.spec.kind)
        && old.parent.is_none()
    {
        old.parent.clone_from(&new.parent);
        old.root.clone_from(&new.root);
    }
    adopted == after.spec
}

/// Logical pools mirror their root, and skip what happened before they were approved; theirs are not looked at.
fn scopes(found: &mut Found, before: &Pool, after: &Pool) {
    for scope in &after.status.scopes {
        let from = before.status.scopes.iter().find(|known| known.job_type == scope.job_type);
        let is_legal = from.map_or(scope.state == ScopeState::Enabling, |from| from.state.may_become(scope.state));
        let from = from.map_or("none", |from| from.state.as_str());
        found.edge(is_legal, "states of job types follow their table", from, scope.state.as_str());
    }
    for known in &before.status.scopes {
        let is_kept = after.status.scopes.iter().any(|scope| scope.job_type == known.job_type);
        found.edge(is_kept, "states of job types follow their table", known.state.as_str(), "none");
    }
}

fn node(found: &mut Found, before: &Node, after: &Node) {
    found.same(&before.name, &after.name, "name");
    if before.pool_uid != after.pool_uid {
        // A move to another pool: its machine follows, and is installed anew there.
        found.same(&before.flavor, &after.flavor, "flavor");
        found.unless(
            after.care.coming_from.as_ref().is_some_and(|from| from.uid == before.pool_uid) && !after.was_available,
            "a node that changes its pool comes from the one before",
            || after.pool.to_string(),
        );
        return;
    }
    found.same(&before.flavor, &after.flavor, "flavor");
    found.unless(
        before.node_pool == after.node_pool || after.batch.is_some(),
        "only nodes of a batch change their node pool",
        || after.node_pool.to_string(),
    );
    found.same(&before.created_at, &after.created_at, "created_at");
    found.edge(
        before.phase.may_become(&after.phase),
        "phases of nodes follow their table",
        before.phase.as_str(),
        after.phase.as_str(),
    );
    found.unless(
        !before.was_available || after.was_available,
        "a node that was available has been",
        String::new,
    );
    let may_move = before.machine.is_none() && matches!(before.phase, NodePhase::Creating { .. });
    found.unless(may_move || before.az == after.az, "a node with a machine stays in its zone", || {
        format!("{} -> {}", before.az, after.az)
    });
}

fn plugin(found: &mut Found, before: &Plugin, after: &Plugin) {
    found.edge(
        before.phase.may_become(after.phase),
        "phases of plug-ins follow their table",
        before.phase.as_str(),
        after.phase.as_str(),
    );
}

fn order(found: &mut Found, before: &Order, after: &Order) {
    found.same(&before.name, &after.name, "name");
    found.same(&before.id, &after.id, "id");
    found.same(&before.pool_uid, &after.pool_uid, "pool");
    found.same(&before.operation, &after.operation, "operation");
    found.same(&before.created_at, &after.created_at, "created_at");
    let (from, to) = (before.phase.as_str(), after.phase.as_str());
    if before.phase.is_ended() {
        found.unless(before == after, "an order that has ended never changes", || {
            format!("{from} -> {to}")
        });
    } else {
        let has_begun = after.began_at.is_some();
        found.edge(
            before.phase.may_become(&after.phase, has_begun),
            "phases of orders follow their table",
            from,
            to,
        );
    }
    found.grows(before.items.len(), after.items.len(), "the items of an order are kept");
}

#[cfg(test)]
mod tests;
