//! Pools as clients see them (contract `pools.md`).

mod decode;
pub(crate) mod metadata;
mod resources;

pub use decode::{decode_create, decode_patch, decode_retry_scope};

use crate::time::rfc3339;
use domain::pool::{self as model, Accelerator, BillingMode, PeriodType, PoolKind, ResourceCounts};
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

/// An element of `spec.resources`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolResource {
    pub flavor: String,
    pub count: u32,
    pub max_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azs: Option<Vec<AzCount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_pool: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extend_params: Texts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creating_step: Option<CreatingStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<Volume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_volumes: Vec<DataVolume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_group_configs: Vec<VolumeGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<NodeOs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<ElementDriver>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AzCount {
    pub az: String,
    pub count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CreatingStep {
    pub step: u32,
    /// `rack` or `hyperinstance`
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub volume_type: String,
    /// GiB
    pub size: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataVolume {
    pub volume_type: String,
    /// GiB
    pub size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    pub extend_params: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroup {
    pub volume_group: String,
    /// Per cent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_thin_pool: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvm_config: Option<LvmConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LvmConfig {
    pub lv_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeOs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_match: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ElementDriver {
    pub version: String,
}

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
                annotations: annotations(pool),
            },
            spec: spec(pool),
            status: status(pool),
        }
    }
}

/// The labels as they are shown, which is what label selectors see.
pub fn labels(pool: &model::Pool) -> Texts {
    let mut labels = pool.labels.clone();
    let mut put = |key: &str, value: &str| {
        labels.insert(key.to_owned(), value.to_owned());
    };
    put("os.modelarts/name", pool.display_name.as_str());
    put("os.modelarts/workspace.id", pool.workspace.as_str());
    put(
        "os.modelarts/node.prefix",
        pool.node_prefix.as_ref().map_or("", |prefix| prefix.as_str()),
    );
    put("os.modelarts/resource.id", &pool.resource_id);
    put("os.modelarts/tenant.domain.id", pool.owner.domain.as_str());
    put("os.modelarts/tenant.project.id", pool.owner.project.as_str());
    put("os.modelarts/order.name", pool.last_order.as_str());
    put(
        "os.modelarts/sharing",
        match pool.sharing {
            model::Sharing::Unshared => "unshared",
            model::Sharing::Shared => "shared",
        },
    );
    put(
        "os.modelarts/create-from",
        match pool.origin {
            model::Origin::Console => "console",
            model::Origin::AdminConsole => "admin-console",
            model::Origin::Api => "api",
        },
    );
    put(
        "os.modelarts.pool/biz",
        match pool.business {
            model::Business::Private => "private",
            model::Business::Public => "public",
        },
    );
    labels
}

fn annotations(pool: &model::Pool) -> Texts {
    let mut notes = pool.annotations.clone();
    let mut put = |key: &str, value: String| {
        notes.insert(key.to_owned(), value);
    };
    put("os.modelarts/description", pool.description.clone());
    let billing = &pool.billing;
    put(
        "os.modelarts/billing.mode",
        if billing.mode == BillingMode::Prepaid { "1" } else { "0" }.to_owned(),
    );
    put("os.modelarts.pool/subpools.count", pool.status.children.to_string());
    put("os.modelarts/tenant.domain.name", pool.owner.domain_name.clone());
    put(
        "os.modelarts/flavor.resource.ids",
        serde_json::to_string(&pool.flavor_resource_ids).unwrap_or_default(),
    );
    let optional = [
        ("os.modelarts/period.num", billing.period_num.map(|number| number.to_string())),
        (
            "os.modelarts/period.type",
            billing.period_type.map(|kind| period_type(kind).to_owned()),
        ),
        (
            "os.modelarts/auto.renew",
            billing.auto_renew.map(|renew| u8::from(renew).to_string()),
        ),
        ("os.modelarts/order.id", billing.order_id.clone()),
        (
            "os.modelarts/tms.tags",
            (!pool.tags.is_empty()).then(|| serde_json::to_string(&pool.tags).unwrap_or_default()),
        ),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            put(key, value);
        }
    }
    for (job_type, state) in &pool.status.dependencies {
        put(&format!("os.modelarts.pool/scope.external.dependency.{job_type}"), state.clone());
    }
    notes
}

pub(crate) fn period_type(kind: PeriodType) -> &'static str {
    match kind {
        PeriodType::Month => "2",
        PeriodType::Year => "3",
        PeriodType::Hour => "4",
    }
}

fn spec(pool: &model::Pool) -> PoolSpec {
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
        parent: logical.and_then(|spec| spec.parent.as_ref()).map(|parent| parent.name.to_string()),
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

impl From<&model::PoolResource> for PoolResource {
    fn from(element: &model::PoolResource) -> Self {
        Self {
            flavor: element.flavor.to_string(),
            count: element.count,
            max_count: element.max_count,
            azs: element.azs.as_ref().map(|azs| azs.iter().map(AzCount::from).collect()),
            node_pool: element.node_pool.as_ref().map(ToString::to_string),
            extend_params: element.extend_params.clone(),
            tags: element
                .tags
                .iter()
                .map(|tag| Tag {
                    key: tag.key.clone(),
                    value: tag.value.clone(),
                })
                .collect(),
            creating_step: element.creating_step.as_ref().map(CreatingStep::from),
            root_volume: element.root_volume.as_ref().map(Volume::from),
            data_volumes: element.data_volumes.iter().map(DataVolume::from).collect(),
            volume_group_configs: element.volume_groups.iter().map(VolumeGroup::from).collect(),
            os: element.os.as_ref().map(NodeOs::from),
            driver: element.driver_version.clone().map(|version| ElementDriver { version }),
            labels: element.labels.clone(),
        }
    }
}

impl From<&model::AzCount> for AzCount {
    fn from(entry: &model::AzCount) -> Self {
        Self {
            az: entry.az.to_string(),
            count: entry.count,
        }
    }
}

impl From<&model::CreatingStep> for CreatingStep {
    fn from(step: &model::CreatingStep) -> Self {
        Self {
            step: step.step,
            kind: step.kind.as_str(),
        }
    }
}

impl From<&model::RootVolume> for Volume {
    fn from(volume: &model::RootVolume) -> Self {
        Self {
            volume_type: volume.volume_type.clone(),
            size: volume.size.clone(),
        }
    }
}

impl From<&model::DataVolume> for DataVolume {
    fn from(volume: &model::DataVolume) -> Self {
        Self {
            volume_type: volume.volume_type.clone(),
            size: volume.size.clone(),
            count: volume.count,
            extend_params: volume.extend_params.clone(),
        }
    }
}

impl From<&model::VolumeGroup> for VolumeGroup {
    fn from(group: &model::VolumeGroup) -> Self {
        Self {
            volume_group: group.group.clone(),
            docker_thin_pool: group.docker_thin_pool,
            lvm_config: group.lvm.as_ref().map(|lvm| LvmConfig {
                lv_type: lvm.lv_type.clone(),
                path: lvm.path.clone(),
            }),
            types: group.types.clone(),
        }
    }
}

impl From<&model::NodeOs> for NodeOs {
    fn from(os: &model::NodeOs) -> Self {
        Self {
            name: os.name.clone(),
            image_id: os.image_id.clone(),
            image_type: os.image_type.clone(),
            auto_match: os.auto_match.clone(),
        }
    }
}

fn status(pool: &model::Pool) -> PoolStatus {
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
