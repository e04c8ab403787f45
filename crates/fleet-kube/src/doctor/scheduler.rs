//! What has to be installed beside Poolkeeper.

use super::{Cluster, Finding, not_read};
use crate::config::{DriverMode, KubeConfig, Provisioner, Scheduler};
use std::collections::BTreeMap;

const RESOURCES: &str = "custom resources";
const FLAVORS: &str = "flavors";
const DRIVERS: &str = "drivers";

const VOLCANO: &[(&str, &str)] = &[
    ("queues.scheduling.volcano.sh", "v1beta1"),
    ("podgroups.scheduling.volcano.sh", "v1beta1"),
    ("commands.bus.volcano.sh", "v1alpha1"),
    ("jobs.batch.volcano.sh", "v1alpha1"),
];
const KUEUE: &[(&str, &str)] = &[
    ("cohorts.kueue.x-k8s.io", "v1beta2"),
    ("clusterqueues.kueue.x-k8s.io", "v1beta2"),
    ("localqueues.kueue.x-k8s.io", "v1beta2"),
    ("resourceflavors.kueue.x-k8s.io", "v1beta2"),
    ("workloads.kueue.x-k8s.io", "v1beta2"),
];
const NVIDIA: &[(&str, &str)] = &[("nvidiadrivers.nvidia.com", "v1alpha1")];

const ARGO: &[(&str, &str)] = &[(crate::plugins::argo::CRD, "v1alpha1")];

const CLUSTER_API: &[(&str, &str)] = &[("machines.cluster.x-k8s.io", "v1beta2")];

pub(super) fn check(config: &KubeConfig, cluster: &Cluster, found: &mut Vec<Finding>) {
    resources(config, cluster, found);
    shared_names(config, found);
    drivers(config, cluster, found);
}

/// Who needs custom resources, which, and what brings them.
pub(super) fn needed(config: &KubeConfig) -> Vec<(&'static [(&'static str, &'static str)], &'static str)> {
    let mut needed = Vec::new();
    match config.scheduler {
        Scheduler::Volcano => needed.push((VOLCANO, "install Volcano 1.15 or newer, or choose another scheduler")),
        Scheduler::Kueue => needed.push((KUEUE, "install Kueue 0.19 or newer, or choose another scheduler")),
        Scheduler::None => {}
    }
    match config.driver.mode {
        DriverMode::Nvidia | DriverMode::Operator => needed.push((NVIDIA, "install the GPU operator, or set driver.mode to label or none")),
        DriverMode::Label | DriverMode::None => {}
    }
    match config.provisioner {
        Provisioner::ClusterApi => needed.push((CLUSTER_API, "install Cluster API 1.11 or newer, or set provisioner to none")),
        Provisioner::None => {}
    }
    if config.pool.argo.is_some() {
        needed.push((ARGO, "install Argo CD, or take pool.argo out of the configuration"));
    }
    needed
}

fn resources(config: &KubeConfig, cluster: &Cluster, found: &mut Vec<Finding>) {
    let needed = needed(config);
    if needed.is_empty() {
        return;
    }
    let served = match &cluster.resources {
        Ok(served) => served,
        Err(reason) => return found.push(not_read(RESOURCES, "custom resources", reason)),
    };
    for (list, advice) in needed {
        let is_missing = |(name, version): &&(&str, &str)| !served.get(*name).is_some_and(|versions| versions.contains(*version));
        let missing: Vec<_> = list
            .iter()
            .filter(is_missing)
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        found.push(if missing.is_empty() {
            Finding::ok(
                RESOURCES,
                format!("{} are served", list.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
            )
        } else {
            Finding::error(RESOURCES, format!("not served: {}", missing.join(", ")), advice)
        });
    }
}

/// Queues of Volcano count by resource: they cannot tell two flavors apart that have the same.
fn shared_names(config: &KubeConfig, found: &mut Vec<Finding>) {
    match config.scheduler {
        Scheduler::Volcano if !config.volcano_group_limits => {}
        Scheduler::Volcano | Scheduler::Kueue | Scheduler::None => return,
    }
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for flavor in &config.flavor {
        if let Some(accelerator) = &flavor.accelerator {
            by_name.entry(&accelerator.resource).or_default().push(flavor.name.as_str());
        }
    }
    for (resource, flavors) in by_name.iter().filter(|(_, flavors)| flavors.len() > 1) {
        found.push(Finding::warning(
            FLAVORS,
            format!("{} are all {resource} to Volcano", flavors.join(", ")),
            "in a pool with several of them quotas hold for their sum only: set volcano_group_limits (Volcano 1.16), bind nodes to sub-pools, or use Kueue",
        ));
    }
}

fn drivers(config: &KubeConfig, cluster: &Cluster, found: &mut Vec<Finding>) {
    match config.driver.mode {
        DriverMode::Nvidia | DriverMode::Operator => {}
        DriverMode::Label | DriverMode::None => return,
    }
    match &cluster.gpu_policies {
        Err(reason) => found.push(not_read(DRIVERS, "the ClusterPolicy of the GPU operator", reason)),
        Ok(policies) if policies.is_empty() => found.push(Finding::error(
            DRIVERS,
            "there is no ClusterPolicy of the GPU operator",
            "install the GPU operator with driver.useNvidiaDriverCRD=true, or set driver.mode to label or none",
        )),
        Ok(policies) => {
            for (name, is_used) in policies {
                found.push(if *is_used {
                    Finding::ok(DRIVERS, format!("ClusterPolicy {name} follows NVIDIADriver objects"))
                } else {
                    Finding::error(
                        DRIVERS,
                        format!("ClusterPolicy {name} does not follow NVIDIADriver objects"),
                        "set spec.driver.useNvidiaDriverCRD to true",
                    )
                });
            }
        }
    }
}
