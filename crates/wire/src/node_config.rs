//! Settings of nodes, and what a node may be configured with (contract nodes §6, flavors §4). Read-only.

use domain::catalogue::{Flavor, FlavorVolume};
use domain::plugin::PluginPhase;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: ConfigName,
    pub spec: ConfigSpec,
    pub status: ConfigStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConfigName {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConfigSpec {
    /// `cpu_manager`, `drop_cache`, `transparent_hugepage`
    pub configs: BTreeMap<&'static str, ConfigMode>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConfigMode {
    pub mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConfigStatus {
    /// A phase as plug-ins have.
    pub phase: &'static str,
}

/// What can be set on the nodes of a pool, with the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfigTemplate {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: ConfigName,
    pub spec: TemplateSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TemplateSpec {
    pub templates: Vec<ConfigSpec>,
}

/// What the nodes of a flavor are made with.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlavorNodeConfigTemplate {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: ConfigName,
    pub spec: FlavorNodeConfig,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlavorNodeConfig {
    /// GiB per node for containers.
    pub docker_base_size: u32,
    pub docker_lvm_config: DockerLvmConfig,
    pub os_list: Vec<OsChoice>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerLvmConfig {
    /// Share of the data disk for containers, in per cent.
    pub docker_thin_pool: u32,
    /// Share for everything else, in per cent.
    #[serde(rename = "kubernetesLV")]
    pub kubernetes_lv: u32,
    /// `evs` or `ssd`
    pub docker_disk_type: &'static str,
    pub lv_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OsChoice {
    pub name: String,
    pub preferred: bool,
    pub eos: bool,
    pub offline: bool,
}

/// The settings that every node has: the defaults, since nothing can change them.
fn configs() -> ConfigSpec {
    let mode = |mode| ConfigMode { mode };
    ConfigSpec {
        configs: BTreeMap::from([
            ("cpu_manager", mode("none")),
            ("drop_cache", mode("disable")),
            ("transparent_hugepage", mode("madvise")),
        ]),
    }
}

impl NodeConfig {
    pub fn of(phase: PluginPhase) -> Self {
        Self {
            api_version: "v2",
            kind: "NodeConfig",
            metadata: ConfigName {
                name: "node-config".to_owned(),
            },
            spec: configs(),
            status: ConfigStatus { phase: phase.as_str() },
        }
    }
}

impl Default for NodeConfigTemplate {
    fn default() -> Self {
        Self {
            api_version: "v2",
            kind: "NodeConfigTemplate",
            metadata: ConfigName {
                name: "node-config-template".to_owned(),
            },
            spec: TemplateSpec {
                templates: vec![configs()],
            },
        }
    }
}

impl FlavorNodeConfigTemplate {
    /// The template of this name, with what the flavors that refer to it have in common.
    pub fn of(name: &str, flavor: &Flavor) -> Self {
        let disk: Option<&FlavorVolume> = flavor.data_volumes.first();
        let size = disk
            .and_then(|disk| disk.size.trim_end_matches("Gi").parse().ok())
            .unwrap_or(100_u32);
        Self {
            api_version: "v1",
            kind: "NodeConfigTemplate",
            metadata: ConfigName { name: name.to_owned() },
            spec: FlavorNodeConfig {
                docker_base_size: size.min(50),
                docker_lvm_config: DockerLvmConfig {
                    docker_thin_pool: 90,
                    kubernetes_lv: 10,
                    docker_disk_type: if flavor.has_local_disk { "ssd" } else { "evs" },
                    lv_type: "linear",
                },
                // Which images there are, no configuration says; nodes get the fleet's own.
                os_list: Vec::new(),
            },
        }
    }
}
