//! The node: one machine of a physical pool (contract nodes §1, README §8.5).

mod care;
mod refresh;
pub mod request;

pub use care::{Care, DRAIN_TAINT, Drain, HA_TAINT, MoveFrom, NodeTask, PinnedDriver, Repair, Taint, TaintEffect, TaskKind};

use crate::meta::Uid;
use crate::name::{DomainId, FlavorName, NodeName, NodePoolName, OrderName, PoolName, ProjectId, ZoneName, suffix};
use crate::pool::{Accelerator, CreatingStep, ElementKey, NodeOs};
use crate::quantities::Quantities;
use crate::tag::Tag;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub uid: Uid,
    pub project: ProjectId,
    /// The account of the pool's owner; absent in records of before it was kept.
    #[serde(default)]
    pub domain: Option<DomainId>,
    pub pool: PoolName,
    pub pool_uid: Uid,
    pub flavor: FlavorName,
    pub node_pool: NodePoolName,
    pub az: ZoneName,
    pub created_at: Timestamp,
    /// The order that asked for it.
    pub order: OrderName,
    pub phase: NodePhase,
    /// Whether it has ever been `Available`.
    pub was_available: bool,
    pub driver: Option<NodeDriver>,
    /// What the fleet last told about the machine.
    pub machine: Option<Box<MachineFacts>>,
    /// What the element of the pool's spec said when the node was asked for, where it said anything.
    pub template: Option<Box<NodeTemplate>>,
    /// Deletion lock.
    pub is_locked: bool,
    /// A spare kept for high availability: last to go when scaling in.
    pub is_ha_spare: bool,
    /// The logical pool it is bound to.
    pub quota: Option<PoolName>,
    pub batch: Option<Box<NodeBatch>>,
    /// What it is asked to go through.
    #[serde(default)]
    pub care: Care,
}

/// README §8.5. Legal transitions: [`NodePhase::may_become`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePhase {
    /// Asked for; given up at `deadline`.
    Creating {
        deadline: Timestamp,
    },
    /// In its self-test; while a new node is, `deadline` still holds.
    Checking {
        deadline: Timestamp,
    },
    Available {
        since: Timestamp,
    },
    Abnormal {
        since: Timestamp,
        message: String,
    },
    Deleting {
        cause: DeleteCause,
        since: Timestamp,
    },
}

/// Why a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeleteCause {
    /// The spec wants fewer.
    ScaleIn,
    /// It did not become available in time.
    GivenUp,
    PoolDeleted,
    /// It was named by a request.
    Requested,
    /// It could not be repaired; another one takes its place.
    Replaced,
}

impl NodePhase {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Creating { .. } => "Creating",
            Self::Checking { .. } => "Checking",
            Self::Available { .. } => "Available",
            Self::Abnormal { .. } => "Abnormal",
            Self::Deleting { .. } => "Deleting",
        }
    }

    pub fn may_become(&self, next: &Self) -> bool {
        use NodePhase as P;
        if self.as_str() == next.as_str() {
            return true;
        }
        match self {
            P::Creating { .. } => true,
            P::Checking { .. } => !matches!(next, P::Creating { .. }),
            P::Available { .. } => matches!(next, P::Abnormal { .. } | P::Checking { .. } | P::Deleting { .. }),
            P::Abnormal { .. } => matches!(next, P::Available { .. } | P::Checking { .. } | P::Deleting { .. }),
            P::Deleting { .. } => false,
        }
    }

    pub fn is_deleting(&self) -> bool {
        matches!(self, Self::Deleting { .. })
    }
}

/// In which of the pool's four counters a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeCounter {
    Creating,
    Available,
    Abnormal,
    Deleting,
}

impl Node {
    pub fn element(&self) -> ElementKey {
        ElementKey {
            flavor: self.flavor.clone(),
            node_pool: self.node_pool.clone(),
        }
    }

    /// A node in its self-test counts as creating until it was available for the first time, afterwards as abnormal
    /// (contract pools §4).
    pub fn counter(&self) -> NodeCounter {
        match self.phase {
            NodePhase::Creating { .. } => NodeCounter::Creating,
            NodePhase::Checking { .. } if !self.was_available => NodeCounter::Creating,
            NodePhase::Checking { .. } | NodePhase::Abnormal { .. } => NodeCounter::Abnormal,
            NodePhase::Available { .. } => NodeCounter::Available,
            NodePhase::Deleting { .. } => NodeCounter::Deleting,
        }
    }
}

/// Driver of an accelerator node (`status.driver`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDriver {
    pub kind: Accelerator,
    /// What is installed; absent before the first installation.
    pub installed: Option<String>,
    pub state: NodeDriverState,
}

/// One upgrade of one node, as a state machine. `idle` goes through `Draining`, `force` does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeDriverState {
    /// Nothing to do: `installed` is what is wanted, or the node is not there yet.
    Settled,
    /// Waits for its turn.
    Pending { target: String },
    /// Held: no new jobs; waits since then until the running ones are done. `attempt` is the one that comes next.
    Draining {
        target: String,
        #[serde(default)]
        since: Option<Timestamp>,
        #[serde(default)]
        attempt: u32,
    },
    /// Being installed; `attempt` counts from 1.
    Updating { target: String, attempt: u32, since: Timestamp },
    /// Given up for this target.
    Failed {
        target: String,
        message: String,
        /// Nothing was done to it: jobs may go on running there.
        #[serde(default)]
        is_open: bool,
    },
}

impl NodeDriver {
    /// `status.driver.phase`
    pub fn phase(&self) -> &'static str {
        match &self.state {
            NodeDriverState::Settled if self.installed.is_some() => "Running",
            NodeDriverState::Settled | NodeDriverState::Pending { .. } | NodeDriverState::Draining { .. } => "Pending",
            NodeDriverState::Updating { .. } => "Updating",
            NodeDriverState::Failed { .. } => "Abnormal",
        }
    }
}

/// What the fleet told about the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    pub private_ip: Option<String>,
    /// Id of the machine under the node (`os.modelarts.node/underlying.instance.id`).
    pub instance: Option<String>,
    /// Allocatable quantities by resource name.
    pub resources: Quantities,
    /// Quantities still free.
    pub available: Quantities,
    pub os: Option<String>,
}

/// What an element of `spec.resources` gives to its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTemplate {
    pub extend_params: BTreeMap<String, String>,
    pub root_volume: Option<crate::pool::RootVolume>,
    pub data_volumes: Vec<crate::pool::DataVolume>,
    pub os: Option<NodeOs>,
    pub labels: BTreeMap<String, String>,
    pub tags: Vec<Tag>,
    /// Billing annotations of the scale-out that made the node.
    pub billing_mode: Option<crate::pool::BillingMode>,
}

impl NodeTemplate {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The rack or supernode that a node came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBatch {
    pub uid: Uid,
    pub step: CreatingStep,
}

impl NodeBatch {
    /// A name to tell it from others by, made from its uid: nobody gives it one.
    pub fn name(&self) -> String {
        let bytes = self.uid.as_str().bytes();
        let seed = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("batch-{}", suffix(seed))
    }
}
