//! What of a Node's conditions and taints is a fault.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One condition or taint that makes a Node faulty. Exactly one of `condition` and `taint` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Type of a condition that is `True`; one `*` stands for any text.
    #[serde(default)]
    pub condition: Option<Pattern>,
    /// Key of a taint; one `*` stands for any text.
    #[serde(default)]
    pub taint: Option<Pattern>,
    /// It counts once it has lasted for so long.
    #[serde(default = "usual_debounce")]
    pub debounce_seconds: u64,
}

/// The ConfigMaps in which Huawei's device plug-in tells of each Node's NPUs: `<prefix><name of the Node>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceInfo {
    pub namespace: String,
    pub prefix: String,
    /// Label selector, where the name space has many others.
    pub labels: Option<String>,
    /// Sick devices make a Node faulty once that has lasted for so long.
    pub debounce_seconds: u64,
}

impl Default for DeviceInfo {
    fn default() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            prefix: "mindx-dl-deviceinfo-".to_owned(),
            labels: None,
            debounce_seconds: usual_debounce(),
        }
    }
}

impl DeviceInfo {
    pub fn debounce(&self) -> Duration {
        Duration::from_secs(self.debounce_seconds)
    }
}

/// A text in which one `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    pub fn matches(&self, text: &str) -> bool {
        match self.0.split_once('*') {
            None => self.0 == text,
            Some((head, tail)) => text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail),
        }
    }
}

fn usual_debounce() -> u64 {
    30
}

impl FaultRule {
    /// A condition with the usual debounce.
    pub fn condition(pattern: &str) -> Self {
        Self {
            condition: Some(Pattern(pattern.to_owned())),
            taint: None,
            debounce_seconds: usual_debounce(),
        }
    }

    /// A taint with the usual debounce.
    pub fn taint(pattern: &str) -> Self {
        Self {
            condition: None,
            taint: Some(Pattern(pattern.to_owned())),
            debounce_seconds: usual_debounce(),
        }
    }

    pub fn debounce(&self) -> Duration {
        Duration::from_secs(self.debounce_seconds)
    }

    /// What NVSentinel and the node problem detector report by conditions.
    pub fn usual() -> Vec<Self> {
        let conditions = [
            "SysLogsXIDError",
            "SysLogsSXIDError",
            "SysLogsGPUFallenOff",
            "Gpu*Watch",
            "NVSwitchFatalError",
            "KernelDeadlock",
            "ReadonlyFilesystem",
        ];
        conditions.map(Self::condition).into()
    }

    pub(super) fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let wrong = |part: &str, problem: &str| {
            Err(ConfigError {
                path: format!("{path}{part}"),
                problem: problem.to_owned(),
            })
        };
        let (part, pattern) = match (&self.condition, &self.taint) {
            (Some(pattern), None) => (".condition", pattern),
            (None, Some(pattern)) => (".taint", pattern),
            (None, None) | (Some(_), Some(_)) => return wrong("", "names neither or both of condition and taint"),
        };
        if pattern.0.is_empty() || pattern.0.matches('*').count() > 1 {
            return wrong(part, "is empty, or has more than one *");
        }
        Ok(())
    }
}
