//! The `kube` part of the configuration: which Nodes there are to have, what they count as, and how they are handled.

mod faults;
mod provision;

pub use faults::{DeviceInfo, FaultRule, Pattern};
pub use provision::{ClusterApi, MachineTemplate, Provisioner, TemplateRef, ZoneRule};

use crate::amount::Amounts;
use crate::mark;
use crate::selector;
use crate::settings::PoolSettings;
use domain::name::{FlavorName, ZoneName};
use kube::core::Selector;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How a cluster is used as a fleet. Every setting has a default; with none at all, labelled Nodes are offered under flavors that
/// are read off them (see [`crate::inventory`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubeConfig {
    /// Name space of what is ours alone: the fence, pods that reboot or clean.
    pub namespace: String,
    /// Label selector of the Nodes that may be used.
    pub inventory: String,
    /// What Nodes count as. Empty: flavors are read off the Nodes.
    pub flavor: Vec<FlavorRule>,
    /// Zone of Nodes without the label of a zone. Absent: they are not offered.
    pub default_zone: Option<ZoneName>,
    /// Values of the label of a zone, and the zone that each is in the API. What is not named here is its own name.
    pub zones: BTreeMap<String, ZoneName>,
    /// Resource names of accelerators, and the key that each has in the API. What is not named here is passed unchanged.
    pub accelerators: BTreeMap<String, String>,
    /// Keys of taints that a free Node may carry.
    pub tolerated_taints: Vec<String>,
    /// Label whose value is the rack or supernode of a Node.
    pub batch_label: Option<String>,
    /// Nodes of Karpenter and Cluster API may be taken too.
    pub adopt_provisioned: bool,
    /// Who makes machines where more are asked for than are free.
    pub provisioner: Provisioner,
    pub cluster_api: Option<ClusterApi>,
    pub scheduler: Scheduler,
    /// Queues of Volcano, from 1.16 on, are kept to what each may use of each flavor.
    pub volcano_group_limits: bool,
    pub drain: Drain,
    pub driver: Driver,
    /// How a machine is started anew.
    pub reboot: Provider,
    /// How a machine is installed anew.
    pub reset: Provider,
    pub release: Release,
    /// What makes a Node faulty, besides its kubelet and its accelerators.
    pub fault: Vec<FaultRule>,
    /// Where Huawei's device plug-in says which NPUs are sick. Absent: it is not looked at.
    pub device_info: Option<DeviceInfo>,
    /// A kubelet that says it is not ready is believed after so long.
    pub unready_seconds: u64,
    /// Nothing is concluded from a watch that has been silent for so long.
    pub silence_seconds: u64,
    /// Plug-ins, and what job types need of the cluster.
    pub pool: PoolSettings,
}

/// A physical flavor of the catalogue, as Nodes show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlavorRule {
    pub name: FlavorName,
    /// Labels that a Node must have: every key, with one of its values.
    #[serde(rename = "match")]
    pub labels: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub accelerator: Option<AcceleratorRule>,
    /// What must be allocatable at least.
    #[serde(default)]
    pub least: Amounts,
    /// What one node counts in queues. Empty: the accelerators and `least`.
    #[serde(default)]
    pub quota: Amounts,
    /// Name of the template that machines are made from. Absent: those that are there are all.
    #[serde(default)]
    pub provision: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorRule {
    pub resource: String,
    pub count: u32,
}

/// What lets workloads of logical pools in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Volcano,
    Kueue,
    /// Logical pools are accounting only.
    #[default]
    None,
}

/// How Nodes are emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Pods that cannot be evicted for so long are deleted, with the time that they ask for.
    pub timeout_seconds: u64,
    /// Pods that are there still after so long are deleted at once. Counted from the beginning.
    pub kill_seconds: u64,
    /// When an eviction that was put off is tried again.
    pub retry_seconds: u64,
}

/// Who installs drivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Driver {
    pub mode: DriverMode,
    /// Registry and image of NVIDIA's driver, in the modes `nvidia` and `operator`.
    pub repository: String,
    pub image: String,
    /// What the GPU operator is told of its roll-out, in mode `operator`.
    pub upgrade_policy: serde_json::Value,
    /// How NPU drivers are installed. Absent: somebody else follows the label of a Node.
    pub installer: Option<Installer>,
}

/// A Job that installs a driver version on a Node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installer {
    /// Specification of its pod. In its texts `{{node}}`, `{{host}}`, `{{version}}` stand for what is asked for. It is on the Node unless
    /// it says otherwise.
    pub template: serde_json::Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverMode {
    /// One NVIDIADriver object for each version; the label of a Node chooses.
    Nvidia,
    /// One NVIDIADriver object for each pool; the GPU operator goes from Node to Node by itself.
    Operator,
    /// The label of a Node says what it is to have; somebody else follows it.
    #[default]
    Label,
    /// Drivers are the site's own affair; none are reported.
    None,
}

/// How a machine is worked upon.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Provider {
    /// Nobody can: such commands are refused.
    #[default]
    None,
    /// The Node is annotated with what is asked for, and an agent of the site does it.
    Annotation,
    /// A pod on the Node, or elsewhere, made from this specification (`spec` of a Pod). In its texts `{{node}}`, `{{host}}`,
    /// `{{number}}`, `{{image}}`, `{{runtime}}` stand for what is asked for.
    Pod { template: serde_json::Value },
    /// A service of the site is asked over HTTP.
    Webhook(Hook),
}

/// Where machines are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// `https://`, or `http://` on this machine.
    pub url: String,
    /// File with the secret that is sent as a bearer token.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Release {
    /// What is done to an emptied Node before it is free again.
    pub clean: Provider,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {problem}")]
pub struct ConfigError {
    /// Where it is, as in `flavor[2].match`.
    pub path: String,
    pub problem: String,
}

impl Default for KubeConfig {
    fn default() -> Self {
        let accelerators = [
            ("huawei.com/Ascend910", "huawei.com/ascend-snt9"),
            ("huawei.com/Ascend310", "huawei.com/ascend-snt3"),
            ("huawei.com/Ascend310P", "huawei.com/ascend-snt3"),
        ];
        Self {
            namespace: "poolkeeper-system".to_owned(),
            inventory: format!("{}=true", mark::INVENTORY),
            flavor: Vec::new(),
            default_zone: None,
            zones: BTreeMap::new(),
            accelerators: accelerators.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
            tolerated_taints: vec!["nvidia.com/gpu".to_owned()],
            batch_label: None,
            adopt_provisioned: false,
            provisioner: Provisioner::None,
            cluster_api: None,
            scheduler: Scheduler::default(),
            volcano_group_limits: false,
            drain: Drain::default(),
            driver: Driver::default(),
            reboot: Provider::None,
            reset: Provider::None,
            release: Release::default(),
            fault: FaultRule::usual(),
            device_info: None,
            unready_seconds: 60,
            silence_seconds: 60,
            pool: PoolSettings::default(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            timeout_seconds: 600,
            kill_seconds: 1200,
            retry_seconds: 5,
        }
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            mode: DriverMode::default(),
            repository: "nvcr.io/nvidia".to_owned(),
            image: "driver".to_owned(),
            upgrade_policy: serde_json::json!({
                "autoUpgrade": true,
                "maxParallelUpgrades": 1,
                "drain": {"enable": true, "force": false, "timeoutSeconds": 300},
            }),
            installer: None,
        }
    }
}

impl Drain {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    pub fn kill(&self) -> Duration {
        Duration::from_secs(self.kill_seconds)
    }

    pub fn retry(&self) -> Duration {
        Duration::from_secs(self.retry_seconds.max(1))
    }
}

impl KubeConfig {
    /// Checks what types cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |path: String, problem: &str| {
            Err(ConfigError {
                path,
                problem: problem.to_owned(),
            })
        };
        if !is_dns_label(&self.namespace) {
            return wrong("namespace".to_owned(), "is not the name of a name space");
        }
        self.selector()?;
        let zones = self.zones.iter().map(|(from, to)| (format!("zones.{from}"), to));
        for (path, zone) in zones.chain(self.default_zone.iter().map(|zone| ("default_zone".to_owned(), zone))) {
            if let Err(problem) = ZoneName::parse(zone.as_str()) {
                return wrong(path, &problem.to_string());
            }
        }
        let mut names = BTreeSet::new();
        for (at, flavor) in self.flavor.iter().enumerate() {
            flavor.validate(&format!("flavor[{at}]"))?;
            if !names.insert(&flavor.name) {
                return wrong(format!("flavor[{at}].name"), "is used twice");
            }
        }
        provision::validate(self.provisioner, self.cluster_api.as_ref(), &self.flavor)?;
        if self.drain.kill_seconds < self.drain.timeout_seconds {
            return wrong("drain.kill_seconds".to_owned(), "must not be less than drain.timeout_seconds");
        }
        for (path, seconds) in [("unready_seconds", self.unready_seconds), ("silence_seconds", self.silence_seconds)] {
            if seconds == 0 {
                return wrong(path.to_owned(), "must be at least 1");
            }
        }
        for (path, provider) in [
            ("reboot", &self.reboot),
            ("reset", &self.reset),
            ("release.clean", &self.release.clean),
        ] {
            if let Provider::Pod { template } = provider
                && !has_containers(template)
            {
                return wrong(format!("{path}.pod.template"), "has no containers");
            }
            if let Provider::Webhook(hook) = provider
                && !is_safe(&hook.url)
            {
                return wrong(
                    format!("{path}.webhook.url"),
                    "must begin with https://, or with http:// on this machine",
                );
            }
        }
        if self
            .driver
            .installer
            .as_ref()
            .is_some_and(|installer| !has_containers(&installer.template))
        {
            return wrong("driver.installer.template".to_owned(), "has no containers");
        }
        if !self.driver.upgrade_policy.is_object() {
            return wrong("driver.upgrade_policy".to_owned(), "is not a table");
        }
        if let Some(info) = &self.device_info {
            if !is_dns_label(&info.namespace) {
                return wrong("device_info.namespace".to_owned(), "is not the name of a name space");
            }
            if info.prefix.is_empty() {
                return wrong("device_info.prefix".to_owned(), "is empty");
            }
        }
        for (at, rule) in self.fault.iter().enumerate() {
            rule.validate(&format!("fault[{at}]"))?;
        }
        Ok(())
    }

    /// Whether somebody is asked over HTTP.
    pub fn has_webhooks(&self) -> bool {
        [&self.reboot, &self.reset, &self.release.clean]
            .into_iter()
            .any(|provider| matches!(provider, Provider::Webhook(_)))
    }

    /// Which Nodes may be used.
    pub fn selector(&self) -> Result<Selector, ConfigError> {
        selector::parse(&self.inventory).map_err(|problem| ConfigError {
            path: "inventory".to_owned(),
            problem,
        })
    }

    pub fn unready(&self) -> Duration {
        Duration::from_secs(self.unready_seconds)
    }

    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_seconds)
    }

    /// The Cluster in which machines are made, if they are.
    pub fn provisioning(&self) -> Option<&ClusterApi> {
        match self.provisioner {
            Provisioner::None => None,
            Provisioner::ClusterApi => self.cluster_api.as_ref(),
        }
    }

    /// What machines of a flavor are made from.
    pub fn machine_template(&self, flavor: &FlavorName) -> Option<&MachineTemplate> {
        let rule = self.flavor.iter().find(|rule| rule.name == *flavor)?;
        self.provisioning()?.template.get(rule.provision.as_ref()?)
    }

    /// The key that a resource has in the API.
    pub fn api_key<'a>(&'a self, resource: &'a str) -> &'a str {
        self.accelerators.get(resource).map_or(resource, String::as_str)
    }
}

impl FlavorRule {
    fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let wrong = |part: &str, problem: String| {
            Err(ConfigError {
                path: format!("{path}.{part}"),
                problem,
            })
        };
        if let Err(problem) = FlavorName::parse(self.name.as_str()) {
            return wrong("name", problem.to_string());
        }
        if self.labels.is_empty() {
            return wrong("match", "names no label, so that every Node would be one".to_owned());
        }
        for (key, values) in &self.labels {
            if values.is_empty() {
                return wrong(&format!("match.{key}"), "has no values".to_owned());
            }
        }
        if self.accelerator.as_ref().is_some_and(|accelerator| accelerator.count == 0) {
            return wrong("accelerator.count", "must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// Secrets are not sent in the clear over a network.
fn is_safe(url: &str) -> bool {
    let here = ["localhost", "127.0.0.1", "[::1]"];
    let is_here = |rest: &str| {
        here.iter()
            .any(|host| rest.strip_prefix(host).is_some_and(|rest| rest.starts_with([':', '/'])))
    };
    url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) || url.strip_prefix("http://").is_some_and(is_here)
}

fn has_containers(template: &serde_json::Value) -> bool {
    let containers = template.get("containers").and_then(serde_json::Value::as_array);
    containers.is_some_and(|all| !all.is_empty())
}

/// A template with its words replaced in all texts.
pub fn filled(template: &serde_json::Value, words: &[(&str, String)]) -> serde_json::Value {
    use serde_json::Value;
    match template {
        Value::String(text) => Value::String(words.iter().fold(text.clone(), |text, (word, value)| text.replace(word, value))),
        Value::Array(all) => Value::Array(all.iter().map(|one| filled(one, words)).collect()),
        Value::Object(all) => Value::Object(all.iter().map(|(key, one)| (key.clone(), filled(one, words))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}

fn is_dns_label(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
