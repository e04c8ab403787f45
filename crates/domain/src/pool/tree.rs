//! The tree of logical pools: who may have how much of what (semantics §3).

use super::{Pool, PoolResource};
use crate::field::{FieldErrors, FieldPath, Reason};
use crate::name::FlavorName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Levels of pools, the physical root included, that admission allows.
pub const MAX_DEPTH: usize = 4;

/// Guaranteed and greatest amounts by flavor, summed over the elements of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub count: u64,
    pub max_count: u64,
}

pub fn amounts(resources: &[PoolResource]) -> BTreeMap<&FlavorName, Amount> {
    let mut sums: BTreeMap<&FlavorName, Amount> = BTreeMap::new();
    for element in resources {
        let sum = sums.entry(&element.flavor).or_default();
        sum.count += u64::from(element.count);
        sum.max_count += u64::from(element.max_count);
    }
    sums
}

/// What a pool has whatever becomes of a change that waits for payment: the smaller of before and after.
fn least(pool: &Pool) -> BTreeMap<&FlavorName, Amount> {
    let after = amounts(&pool.spec.resources);
    let Some(previous) = &pool.status.attempt.previous else {
        return after;
    };
    let before = amounts(previous);
    let both = after.into_iter().filter_map(|(flavor, after)| {
        let before = before.get(flavor)?;
        let amount = Amount {
            count: after.count.min(before.count),
            max_count: after.max_count.min(before.max_count),
        };
        Some((flavor, amount))
    });
    both.collect()
}

/// What a pool may come to have by a change that waits for payment: the larger of before and after.
fn most(pool: &Pool) -> BTreeMap<&FlavorName, Amount> {
    let mut most = amounts(&pool.spec.resources);
    for (flavor, before) in pool.status.attempt.previous.iter().flat_map(|previous| amounts(previous)) {
        let amount = most.entry(flavor).or_default();
        amount.count = amount.count.max(before.count);
        amount.max_count = amount.max_count.max(before.max_count);
    }
    most
}

/// What the direct sub-pools are guaranteed together. `CreationFailed` ones do not count, waiting ones do.
pub fn guaranteed<'a>(children: impl Iterator<Item = &'a Pool>) -> BTreeMap<FlavorName, u64> {
    let mut sums = BTreeMap::new();
    for child in children.filter(|child| child.counts()) {
        for (flavor, amount) in most(child) {
            *sums.entry(flavor.clone()).or_insert(0) += amount.count;
        }
    }
    sums
}

/// Whether a child with these resources fits into `parent` beside its other direct children, also if a change of the parent
/// that waits for payment is rejected.
pub fn check_child<'a>(resources: &[PoolResource], parent: &Pool, siblings: impl Iterator<Item = &'a Pool>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let has = least(parent);
    let taken = guaranteed(siblings);
    let wanted = amounts(resources);
    for (at, element) in resources.iter().enumerate() {
        let is_first = resources[..at].iter().all(|earlier| earlier.flavor != element.flavor);
        let (Some(asked), true) = (wanted.get(&element.flavor), is_first) else {
            continue;
        };
        // A flavor that the parent does not have at all is refused by itself.
        if parent.spec.resources.iter().all(|offered| offered.flavor != element.flavor) {
            continue;
        }
        let offered = has.get(&element.flavor).copied().unwrap_or_default();
        let path = FieldPath::of("spec").field("resources").index(at);
        let free = offered.count.saturating_sub(taken.get(&element.flavor).copied().unwrap_or(0));
        if asked.count > free {
            let message = format!(
                "flavor {} is wanted {} times, but {free} of {} are free in pool {}",
                element.flavor, asked.count, offered.count, parent.name
            );
            errors.push(path.field("count"), Reason::Capacity, message);
        } else if asked.max_count > offered.max_count {
            let message = format!(
                "flavor {} may be used up to {} times in pool {}, not {}",
                element.flavor, offered.max_count, parent.name, asked.max_count
            );
            errors.push(path.field("maxCount"), Reason::Capacity, message);
        }
    }
    errors
}

/// Whether a pool with these resources still covers what its direct children are guaranteed, and their upper limits.
pub fn check_parent<'a>(resources: &[PoolResource], children: impl Iterator<Item = &'a Pool> + Clone) -> Result<(), String> {
    let has = amounts(resources);
    for (flavor, needed) in guaranteed(children.clone()) {
        let left = has.get(&flavor).map_or(0, |amount| amount.count);
        if left < needed {
            return Err(format!(
                "sub-pools are guaranteed {needed} of flavor {flavor}, {left} would be left"
            ));
        }
    }
    for child in children.filter(|child| child.counts()) {
        for (flavor, amount) in most(child) {
            let left = has.get(flavor).map_or(0, |amount| amount.max_count);
            if amount.max_count > left {
                return Err(format!(
                    "sub-pool {} may use up to {} of flavor {flavor}, {left} would be left",
                    child.name, amount.max_count
                ));
            }
        }
    }
    Ok(())
}
