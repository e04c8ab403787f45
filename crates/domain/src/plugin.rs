//! Plug-ins of a pool and the templates they are made from (contract `plugins.md`).

use crate::meta::Uid;
use crate::name::{PoolName, ProjectId, TemplateName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub project: ProjectId,
    pub pool: PoolName,
    pub pool_uid: Uid,
    pub template: TemplateName,
    pub created_at: Timestamp,
    /// Wanted version.
    pub version: String,
    /// Parameters that were asked for.
    pub inputs: BTreeMap<String, Value>,
    /// Wanted parameters with the version's defaults where nothing was asked for: what is installed.
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    /// Counts what was asked of the fleet, from 1: versions, parameters and retries. A fleet reports which one it works on.
    #[serde(default)]
    pub attempt: u32,
    /// Installed for job types or because it is mandatory, not by a user.
    pub is_system: bool,
    pub phase: PluginPhase,
    /// The version that runs.
    pub running_version: Option<String>,
    /// The parameters that it runs with.
    #[serde(default)]
    pub running_values: Option<BTreeMap<String, Value>>,
    /// Since when it has been in a passing phase.
    pub since: Timestamp,
    pub reason: Option<String>,
}

/// README §8.4. Legal transitions: [`PluginPhase::may_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PluginPhase {
    Pending,
    Running,
    Updating,
    Abnormal,
    Deleting,
}

impl PluginPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Updating => "Updating",
            Self::Abnormal => "Abnormal",
            Self::Deleting => "Deleting",
        }
    }

    pub fn may_become(self, next: Self) -> bool {
        use PluginPhase as P;
        self == next
            || match self {
                P::Pending => matches!(next, P::Running | P::Abnormal | P::Deleting),
                P::Running => matches!(next, P::Updating | P::Abnormal | P::Deleting),
                P::Updating => matches!(next, P::Running | P::Abnormal | P::Deleting),
                P::Abnormal => matches!(next, P::Updating | P::Running | P::Deleting),
                P::Deleting => false,
            }
    }
}

/// What plug-ins are made from; the operator maintains the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginTemplate {
    pub name: TemplateName,
    pub display_name: String,
    pub description: String,
    pub kind: TemplateKind,
    /// `false`: installed in every pool and not deletable.
    pub is_optional: bool,
    pub logo_url: String,
    /// Newest first; never empty.
    pub versions: Vec<TemplateVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TemplateKind {
    Helm,
    CcePlugin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateVersion {
    pub version: String,
    pub created_at: Timestamp,
    pub description: String,
    pub detail: String,
    pub inputs: BTreeMap<String, Value>,
    /// Texts for user interfaces, by language.
    #[serde(default)]
    pub translate: BTreeMap<String, Value>,
}

impl PluginTemplate {
    pub fn has_version(&self, version: &str) -> bool {
        self.versions.iter().any(|entry| entry.version == version)
    }

    pub fn newest(&self) -> Option<&str> {
        self.versions.first().map(|entry| entry.version.as_str())
    }

    /// The parameters of a version where these are asked for: at any depth, what is not asked for has its default.
    pub fn values(&self, version: &str, inputs: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let defaults = self.versions.iter().find(|entry| entry.version == version);
        let mut values = defaults.map(|entry| entry.inputs.clone()).unwrap_or_default();
        for (name, value) in inputs {
            overlay(values.entry(name.clone()).or_default(), value);
        }
        values
    }
}

/// Puts one value over another: objects member by member, everything else as a whole.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                overlay(base.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => base.clone_from(over),
    }
}

impl Plugin {
    /// Asks for something else, or for the same once more. What was never installed goes on being installed.
    pub fn ask_again(&mut self, now: Timestamp) {
        self.attempt += 1;
        self.since = now;
        self.reason = None;
        if self.phase != PluginPhase::Pending {
            self.phase = PluginPhase::Updating;
        }
    }

    /// `metadata.name`
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.pool, self.template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_not_asked_for_has_its_default() {
        let template = PluginTemplate {
            name: TemplateName::parse("volcano").unwrap(),
            display_name: String::new(),
            description: String::new(),
            kind: TemplateKind::Helm,
            is_optional: true,
            logo_url: String::new(),
            versions: vec![TemplateVersion {
                version: "1".to_owned(),
                created_at: Timestamp::UNIX_EPOCH,
                description: String::new(),
                detail: String::new(),
                inputs: members(json!({"custom": {"replicas": 1, "zones": ["a"]}, "flavor": {"name": "small"}})),
                translate: BTreeMap::new(),
            }],
        };
        let values = template.values("1", &members(json!({"custom": {"replicas": 2, "zones": []}, "debug": true})));
        let wanted = json!({"custom": {"replicas": 2, "zones": []}, "flavor": {"name": "small"}, "debug": true});
        assert_eq!(values, members(wanted));
        assert_eq!(template.values("2", &members(json!({"a": null}))), members(json!({"a": null})));
    }
}
