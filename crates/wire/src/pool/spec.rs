//! `spec` of a pool, as it is shown (contract pools §3).

use super::PoolResource;
use domain::pool::{self as model, Accelerator, PoolKind};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PoolSpec)]
pub struct PoolSpec {
    /// `Dedicate` or `Logical`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub scope: Vec<&'static str>,
    pub resources: Vec<PoolResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<PoolNetwork>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_network: Option<ContainerNetwork>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_svc_ip_range: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masters: Vec<Master>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_flavor: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job_flavors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<PoolDriver>,
    #[serde(rename = "ipv6enable", skip_serializing_if = "std::ops::Not::not")]
    pub ipv6_enable: bool,
    /// Restriction bits; 0: none.
    pub control_mode: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PoolNetwork {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ContainerNetwork {
    pub mode: &'static str,
    pub cidr: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Master {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub az: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolDriver {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu_version: Option<String>,
    /// `force` or `idle`
    pub update_strategy: &'static str,
}

pub(super) fn spec(pool: &model::Pool) -> PoolSpec {
    let physical = pool.physical();
    let logical = pool.logical();
    PoolSpec {
        kind: match pool.spec.kind {
            PoolKind::Physical(_) => "Dedicate",
            PoolKind::Logical(_) => "Logical",
        },
        scope: physical.map_or_else(
            || vec!["Train"],
            |spec| spec.scope.iter().map(|job_type| job_type.as_str()).collect(),
        ),
        resources: pool.spec.resources.iter().map(PoolResource::from).collect(),
        parent: logical
            .filter(|spec| spec.parent_was_sent)
            .and_then(|spec| spec.parent.as_ref())
            .map(|parent| parent.name.to_string()),
        network: physical.map(|spec| PoolNetwork {
            name: spec.network.to_string(),
        }),
        container_network: physical
            .and_then(|spec| spec.container_cidr.clone())
            .map(|cidr| ContainerNetwork { mode: "overlay_l2", cidr }),
        kubernetes_svc_ip_range: physical.and_then(|spec| spec.service_cidr.clone()),
        masters: physical
            .map(|spec| {
                spec.masters
                    .iter()
                    .map(|az| Master {
                        az: az.as_ref().map(ToString::to_string),
                    })
                    .collect()
            })
            .unwrap_or_default(),
        cluster_flavor: physical.and_then(|spec| spec.cluster_flavor.clone()),
        job_flavors: pool.spec.job_flavors.clone(),
        driver: physical.and_then(|spec| driver(pool, spec)),
        ipv6_enable: physical.is_some_and(|spec| spec.ipv6),
        control_mode: pool.spec.control.0,
    }
}

/// Always shown for pools with accelerators: pinned versions, else those that the server has chosen.
fn driver(pool: &model::Pool, spec: &model::PhysicalSpec) -> Option<PoolDriver> {
    if pool.status.drivers.is_empty() && spec.driver == model::DriverSpec::default() {
        return None;
    }
    let version = |kind| {
        spec.driver
            .version(kind)
            .map(ToOwned::to_owned)
            .or_else(|| Some(pool.status.drivers.get(&kind)?.target.clone()))
    };
    Some(PoolDriver {
        gpu_version: version(Accelerator::Gpu),
        npu_version: version(Accelerator::Npu),
        update_strategy: match spec.driver.strategy() {
            model::UpdateStrategy::Force => "force",
            model::UpdateStrategy::Idle => "idle",
        },
    })
}
