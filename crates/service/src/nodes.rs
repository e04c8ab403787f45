//! Nodes of a pool: list, show and the batch actions (contract nodes §2–§4).

mod batch;
mod counts;
mod migrate;
mod resize;
mod state;

pub use state::Results;

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::name::{NodeName, PoolName};
use domain::node::Node;
use domain::pool::Pool;
use std::sync::Arc;
use store::index::{Entry, Facet, Snapshot, Versioned};

impl Service {
    /// The nodes of a physical pool, or those bound to a logical one; newest first, then by name.
    pub fn list_nodes(&self, ctx: &CallContext, pool: &PoolName) -> Result<Vec<Arc<Entry>>, ServiceError> {
        let pool = self.find_pool(ctx, Action::NodeList, pool)?;
        Ok(self.nodes_of(&pool))
    }

    pub(crate) fn nodes_of(&self, pool: &Versioned<Pool>) -> Vec<Arc<Entry>> {
        nodes_in(&self.parts.state.index().read(), pool)
    }

    pub fn show_node(&self, ctx: &CallContext, pool: &PoolName, node: &NodeName) -> Result<Versioned<Node>, ServiceError> {
        let pool = self.find_pool(ctx, Action::NodeGet, pool)?;
        let found = self.parts.state.index().read().get::<Node>(&ctx.project, node);
        let belongs = |found: &Versioned<Node>| found.pool_uid == pool.uid || found.quota.as_ref() == Some(&pool.name);
        found.filter(belongs).ok_or_else(|| ServiceError::node(node))
    }
}

/// The nodes of a physical pool, or those bound to a logical one; newest first, then by name.
pub(crate) fn nodes_in(index: &Snapshot<'_>, pool: &Versioned<Pool>) -> Vec<Arc<Entry>> {
    let Some(spec) = pool.logical() else {
        return index.entries(Facet::NodesOfPool, pool.uid.as_str()).cloned().collect();
    };
    let Some(root) = spec.root.as_ref().and_then(|root| index.get::<Pool>(&root.project, &root.name)) else {
        return Vec::new();
    };
    let bound = |entry: &&Arc<Entry>| entry.get::<Node>().is_some_and(|node| node.quota.as_ref() == Some(&pool.name));
    index
        .entries(Facet::NodesOfPool, root.uid.as_str())
        .filter(bound)
        .cloned()
        .collect()
}
