//! What a pool was asked to be (contract pools §3).

use crate::name::{FlavorName, NetworkName, NodePoolName, PoolName, ProjectId, TemplateName, ZoneName};
use crate::tag::Tag;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolSpec {
    pub kind: PoolKind,
    /// In the order in which they were sent: clients compare it.
    pub resources: Vec<PoolResource>,
    /// Job flavors allowed in the pool; empty: all.
    pub job_flavors: Vec<String>,
    pub control: ControlMode,
}

/// `spec.type` with what only that type has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PoolKind {
    /// `Dedicate`: machines of its own.
    Physical(Box<PhysicalSpec>),
    /// `Logical`: a quota inside another pool.
    Logical(LogicalSpec),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhysicalSpec {
    /// Wanted job types in the order in which they were sent, without duplicates.
    pub scope: Vec<JobType>,
    pub network: NetworkName,
    pub container_cidr: Option<String>,
    pub service_cidr: Option<String>,
    /// Zones of the masters; `None` inside: an entry without a zone.
    pub masters: Vec<Option<ZoneName>>,
    pub cluster_flavor: Option<String>,
    pub driver: DriverSpec,
    pub ipv6: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalSpec {
    /// The pool that this one is a quota of; absent while a request without a parent waits for approval.
    pub parent: Option<PoolRef>,
    /// The physical ancestor.
    pub root: Option<PoolRef>,
    /// Whether `spec.parent` was sent and is therefore shown in `spec`.
    pub parent_was_sent: bool,
}

/// A pool of this or, where it is shared, another project of the domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolRef {
    pub project: ProjectId,
    pub name: PoolName,
}

/// `Train`, `Infer`, `Notebook`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobType {
    Train,
    Infer,
    Notebook,
}

impl JobType {
    pub const ALL: [Self; 3] = [Self::Train, Self::Infer, Self::Notebook];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "Train",
            Self::Infer => "Infer",
            Self::Notebook => "Notebook",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job_type| job_type.as_str() == text)
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The two kinds of accelerators that have drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Accelerator {
    Gpu,
    Npu,
}

impl Accelerator {
    pub const ALL: [Self; 2] = [Self::Gpu, Self::Npu];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Npu => "npu",
        }
    }

    /// The plug-in template whose versions are this accelerator's driver versions.
    pub fn driver_template(self) -> &'static str {
        match self {
            Self::Gpu => "gpu-driver",
            Self::Npu => "npu-driver",
        }
    }

    pub fn is_driver_template(template: &TemplateName) -> bool {
        Self::ALL.iter().any(|kind| kind.driver_template() == template.as_str())
    }
}

/// `spec.driver`: the pinned versions; an absent one follows the server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverSpec {
    pub gpu_version: Option<String>,
    pub npu_version: Option<String>,
    pub update_strategy: Option<UpdateStrategy>,
}

impl DriverSpec {
    pub fn version(&self, kind: Accelerator) -> Option<&str> {
        match kind {
            Accelerator::Gpu => self.gpu_version.as_deref(),
            Accelerator::Npu => self.npu_version.as_deref(),
        }
    }

    pub fn strategy(&self) -> UpdateStrategy {
        self.update_strategy.unwrap_or(UpdateStrategy::Idle)
    }
}

/// `spec.driver.updateStrategy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStrategy {
    Force,
    Idle,
}

/// One element of `spec.resources`. It owns exactly one node pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolResource {
    pub flavor: FlavorName,
    pub count: u32,
    pub max_count: u32,
    /// The wanted absolute distribution, where one was asked for; its sum is `count`.
    pub azs: Option<Vec<AzCount>>,
    /// As sent, where it was sent.
    pub node_pool: Option<NodePoolName>,
    pub extend_params: BTreeMap<String, String>,
    pub tags: Vec<Tag>,
    pub creating_step: Option<CreatingStep>,
    pub root_volume: Option<RootVolume>,
    pub data_volumes: Vec<DataVolume>,
    pub volume_groups: Vec<VolumeGroup>,
    pub os: Option<NodeOs>,
    /// Driver version of this node pool alone.
    pub driver_version: Option<String>,
    /// Kubernetes labels of the nodes.
    pub labels: BTreeMap<String, String>,
}

impl PoolResource {
    /// An element with nothing but a flavor and a number.
    pub fn plain(flavor: FlavorName, count: u32) -> Self {
        Self {
            flavor,
            count,
            max_count: count,
            azs: None,
            node_pool: None,
            extend_params: BTreeMap::new(),
            tags: Vec::new(),
            creating_step: None,
            root_volume: None,
            data_volumes: Vec::new(),
            volume_groups: Vec::new(),
            os: None,
            driver_version: None,
            labels: BTreeMap::new(),
        }
    }

    /// The node pool of this element: the one asked for, or the flavor's default.
    pub fn node_pool(&self) -> NodePoolName {
        self.node_pool.clone().unwrap_or_else(|| NodePoolName::default_of(&self.flavor))
    }

    /// What identifies the element in its pool.
    pub fn element(&self) -> ElementKey {
        ElementKey {
            flavor: self.flavor.clone(),
            node_pool: self.node_pool(),
        }
    }

    /// Whether a node pool of a flavor is this element.
    pub fn is(&self, flavor: &FlavorName, node_pool: &NodePoolName) -> bool {
        let has_name = || {
            self.node_pool
                .as_ref()
                .map_or_else(|| node_pool.is_default_of(flavor), |own| own == node_pool)
        };
        self.flavor == *flavor && has_name()
    }
}

/// What identifies an element of `spec.resources`: elements of two versions of a spec with equal keys are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ElementKey {
    pub flavor: FlavorName,
    pub node_pool: NodePoolName,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AzCount {
    pub az: ZoneName,
    pub count: u32,
}

/// Nodes come and go in whole batches of `step`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatingStep {
    pub step: u32,
    pub kind: StepKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    Rack,
    Hyperinstance,
}

impl StepKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rack => "rack",
            Self::Hyperinstance => "hyperinstance",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootVolume {
    pub volume_type: String,
    /// GiB, as sent: `"100"` or `"100Gi"`.
    pub size: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataVolume {
    pub volume_type: String,
    /// GiB, as sent.
    pub size: String,
    /// As sent; absent means 1.
    pub count: Option<u32>,
    /// As sent, without `billing`; always holds `volumeGroup`.
    pub extend_params: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    pub group: String,
    pub docker_thin_pool: Option<u32>,
    pub lvm: Option<LvmConfig>,
    pub types: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LvmConfig {
    pub lv_type: String,
    pub path: Option<String>,
}

/// The image of the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOs {
    pub name: Option<String>,
    pub image_id: Option<String>,
    pub image_type: Option<String>,
    pub auto_match: Option<String>,
}

/// `spec.controlMode`: a bit mask that only the operator sets (semantics §6). Unknown bits are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ControlMode(pub u32);

impl ControlMode {
    pub const PREPAID_SWITCH: u32 = 1;
    pub const SPECIFICATION: u32 = 2;
    pub const SERVICE: u32 = 4;
    pub const FROZEN: u32 = 8;
    pub const PUBLIC_SECURITY: u32 = 16;

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// The reason to refuse `what`, if the mask refuses it.
    pub fn refuses(self, what: Restricted) -> Option<&'static str> {
        let frozen = Self::FROZEN | Self::PUBLIC_SECURITY;
        let own = match what {
            Restricted::PrepaidSwitch => Self::PREPAID_SWITCH,
            Restricted::Specification => Self::SPECIFICATION,
            Restricted::Service => Self::SERVICE,
            Restricted::Configuration => 0,
            Restricted::Deletion => return self.any(Self::PUBLIC_SECURITY).then_some("frozen by public security"),
        };
        self.any(frozen | own).then(|| self.reason())
    }

    /// The most severe restriction in words; empty for none.
    pub fn reason(self) -> &'static str {
        if self.any(Self::PUBLIC_SECURITY) {
            "frozen by public security"
        } else if self.any(Self::FROZEN) {
            "frozen"
        } else if self.any(Self::SERVICE) {
            "service restricted"
        } else if self.any(Self::SPECIFICATION) {
            "modifying specifications restricted"
        } else if self.any(Self::PREPAID_SWITCH) {
            "switching to yearly/monthly restricted"
        } else {
            ""
        }
    }
}

/// Classes of operations that restriction bits refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restricted {
    /// Turning a pool to yearly/monthly billing.
    PrepaidSwitch,
    /// `spec.resources`, node pools, node counts.
    Specification,
    /// Adding job types, retrying them, plug-ins, new sub-pools, new workloads.
    Service,
    /// Driver, job flavors, sharing, workspace, removing job types, batch actions.
    Configuration,
    Deletion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_refuses_what_the_table_says() {
        use Restricted::{Configuration, Deletion, PrepaidSwitch, Service, Specification};
        let all = [PrepaidSwitch, Specification, Service, Configuration, Deletion];
        let refused = |mask: u32| {
            all.into_iter()
                .filter(|what| ControlMode(mask).refuses(*what).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(refused(0), []);
        assert_eq!(refused(1), [PrepaidSwitch]);
        assert_eq!(refused(2), [Specification]);
        assert_eq!(refused(4), [Service]);
        assert_eq!(refused(8), [PrepaidSwitch, Specification, Service, Configuration]);
        assert_eq!(refused(9), refused(8));
        assert_eq!(refused(16), all);
        assert_eq!(refused(64), []);
    }
}
