//! What a fleet reports of one pool.

use crate::workload::Quota;
use domain::meta::Uid;
use domain::name::{NodeName, TemplateName, ZoneName};
use domain::pool::JobType;
use domain::quantities::Quantities;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that carries a pool's mark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    pub cluster: ClusterFact,
    /// Shared with the fleet, which has most of them from the time before.
    pub nodes: BTreeMap<NodeName, Arc<NodeFact>>,
    pub plugins: BTreeMap<TemplateName, PluginFact>,
    /// External dependencies of job types: `Ok` is up, `Err` says what is wrong. Absent: none, or not known yet.
    pub dependencies: BTreeMap<JobType, Result<(), String>>,
    /// Workloads queued or running, by job type. Absent: none.
    pub workloads: BTreeMap<JobType, u32>,
    /// By what workloads are let in. Empty: none are.
    pub quotas: Vec<Quota>,
}

impl Observation {
    pub fn node(&self, name: &NodeName) -> Option<&NodeFact> {
        self.nodes.get(name).map(AsRef::as_ref)
    }
}

/// The pool's cluster (`EnsurePool`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClusterFact {
    #[default]
    Absent,
    Starting,
    Ready,
    Failed(String),
    /// Up once, not answering now.
    Unreachable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFact {
    pub state: MachineState,
    pub az: ZoneName,
    /// The last sign of life of a machine that is overdue with the next one. A fleet says so when it notices; nobody asks.
    pub silent_since: Option<Timestamp>,
    pub private_ip: Option<String>,
    pub instance: Option<String>,
    /// Allocatable quantities by resource name.
    pub resources: Quantities,
    /// What of them no workload has.
    pub available: Quantities,
    pub os: Option<String>,
    pub driver: Option<DriverFact>,
    /// Jobs run on it.
    pub is_busy: bool,
    /// Closed to new jobs.
    pub is_held: bool,
    /// Whether others are kept from taking the machine away. `None`: the fleet cannot keep anybody from it, or needs not.
    pub is_locked: Option<bool>,
    /// The last reboot or reset that was asked for.
    pub request: Option<RequestFact>,
    /// The logical pool that it is kept for.
    pub dedicated_to: Option<Uid>,
}

/// A numbered request to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFact {
    pub number: u64,
    pub progress: RequestProgress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestProgress {
    Running,
    /// Over; what the machine is now, its state tells.
    Done,
    Failed {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineState {
    /// Bound, not up yet.
    Booting,
    /// Up, in its self-test.
    Checking,
    Ready,
    /// Up, and reporting a fault.
    Faulty(String),
    /// Will never come up.
    Failed(String),
    /// Being emptied and given back.
    Releasing,
}

/// The driver of an accelerator node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverFact {
    /// What is installed now, if anything.
    pub installed: Option<String>,
    pub progress: DriverProgress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverProgress {
    /// `installed` is what was last asked for.
    Done,
    Installing {
        version: String,
    },
    Failed {
        version: String,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFact {
    /// What was asked for last, and its number.
    pub version: String,
    pub attempt: u32,
    /// What runs.
    pub running: Option<String>,
    pub state: PluginState,
    /// What it consists of, while it runs.
    pub objects: Vec<PluginObject>,
}

/// A workload of a plug-in, as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginObject {
    pub kind: String,
    pub api_version: String,
    pub namespace: String,
    pub name: String,
    pub uid: Uid,
    pub resource_version: String,
    pub replicas: u32,
    /// Quantities by resource name.
    pub limits: BTreeMap<String, String>,
    pub requests: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginState {
    Installing,
    Running,
    Failed(String),
    Removing,
}
