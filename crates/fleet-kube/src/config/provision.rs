//! Machines that are made when there are too few: by whom, from what, and how many.

use super::{ConfigError, FlavorRule, is_dns_label};
use domain::name::ZoneName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who makes machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioner {
    /// Nobody: what is there is all there is.
    #[default]
    None,
    /// Cluster API: one Machine for each node.
    ClusterApi,
}

/// The Cluster of Cluster API that this cluster is, and what its Machines are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterApi {
    /// Name space of the Cluster. Templates are there, and Machines are made there.
    pub namespace: String,
    /// Name of the Cluster.
    pub cluster: String,
    /// Templates by the name that flavors use.
    #[serde(default)]
    pub template: BTreeMap<String, MachineTemplate>,
}

/// What the Machines of a flavor are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineTemplate {
    /// Version of Kubernetes, as `v1.33.4`. Absent: what the bootstrap provider takes.
    #[serde(default)]
    pub version: Option<String>,
    pub bootstrap: TemplateRef,
    pub infrastructure: TemplateRef,
    /// For so long Cluster API goes on emptying a Node that is empty already, but for what came behind our back.
    #[serde(default = "usual_drain")]
    pub drain_seconds: u32,
    /// Where machines can be made.
    pub zones: BTreeMap<ZoneName, ZoneRule>,
}

/// A template object in the name space of the Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateRef {
    /// Group and version, as `infrastructure.cluster.x-k8s.io/v1beta1`.
    pub api_version: String,
    /// As `Metal3MachineTemplate`. What is made of it is of the kind without `Template`.
    pub kind: String,
    pub name: String,
}

/// How machines are made in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneRule {
    /// At most so many Machines of the flavor.
    pub limit: u32,
    /// The failure domain of the zone. Absent: it has the name of the zone. Empty: the infrastructure has none.
    #[serde(default)]
    pub failure_domain: Option<String>,
}

fn usual_drain() -> u32 {
    600
}

impl MachineTemplate {
    /// The failure domain that a Machine in a zone asks for.
    pub fn failure_domain<'a>(&'a self, zone: &'a ZoneName) -> Option<&'a str> {
        let named = self.zones.get(zone).and_then(|rule| rule.failure_domain.as_deref());
        Some(named.unwrap_or(zone.as_str())).filter(|domain| !domain.is_empty())
    }
}

impl TemplateRef {
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    pub fn version(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or(self.api_version.as_str(), |(_, version)| version)
    }

    /// The kind of what is made of it.
    pub fn made_kind(&self) -> &str {
        self.kind.strip_suffix(SUFFIX).unwrap_or(&self.kind)
    }

    fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let is_version = |text: &str| text.starts_with('v') && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !is_dns_name(self.group()) || !is_version(self.version()) {
            return wrong(format!("{path}.api_version"), "is not a group and a version");
        }
        if self.made_kind().is_empty() || !self.kind.ends_with(SUFFIX) || !self.kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return wrong(format!("{path}.kind"), "is not the kind of a template: it must end in Template");
        }
        if !is_dns_name(&self.name) {
            return wrong(format!("{path}.name"), "is not the name of an object");
        }
        Ok(())
    }
}

const SUFFIX: &str = "Template";

impl ClusterApi {
    fn validate(&self) -> Result<(), ConfigError> {
        if !is_dns_label(&self.namespace) {
            return wrong("cluster_api.namespace".to_owned(), "is not the name of a name space");
        }
        if !is_dns_label(&self.cluster) {
            return wrong("cluster_api.cluster".to_owned(), "is not the name of a Cluster");
        }
        for (name, template) in &self.template {
            let path = format!("cluster_api.template.{name}");
            template.bootstrap.validate(&format!("{path}.bootstrap"))?;
            template.infrastructure.validate(&format!("{path}.infrastructure"))?;
            if template.version.as_deref().is_some_and(|version| !is_release(version)) {
                return wrong(format!("{path}.version"), "is not a version as v1.33.4");
            }
            if i32::try_from(template.drain_seconds).is_err() {
                return wrong(format!("{path}.drain_seconds"), "is too long");
            }
            if template.zones.is_empty() {
                return wrong(format!("{path}.zones"), "names no zone, so that nothing could be made");
            }
            for (zone, rule) in &template.zones {
                let path = format!("{path}.zones.{zone}");
                if let Err(problem) = ZoneName::parse(zone.as_str()) {
                    return wrong(path, &problem.to_string());
                }
                if rule.limit == 0 {
                    return wrong(format!("{path}.limit"), "must be at least 1");
                }
            }
        }
        Ok(())
    }
}

/// Checks all that is said of making machines.
pub(super) fn validate(provisioner: Provisioner, settings: Option<&ClusterApi>, flavors: &[FlavorRule]) -> Result<(), ConfigError> {
    if let Some(settings) = settings {
        settings.validate()?;
    }
    match (provisioner, settings) {
        (Provisioner::ClusterApi, None) => return wrong("cluster_api".to_owned(), "is missing, which the provisioner needs"),
        (Provisioner::None | Provisioner::ClusterApi, _) => {}
    }
    for (at, flavor) in flavors.iter().enumerate() {
        let Some(name) = &flavor.provision else { continue };
        let path = format!("flavor[{at}].provision");
        if provisioner == Provisioner::None {
            return wrong(path, "needs a provisioner");
        }
        if !settings.is_some_and(|settings| settings.template.contains_key(name)) {
            return wrong(path, &format!("{name:?} is not a table cluster_api.template.{name}"));
        }
    }
    Ok(())
}

fn wrong<T>(path: String, problem: &str) -> Result<T, ConfigError> {
    Err(ConfigError {
        path,
        problem: problem.to_owned(),
    })
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// `v1.33.4`, perhaps with more behind it.
fn is_release(text: &str) -> bool {
    let Some(numbers) = text.strip_prefix('v') else { return false };
    let mut parts = numbers.splitn(3, '.');
    let is_number = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
    is_number(parts.next()) && is_number(parts.next()) && parts.next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
