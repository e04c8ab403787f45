//! What the batch actions on nodes ask for (contract nodes §4): typed and well-formed, not yet checked against any node.

use super::TaintEffect;
use crate::name::{FlavorName, NodeName, NodePoolName, PoolName};
use crate::pool::{CreatingStep, NodeOs, UpdateStrategy};
use crate::tag::Tag;

/// What `batch-update` does to each node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    OpenHa(TaintEffect),
    CloseHa,
    CreateTags(Vec<Tag>),
    /// Without a value the key alone decides.
    DeleteTags(Vec<(String, Option<String>)>),
    Driver {
        version: String,
        strategy: Option<UpdateStrategy>,
    },
}

/// What `batch-bind` asks for: nodes with the sub-pool that each is to be bound to, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub nodes: Vec<(NodeName, Option<PoolName>)>,
    pub drain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrate {
    pub names: Vec<NodeName>,
    pub from: PoolName,
    pub to: PoolName,
    pub to_pool: Option<PoolName>,
    pub flavor: Option<FlavorName>,
    pub node_pool: Option<NodePoolName>,
    /// The request again, for the job.
    pub inputs: String,
}

/// How many nodes of a reset are worked on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolling {
    Number(u32),
    Percent(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub names: Vec<NodeName>,
    pub rolling: Rolling,
    pub image: Option<NodeOs>,
    pub runtime: Option<String>,
    pub inputs: String,
}

/// One end of a change of supernodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeEnd {
    pub node_pool: Option<NodePoolName>,
    pub flavor: FlavorName,
    pub step: CreatingStep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    /// Uid of each batch, in any form, with the nodes of it that go.
    pub batches: Vec<(String, Vec<NodeName>)>,
    pub source: ResizeEnd,
    pub target: ResizeEnd,
}
