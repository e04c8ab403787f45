//! What each pool of a tree may use, in numbers of nodes and in resources. Common to all schedulers.

use crate::amount::{Amount, Amounts, add};
use domain::meta::Uid;
use domain::name::FlavorName;
use fleet::{PoolMark, Quota};
use std::collections::{BTreeMap, BTreeSet};

/// What one node of each flavor counts in queues.
pub type PerNode = BTreeMap<FlavorName, Amounts>;

/// A physical pool and the logical ones inside it. Whatever was asked for, it holds that a pool is guaranteed no more than it may
/// use, that children are guaranteed no more than their parent together, and that none may use more than its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaTree {
    /// The physical pool first, parents before their children.
    pools: Vec<PoolQuota>,
    per_node: PerNode,
    /// Every resource that a pool of the tree has.
    resources: BTreeSet<String>,
}

/// A pool in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolQuota {
    pub mark: PoolMark,
    /// `None`: the physical pool.
    pub parent: Option<Uid>,
    pub has_children: bool,
    /// No workload starts in it.
    pub is_shut: bool,
    pub shares: BTreeMap<FlavorName, Share>,
}

/// Numbers of nodes of a flavor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Guaranteed, with what the children are.
    pub count: u64,
    pub max_count: u64,
    /// Guaranteed to the pool itself.
    pub own: u64,
}

/// Resources of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    pub deserved: Amounts,
    pub capability: Amounts,
    /// Deserved without what the children deserve.
    pub own: Amounts,
}

impl QuotaTree {
    /// Pools whose parent is not there are left out, with what is below them; so are further physical ones.
    pub fn new(quotas: &[Quota], per_node: &PerNode) -> Self {
        let mut pools: Vec<PoolQuota> = Vec::new();
        let mut places: BTreeMap<&Uid, usize> = BTreeMap::new();
        for quota in quotas {
            let parent = match &quota.parent {
                None if pools.is_empty() => None,
                None => continue,
                Some(uid) => match places.get(uid) {
                    Some(at) => Some(*at),
                    None => continue,
                },
            };
            if places.contains_key(&quota.pool.uid) {
                continue;
            }
            let mut shares = BTreeMap::new();
            for (flavor, amount) in &quota.amounts {
                let (most, free) = match parent.map(|at| pools[at].shares.get(flavor).copied().unwrap_or_default()) {
                    None => (u64::MAX, u64::MAX),
                    Some(above) => (above.max_count, above.own),
                };
                let max_count = amount.max_count.min(most);
                let count = amount.count.min(max_count).min(free);
                let own = count;
                shares.insert(flavor.clone(), Share { count, max_count, own });
            }
            if let Some(at) = parent {
                pools[at].has_children = true;
                for (flavor, share) in &shares {
                    if let Some(above) = pools[at].shares.get_mut(flavor) {
                        above.own -= share.count;
                    }
                }
            }
            places.insert(&quota.pool.uid, pools.len());
            pools.push(PoolQuota {
                mark: quota.pool.clone(),
                parent: quota.parent.clone(),
                has_children: false,
                is_shut: quota.is_shut,
                shares,
            });
        }
        let flavors: BTreeSet<&FlavorName> = pools.iter().flat_map(|pool| pool.shares.keys()).collect();
        let per_node: PerNode = flavors
            .into_iter()
            .filter_map(|flavor| Some((flavor.clone(), per_node.get(flavor)?.clone())))
            .collect();
        let resources = per_node.values().flat_map(BTreeMap::keys).cloned().collect();
        Self {
            pools,
            per_node,
            resources,
        }
    }

    /// The physical pool first, parents before their children.
    pub fn pools(&self) -> &[PoolQuota] {
        &self.pools
    }

    pub fn pool(&self, uid: &Uid) -> Option<&PoolQuota> {
        self.pools.iter().find(|pool| pool.mark.uid == *uid)
    }

    /// A pool and those that it is inside of.
    pub fn line<'a>(&'a self, pool: &'a PoolQuota) -> Vec<&'a PoolQuota> {
        let mut line = vec![pool];
        let mut above = pool.parent.as_ref();
        // Parents come before their children, so that this ends.
        while let Some(next) = above.and_then(|uid| self.pool(uid)) {
            line.push(next);
            above = next.parent.as_ref();
        }
        line
    }

    /// Every resource that a pool of the tree has.
    pub fn resources(&self) -> &BTreeSet<String> {
        &self.resources
    }

    /// What one node of a flavor counts, of each resource of the tree.
    pub fn node(&self, flavor: &FlavorName) -> Amounts {
        let known = self.per_node.get(flavor);
        let amount = |name: &String| known.and_then(|known| known.get(name)).copied().unwrap_or(Amount::ZERO);
        self.resources.iter().map(|name| (name.clone(), amount(name))).collect()
    }

    /// The sums over a pool's flavors. Each names every resource of the tree: to some schedulers one that is not named is
    /// without a limit.
    pub fn bounds(&self, pool: &PoolQuota) -> Bounds {
        let none: Amounts = self.resources.iter().map(|name| (name.clone(), Amount::ZERO)).collect();
        let sum = |count: fn(&Share) -> u64| {
            let mut sum = none.clone();
            for (flavor, share) in &pool.shares {
                if let Some(node) = self.per_node.get(flavor) {
                    add(&mut sum, node, count(share));
                }
            }
            sum
        };
        Bounds {
            deserved: sum(|share| share.count),
            capability: sum(|share| share.max_count),
            own: sum(|share| share.own),
        }
    }

    /// Flavors of which the catalogue does not say what a node counts: nobody can use them by a queue.
    pub fn unknown_flavors(&self) -> BTreeSet<&FlavorName> {
        let flavors = self.pools.iter().flat_map(|pool| pool.shares.keys());
        flavors.filter(|flavor| !self.per_node.contains_key(*flavor)).collect()
    }
}

/// Quotas in the order in which a tree is told: level by level, the children of one pool by project and name.
pub fn ordered(mut quotas: Vec<Quota>) -> Vec<Quota> {
    quotas.sort_by(|one, other| one.pool.pool.cmp(&other.pool.pool));
    let mut all: Vec<Quota> = quotas.extract_if(.., |quota| quota.parent.is_none()).collect();
    let mut at = 0;
    while let Some(parent) = all.get(at).map(|quota| quota.pool.uid.clone()) {
        all.extend(quotas.extract_if(.., |quota| quota.parent.as_ref() == Some(&parent)));
        at += 1;
    }
    all.append(&mut quotas);
    all
}

#[cfg(test)]
pub(crate) mod tests;
