//! Bodies and answers of the batch actions on nodes (contract nodes §4).

mod decode;

pub use decode::{
    decode_bind, decode_delete, decode_drain, decode_lock, decode_migrate, decode_reboot, decode_reset, decode_resize, decode_update,
};

use crate::pool::{CreatingStep, Tag};
use serde::Serialize;
use utoipa::ToSchema;

/// How it went with one node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeResult {
    pub name: String,
    /// `success` or `failed`
    pub status: &'static str,
}

/// Results by node; a node occurs once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeResults {
    pub nodes: Vec<NodeResult>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateResults {
    pub success_node_names: Vec<String>,
    pub fail_node_names: Vec<String>,
    pub nodes: Vec<NodeResult>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobId {
    pub job_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebootAnswer {
    pub node_names: Vec<String>,
    #[serde(rename = "job_id")]
    pub job_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResizeAnswer {
    pub order_name: String,
}

impl NodeResults {
    pub fn of(results: &[(String, bool)]) -> Self {
        let result = |(name, is_done): &(String, bool)| NodeResult {
            name: name.clone(),
            status: if *is_done { "success" } else { "failed" },
        };
        Self {
            nodes: results.iter().map(result).collect(),
        }
    }
}

impl UpdateResults {
    pub fn of(results: &[(String, bool)]) -> Self {
        let named = |wanted: bool| {
            let own = results.iter().filter(|(_, is_done)| *is_done == wanted);
            own.map(|(name, _)| name.clone()).collect()
        };
        Self {
            success_node_names: named(true),
            fail_node_names: named(false),
            nodes: NodeResults::of(results).nodes,
        }
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$note])* pub $field: $type),+ }
    )+};
}

bodies! {
    /// The body of `batch-delete`.
    DeleteBody { delete_node_names: Vec<String> }
    /// The body of `batch-lock` and `batch-unlock`; `actions` is exactly `["delete"]`.
    LockBody { node_names: Vec<String>, actions: Vec<String> }
    /// The body of `batch-update`.
    UpdateBody {
        node_names: Vec<String>,
        action: String,
        ha_redundant_effect: Option<String>,
        driver: Option<UpdateDriver>,
        tags: Option<Vec<Tag>>,
    }
    /// A driver version for nodes.
    UpdateDriver { version: String, update_strategy: Option<String> }
    /// The body of `batch-bind`.
    BindBody { nodes: Vec<BindNode>, drain: Option<bool> }
    BindNode { name: String, quota_name: Option<String> }
    /// The body of `batch-drain` and `batch-reboot`.
    NamesBody { node_names: Vec<String> }
    /// The body of `batch-migrate`.
    MigrateBody {
        migrate_node_names: Vec<String>,
        from_cluster_name: String,
        to_cluster_name: String,
        to_pool_name: Option<String>,
        resource_spec: Option<MigrateSpec>,
    }
    MigrateSpec { flavor: Option<String>, node_pool: Option<String> }
    /// The body of `batch-reset`.
    ResetBody { node_names: Vec<String>, rolling_config: RollingConfig, node_config: Option<ResetConfig> }
    RollingConfig { strategy: String, max_unavailable: u32 }
    ResetConfig { os: Option<String>, name: Option<String>, image_id: Option<String>, image_type: Option<String>, runtime: Option<String> }
    /// The body of `batch-resize`.
    ResizeBody { nodes: Vec<ResizeBatch>, source: ResizeEndBody, target: ResizeEndBody }
    ResizeBatch {
        #[serde(rename = "batchUID")] batch_uid: String,
        delete_node_names: Option<Vec<String>>,
    }
    ResizeEndBody { node_pool: Option<String>, flavor: String, creating_step: CreatingStep }
}

#[cfg(test)]
mod tests;
