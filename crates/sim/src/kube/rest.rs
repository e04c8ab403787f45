//! What must hold once everything is mended and enough time has passed.

use super::KubeWorld;
use super::oracle::{OWN_USER, annotation, label};
use domain::node::{Node, NodePhase};
use domain::pool::{JobType, Pool};
use fleet_kube::mark;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Every state is one that the next attempt can leave within this time once nothing fails any more.
const REST: Duration = Duration::from_hours(5);
/// Kinds of objects that pools have.
const KINDS: [&str; 8] = [
    "namespaces",
    "queues.scheduling.volcano.sh",
    "resourceflavors.kueue.x-k8s.io",
    "cohorts.kueue.x-k8s.io",
    "clusterqueues.kueue.x-k8s.io",
    "localqueues.kueue.x-k8s.io",
    "helmreleases.helm.toolkit.fluxcd.io",
    "jobs.batch",
];

impl KubeWorld {
    /// Waits, and then wants every pool to be as it should be or to say why not, the cluster to show just that, and nothing to be
    /// written any more.
    pub(super) async fn come_to_rest(&self, trace: &mut Vec<String>) {
        self.house.pause(REST / 2).await;
        self.end_pods().await;
        self.house.pause(REST / 2).await;
        self.look();
        trace.extend(self.house.check_pools(|_| BTreeSet::<JobType>::new()).await);
        self.check_nodes().await;
        self.check_objects().await;
        self.house.check_controllers();
        let version = self.cluster.version();
        self.house.check_idle_hour().await;
        let changes = self.cluster.changes_since(version);
        for change in changes.iter().filter(|change| &*change.by == OWN_USER) {
            let what = format!("{} {} was written in a quiet hour", change.key.ty, change.key.name);
            self.house.auditor.report(what);
        }
    }

    /// What is committed and what the cluster shows are the same nodes; everything else is free, and as if it had never been ours.
    async fn check_nodes(&self) {
        let state = self.house.auditor.committed().await.clone();
        let index = state.index().read();
        let mut known: BTreeMap<(String, String), Node> = index
            .all::<Node>()
            .iter()
            .map(|node| {
                let key = (node.pool_uid.to_string(), mark::own_slug(node.name.as_str()));
                (key, Node::clone(node))
            })
            .collect();
        for (key, node) in self.cluster.objects("nodes") {
            let name = &key.name;
            if let Some(action) = annotation(&node, mark::ACTION) {
                self.house.auditor.report(format!("{name} is at rest in the middle of {action}"));
            }
            match (label(&node, mark::POOL), label(&node, mark::NODE)) {
                (Some(pool), Some(own)) => {
                    if known.remove(&(pool.to_owned(), own.to_owned())).is_none() {
                        self.house.auditor.report(format!("{name} is {own} of {pool}, which nobody knows"));
                    }
                }
                _ => self.check_free(name, &node),
            }
        }
        for node in known.into_values().filter(|node| matches!(node.phase, NodePhase::Available { .. })) {
            self.house.auditor.report(format!("{} is available and has no Node", node.name));
        }
    }

    fn check_free(&self, name: &str, node: &Value) {
        let is_ours =
            |key: &&String| (key.starts_with(mark::PREFIX) && *key != mark::EPOCH && *key != mark::INVENTORY) || *key == mark::NODE_GROUP;
        let texts = |part: &str| node["metadata"][part].as_object().cloned().unwrap_or_default();
        let (labels, annotations) = (texts("labels"), texts("annotations"));
        for key in labels.keys().chain(annotations.keys()).filter(is_ours) {
            self.house.auditor.report(format!("{name} is free and has {key}"));
        }
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let was_unclaimed = self.machines.iter().any(|spec| spec.name == name && !spec.taints.is_empty());
        let is_unclaimed = taints.iter().any(|taint| taint["key"] == mark::TAINT_UNCLAIMED);
        let is_held = taints
            .iter()
            .any(|taint| taint["key"] == mark::TAINT_HOLD || taint["key"] == mark::TAINT_POOL);
        if was_unclaimed != is_unclaimed || is_held {
            self.house.auditor.report(format!("{name} is free and has the taints {taints:?}"));
        }
    }

    /// What pools have besides Nodes.
    pub(super) fn objects_of_pools(&self) -> Vec<String> {
        let mut all = Vec::new();
        for kind in KINDS {
            for (key, object) in self.cluster.objects(kind) {
                let Some(pool) = label(&object, mark::POOL) else { continue };
                let going = object["metadata"].get("deletionTimestamp").map_or("", |_| " going");
                all.push(format!("{kind} {} of {pool}{going}", key.name));
            }
        }
        all
    }

    /// Nothing is left of pools that are no more.
    async fn check_objects(&self) {
        let state = self.house.auditor.committed().await.clone();
        let index = state.index().read();
        let pools: BTreeSet<String> = index.all::<Pool>().iter().map(|pool| pool.uid.to_string()).collect();
        for kind in KINDS {
            for (key, object) in self.cluster.objects(kind) {
                let marks = [label(&object, mark::POOL), label(&object, mark::ROOT)];
                if let Some(pool) = marks.into_iter().flatten().find(|pool| !pools.contains(*pool)) {
                    self.house.auditor.report(format!("{kind} {} is left of pool {pool}", key.name));
                }
            }
        }
    }
}
