//! Plug-ins of a pool and the templates they are made from (contract `plugins.md`).

use crate::meta::Uid;
use crate::name::{PoolName, ProjectId, TemplateName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
    pub inputs: BTreeMap<String, serde_json::Value>,
    /// Installed for job types or because it is mandatory, not by a user.
    pub is_system: bool,
    pub phase: PluginPhase,
    /// The version that runs.
    pub running_version: Option<String>,
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
    pub inputs: BTreeMap<String, serde_json::Value>,
}

impl PluginTemplate {
    pub fn has_version(&self, version: &str) -> bool {
        self.versions.iter().any(|entry| entry.version == version)
    }

    pub fn newest(&self) -> Option<&str> {
        self.versions.first().map(|entry| entry.version.as_str())
    }
}
