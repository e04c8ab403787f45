//! The operator's catalogue: flavors and the installation's configuration (contract `flavors.md`, tags… §6 and §7).

use crate::name::{FlavorName, TemplateName, ZoneName};
use crate::pool::{Accelerator, CreatingStep, JobType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavor {
    pub name: FlavorName,
    pub kind: FlavorKind,
    pub arch: CpuArch,
    /// Cores.
    pub cpu: u32,
    pub memory_gib: u32,
    pub gpu: Option<AcceleratorSpec>,
    pub npu: Option<AcceleratorSpec>,
    pub job_types: Vec<JobType>,
    pub data_volumes: Vec<FlavorVolume>,
    pub root_volume: Option<FlavorVolume>,
    pub job_flavors: Vec<String>,
    pub creating_steps: Vec<CreatingStep>,
    pub billing_modes: Vec<u32>,
    pub is_bare_metal: bool,
    pub has_local_disk: bool,
    pub node_config_template: Option<String>,
    /// Zones in which it is on sale, whether machines are free or not.
    pub zones: Vec<ZoneName>,
    /// Other labels.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// How the accelerators of a model can be cut (contract flavors §3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VirtualTemplate {
    pub name: TemplateName,
    /// What one whole accelerator has.
    pub resources: BTreeMap<String, serde_json::Value>,
    /// The name under which schedulers know the whole accelerator.
    pub resource_key: String,
    pub slices: Vec<VirtualResource>,
}

/// One way of cutting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VirtualResource {
    /// The name of the virtual flavor that it makes.
    pub name: String,
    pub resources: BTreeMap<String, serde_json::Value>,
    pub resource_key: String,
}

impl VirtualTemplate {
    /// The name under which schedulers know what a virtual flavor is.
    pub fn key_of(&self, flavor: &str) -> &str {
        let slice = self.slices.iter().find(|slice| slice.name == flavor);
        slice.map_or(&self.resource_key, |slice| &slice.resource_key)
    }
}

/// Which pool type a flavor is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlavorKind {
    Dedicate,
    /// A slice of a physical flavor.
    Virtual {
        base: FlavorName,
        template: String,
        visibility: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuArch {
    X86,
    Arm64,
}

impl CpuArch {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm64 => "arm64",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceleratorSpec {
    /// Model, e.g. `nvidia-t4` or `ascend-snt9`.
    pub model: String,
    /// Number per machine.
    pub size: u32,
    /// Memory per card, e.g. `16Gi`.
    pub memory: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlavorVolume {
    pub volume_type: String,
    pub size: String,
}

impl Flavor {
    /// A physical flavor with nothing special about it.
    pub fn plain(name: FlavorName, arch: CpuArch, cpu: u32, memory_gib: u32) -> Self {
        Self {
            name,
            kind: FlavorKind::Dedicate,
            arch,
            cpu,
            memory_gib,
            gpu: None,
            npu: None,
            job_types: JobType::ALL.to_vec(),
            data_volumes: Vec::new(),
            root_volume: None,
            job_flavors: Vec::new(),
            creating_steps: Vec::new(),
            billing_modes: vec![0, 1],
            is_bare_metal: false,
            has_local_disk: false,
            node_config_template: None,
            zones: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    pub fn is_physical(&self) -> bool {
        matches!(self.kind, FlavorKind::Dedicate)
    }

    /// The accelerators that decide about drivers.
    pub fn accelerator(&self) -> Option<Accelerator> {
        if self.gpu.as_ref().is_some_and(|gpu| gpu.size > 0) {
            Some(Accelerator::Gpu)
        } else if self.npu.as_ref().is_some_and(|npu| npu.size > 0) {
            Some(Accelerator::Npu)
        } else {
            None
        }
    }
}

/// How many machines of a flavor there are and how many of them are free, by zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub zones: BTreeMap<ZoneName, ZoneOffer>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZoneOffer {
    /// Machines that a new node could have at once.
    pub free: u32,
    /// All machines, taken, broken and free.
    pub total: u32,
}

impl Offer {
    pub fn total(&self) -> u64 {
        self.zones.values().map(|zone| u64::from(zone.total)).sum()
    }

    pub fn free(&self) -> u64 {
        self.zones.values().map(|zone| u64::from(zone.free)).sum()
    }
}

/// Offers of all flavors.
pub type Offers = BTreeMap<FlavorName, Offer>;

/// The installation's configuration for pools (`os-user-config`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsConfig {
    pub network_cidrs: Vec<String>,
    pub network_quota: u32,
    pub pool_quota: u32,
    pub max_pool_flavors: u32,
    pub cluster_flavors: Vec<String>,
    /// `true`: a pool may support training or inference, not both.
    pub is_single_license: bool,
    pub scopes: BTreeMap<JobType, ScopeNeeds>,
    pub region: Option<String>,
    /// Shown as `os.modelarts/external-access` where set.
    pub external_access: Option<String>,
}

impl OsConfig {
    /// The configuration of an installation whose operator has set none: every job type, without plug-ins.
    pub fn plain() -> Self {
        Self {
            network_cidrs: vec!["192.168.128.0/17".to_owned(), "172.18.0.0/16".to_owned()],
            network_quota: 15,
            pool_quota: 15,
            max_pool_flavors: 10,
            cluster_flavors: CLUSTER_FLAVORS.iter().map(ToString::to_string).collect(),
            is_single_license: false,
            scopes: JobType::ALL.into_iter().map(|job_type| (job_type, ScopeNeeds::default())).collect(),
            region: None,
            external_access: None,
        }
    }
}

/// What a job type needs before it is enabled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeNeeds {
    pub plugins: Vec<TemplateName>,
    pub needs_external_dependency: bool,
    pub can_retry: bool,
}

/// Control-plane sizes of the published configuration.
pub const CLUSTER_FLAVORS: [&str; 6] = [
    "cce.s1.small",
    "cce.s1.medium",
    "cce.s2.small",
    "cce.s2.medium",
    "cce.s2.large",
    "cce.s2.xlarge",
];

/// Limits of one project; absent values follow [`OsConfig`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub pools: Option<u32>,
    pub networks: Option<u32>,
}
