//! Machines that are made: whether there is what they are made of.

use super::{Cluster, Finding, not_read};
use crate::config::{FlavorRule, KubeConfig};

const MACHINES: &str = "machines";

pub(super) fn check(config: &KubeConfig, cluster: &Cluster, found: &mut Vec<Finding>) {
    let Some(settings) = config.provisioning() else { return };
    let limits: Vec<String> = config.flavor.iter().filter_map(|rule| limits(config, rule)).collect();
    found.push(if limits.is_empty() {
        Finding::warning(
            MACHINES,
            "no flavor has machines made",
            "name a template in its `provision`, or set provisioner to none",
        )
    } else {
        Finding::ok(MACHINES, format!("at most so many are made: {}", limits.join(", ")))
    });
    let parts = match &cluster.machine_parts {
        Ok(parts) => parts,
        Err(reason) => return found.push(not_read(MACHINES, "templates of machines", reason)),
    };
    let missing: Vec<&str> = parts
        .iter()
        .filter(|(_, is_there)| !**is_there)
        .map(|(name, _)| name.as_str())
        .collect();
    found.push(if missing.is_empty() {
        Finding::ok(MACHINES, format!("their templates are in {}", settings.namespace))
    } else {
        Finding::error(
            MACHINES,
            format!("not in {}: {}", settings.namespace, missing.join(", ")),
            "see kubernetes.cluster_api: name space, Cluster, and group, version, kind and name of each template",
        )
    });
}

fn limits(config: &KubeConfig, rule: &FlavorRule) -> Option<String> {
    let template = config.machine_template(&rule.name)?;
    let zones: Vec<String> = template
        .zones
        .iter()
        .map(|(zone, own)| format!("{} in {zone}", own.limit))
        .collect();
    Some(format!("{} {}", rule.name, zones.join(" and ")))
}
