//! Nodes of a pool: list, show and the batch actions (contract nodes §2–§4).

mod batch;
mod counts;
mod migrate;
mod resize;
mod state;

pub use state::Results;

use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use crate::pools::{Found, Part};
use auth::Action;
use domain::field::FieldErrors;
use domain::name::{NodeName, PoolName};
use domain::node::Node;
use domain::pool::Pool;
use std::sync::Arc;
use store::index::{Entry, Facet, Snapshot, Versioned};

impl Service {
    /// The nodes of a physical pool, or those bound to a logical one; newest first, then by name. `part`: which of them.
    pub fn list_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        part: impl FnOnce() -> Result<Part, FieldErrors>,
    ) -> Result<Found, ServiceError> {
        let pool = self.find_pool(ctx, Action::NodeList, pool)?;
        let part = part()?;
        let index = self.parts.state.index().read();
        let Some(spec) = pool.logical() else {
            return Ok(part.cut(&index, &ctx.project, (Facet::NodesOfPool, pool.uid.as_str())));
        };
        let Some(root) = spec.root.as_ref().and_then(|root| index.get::<Pool>(&root.project, &root.name)) else {
            return Ok(Found::default());
        };
        let facet = (Facet::NodesOfPool, root.uid.as_str());
        Ok(part.cut_from(&index, &root.owner.project, facet, |entry| is_bound(entry, &pool)))
    }

    pub(crate) fn nodes_of(&self, pool: &Versioned<Pool>) -> Vec<Arc<Entry>> {
        nodes_in(&self.parts.state.index().read(), pool)
    }

    pub fn show_node(&self, ctx: &CallContext, pool: &PoolName, node: &NodeName) -> Result<Versioned<Node>, ServiceError> {
        let pool = self.pool_of(ctx, Action::NodeGet, pool)?;
        let found = node_of(&self.parts.state.index().read(), &pool, node).ok_or_else(|| ServiceError::node(node))?;
        check_match(ctx, found.revision())?;
        Ok(found)
    }
}

/// Whether a node is bound to a logical pool.
fn is_bound(entry: &Entry, pool: &Pool) -> bool {
    entry.get::<Node>().is_some_and(|node| node.quota.as_ref() == Some(&pool.name))
}

/// A node of a physical pool, or one that is bound to a logical pool, which may be in another project than its root.
fn node_of(index: &Snapshot<'_>, pool: &Pool, node: &NodeName) -> Option<Versioned<Node>> {
    let root = pool.logical().and_then(|spec| spec.root.as_ref());
    let project = root.map_or(&pool.owner.project, |root| &root.project);
    let belongs = |found: &Versioned<Node>| found.pool_uid == pool.uid || found.quota.as_ref() == Some(&pool.name);
    index.get::<Node>(project, node).filter(belongs)
}

/// The nodes of a physical pool, or those bound to a logical one; newest first, then by name.
pub(crate) fn nodes_in(index: &Snapshot<'_>, pool: &Versioned<Pool>) -> Vec<Arc<Entry>> {
    let Some(spec) = pool.logical() else {
        return index.entries(Facet::NodesOfPool, pool.uid.as_str()).cloned().collect();
    };
    let Some(root) = spec.root.as_ref().and_then(|root| index.get::<Pool>(&root.project, &root.name)) else {
        return Vec::new();
    };
    index
        .entries(Facet::NodesOfPool, root.uid.as_str())
        .filter(|entry| is_bound(entry, pool))
        .cloned()
        .collect()
}
