//! `status` of a pool (contract pools §4 and §5).

use super::{AzCount, CreatingStep};
use domain::pool::{self as model, Accelerator, ResourceCounts};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PoolStatus {
    /// `Waiting`, `Creating`, `Running`, `Abnormal`, `ScalingFailed`, `CreationFailed`, `Error` or `Deleting`
    pub phase: &'static str,
    /// Why the pool is in this phase, or what restricts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<ScopeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverStatuses>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// Nodes by state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Resources {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creating: Vec<FlavorCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available: Vec<FlavorCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub abnormal: Vec<FlavorCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleting: Vec<FlavorCount>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlavorCount {
    pub flavor: String,
    pub count: u32,
    pub max_count: u32,
    pub azs: Vec<AzCount>,
    pub node_pool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creating_step: Option<CreatingStep>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeStatus {
    pub scope_type: &'static str,
    /// `Enabling`, `Enabled`, `EnableFailed`, `Disabling` or `Disabled`
    pub state: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginPhase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginPhase {
    pub name: String,
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DriverStatuses {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<DriverStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu: Option<DriverStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DriverStatus {
    pub version: String,
    /// `Creating`, `Upgrading`, `Running` or `Abnormal`
    pub state: &'static str,
}

pub(super) fn status(pool: &model::Pool) -> PoolStatus {
    let status = &pool.status;
    let restriction = Some(pool.spec.control.reason()).filter(|reason| !reason.is_empty());
    let driver = |kind| {
        status.drivers.get(&kind).map(|driver: &model::DriverStatus| DriverStatus {
            version: driver.version.clone(),
            state: driver.state.as_str(),
        })
    };
    let logical = pool.logical();
    PoolStatus {
        phase: status.phase.as_str(),
        message: status.phase.message().or(restriction).map(ToOwned::to_owned),
        resources: if pool.is_physical() {
            Resources::from(&status.resources)
        } else {
            Resources::default()
        },
        scope: status.scopes.iter().map(ScopeStatus::from).collect(),
        driver: (!status.drivers.is_empty()).then(|| DriverStatuses {
            gpu: driver(Accelerator::Gpu),
            npu: driver(Accelerator::Npu),
        }),
        parent: logical.and_then(|spec| spec.parent.as_ref()).map(|parent| parent.name.to_string()),
        root: match logical {
            None => Some(pool.name.to_string()),
            Some(spec) => spec.root.as_ref().map(|root| root.name.to_string()),
        },
    }
}

impl From<&ResourceCounts> for Resources {
    fn from(counts: &ResourceCounts) -> Self {
        let list = |entries: &[model::FlavorCount]| entries.iter().map(FlavorCount::from).collect();
        Self {
            creating: list(&counts.creating),
            available: list(&counts.available),
            abnormal: list(&counts.abnormal),
            deleting: list(&counts.deleting),
        }
    }
}

impl From<&model::FlavorCount> for FlavorCount {
    fn from(entry: &model::FlavorCount) -> Self {
        Self {
            flavor: entry.key.flavor.to_string(),
            count: entry.count,
            max_count: entry.count,
            azs: entry.azs.iter().map(AzCount::from).collect(),
            node_pool: entry.key.node_pool.to_string(),
            creating_step: entry.creating_step.as_ref().map(CreatingStep::from),
        }
    }
}

impl From<&model::ScopeStatus> for ScopeStatus {
    fn from(scope: &model::ScopeStatus) -> Self {
        Self {
            scope_type: scope.job_type.as_str(),
            state: scope.state.as_str(),
            plugins: scope
                .plugins
                .iter()
                .map(|(name, phase)| PluginPhase {
                    name: name.to_string(),
                    phase: phase.as_str(),
                })
                .collect(),
            message: scope.message.clone(),
        }
    }
}
