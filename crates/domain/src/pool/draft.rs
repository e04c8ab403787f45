//! A pool as a request describes it: typed and well-formed, not yet checked against anything else.

use super::{AzCount, PoolResource};
use super::{BillingMode, CreatingStep, DataVolume, DriverSpec, JobType, NodeOs, PeriodType, RootVolume, Sharing, VolumeGroup};
use crate::name::{DisplayName, FlavorName, NetworkName, NodePoolName, NodePrefix, PoolName, WorkspaceId, ZoneName};
use crate::tag::Tag;
use std::collections::BTreeMap;

/// The body of a create request, or the whole object that a patch would lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolDraft {
    pub display_name: DisplayName,
    pub workspace: Option<WorkspaceId>,
    pub sharing: Option<Sharing>,
    pub node_prefix: Option<NodePrefix>,
    /// Labels that have no field here.
    pub labels: BTreeMap<String, String>,
    /// Annotations that have no field here.
    pub annotations: BTreeMap<String, String>,
    pub description: Option<String>,
    pub billing: BillingDraft,
    pub tags: Option<Vec<Tag>>,
    pub is_logical: bool,
    pub scope: Option<Vec<JobType>>,
    pub resources: Vec<ResourceDraft>,
    pub parent: Option<PoolName>,
    pub network: Option<PoolNetworkDraft>,
    pub container_cidr: Option<String>,
    pub service_cidr: Option<String>,
    pub masters: Vec<Option<ZoneName>>,
    pub cluster_flavor: Option<String>,
    pub job_flavors: Vec<String>,
    pub driver: Option<DriverSpec>,
    pub ipv6: Option<bool>,
    /// `clusters` has elements.
    pub has_clusters: bool,
    /// `userLogin` was sent.
    pub has_user_login: bool,
}

/// `spec.network` of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolNetworkDraft {
    pub name: Option<NetworkName>,
    pub vpc: Option<String>,
    pub subnet: Option<String>,
}

/// Billing annotations as sent; `""` counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillingDraft {
    pub mode: Option<BillingMode>,
    pub period_num: Option<u32>,
    pub period_type: Option<PeriodType>,
    pub auto_renew: Option<bool>,
    pub auto_pay: Option<bool>,
    pub order_id: Option<String>,
}

/// One element of `spec.resources`. Empty lists and objects count as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDraft {
    pub flavor: FlavorName,
    pub count: u32,
    pub max_count: Option<u32>,
    pub azs: Option<Vec<AzCount>>,
    pub node_pool: Option<NodePoolName>,
    pub extend_params: Option<BTreeMap<String, String>>,
    pub tags: Option<Vec<Tag>>,
    pub creating_step: Option<CreatingStep>,
    pub root_volume: Option<RootVolume>,
    pub data_volumes: Option<Vec<DataVolume>>,
    pub volume_groups: Option<Vec<VolumeGroup>>,
    pub os: Option<NodeOs>,
    pub driver_version: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    /// `taints` has elements: only for privileged pools.
    pub has_taints: bool,
    /// `network` has members: only for privileged pools.
    pub has_network: bool,
}

/// What a PATCH asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolEdit {
    /// The whole object as it would be, by RFC 7396.
    pub draft: PoolDraft,
    /// The body holds `spec.resources`, changed or not: in `ScalingFailed` that is a new attempt.
    pub mentions_resources: bool,
    /// Billing annotations in the body. They describe the change, not the pool (semantics §7); `draft.billing` is the pool's own.
    pub billing: BillingDraft,
    /// Opaque billing annotations in the body (`promotion.info`, `service.console.url`).
    pub mentions_billing: bool,
    /// `os.modelarts/order.id`: absent from the body, removed, or set.
    pub order_id: Patched<String>,
}

/// A member of a merge patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patched<T> {
    #[default]
    Unchanged,
    Removed,
    Set(T),
}

impl ResourceDraft {
    pub fn plain(flavor: FlavorName, count: u32) -> Self {
        Self {
            flavor,
            count,
            max_count: None,
            azs: None,
            node_pool: None,
            extend_params: None,
            tags: None,
            creating_step: None,
            root_volume: None,
            data_volumes: None,
            volume_groups: None,
            os: None,
            driver_version: None,
            labels: None,
            has_taints: false,
            has_network: false,
        }
    }

    pub fn node_pool(&self) -> NodePoolName {
        self.node_pool.clone().unwrap_or_else(|| NodePoolName::default_of(&self.flavor))
    }

    /// The element that the draft means, with what it leaves out taken from the element's present form (contract pools §9.2).
    pub fn resolve(&self, present: Option<&PoolResource>, is_logical: bool) -> PoolResource {
        let max_count = if is_logical {
            self.max_count.unwrap_or(self.count)
        } else {
            self.count
        };
        let empty = PoolResource::plain(self.flavor.clone(), 0);
        let old = present.unwrap_or(&empty);
        PoolResource {
            flavor: self.flavor.clone(),
            count: self.count,
            max_count,
            azs: self.azs.clone(),
            node_pool: old
                .node_pool
                .clone()
                .or_else(|| if present.is_some() { None } else { self.node_pool.clone() }),
            extend_params: self.extend_params.clone().unwrap_or_else(|| old.extend_params.clone()),
            tags: self.tags.clone().unwrap_or_else(|| old.tags.clone()),
            creating_step: self.creating_step.clone().or_else(|| old.creating_step.clone()),
            root_volume: self.root_volume.clone().or_else(|| old.root_volume.clone()),
            data_volumes: self.data_volumes.clone().unwrap_or_else(|| old.data_volumes.clone()),
            volume_groups: self.volume_groups.clone().unwrap_or_else(|| old.volume_groups.clone()),
            os: self.os.clone().or_else(|| old.os.clone()),
            driver_version: self.driver_version.clone().or_else(|| old.driver_version.clone()),
            labels: self.labels.clone().unwrap_or_else(|| old.labels.clone()),
        }
    }
}

/// A network as a create request describes it, or as a patch would leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDraft {
    pub display_name: DisplayName,
    pub workspace: Option<WorkspaceId>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub description: Option<String>,
    pub cidr: ipnet::Ipv4Net,
    pub ipv6: bool,
    pub peers: Vec<PeerDraft>,
    pub sfs_turbo: Vec<SfsTurboDraft>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerDraft {
    pub vpc: String,
    pub subnet: String,
    /// As sent.
    pub is_default_gateway: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SfsTurboDraft {
    pub name: String,
    pub id: String,
    pub subnet: Option<String>,
}
