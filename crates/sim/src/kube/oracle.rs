//! What must hold after every single write to the cluster. Reads what the server has accepted, write by write, in its order.

use fleet_kube::mark;
use jiff::Timestamp;
use kube_fake::{Change, ChangeKind, FakeCluster, Key, queue_tree_faults};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// In whose name the controllers write.
pub(crate) const OWN_USER: &str = "system:serviceaccount:poolkeeper-system:poolkeeper";
/// A label that both pools and strangers set.
pub(crate) const SHARED_LABEL: &str = "team";
const QUEUES: &str = "queues.scheduling.volcano.sh";

/// What is known of the cluster as of the last write that was looked at.
#[derive(Default)]
pub(crate) struct Oracle {
    cursor: u64,
    /// Epochs that the fence was raised to, and when.
    fences: Vec<(Timestamp, u64)>,
    /// How far the server's copy of the fence may be behind.
    lag: Duration,
    /// What strangers have last made of [`SHARED_LABEL`], by Node.
    shared: BTreeMap<String, Option<String>>,
    /// Pods that have a Node and have not ended.
    pods: BTreeMap<Key, String>,
    queues: BTreeMap<String, Arc<Value>>,
    /// Physical pools of name spaces.
    spaces: BTreeMap<String, String>,
    /// Nodes that are the same node at this moment, so that each is told once.
    doubled: BTreeSet<String>,
    pub tally: Tally,
}

/// What has been seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub claims: u64,
    pub releases: u64,
    /// Writes to Nodes in the name of the controllers.
    pub node_writes: u64,
    /// Writes to other objects in the name of an epoch that was over. The policy is about Nodes.
    pub late_writes: u64,
    pub queue_writes: u64,
    /// Nodes that were one node for a while, after a race that neither the fence nor versions prevent.
    pub doubles: u64,
}

/// Who writes a Node, and what it was and is.
struct NodeWrite<'a> {
    name: &'a str,
    at: Timestamp,
    before: &'a Value,
    after: &'a Value,
}

impl Oracle {
    pub fn with_lag(lag: Duration) -> Self {
        Self { lag, ..Self::default() }
    }

    /// Looks at every write since the last look. Gives what is wrong.
    pub fn look(&mut self, cluster: &FakeCluster) -> Vec<String> {
        let mut wrong = Vec::new();
        for change in cluster.changes_since(self.cursor) {
            self.cursor = change.version;
            let found = self.look_at(&change);
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", change.at)));
        }
        self.count_doubles(cluster);
        wrong
    }

    fn look_at(&mut self, change: &Change) -> Vec<String> {
        let is_own = &*change.by == OWN_USER;
        let mut wrong = Vec::new();
        if is_own && &*change.key.ty != "nodes" {
            let epoch = epoch(&change.object);
            let is_late = change.kind != ChangeKind::Deleted && epoch.is_some_and(|epoch| epoch < self.newest(change.at, Duration::ZERO));
            self.tally.late_writes += u64::from(is_late);
        }
        match &*change.key.ty {
            "nodes" => wrong.extend(self.node(change, is_own)),
            "pods" => wrong.extend(self.pod(change)),
            "namespaces" => self.space(change),
            "configmaps" if change.key.name == mark::FENCE => wrong.extend(self.fence(change)),
            QUEUES => wrong.extend(self.queue(change, is_own)),
            _ => {}
        }
        wrong
    }

    /// The newest epoch that the server knew of then, to be sure.
    fn newest(&self, now: Timestamp, lag: Duration) -> u64 {
        let since = now.saturating_sub(lag).unwrap_or(Timestamp::MIN);
        let known = self.fences.iter().filter(|(at, _)| *at <= since);
        known.map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    fn fence(&mut self, change: &Change) -> Option<String> {
        let epoch = change.object["data"]["epoch"].as_str()?.parse().unwrap_or(0);
        let before = self.fences.last().map_or(0, |(_, epoch)| *epoch);
        self.fences.push((change.at, epoch));
        let is_lowered = epoch < before || change.kind == ChangeKind::Deleted;
        is_lowered.then(|| format!("the fence was lowered from {before} to {epoch}"))
    }

    fn space(&mut self, change: &Change) {
        let name = change.key.name.clone();
        match label(&change.object, mark::ROOT).filter(|_| change.kind != ChangeKind::Deleted) {
            Some(root) => drop(self.spaces.insert(name, root.to_owned())),
            None => drop(self.spaces.remove(&name)),
        }
    }

    fn queue(&mut self, change: &Change, is_own: bool) -> Vec<String> {
        self.tally.queue_writes += u64::from(is_own);
        let name = change.key.name.clone();
        match change.kind {
            ChangeKind::Deleted => drop(self.queues.remove(&name)),
            ChangeKind::Added | ChangeKind::Modified => drop(self.queues.insert(name, Arc::clone(&change.object))),
        }
        let faults = queue_tree_faults(&self.queues);
        faults
            .into_iter()
            .map(|fault| format!("the tree of queues is not legal after a write to {}: {fault}", change.key.name))
            .collect()
    }

    fn pod(&mut self, change: &Change) -> Option<String> {
        let pod = &change.object;
        let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) || change.kind == ChangeKind::Deleted;
        let node = pod["spec"]["nodeName"].as_str().filter(|_| !is_over);
        match node {
            Some(node) => drop(self.pods.insert(change.key.clone(), node.to_owned())),
            None => drop(self.pods.remove(&change.key)),
        }
        None
    }

    fn node(&mut self, change: &Change, is_own: bool) -> Vec<String> {
        let null = Value::Null;
        let name = &change.key.name;
        let before = change.before.as_deref().unwrap_or(&null);
        if change.kind == ChangeKind::Deleted {
            self.shared.remove(name);
            return Vec::new();
        }
        let write = NodeWrite {
            name,
            at: change.at,
            before,
            after: &change.object,
        };
        let mut wrong: Vec<String> = one_pool_at_a_time(&write).into_iter().collect();
        if is_own {
            self.tally.node_writes += 1;
            wrong.extend(self.no_old_epoch(&write));
            wrong.extend(foreign_stays(&write));
            wrong.extend(self.shared_label_is_put_back(&write));
            wrong.extend(self.no_pod_is_left(&write));
            let (was, is) = (label(before, mark::POOL), label(write.after, mark::POOL));
            self.tally.claims += u64::from(was.is_none() && is.is_some());
            self.tally.releases += u64::from(was.is_some() && is.is_none());
        } else if label(before, SHARED_LABEL) != label(write.after, SHARED_LABEL) {
            let value = label(write.after, SHARED_LABEL).map(str::to_owned);
            self.shared.insert(name.clone(), value);
        }
        wrong
    }

    /// Once the fence of the next holder stands, nothing of the last one is let through.
    fn no_old_epoch(&self, write: &NodeWrite<'_>) -> Option<String> {
        let own = epoch(write.after).unwrap_or(0);
        let newest = self.newest(write.at, self.lag).max(epoch(write.before).unwrap_or(0));
        (own < newest).then(|| format!("{} was written in the name of epoch {own}, after one of {newest}", write.name))
    }

    /// A label that was there before a claim is there again after the release, unless somebody has changed it meanwhile.
    fn shared_label_is_put_back(&self, write: &NodeWrite<'_>) -> Option<String> {
        let (was, is) = (label(write.before, SHARED_LABEL), label(write.after, SHARED_LABEL));
        let is_claim = label(write.before, mark::POOL).is_none() && label(write.after, mark::POOL).is_some();
        let is_free = label(write.after, mark::POOL).is_none() && annotation(write.after, mark::ACTION).is_none();
        let strangers = self.shared.get(write.name).and_then(Option::as_deref);
        let is_right = if is_free {
            is == strangers
        } else {
            was == is || (is_claim && is == Some("pool"))
        };
        let name = write.name;
        (!is_right).then(|| format!("the label {SHARED_LABEL} of {name} went from {was:?} to {is:?}; strangers had it at {strangers:?}"))
    }

    /// What leaves a pool is empty of its pods.
    fn no_pod_is_left(&self, write: &NodeWrite<'_>) -> Vec<String> {
        let Some(pool) = label(write.before, mark::POOL).filter(|_| label(write.after, mark::POOL).is_none()) else {
            return Vec::new();
        };
        let left = self.pods.iter().filter(|(key, node)| {
            let root = self.spaces.get(&key.namespace);
            *node == write.name && root.is_some_and(|root| root == pool)
        });
        left.map(|(key, node)| format!("pod {} of pool {pool} runs on {node}, which is released", key.name))
            .collect()
    }

    /// Counts Nodes that are one node of one pool.
    fn count_doubles(&mut self, cluster: &FakeCluster) {
        let mut by_node: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (key, node) in cluster.objects("nodes") {
            if let (Some(pool), Some(name)) = (label(&node, mark::POOL), label(&node, mark::NODE)) {
                by_node.entry((pool.to_owned(), name.to_owned())).or_default().insert(key.name);
            }
        }
        by_node.retain(|_, names| names.len() > 1);
        let now: BTreeSet<String> = by_node.into_keys().map(|(pool, node)| format!("{pool} {node}")).collect();
        self.tally.doubles += now.difference(&self.doubled).count() as u64;
        self.doubled = now;
    }
}

/// Between two pools a Node is free.
fn one_pool_at_a_time(write: &NodeWrite<'_>) -> Option<String> {
    let (was, is) = (label(write.before, mark::POOL)?, label(write.after, mark::POOL)?);
    (was != is).then(|| format!("{} went from pool {was} to pool {is} at once", write.name))
}

/// Labels, annotations, taints, status and the word of people about what may be scheduled: all that is not ours stays.
fn foreign_stays(write: &NodeWrite<'_>) -> Vec<String> {
    let parts = [
        (
            "labels",
            foreign(&write.before["metadata"]["labels"]),
            foreign(&write.after["metadata"]["labels"]),
        ),
        (
            "annotations",
            foreign(&write.before["metadata"]["annotations"]),
            foreign(&write.after["metadata"]["annotations"]),
        ),
        ("taints", foreign_taints(write.before), foreign_taints(write.after)),
        (
            "stop",
            write.before["spec"]["unschedulable"].clone(),
            write.after["spec"]["unschedulable"].clone(),
        ),
        ("status", write.before["status"].clone(), write.after["status"].clone()),
    ];
    let lost = parts.into_iter().filter(|(_, was, is)| was != is);
    lost.map(|(what, was, is)| format!("the {what} of {} that are not ours went from {was} to {is}", write.name))
        .collect()
}

fn foreign(texts: &Value) -> Value {
    let is_foreign = |key: &str| !key.starts_with(mark::PREFIX) && key != mark::NODE_GROUP && key != SHARED_LABEL;
    let all = texts.as_object().into_iter().flatten();
    let foreign: Map<String, Value> = all
        .filter(|(key, _)| is_foreign(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(foreign)
}

fn foreign_taints(node: &Value) -> Value {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let foreign = taints.filter(|taint| !taint["key"].as_str().unwrap_or_default().starts_with(mark::PREFIX));
    Value::Array(foreign.cloned().collect())
}

pub(super) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(key)?.as_str()
}

pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

fn epoch(object: &Value) -> Option<u64> {
    annotation(object, mark::EPOCH)?.parse().ok()
}

#[cfg(test)]
mod tests;
