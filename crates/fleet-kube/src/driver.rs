//! Drivers of accelerators: what a Node is to have, what it has, and the object that makes the difference go.

pub mod installer;
pub mod operator;

use crate::amount::Amount;
use crate::config::{DriverMode, KubeConfig};
use crate::driver::installer::Install;
use crate::edit::label;
use crate::inventory::{accelerators, allocatable, is_npu, is_ready};
use crate::mark;
use domain::name::FlavorName;
use fleet::DriverFact;
use fleet::observation::DriverProgress;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};
use serde_json::json;
use std::collections::BTreeMap;

/// What feature discovery says of NVIDIA's driver: in one label, on older releases in three.
const GPU_FULL: &str = "nvidia.com/cuda.driver-version.full";
const GPU_PARTS: [&str; 3] = [
    "nvidia.com/cuda.driver.major",
    "nvidia.com/cuda.driver.minor",
    "nvidia.com/cuda.driver.rev",
];
/// How far the upgrade controller of the GPU operator is.
const UPGRADE_STATE: &str = "nvidia.com/gpu-driver-upgrade-state";
const UPGRADE_DONE: &str = "upgrade-done";

/// The label by which a driver is asked for on a Node of the flavor. `None`: it has no accelerators, or drivers are no affair of ours.
pub fn wanted_label(node: &Node, flavor: Option<&FlavorName>, config: &KubeConfig) -> Option<&'static str> {
    if config.driver.mode == DriverMode::None {
        return None;
    }
    let rule = config.flavor.iter().find(|rule| Some(&rule.name) == flavor);
    let configured = rule.and_then(|rule| rule.accelerator.as_ref()).map(|own| own.resource.clone());
    let resource = configured.or_else(|| accelerators(node).map(|found| found.resource))?;
    Some(if is_npu(&resource) { mark::NPU_DRIVER } else { mark::GPU_DRIVER })
}

/// The version that is installed.
pub(crate) fn installed(node: &Node, wanted: &str) -> Option<String> {
    if wanted == mark::NPU_DRIVER {
        return label(node, mark::NPU_DRIVER_INSTALLED).map(str::to_owned);
    }
    let parts: Vec<&str> = GPU_PARTS
        .iter()
        .filter_map(|key| label(node, key))
        .filter(|part| !part.is_empty())
        .collect();
    let joined = (!parts.is_empty()).then(|| parts.join("."));
    label(node, GPU_FULL).map(str::to_owned).or(joined)
}

/// All accelerators that the flavor promises, or that the Node has, can be allocated.
pub fn has_all_accelerators(node: &Node, flavor: Option<&FlavorName>, config: &KubeConfig) -> Result<(), (u64, u64)> {
    let rule = config.flavor.iter().find(|rule| Some(&rule.name) == flavor);
    let (has, promised) = match rule.and_then(|rule| rule.accelerator.as_ref()) {
        Some(wanted) => {
            let has = allocatable(node)
                .get(&wanted.resource)
                .map_or(0, |amount: &Amount| amount.units() as u64);
            (has, u64::from(wanted.count))
        }
        None => accelerators(node).map_or((0, 0), |found| (found.allocatable, found.capacity)),
    };
    if has < promised { Err((has, promised)) } else { Ok(()) }
}

/// What is reported of the driver of a Node.
pub fn fact(node: &Node, flavor: Option<&FlavorName>, config: &KubeConfig, install: Option<&Install>) -> Option<DriverFact> {
    let key = wanted_label(node, flavor, config)?;
    let installed = installed(node, key);
    let Some(version) = label(node, key).map(str::to_owned) else {
        let progress = DriverProgress::Done;
        return installed.is_some().then_some(DriverFact { installed, progress });
    };
    let is_usable = is_ready(node) && has_all_accelerators(node, flavor, config).is_ok();
    let is_at_work = match config.driver.mode {
        // It restarts, validates and opens the Node after the version is there.
        DriverMode::Operator if key == mark::GPU_DRIVER => label(node, UPGRADE_STATE).is_some_and(|state| state != UPGRADE_DONE),
        DriverMode::Operator | DriverMode::Nvidia | DriverMode::Label | DriverMode::None => install == Some(&Install::Running),
    };
    let progress = if installed.as_ref() == Some(&version) && is_usable && !is_at_work {
        DriverProgress::Done
    } else if let Some(Install::Failed(reason)) = install.filter(|_| installed.as_ref() != Some(&version)) {
        let reason = reason.clone();
        DriverProgress::Failed { version, reason }
    } else if label(node, UPGRADE_STATE) == Some("upgrade-failed") {
        let reason = "the GPU operator reports upgrade-failed".to_owned();
        DriverProgress::Failed { version, reason }
    } else {
        DriverProgress::Installing { version }
    };
    Some(DriverFact { installed, progress })
}

/// NVIDIA's kind of object for a driver version.
pub fn nvidia_driver() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("nvidia.com", "v1alpha1", "NVIDIADriver"), "nvidiadrivers")
}

/// The object for a version, shared by all pools: a Node is upgraded by a change of its label.
pub fn driver_object(version: &str, config: &KubeConfig) -> DynamicObject {
    let name: String = version
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    DynamicObject {
        types: Some(nvidia_driver()).map(|kind| kube::api::TypeMeta {
            api_version: kind.api_version,
            kind: kind.kind,
        }),
        metadata: ObjectMeta {
            name: Some(format!("pk-gpu-{}", name.trim_matches('-'))),
            labels: Some(BTreeMap::from([(mark::MANAGED.to_owned(), "true".to_owned())])),
            ..ObjectMeta::default()
        },
        data: json!({"spec": {
            "driverType": "gpu",
            "default": false,
            "repository": config.driver.repository,
            "image": config.driver.image,
            "version": version,
            "nodeSelector": {mark::GPU_DRIVER: version},
            "upgradePolicy": {"autoUpgrade": false},
        }}),
    }
}
