//! Nodes as clients see them (contract nodes §1).

use crate::pool::{DataVolume, Metadata, NodeOs, Volume};
use crate::time::rfc3339;
use domain::node as model;
use domain::quantities::Quantities;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: Metadata,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    pub flavor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<NodeOs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<Volume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_volumes: Vec<DataVolume>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extend_params: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// `Creating`, `Checking`, `Available`, `Abnormal` or `Deleting`
    pub phase: &'static str,
    pub az: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// Allocatable quantities by resource.
    pub resources: Texts,
    pub available_resources: Texts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<NodeDriver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<OsName>,
    /// Why the node is abnormal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`
    pub effect: &'static str,
    pub time_added: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeDriver {
    /// `Pending`, `Updating`, `Running` or `Abnormal`
    pub phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OsName {
    pub name: String,
}

impl From<&model::Node> for Node {
    fn from(node: &model::Node) -> Self {
        let machine = node.machine.as_deref();
        let template = node.template.as_deref();
        let nothing = || Texts::from([("cpu".to_owned(), "0".to_owned()), ("memory".to_owned(), "0".to_owned())]);
        Self {
            kind: "Node",
            api_version: "v2",
            metadata: Metadata {
                name: node.name.to_string(),
                creation_timestamp: rfc3339(node.created_at),
                deletion_timestamp: None,
                labels: labels(node),
                annotations: annotations(node),
            },
            spec: NodeSpec {
                flavor: node.flavor.to_string(),
                os: template.and_then(|template| template.os.as_ref()).map(NodeOs::from),
                root_volume: template.and_then(|template| template.root_volume.as_ref()).map(Volume::from),
                data_volumes: template
                    .map(|template| template.data_volumes.iter().map(DataVolume::from).collect())
                    .unwrap_or_default(),
                extend_params: template.map(|template| template.extend_params.clone()).unwrap_or_default(),
            },
            status: NodeStatus {
                phase: node.phase.as_str(),
                az: node.az.to_string(),
                private_ip: machine.and_then(|machine| machine.private_ip.clone()),
                resources: machine
                    .map(|machine| machine.resources.to_map())
                    .filter(|map| !map.is_empty())
                    .unwrap_or_else(nothing),
                available_resources: machine
                    .map(|machine| machine.available.to_map())
                    .filter(|map| !map.is_empty())
                    .unwrap_or_else(nothing),
                taints: node.care.taints.iter().map(Taint::from).collect(),
                driver: node.driver.as_ref().map(|driver| NodeDriver {
                    phase: driver.phase(),
                    version: driver.installed.clone(),
                }),
                os: machine.and_then(|machine| machine.os.clone()).map(|name| OsName { name }),
                message: match &node.phase {
                    model::NodePhase::Abnormal { message, .. } => Some(message.clone()),
                    model::NodePhase::Creating { .. }
                    | model::NodePhase::Checking { .. }
                    | model::NodePhase::Available { .. }
                    | model::NodePhase::Deleting { .. } => None,
                },
            },
        }
    }
}

impl From<&model::Taint> for Taint {
    fn from(taint: &model::Taint) -> Self {
        Self {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.as_str(),
            time_added: rfc3339(taint.added_at),
        }
    }
}

fn labels(node: &model::Node) -> Texts {
    let mut labels = node.template.as_ref().map(|template| template.labels.clone()).unwrap_or_default();
    let mut put = |key: &str, value: String| {
        labels.insert(key.to_owned(), value);
    };
    put("os.modelarts.node/cluster", node.pool.to_string());
    put("os.modelarts.node/nodepool", node.node_pool.to_string());
    put("os.modelarts.node/nodepoolname", node.node_pool.to_string());
    put("os.modelarts/tenant.project.id", node.project.to_string());
    if let Some(domain) = &node.domain {
        put("os.modelarts/tenant.domain.id", domain.to_string());
    }
    put("os.modelarts/resource.id", node.uid.hyphenated());
    put("os.modelarts/billing.status", "0".to_owned());
    put("os.modelarts.node/ha.redundant.enabled", node.is_ha_spare.to_string());
    if let Some(instance) = node.machine.as_ref().and_then(|machine| machine.instance.clone()) {
        put("os.modelarts.node/underlying.instance.id", instance);
    }
    if let Some(quota) = &node.quota {
        put("os.modelarts.node/elastic.quota", quota.to_string());
    }
    if let Some(batch) = &node.batch {
        put("os.modelarts.node/batch.uid", batch.uid.hyphenated());
        put("os.modelarts.node/batch.name", batch.name());
        put("os.modelarts.node/batch.type", batch.step.kind.as_str().to_owned());
        put("os.modelarts.node/batch.count", batch.step.step.to_string());
    }
    labels
}

/// 16 binary digits, the rightmost is card 1 and `1` is in use. Which cards are, nobody tells; how many, the quantities do.
fn npu_placement(machine: &model::MachineFacts) -> Option<String> {
    let cards = |quantities: &Quantities| -> usize {
        let cards = quantities.iter().filter(|(name, _)| name.starts_with("huawei.com/"));
        cards.filter_map(|(_, amount)| amount.parse::<usize>().ok()).sum()
    };
    let total = cards(&machine.resources);
    let used = total.saturating_sub(cards(&machine.available)).min(16);
    (total > 0).then(|| format!("{}{}", "0".repeat(16 - used), "1".repeat(used)))
}

fn annotations(node: &model::Node) -> Texts {
    let mut notes = Texts::new();
    if node.is_locked {
        notes.insert("os.modelarts.node/lock.action".to_owned(), "delete".to_owned());
    }
    if let Some(drain) = node.care.drain.filter(|drain| !drain.reopens) {
        let phase = if drain.done_at.is_some() { "Drained" } else { "Draining" };
        let mut progress = serde_json::json!({"phase": phase, "startTime": rfc3339(drain.asked_at)});
        if let Some(at) = drain.done_at {
            progress["endTime"] = rfc3339(at).into();
        }
        notes.insert("os.modelarts.node/drain".to_owned(), progress.to_string());
    }
    if let Some(placement) = node.machine.as_deref().and_then(npu_placement) {
        notes.insert("os.modelarts/npu-topology-placement".to_owned(), placement);
    }
    let Some(template) = node.template.as_deref() else { return notes };
    if !template.tags.is_empty() {
        notes.insert(
            "os.modelarts/tms.tags".to_owned(),
            serde_json::to_string(&template.tags).unwrap_or_default(),
        );
    }
    if let Some(mode) = template.billing_mode {
        notes.insert(
            "os.modelarts/billing.mode".to_owned(),
            if mode == domain::pool::BillingMode::Prepaid { "1" } else { "0" }.to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests;
