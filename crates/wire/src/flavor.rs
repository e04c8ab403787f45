//! Flavors as clients see them (contract flavors §1).

use domain::catalogue::{AcceleratorSpec, Flavor, FlavorVolume, Offer};
use domain::pool::StepKind;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceFlavor {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: FlavorMetadata,
    pub spec: FlavorSpec,
    pub status: FlavorStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FlavorMetadata {
    pub name: String,
    pub labels: Texts,
    pub annotations: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlavorSpec {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub cpu_arch: &'static str,
    /// Cores
    pub cpu: String,
    pub memory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<AcceleratorBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu: Option<AcceleratorBody>,
    pub billing_modes: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_volumes: Vec<VolumeBody>,
    /// The same as `dataVolumes`, under the name that one client reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_volume: Vec<VolumeBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<VolumeBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job_flavors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_config_template: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creating_steps: Vec<CreatingStep>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AcceleratorBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub size: String,
    pub memory: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeBody {
    pub volume_type: String,
    pub size: String,
}

/// A size in which nodes of the flavor can be had together.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = FlavorCreatingStep)]
pub struct CreatingStep {
    #[serde(rename = "displayInfo")]
    pub display_info: DisplayInfo,
    pub step: u32,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// Texts for user interfaces by language.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = StepDisplayInfo)]
pub struct DisplayInfo {
    #[serde(rename = "en_US")]
    pub en_us: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StepBody {
    pub step: u32,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl From<&domain::pool::CreatingStep> for CreatingStep {
    fn from(step: &domain::pool::CreatingStep) -> Self {
        let what = match step.kind {
            StepKind::Rack => "Rack",
            StepKind::Hyperinstance => "Supernode",
        };
        Self {
            display_info: DisplayInfo {
                en_us: format!("{what} of {} nodes", step.step),
            },
            step: step.step,
            kind: step.kind.as_str(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FlavorStatus {
    /// Zone to `normal` or `soldout`.
    pub phase: BTreeMap<String, &'static str>,
}

impl ResourceFlavor {
    pub fn new(flavor: &Flavor, offer: &Offer) -> Self {
        let volumes: Vec<VolumeBody> = flavor.data_volumes.iter().map(VolumeBody::from).collect();
        let zones = flavor.zones.iter().chain(offer.zones.keys());
        let phase = zones.map(|zone| {
            (
                zone.to_string(),
                if offer.zones.get(zone).is_some_and(|zone| zone.free > 0) {
                    "normal"
                } else {
                    "soldout"
                },
            )
        });
        Self {
            kind: "ResourceFlavor",
            api_version: "v1",
            metadata: FlavorMetadata {
                name: flavor.name.to_string(),
                labels: labels(flavor),
                annotations: flavor.annotations.clone(),
            },
            spec: FlavorSpec {
                kind: if flavor.is_physical() { "Dedicate" } else { "Logical" },
                cpu_arch: flavor.arch.as_str(),
                cpu: flavor.cpu.to_string(),
                memory: format!("{}Gi", flavor.memory_gib),
                gpu: flavor.gpu.as_ref().map(AcceleratorBody::from),
                npu: flavor.npu.as_ref().map(AcceleratorBody::from),
                billing_modes: flavor.billing_modes.clone(),
                data_volume: volumes.clone(),
                data_volumes: volumes,
                root_volume: flavor.root_volume.as_ref().map(VolumeBody::from),
                job_flavors: flavor.job_flavors.clone(),
                node_config_template: flavor.node_config_template.clone(),
                creating_steps: flavor.creating_steps.iter().map(CreatingStep::from).collect(),
            },
            status: FlavorStatus { phase: phase.collect() },
        }
    }
}

/// The labels as they are shown.
pub fn labels(flavor: &Flavor) -> Texts {
    let mut labels = flavor.labels.clone();
    let scope: Vec<_> = flavor.job_types.iter().map(|job_type| job_type.as_str()).collect();
    labels.insert("os.modelarts/scope".to_owned(), scope.join("."));
    if flavor.is_bare_metal {
        labels.insert("os.modelarts.flavor/baremetal".to_owned(), "true".to_owned());
    }
    if flavor.has_local_disk {
        labels.insert("os.modelarts.flavor/localdisk".to_owned(), "true".to_owned());
    }
    labels
}

impl From<&AcceleratorSpec> for AcceleratorBody {
    fn from(spec: &AcceleratorSpec) -> Self {
        Self {
            kind: spec.model.clone(),
            size: spec.size.to_string(),
            memory: spec.memory.clone(),
        }
    }
}

impl From<&FlavorVolume> for VolumeBody {
    fn from(volume: &FlavorVolume) -> Self {
        Self {
            volume_type: volume.volume_type.clone(),
            size: volume.size.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
