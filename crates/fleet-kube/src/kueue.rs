//! Pools as ClusterQueues of Kueue. A pool with children is a Cohort too, in the Cohort of its parent; each name space of a pool has
//! a LocalQueue `default`. Kueue does not weigh queues against each other, so what shrinks is written before what grows only in order
//! that never more is promised than there is.

use crate::amount::{Amount, Amounts};
use crate::mark;
use crate::object::{Change, Key, Kind, Object};
use crate::quota::{PoolQuota, QuotaTree};
use domain::meta::Uid;
use domain::name::FlavorName;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The LocalQueue in every name space of a pool.
pub const LOCAL_QUEUE: &str = "default";
/// Flavors, and resources, that a queue can have.
const MOST: usize = 64;

/// Objects of ours that are there.
pub type SeenObjects = BTreeMap<Key, Arc<DynamicObject>>;

/// Why a tree cannot be made into queues.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pool {pool} has more flavors or resources than a queue can have: {MOST}")]
pub struct TooWide {
    pub pool: String,
}

/// The objects of a tree: what others name comes before them. `spaces` are the name spaces of each pool.
pub fn wanted(tree: &QuotaTree, spaces: &BTreeMap<Uid, Vec<String>>) -> Result<Vec<Object>, TooWide> {
    let Some(root) = tree.pools().first() else { return Ok(Vec::new()) };
    if let Some(wide) = tree
        .pools()
        .iter()
        .find(|pool| pool.shares.len() > MOST || tree.resources().len() > MOST)
    {
        let pool = wide.mark.pool.name.to_string();
        return Err(TooWide { pool });
    }
    let flavors: BTreeSet<&FlavorName> = tree.pools().iter().flat_map(|pool| pool.shares.keys()).collect();
    let mut all: Vec<Object> = flavors.into_iter().map(|flavor| resource_flavor(root, flavor)).collect();
    all.extend(tree.pools().iter().filter(|pool| has_cohort(pool)).map(|pool| cohort(root, pool)));
    all.extend(tree.pools().iter().map(|pool| cluster_queue(tree, root, pool)));
    for pool in tree.pools() {
        let spaces = spaces.get(&pool.mark.uid).into_iter().flatten();
        all.extend(spaces.map(|space| local_queue(root, pool, space)));
    }
    Ok(all)
}

/// A borrowing limit is refused outside a cohort, so the physical pool has one also without children.
fn has_cohort(pool: &PoolQuota) -> bool {
    pool.has_children || pool.parent.is_none()
}

fn name(uid: &Uid) -> String {
    mark::object_name(uid, "")
}

fn flavor_name(root: &Uid, flavor: &FlavorName) -> String {
    mark::object_name(root, &format!("-{}", mark::digest(&[flavor.as_str()], 8)))
}

fn object(kind: Kind, name: &str, root: &PoolQuota, pool: &PoolQuota) -> Object {
    Object::of_pool(Key::cluster(kind, name), &root.mark.uid, &pool.mark.uid)
}

fn resource_flavor(root: &PoolQuota, flavor: &FlavorName) -> Object {
    let uid = &root.mark.uid;
    let toleration = json!({"key": mark::TAINT_POOL, "operator": "Equal", "value": mark::pool_slug(&root.mark), "effect": "NoSchedule"});
    let labels = json!({mark::POOL: uid.as_str(), mark::FLAVOR: mark::own_slug(flavor.as_str())});
    let spec = json!({"nodeLabels": labels, "tolerations": [toleration]});
    object(Kind::ResourceFlavor, &flavor_name(uid, flavor), root, root).with("spec", spec)
}

fn cohort(root: &PoolQuota, pool: &PoolQuota) -> Object {
    let spec = pool.parent.as_ref().map_or(json!({}), |parent| json!({"parentName": name(parent)}));
    object(Kind::Cohort, &name(&pool.mark.uid), root, pool).with("spec", spec)
}

fn cluster_queue(tree: &QuotaTree, root: &PoolQuota, pool: &PoolQuota) -> Object {
    let uid = &pool.mark.uid;
    let cohort = pool.parent.as_ref().filter(|_| !has_cohort(pool)).unwrap_or(uid);
    let entry = |(flavor, share): (&FlavorName, &crate::quota::Share)| {
        let node = tree.node(flavor);
        let quota = |(resource, amount): (&String, &Amount)| {
            let (own, more) = (amount.times(share.own), amount.times(share.max_count.saturating_sub(share.own)));
            json!({"name": resource, "nominalQuota": own.to_string(), "borrowingLimit": more.to_string()})
        };
        json!({"name": flavor_name(&root.mark.uid, flavor), "resources": node.iter().map(quota).collect::<Vec<_>>()})
    };
    let flavors: Vec<Value> = pool.shares.iter().map(entry).collect();
    let groups = if flavors.is_empty() || tree.resources().is_empty() {
        json!([])
    } else {
        json!([{"coveredResources": tree.resources(), "flavors": flavors}])
    };
    let preemption = json!({
        "reclaimWithinCohort": "Any", "borrowWithinCohort": {"policy": "Never"}, "withinClusterQueue": "LowerPriority",
    });
    let spec = json!({
        "cohortName": name(cohort),
        "namespaceSelector": {"matchLabels": {mark::POOL: uid.as_str()}},
        "preemption": preemption,
        "resourceGroups": groups,
        "stopPolicy": if pool.is_shut { "Hold" } else { "None" },
    });
    object(Kind::ClusterQueue, &name(uid), root, pool).with("spec", spec)
}

fn local_queue(root: &PoolQuota, pool: &PoolQuota, space: &str) -> Object {
    let key = Key::inside(Kind::LocalQueue, space, LOCAL_QUEUE);
    Object::of_pool(key, &root.mark.uid, &pool.mark.uid).with("spec", json!({"clusterQueue": name(&pool.mark.uid)}))
}

/// The writes that lead from the objects that are there to those that are wanted. What is not wanted is stopped, and deleted once
/// its pool is `idle`.
pub fn plan(wanted: &[Object], seen: &SeenObjects, idle: &BTreeSet<Uid>) -> Vec<Change> {
    let by_key: BTreeMap<&Key, &Object> = wanted.iter().map(|object| (&object.key, object)).collect();
    let mut changes = Vec::new();
    let is_unmet = |object: &&Object| seen.get(&object.key).is_none_or(|seen| !object.is_met(seen));
    let of = |kinds: &'static [Kind]| wanted.iter().filter(|object| kinds.contains(&object.key.kind)).filter(is_unmet);
    changes.extend(of(&[Kind::ResourceFlavor, Kind::Cohort]).cloned().map(Change::Put));
    for (key, queue) in seen.iter().filter(|(key, _)| key.kind == Kind::ClusterQueue) {
        changes.extend(shrunk(queue, key, by_key.get(key).copied()).map(Change::Put));
    }
    changes.extend(of(&[Kind::ClusterQueue, Kind::LocalQueue]).cloned().map(Change::Put));
    changes.extend(removals(&by_key, seen, idle).map(Change::Delete));
    changes
}

/// Whether the objects are what they should be.
pub fn is_conform<'a>(wanted: impl IntoIterator<Item = &'a Object>, seen: &SeenObjects) -> bool {
    wanted
        .into_iter()
        .all(|object| seen.get(&object.key).is_some_and(|seen| object.is_met(seen)))
}

/// Nominal quotas of a queue by flavor and resource.
fn nominal(spec: &Value) -> BTreeMap<String, Amounts> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = list(&spec["resourceGroups"]);
    let flavors = groups.iter().flat_map(|group| list(&group["flavors"]));
    flavors
        .map(|flavor| {
            let resources = list(&flavor["resources"]);
            let amounts = resources.iter().filter_map(|resource| {
                let amount = serde_json::from_value(resource["nominalQuota"].clone()).ok()?;
                Some((resource["name"].as_str()?.to_owned(), amount))
            });
            (flavor["name"].as_str().unwrap_or_default().to_owned(), amounts.collect())
        })
        .collect()
}

/// A queue as it is, without what it is to lose. `None`: it loses nothing. One that is not wanted takes nothing more.
fn shrunk(seen: &DynamicObject, key: &Key, wanted: Option<&Object>) -> Option<Object> {
    if seen.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let goal = wanted.map(|wanted| nominal(&wanted.body["spec"])).unwrap_or_default();
    let mut spec = seen.data["spec"].clone();
    let mut is_less = false;
    let list = |value: &mut Value, field: &str| {
        value
            .get_mut(field)
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
            .unwrap_or_default()
    };
    let mut groups = list(&mut spec, "resourceGroups");
    for group in &mut groups {
        let mut flavors = list(group, "flavors");
        for flavor in &mut flavors {
            let goal = goal.get(flavor["name"].as_str().unwrap_or_default());
            let mut resources = list(flavor, "resources");
            for resource in &mut resources {
                let most = goal
                    .and_then(|goal| goal.get(resource["name"].as_str()?))
                    .copied()
                    .unwrap_or(Amount::ZERO);
                let has: Amount = serde_json::from_value(resource["nominalQuota"].clone()).unwrap_or_default();
                if has > most {
                    is_less = true;
                    resource["nominalQuota"] = json!(most);
                }
            }
            flavor["resources"] = Value::Array(resources);
        }
        group["flavors"] = Value::Array(flavors);
    }
    spec["resourceGroups"] = Value::Array(groups);
    if wanted.is_none() && spec["stopPolicy"] != "Hold" {
        is_less = true;
        spec["stopPolicy"] = json!("Hold");
    }
    let labels = seen.metadata.labels.as_ref();
    let uid = |label: &str| Some(Uid::from_text(labels?.get(label)?));
    let object = Object::of_pool(key.clone(), &uid(mark::ROOT)?, &uid(mark::POOL)?);
    is_less.then(|| object.with("spec", spec))
}

/// What is not wanted any more: what names others goes before them, children before their parents.
fn removals(wanted: &BTreeMap<&Key, &Object>, seen: &SeenObjects, idle: &BTreeSet<Uid>) -> impl Iterator<Item = Key> {
    let is_part = |key: &Key| match key.kind {
        Kind::ResourceFlavor | Kind::Cohort | Kind::ClusterQueue | Kind::LocalQueue => true,
        Kind::Namespace | Kind::Queue | Kind::QueueCommand | Kind::HelmRelease | Kind::Application | Kind::NvidiaDriver => false,
    };
    let is_removed = |(key, object): &(&Key, &Arc<DynamicObject>)| {
        let pool = object.metadata.labels.as_ref().and_then(|labels| labels.get(mark::POOL));
        // Flavors of which no queue speaks any more serve nobody, also while the pool works.
        let is_idle = key.kind == Kind::ResourceFlavor || pool.is_some_and(|uid| idle.contains(&Uid::from_text(uid)));
        is_part(key) && !wanted.contains_key(key) && object.metadata.deletion_timestamp.is_none() && is_idle
    };
    let depth = |key: &Key| {
        let mut depth = 0;
        let mut at = Some(key.clone());
        while let Some(object) = at.as_ref().and_then(|key| seen.get(key)).filter(|_| depth <= seen.len()) {
            depth += 1;
            at = object.data["spec"]["parentName"]
                .as_str()
                .map(|parent| Key::cluster(Kind::Cohort, parent));
        }
        depth
    };
    let is_named = seen
        .iter()
        .filter(|(key, _)| key.kind == Kind::ClusterQueue && !wanted.contains_key(key))
        .filter(|entry| !is_removed(entry))
        .flat_map(|(_, queue)| nominal(&queue.data["spec"]).into_keys())
        .collect::<BTreeSet<String>>();
    let mut gone: Vec<Key> = seen.iter().filter(is_removed).map(|(key, _)| key.clone()).collect();
    gone.retain(|key| key.kind != Kind::ResourceFlavor || !is_named.contains(&key.name));
    gone.sort_by_cached_key(|key| {
        let rank = match key.kind {
            Kind::LocalQueue => 0,
            Kind::ClusterQueue => 1,
            Kind::Cohort => 2,
            Kind::Namespace
            | Kind::Queue
            | Kind::QueueCommand
            | Kind::ResourceFlavor
            | Kind::HelmRelease
            | Kind::Application
            | Kind::NvidiaDriver => 3,
        };
        (rank, std::cmp::Reverse(depth(key)))
    });
    gone.into_iter()
}

#[cfg(test)]
mod tests;
