//! A pool's node counts, derived from its spec and its nodes: one function for whoever changes either.

use crate::catalogue::{Offer, Offers};
use crate::name::FlavorName;
use crate::node::{Node, NodeCounter};
use crate::order::OrderCount;
use crate::place::{self, Zones};
use crate::pool::{AzCount, ElementKey, FlavorCount, Pool, PoolPhase, PoolResource, ResourceCounts};
use std::collections::BTreeMap;

/// Nodes by element, state and zone.
type Table = BTreeMap<ElementKey, BTreeMap<NodeCounter, Zones>>;

/// The four lists of `status.resources`. Nodes that the spec wants and that have no record yet count as creating, in
/// the zone that placement would choose now.
pub fn resource_counts<'a>(pool: &Pool, nodes: impl Iterator<Item = &'a Node>, offers: &Offers) -> ResourceCounts {
    let mut table = table(nodes);
    if is_building(pool) {
        for element in &pool.spec.resources {
            let key = element.element();
            let states = table.entry(key.clone()).or_default();
            let missing = place::delta(
                element,
                &present(states),
                pool.status.attempt.given_up_of(&key),
                offer(offers, element),
            )
            .add;
            for (zone, count) in missing {
                *states.entry(NodeCounter::Creating).or_default().entry(zone).or_insert(0) += count;
            }
        }
    }
    let list = |counter: NodeCounter| -> Vec<FlavorCount> {
        table
            .iter()
            .filter_map(|(key, states)| flavor_count(key, states.get(&counter)?, &pool.spec.resources))
            .collect()
    };
    ResourceCounts {
        creating: list(NodeCounter::Creating),
        available: list(NodeCounter::Available),
        abnormal: list(NodeCounter::Abnormal),
        deleting: list(NodeCounter::Deleting),
    }
}

fn table<'a>(nodes: impl Iterator<Item = &'a Node>) -> Table {
    // There are many nodes of few kinds.
    let mut kinds: Vec<(&Node, NodeCounter, u32)> = Vec::new();
    for node in nodes {
        let counter = node.counter();
        let is_like = |(other, known, _): &&mut (&Node, NodeCounter, u32)| {
            *known == counter && other.az == node.az && other.flavor == node.flavor && other.node_pool == node.node_pool
        };
        match kinds.iter_mut().find(is_like) {
            Some((_, _, count)) => *count += 1,
            None => kinds.push((node, counter, 1)),
        }
    }
    let mut table = Table::new();
    for (node, counter, count) in kinds {
        let zones = table.entry(node.element()).or_default().entry(counter).or_default();
        zones.insert(node.az.clone(), count);
    }
    table
}

/// Whether missing nodes are being made: a physical pool with nothing to wait for.
pub fn is_building(pool: &Pool) -> bool {
    pool.is_physical()
        && pool.deleted_at.is_none()
        && pool.status.attempt.previous.is_none()
        && match pool.status.phase {
            PoolPhase::Creating | PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } => true,
            PoolPhase::Waiting(_) | PoolPhase::CreationFailed { .. } | PoolPhase::Error { .. } | PoolPhase::Deleting => false,
        }
}

/// The nodes of an element that are not on their way out, by zone.
pub fn present_nodes<'a>(nodes: impl Iterator<Item = &'a Node>, key: &ElementKey) -> Zones {
    let mut zones = Zones::new();
    for node in nodes.filter(|node| !node.phase.is_deleting() && node.flavor == key.flavor && node.node_pool == key.node_pool) {
        *zones.entry(node.az.clone()).or_insert(0) += 1;
    }
    zones
}

/// The driver version that a node should have: one for it alone, else its node pool's, else the pool's.
pub fn driver_target<'a>(pool: &'a Pool, node: &'a Node) -> Option<&'a str> {
    let usual = usual_driver_target(pool, node);
    let own = node.care.driver.as_ref().filter(|own| own.instead_of.as_deref() == usual);
    own.map(|own| own.version.as_str()).or(usual)
}

/// As [`driver_target`], without what was asked for the node alone.
pub fn usual_driver_target<'a>(pool: &'a Pool, node: &Node) -> Option<&'a str> {
    let kind = node.driver.as_ref()?.kind;
    let is_its = |element: &&PoolResource| element.is(&node.flavor, &node.node_pool);
    let own = pool
        .spec
        .resources
        .iter()
        .find(is_its)
        .and_then(|element| element.driver_version.as_deref());
    own.or_else(|| pool.status.drivers.get(&kind).map(|status| status.target.as_str()))
}

/// The offer for an element's flavor; nothing where there is none.
pub fn offer<'a>(offers: &'a Offers, element: &PoolResource) -> &'a Offer {
    static NOTHING: Offer = Offer { zones: BTreeMap::new() };
    offers.get(&element.flavor).unwrap_or(&NOTHING)
}

/// What a pool has, by flavor: the nodes of its status that are up, whether well or not; of a logical pool its quota.
/// `resultCount` of orders.
pub fn reached(pool: &Pool) -> Vec<OrderCount> {
    if pool.logical().is_some() {
        return crate::order::counts(&pool.spec.resources);
    }
    let counts = &pool.status.resources;
    let mut sums: BTreeMap<&FlavorName, (u32, Zones)> = BTreeMap::new();
    for FlavorCount { key, count, azs, .. } in counts.available.iter().chain(&counts.abnormal) {
        let (sum, zones) = sums.entry(&key.flavor).or_default();
        *sum += count;
        for entry in azs {
            *zones.entry(entry.az.clone()).or_insert(0) += entry.count;
        }
    }
    sums.into_iter()
        .map(|(flavor, (count, zones))| OrderCount {
            flavor: flavor.clone(),
            count,
            max_count: count,
            azs: zones.into_iter().map(|(az, count)| AzCount { az, count }).collect(),
        })
        .collect()
}

fn present(states: &BTreeMap<NodeCounter, Zones>) -> Zones {
    let mut present = Zones::new();
    for (_, zones) in states.iter().filter(|(counter, _)| **counter != NodeCounter::Deleting) {
        for (zone, count) in zones {
            *present.entry(zone.clone()).or_insert(0) += count;
        }
    }
    present
}

fn flavor_count(key: &ElementKey, zones: &Zones, resources: &[PoolResource]) -> Option<FlavorCount> {
    let count: u32 = zones.values().sum();
    (count > 0).then(|| FlavorCount {
        key: key.clone(),
        count,
        azs: zones
            .iter()
            .map(|(az, count)| AzCount {
                az: az.clone(),
                count: *count,
            })
            .collect(),
        creating_step: resources
            .iter()
            .find(|element| element.element() == *key)
            .and_then(|element| element.creating_step.clone()),
    })
}
