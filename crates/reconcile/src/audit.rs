//! Invariants of the world, as a pure function: run after every simulated commit, in tests, and by operators.

mod change;

pub use change::{Trail, audit_step};

use domain::catalogue::Offers;
use domain::node::Node;
use domain::order::Order;
use domain::pool::{Pool, PoolPhase, tree};
use domain::status;
use std::collections::BTreeMap;
use store::index::Snapshot;
use store::{CounterKey, counters};

/// Something that must never be true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub object: String,
    pub rule: &'static str,
    pub detail: String,
}

/// Everything that is wrong with a world.
pub fn audit(world: &Snapshot<'_>) -> Vec<Violation> {
    let pools: Vec<_> = world.all::<Pool>().into_iter().map(|pool| pool.object).collect();
    let nodes: Vec<_> = world.all::<Node>().into_iter().map(|node| node.object).collect();
    let mut found = Vec::new();
    for pool in &pools {
        audit_pool(pool, &pools, &nodes, world, &mut found);
    }
    let known: std::collections::BTreeSet<_> = pools.iter().map(|pool| pool.uid.clone()).collect();
    for node in nodes.iter().filter(|node| !known.contains(&node.pool_uid)) {
        found.push(Violation {
            object: node.name.to_string(),
            rule: "a node belongs to a pool",
            detail: node.pool.to_string(),
        });
    }
    audit_counters(&pools, world, &mut found);
    found
}

fn audit_pool(
    pool: &Pool,
    pools: &[std::sync::Arc<Pool>],
    nodes: &[std::sync::Arc<Node>],
    world: &Snapshot<'_>,
    found: &mut Vec<Violation>,
) {
    let mut violation = |rule: &'static str, detail: String| {
        found.push(Violation {
            object: pool.name.to_string(),
            rule,
            detail,
        });
    };
    let own: Vec<&Node> = nodes.iter().map(AsRef::as_ref).filter(|node| node.pool_uid == pool.uid).collect();
    let counted = status::resource_counts(
        &Pool {
            deleted_at: Some(pool.created_at),
            ..pool.clone()
        },
        own.iter().copied(),
        &Offers::new(),
    )
    .counters();
    let shown = pool.status.resources.counters();
    if pool.is_physical() && (counted.available, counted.abnormal, counted.deleting) != (shown.available, shown.abnormal, shown.deleting) {
        violation("counts match the nodes", format!("{shown} shown, {counted} counted"));
    }
    let children: Vec<&Pool> = pools
        .iter()
        .map(AsRef::as_ref)
        .filter(|child| {
            child
                .logical()
                .and_then(|spec| spec.parent.as_ref())
                .is_some_and(|parent| parent.name == pool.name && parent.project == pool.owner.project)
        })
        .collect();
    if let Err(reason) = tree::check_parent(&pool.spec.resources, children.iter().copied()) {
        violation("sums of sub-pools hold", reason);
    }
    let counting = children.iter().filter(|child| child.counts()).count();
    if counting != pool.status.children as usize {
        violation(
            "the number of sub-pools is right",
            format!("{} shown, {counting} counted", pool.status.children),
        );
    }
    match world.get::<Order>(&pool.owner.project, &pool.status.attempt.order) {
        None => violation("the order of the attempt exists", pool.status.attempt.order.to_string()),
        Some(order) if order.phase.is_ended() != pool.status.attempt.is_finished => {
            violation(
                "the attempt is finished exactly when its order has ended",
                order.phase.as_str().to_owned(),
            );
        }
        Some(_) => {}
    }
    if (pool.status.phase == PoolPhase::Deleting) && pool.deleted_at.is_none() {
        violation("a deleting pool was deleted", String::new());
    }
}

fn audit_counters(pools: &[std::sync::Arc<Pool>], world: &Snapshot<'_>, found: &mut Vec<Violation>) {
    let mut derived: BTreeMap<CounterKey, u64> = BTreeMap::new();
    for (key, count) in pools.iter().flat_map(|pool| counters::holdings(pool)) {
        *derived.entry(key).or_insert(0) += count.unsigned_abs();
    }
    for network in world.all::<domain::network::Network>() {
        *derived.entry(counters::networks_of(&network.project)).or_insert(0) += 1;
    }
    let stored: BTreeMap<CounterKey, u64> = world.counters().map(|(key, value)| (key.clone(), value)).collect();
    for key in derived.keys().chain(stored.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (is, should) = (stored.get(key).copied().unwrap_or(0), derived.get(key).copied().unwrap_or(0));
        if is != should {
            found.push(Violation {
                object: key.to_string(),
                rule: "counters equal their sums",
                detail: format!("{is} stored, {should} derived"),
            });
        }
    }
}
