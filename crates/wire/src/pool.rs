//! Pools as clients see them (contract `pools.md`).

mod decode;
mod element;
pub(crate) mod metadata;
mod patch;
mod resources;
mod shown;
mod spec;
mod status;

pub use decode::{decode_create, decode_retry_scope};
pub use element::{AzCount, CreatingStep, DataVolume, ElementDriver, LvmConfig, NodeOs, PoolResource, Tag, Volume, VolumeGroup};
pub use patch::decode_patch;
pub use shown::labels;
pub(crate) use shown::period_type;
pub use spec::{ContainerNetwork, Master, PoolDriver, PoolNetwork, PoolSpec};
pub use status::{DriverStatus, DriverStatuses, FlavorCount, PluginPhase, PoolStatus, Resources, ScopeStatus};

use crate::time::rfc3339;
use domain::pool as model;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Texts = BTreeMap<String, String>;

/// A resource pool.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// `Pool`
    pub kind: &'static str,
    /// `v2`
    pub api_version: &'static str,
    pub metadata: Metadata,
    pub spec: PoolSpec,
    pub status: PoolStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Id of the object, used in URLs.
    pub name: String,
    /// RFC 3339, UTC, whole seconds.
    pub creation_timestamp: String,
    /// Set once a DELETE was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    pub labels: Texts,
    pub annotations: Texts,
}

/// The body of RetryPoolScope.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RetryScope {
    /// `Train`, `Infer` or `Notebook`
    pub scope: String,
}

impl From<&model::Pool> for Pool {
    fn from(pool: &model::Pool) -> Self {
        Self {
            kind: "Pool",
            api_version: "v2",
            metadata: Metadata {
                name: pool.name.to_string(),
                creation_timestamp: rfc3339(pool.created_at),
                deletion_timestamp: pool.deleted_at.map(rfc3339),
                labels: labels(pool),
                annotations: shown::annotations(pool),
            },
            spec: spec::spec(pool),
            status: status::status(pool),
        }
    }
}

#[cfg(test)]
mod tests;
