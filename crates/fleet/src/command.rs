//! What a fleet can be told to do.

use crate::workload::Quota;
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, TemplateName, ZoneName};
use domain::pool::{NodeOs, PoolRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The pool that a command is for, as the fleet marks things with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolMark {
    pub uid: Uid,
    pub pool: PoolRef,
}

/// One thing to be done. Each names its target, so that a repetition finds it done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Sets up what a pool needs before its first node (cluster, name spaces).
    EnsurePool {
        pool: PoolMark,
    },
    /// Removes what `EnsurePool` made and whatever else still carries the pool's mark, nodes included.
    RemovePool {
        pool: PoolMark,
    },
    /// Turns a free machine of the flavor and zone into the node.
    CreateNode(NodeRequest),
    /// Empties the node and gives its machine back.
    DeleteNode {
        pool: PoolMark,
        node: NodeName,
    },
    /// No new jobs on the node; the running ones go on.
    HoldNode {
        pool: PoolMark,
        node: NodeName,
    },
    /// Open to jobs again.
    OpenNode {
        pool: PoolMark,
        node: NodeName,
    },
    /// Keeps others than us from taking the machine away, or does not any more. It binds nobody who deletes the node through us.
    LockNode {
        pool: PoolMark,
        node: NodeName,
        is_locked: bool,
    },
    /// Ends the jobs that run on the node. It should be held before, or new ones come.
    EvictNode {
        pool: PoolMark,
        node: NodeName,
    },
    /// Starts the machine anew. Done already where the fleet knows a request with this number or a higher one.
    RebootNode {
        pool: PoolMark,
        node: NodeName,
        number: u64,
    },
    /// Installs the machine anew. Its number is as that of a reboot.
    ResetNode(ResetRequest),
    /// Takes the machine over from another pool, as it is, under the same name. Done already where the pool has the node,
    /// or the other one does not.
    MoveNode {
        pool: PoolMark,
        node: NodeName,
        from: PoolMark,
    },
    /// Keeps the node for the workloads of a logical pool inside the pool, and of those inside that one; or for everybody again.
    /// Workloads of others that run there go on.
    DedicateNode {
        pool: PoolMark,
        node: NodeName,
        to: Option<Uid>,
    },
    /// Installs a driver version on the node. What runs there is interrupted.
    SetDriver {
        pool: PoolMark,
        node: NodeName,
        version: String,
        /// It is for this node alone; the pool's others are to have another one.
        is_own: bool,
    },
    /// Installs a plug-in, or brings it to this version and these parameters. Each attempt is carried out once: one that failed is
    /// tried again only under a new number.
    EnsurePlugin {
        pool: PoolMark,
        plugin: PluginRequest,
    },
    RemovePlugin {
        pool: PoolMark,
        template: TemplateName,
    },
    /// Lets workloads in by these quotas and no others. The workloads of pools that are not among them are ended.
    SetQuotas {
        pool: PoolMark,
        /// The physical pool first, parents before their children.
        quotas: Vec<Quota>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRequest {
    pub pool: PoolMark,
    /// Chosen before any machine was.
    pub node: NodeName,
    pub flavor: FlavorName,
    pub az: ZoneName,
    /// Driver version to install, on accelerator nodes.
    pub driver: Option<String>,
    /// Another image than the usual one.
    pub image: Option<NodeOs>,
    /// Labels for the machine.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetRequest {
    pub pool: PoolMark,
    pub node: NodeName,
    pub number: u64,
    /// Another image than the one that is there.
    pub image: Option<NodeOs>,
    /// Another container runtime: `docker` or `containerd`.
    pub runtime: Option<String>,
    /// Driver version to install, on accelerator nodes.
    pub driver: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PluginRequest {
    pub template: TemplateName,
    pub version: String,
    pub values: BTreeMap<String, serde_json::Value>,
    /// Grows with everything that is asked of the plug-in.
    pub attempt: u32,
}

impl Command {
    pub fn pool(&self) -> &PoolMark {
        match self {
            Self::EnsurePool { pool }
            | Self::RemovePool { pool }
            | Self::DeleteNode { pool, .. }
            | Self::HoldNode { pool, .. }
            | Self::OpenNode { pool, .. }
            | Self::LockNode { pool, .. }
            | Self::EvictNode { pool, .. }
            | Self::RebootNode { pool, .. }
            | Self::MoveNode { pool, .. }
            | Self::DedicateNode { pool, .. }
            | Self::SetDriver { pool, .. }
            | Self::EnsurePlugin { pool, .. }
            | Self::RemovePlugin { pool, .. }
            | Self::SetQuotas { pool, .. } => pool,
            Self::CreateNode(request) => &request.pool,
            Self::ResetNode(request) => &request.pool,
        }
    }

    /// The node it is about, where it is about one.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::CreateNode(request) => Some(&request.node),
            Self::ResetNode(request) => Some(&request.node),
            Self::DeleteNode { node, .. }
            | Self::HoldNode { node, .. }
            | Self::OpenNode { node, .. }
            | Self::LockNode { node, .. }
            | Self::EvictNode { node, .. }
            | Self::RebootNode { node, .. }
            | Self::MoveNode { node, .. }
            | Self::DedicateNode { node, .. }
            | Self::SetDriver { node, .. } => Some(node),
            Self::EnsurePool { .. }
            | Self::RemovePool { .. }
            | Self::EnsurePlugin { .. }
            | Self::RemovePlugin { .. }
            | Self::SetQuotas { .. } => None,
        }
    }

    /// For logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsurePool { .. } => "ensure-pool",
            Self::RemovePool { .. } => "remove-pool",
            Self::CreateNode(_) => "create-node",
            Self::DeleteNode { .. } => "delete-node",
            Self::HoldNode { .. } => "hold-node",
            Self::OpenNode { .. } => "open-node",
            Self::LockNode { .. } => "lock-node",
            Self::EvictNode { .. } => "evict-node",
            Self::RebootNode { .. } => "reboot-node",
            Self::ResetNode(_) => "reset-node",
            Self::MoveNode { .. } => "move-node",
            Self::DedicateNode { .. } => "dedicate-node",
            Self::SetDriver { .. } => "set-driver",
            Self::EnsurePlugin { .. } => "ensure-plugin",
            Self::RemovePlugin { .. } => "remove-plugin",
            Self::SetQuotas { .. } => "set-quotas",
        }
    }
}
