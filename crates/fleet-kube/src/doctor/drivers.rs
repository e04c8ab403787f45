//! Nodes that wait for a driver that nobody says is there.

use super::{Cluster, Finding};
use crate::config::{DriverMode, KubeConfig};
use crate::edit::label;
use crate::{driver, inventory, mark};
use kube::ResourceExt;
use kube::core::SelectorExt;

const DRIVERS: &str = "drivers";
/// So many names are told.
const TOLD: usize = 5;

pub(super) fn check(config: &KubeConfig, cluster: &Cluster, found: &mut Vec<Finding>) {
    let (Ok(nodes), Ok(selector)) = (&cluster.nodes, config.selector()) else {
        return;
    };
    match config.driver.mode {
        DriverMode::Label | DriverMode::Nvidia | DriverMode::Operator => {}
        DriverMode::None => return,
    }
    let (mut waiting, mut silent) = (Vec::new(), Vec::new());
    for node in nodes.iter().filter(|node| selector.matches(node.labels())) {
        let Some(is_npu) = inventory::accelerators(node).map(|found| inventory::is_npu(&found.resource)) else {
            continue;
        };
        let key = if is_npu { mark::NPU_DRIVER } else { mark::GPU_DRIVER };
        let (wanted, installed) = (label(node, key), driver::installed(node, key));
        match wanted.filter(|_| label(node, mark::POOL).is_some()) {
            Some(wanted) if installed.as_deref() != Some(wanted) => waiting.push(format!("{} ({wanted})", node.name_any())),
            None if wanted.is_none() && installed.is_none() && !has_installer(config, is_npu) => silent.push(node.name_any()),
            Some(_) | None => {}
        }
    }
    if !waiting.is_empty() {
        let message = format!("{} wait for their driver: {}", waiting.len(), some(&waiting));
        found.push(Finding::warning(
            DRIVERS,
            message,
            "a new node is Creating until its labels say that the version is installed; see docs/kubernetes.md, drivers",
        ));
    }
    if !silent.is_empty() {
        let message = format!("nothing says which driver these nodes have: {}", some(&silent));
        found.push(Finding::warning(
            DRIVERS,
            message,
            "with a driver template in the catalogue they stay Creating in a pool: run GPU feature discovery, set the label \
             poolkeeper.io/npu-driver-installed, or set driver.mode to none",
        ));
    }
}

/// Whether somebody else brings the driver after a Node has been claimed, so that nothing needs to be there before.
fn has_installer(config: &KubeConfig, is_npu: bool) -> bool {
    if is_npu {
        return config.driver.installer.is_some();
    }
    match config.driver.mode {
        DriverMode::Nvidia | DriverMode::Operator => true,
        DriverMode::Label | DriverMode::None => false,
    }
}

fn some(names: &[String]) -> String {
    let told = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
