//! Workloads as a fleet reports them, and the quotas by which it lets them in.

use crate::command::PoolMark;
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::pool::tree::Amount;
use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a pool of a tree may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub pool: PoolMark,
    /// `None`: the physical pool.
    pub parent: Option<Uid>,
    /// Guaranteed and greatest numbers of nodes by flavor.
    pub amounts: BTreeMap<FlavorName, Amount>,
}

/// A workload of a pool, or one that has ended lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadFact {
    pub uid: Uid,
    /// Name and kind of the cluster's object, e.g. `batch.volcano.sh/v1alpha1, Kind=Job`.
    pub name: String,
    pub gvk: String,
    /// Name and id that the service has for it which submitted it.
    pub job_name: String,
    pub job_id: String,
    pub kind: WorkloadKind,
    /// The pool that it was submitted to.
    pub pool: PoolMark,
    /// Name of the user.
    pub owner: String,
    pub flavor: FlavorName,
    pub priority: u32,
    /// Nodes that it needs.
    pub nodes: u32,
    /// Quantities that it needs on each node, by resource name.
    pub resources: Quantities,
    pub status: WorkloadStatus,
    /// Why it waits, or how it ended.
    pub reason: Option<String>,
    /// Its place among those that wait in its pool, from 1.
    pub position: Option<u32>,
    pub created_at: Timestamp,
    /// When it started last.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Where it runs.
    pub hosts: Vec<HostFact>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFact {
    pub node: NodeName,
    pub ip: Option<String>,
}
