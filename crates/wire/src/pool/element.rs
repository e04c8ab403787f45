//! An element of `spec.resources`, as it is shown (contract pools §3.1–§3.4).

use super::Texts;
use domain::pool as model;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

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
