//! Pools as queues of Volcano: each is an inner queue `<name>.tree` and a leaf `<name>` to which users submit. A leaf that has
//! pods cannot become a parent later, so the shape is the same from the beginning.
//!
//! Volcano judges each write by itself: a queue must not be deserved more than it may use, children not more together than their
//! parent, none may use more than what it is in. So a tree is changed in two passes: what shrinks, from the leaves up, then what
//! grows, from the root down. Whatever prefix of that has been carried out, the tree is lawful and the rest can be found anew.

use crate::amount::{Amount, Amounts};
use crate::mark::{node_group, own_slug, pool_slug};
use crate::quota::{PoolQuota, QuotaTree};
use domain::meta::Uid;
use domain::name::FlavorName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The queue above all physical pools. It and `default` are never touched.
pub const ROOT: &str = "root";
/// Annotation of a queue, from Volcano 1.16 on: the most that it may use in each group of Nodes.
pub const LIMITS: &str = "volcano.sh/nodegroup-resource-limits";
/// The deepest tree that Volcano allows unless it is told otherwise.
pub const MAX_DEPTH: usize = 5;

/// The fields of a queue that are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueSpec {
    pub parent: String,
    pub weight: i32,
    pub reclaimable: Option<bool>,
    pub deserved: Amounts,
    pub capability: Amounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_group_affinity: NodeGroupAffinity,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeGroupAffinity {
    pub required_during_scheduling_ignored_during_execution: Vec<String>,
}

/// What Volcano does with a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum QueueState {
    Open,
    Closed,
    Closing,
    /// Volcano has not looked at it yet, or has something new to say.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A queue as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedQueue {
    pub name: String,
    pub pool: Uid,
    pub is_leaf: bool,
    /// It takes no workloads.
    pub is_shut: bool,
    pub spec: QueueSpec,
    /// The value of [`LIMITS`].
    pub limits: Option<String>,
}

/// A queue of ours as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenQueue {
    pub pool: Uid,
    pub spec: QueueSpec,
    /// The value of [`LIMITS`].
    pub limits: Option<String>,
    pub state: QueueState,
    pub is_deleting: bool,
}

/// Queues by name.
pub type SeenQueues = BTreeMap<String, SeenQueue>;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Put {
        name: String,
        pool: Uid,
        spec: QueueSpec,
        limits: Option<String>,
    },
    Close {
        name: String,
    },
    Open {
        name: String,
    },
    Delete {
        name: String,
    },
}

/// The name of a pool's inner queue.
pub fn inner(leaf: &str) -> String {
    format!("{leaf}.tree")
}

/// The queues of a tree, parents before their children.
pub fn wanted(tree: &QuotaTree) -> Vec<WantedQueue> {
    tree.pools().iter().flat_map(|pool| queues(tree, pool)).collect()
}

fn queues(tree: &QuotaTree, pool: &PoolQuota) -> [WantedQueue; 2] {
    let name = pool_slug(&pool.mark);
    let above = pool.parent.as_ref().and_then(|uid| tree.pool(uid));
    let bounds = tree.bounds(pool);
    let used = pool.shares.iter().filter(|(_, share)| share.max_count > 0);
    let groups = used.flat_map(|(flavor, _)| groups(tree, pool, flavor)).collect();
    let queue = |name: String, parent, deserved, affinity: Option<Affinity>| WantedQueue {
        name,
        pool: pool.mark.uid.clone(),
        is_leaf: affinity.is_some(),
        is_shut: pool.is_shut && affinity.is_some(),
        limits: None,
        spec: QueueSpec {
            parent,
            weight: 1,
            reclaimable: Some(true),
            deserved,
            capability: bounds.capability.clone(),
            affinity,
        },
    };
    let parent = above.map_or_else(|| ROOT.to_owned(), |above| inner(&pool_slug(&above.mark)));
    let affinity = Affinity {
        node_group_affinity: NodeGroupAffinity {
            required_during_scheduling_ignored_during_execution: groups,
        },
    };
    [
        queue(inner(&name), parent, bounds.deserved.clone(), None),
        queue(name.clone(), inner(&name), bounds.own.clone(), Some(affinity)),
    ]
}

/// The groups of Nodes of a flavor that a pool may use: those kept for nobody, for itself, and for the pools that it is inside of.
fn groups(tree: &QuotaTree, pool: &PoolQuota, flavor: &FlavorName) -> Vec<String> {
    let root = tree.pools().first().map_or(&pool.mark.uid, |root| &root.mark.uid);
    let line = tree.line(pool);
    let kept = line.iter().map(|pool| Some(&pool.mark.uid)).filter(|uid| *uid != Some(root));
    let flavor = own_slug(flavor.as_str());
    let all = std::iter::once(None).chain(kept);
    all.map(|kept_for| node_group(root, &flavor, kept_for)).collect()
}

/// Keeps each pool to what it may use of each flavor, where sums over all flavors would not: for Volcano from 1.16 on.
pub fn limit(wanted: &mut [WantedQueue], tree: &QuotaTree) {
    for queue in wanted.iter_mut().filter(|queue| queue.is_leaf) {
        let Some(pool) = tree.pool(&queue.pool) else { continue };
        let mut limits: BTreeMap<String, Amounts> = BTreeMap::new();
        for (flavor, share) in pool.shares.iter().filter(|(_, share)| share.max_count > 0) {
            let node = tree.node(flavor).into_iter();
            let most: Amounts = node.map(|(name, amount)| (name, amount.times(share.max_count))).collect();
            limits.extend(groups(tree, pool, flavor).into_iter().map(|group| (group, most.clone())));
        }
        queue.limits = Some(crate::mark::write(&limits));
    }
}

/// The writes that lead from the queues that are there to those that are wanted, each lawful after those before it. Queues that
/// are not wanted are closed, and deleted once their pool is `idle`.
pub fn plan(wanted: &[WantedQueue], seen: &SeenQueues, idle: &BTreeSet<Uid>) -> Vec<Step> {
    let by_name: BTreeMap<&str, &WantedQueue> = wanted.iter().map(|queue| (queue.name.as_str(), queue)).collect();
    let order = top_down(seen);
    let small = shrunk(&by_name, seen, &order);
    let mut steps = Vec::new();
    for name in order.iter().rev().filter(|name| small[**name] != seen[**name].spec) {
        steps.push(Step::Put {
            name: (*name).to_owned(),
            pool: seen[*name].pool.clone(),
            spec: small[*name].clone(),
            limits: seen[*name].limits.clone(),
        });
    }
    for queue in wanted {
        let has_limits = seen
            .get(&queue.name)
            .is_some_and(|seen| is_same(queue.limits.as_ref(), seen.limits.as_ref()));
        if !has_limits || small.get(queue.name.as_str()).is_none_or(|spec| !is_met(&queue.spec, spec)) {
            steps.push(Step::Put {
                name: queue.name.clone(),
                pool: queue.pool.clone(),
                spec: queue.spec.clone(),
                limits: queue.limits.clone(),
            });
        }
        let name = || queue.name.clone();
        match seen.get(&queue.name).map(|seen| seen.state).filter(|_| queue.is_leaf) {
            Some(QueueState::Open) if queue.is_shut => steps.push(Step::Close { name: name() }),
            Some(QueueState::Closed | QueueState::Closing) if !queue.is_shut => steps.push(Step::Open { name: name() }),
            // Volcano says soon what it is.
            Some(QueueState::Open | QueueState::Closed | QueueState::Closing | QueueState::Unknown) | None => {}
        }
    }
    steps.extend(removals(&by_name, seen, &order, idle));
    steps
}

/// Whether a pool's queues are what they should be, and take workloads where they should.
pub fn is_conform(wanted: &[WantedQueue], seen: &SeenQueues) -> bool {
    wanted.iter().all(|queue| {
        seen.get(&queue.name).is_some_and(|seen| {
            let is_closed = matches!(seen.state, QueueState::Closed | QueueState::Closing);
            let is_limited = is_same(queue.limits.as_ref(), seen.limits.as_ref());
            !seen.is_deleting && is_limited && is_met(&queue.spec, &seen.spec) && (is_closed == queue.is_shut || !queue.is_leaf)
        })
    })
}

/// Whether two texts say the same limits.
fn is_same(one: Option<&String>, other: Option<&String>) -> bool {
    let read = |text: Option<&String>| text.map(|text| serde_json::from_str::<BTreeMap<String, Amounts>>(text).ok());
    one == other || read(one) == read(other)
}

/// Resources that a queue has besides those that are wanted do no harm while it has nothing of them.
fn is_met(wanted: &QueueSpec, seen: &QueueSpec) -> bool {
    let levels = |wanted: &Amounts, seen: &Amounts| {
        let has_all = wanted.iter().all(|(name, amount)| seen.get(name) == Some(amount));
        has_all && seen.iter().all(|(name, amount)| amount.is_zero() || wanted.contains_key(name))
    };
    wanted.parent == seen.parent
        && wanted.weight == seen.weight
        && wanted.reclaimable == seen.reclaimable
        && wanted.affinity == seen.affinity
        && levels(&wanted.deserved, &seen.deserved)
        && levels(&wanted.capability, &seen.capability)
}

/// Parents before their children.
fn top_down(seen: &SeenQueues) -> Vec<&str> {
    let depth = |name: &str| {
        let mut depth = 0;
        let mut at = seen.get(name);
        while let Some(queue) = at.filter(|_| depth <= seen.len()) {
            depth += 1;
            at = seen.get(&queue.spec.parent);
        }
        depth
    };
    let mut names: Vec<&str> = seen.keys().map(String::as_str).collect();
    names.sort_by_cached_key(|name| depth(name));
    names
}

/// The tree that is there, every queue reduced to what it has and is wanted to have. Where the tree is lawful so is this one; where
/// somebody has made it unlawful, it is cut so that it is.
fn shrunk<'a>(wanted: &BTreeMap<&str, &WantedQueue>, seen: &'a SeenQueues, order: &[&'a str]) -> BTreeMap<&'a str, QueueSpec> {
    let mut small: BTreeMap<&str, QueueSpec> = BTreeMap::new();
    let mut left: BTreeMap<&str, Amounts> = BTreeMap::new();
    for name in order {
        let queue = &seen[*name];
        let goal = wanted.get(name).map(|queue| &queue.spec);
        // What is to go below another parent must not count below this one when that one's own children grow.
        let stays = goal.is_some_and(|goal| goal.parent == queue.spec.parent);
        let above = small.get(queue.spec.parent.as_str());
        let mut spec = queue.spec.clone();
        for (resource, amount) in &mut spec.capability {
            let goal = goal.map_or(*amount, |goal| of(&goal.capability, resource));
            let limit = above.map_or(*amount, |above| of(&above.capability, resource));
            *amount = (*amount).min(goal).min(limit);
        }
        let free = left.get(queue.spec.parent.as_str());
        for (resource, amount) in &mut spec.deserved {
            let goal = goal.filter(|_| stays).map_or(Amount::ZERO, |goal| of(&goal.deserved, resource));
            let limit = free.map_or(*amount, |free| of(free, resource));
            *amount = (*amount).min(goal).min(limit).min(of(&spec.capability, resource));
        }
        if let Some(free) = left.get_mut(queue.spec.parent.as_str()) {
            for (resource, amount) in &spec.deserved {
                let entry = free.entry(resource.clone()).or_default();
                *entry = entry.minus(*amount);
            }
        }
        left.insert(name, spec.deserved.clone());
        small.insert(name, spec);
    }
    small
}

fn of(amounts: &Amounts, resource: &str) -> Amount {
    amounts.get(resource).copied().unwrap_or(Amount::ZERO)
}

/// Closes what is not wanted, and deletes it once it has no workloads: the children first.
fn removals(wanted: &BTreeMap<&str, &WantedQueue>, seen: &SeenQueues, order: &[&str], idle: &BTreeSet<Uid>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut kept: BTreeSet<&str> = wanted.values().map(|queue| queue.spec.parent.as_str()).collect();
    for name in order.iter().rev() {
        let queue = &seen[*name];
        // One that is wanted has been put below its new parent by now.
        if wanted.contains_key(name) {
            continue;
        }
        let is_deletable = idle.contains(&queue.pool) && !kept.contains(name);
        if !is_deletable || queue.is_deleting {
            kept.insert(&queue.spec.parent);
        }
        let is_leaf = queue.spec.affinity.is_some();
        if is_deletable && !queue.is_deleting {
            steps.push(Step::Delete { name: (*name).to_owned() });
        } else if !is_deletable && is_leaf && queue.state == QueueState::Open {
            steps.push(Step::Close { name: (*name).to_owned() });
        }
    }
    steps
}

#[cfg(test)]
mod tests;
