//! What stands in the way in a cluster, and what to do about it. The checks are pure functions over what was loaded.

mod drivers;
mod load;
mod nodes;
mod policies;
mod provision;
mod required;
mod rights;
mod scheduler;

pub use load::load;
pub use required::{Grant, Shipped, argo_grants, machine_grants};

use crate::config::KubeConfig;
use domain::meta::Uid;
use domain::name::{FlavorName, ZoneName};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// It works, but for something.
    Warning,
    /// Pools cannot be served, or are not protected.
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The name of the check, such as `daemon sets`.
    pub check: &'static str,
    pub message: String,
    /// What to do about it. Empty where nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Finding {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Ok,
            check,
            message: message.into(),
            advice: String::new(),
        }
    }

    pub fn warning(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            check,
            message: message.into(),
            advice: advice.into(),
        }
    }

    pub fn error(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::warning(check, message, advice)
        }
    }
}

/// What was read, or why it could not be.
pub type Loaded<T> = Result<T, String>;

/// Everything that the checks look at.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Who the server is to the cluster, as `system:serviceaccount:poolkeeper-system:poolkeeper`.
    pub account: String,
    /// Major and minor version.
    pub version: Loaded<(u32, u32)>,
    /// All Nodes, not only those of the inventory.
    pub nodes: Loaded<Vec<Node>>,
    pub daemons: Loaded<Vec<DaemonSet>>,
    pub policies: Loaded<Vec<ValidatingAdmissionPolicy>>,
    pub bindings: Loaded<Vec<ValidatingAdmissionPolicyBinding>>,
    /// Names of MutatingAdmissionPolicies; `None` where the cluster does not serve any.
    pub mutating: Loaded<Option<BTreeSet<String>>>,
    pub fence: Loaded<Option<ConfigMap>>,
    /// Served versions of custom resources that are established, by `plural.group`.
    pub resources: Loaded<BTreeMap<String, BTreeSet<String>>>,
    /// Of each ClusterPolicy of the GPU operator: its name, and whether drivers are what NVIDIADriver objects say.
    pub gpu_policies: Loaded<BTreeMap<String, bool>>,
    /// The Cluster and the templates that machines are made from, and whether they are there.
    pub machine_parts: Loaded<BTreeMap<String, bool>>,
    /// Whether the server may do what it has to.
    pub rights: Vec<(Grant, Loaded<bool>)>,
}

/// What our own store says, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub lease_epoch: Option<u64>,
    /// Physical flavors of the catalogue and the zones in which they are on sale.
    pub flavors: Option<BTreeMap<FlavorName, BTreeSet<ZoneName>>>,
    pub pools: Option<BTreeSet<Uid>>,
}

/// All checks, in the order in which they are told.
pub fn examine(config: &KubeConfig, cluster: &Cluster, known: &Known) -> Vec<Finding> {
    let mut found = Vec::new();
    version(cluster, &mut found);
    rights::check(cluster, &mut found);
    policies::check(config, cluster, known, &mut found);
    nodes::check(config, cluster, known, &mut found);
    drivers::check(config, cluster, &mut found);
    scheduler::check(config, cluster, &mut found);
    provision::check(config, cluster, &mut found);
    found
}

const VERSION: &str = "Kubernetes";

fn version(cluster: &Cluster, found: &mut Vec<Finding>) {
    found.push(match &cluster.version {
        Ok((major, minor)) if (*major, *minor) < (1, 30) => Finding::warning(
            VERSION,
            format!("{major}.{minor} has no ValidatingAdmissionPolicy"),
            "upgrade to 1.30 or newer: until then the lease alone keeps two replicas from commanding the same nodes",
        ),
        Ok((major, minor)) => Finding::ok(VERSION, format!("{major}.{minor}")),
        Err(reason) => not_read(VERSION, "the version", reason),
    });
}

/// A check that could not be made.
fn not_read(check: &'static str, what: &str, reason: &str) -> Finding {
    Finding::error(
        check,
        format!("{what} could not be read: {reason}"),
        "see that the API server answers and that the ClusterRole poolkeeper-doctor is bound to who asks",
    )
}

#[cfg(test)]
mod tests;
