//! Node pools: `spec.resources`, element by element (contract nodes §5).

use crate::Outcome;
use crate::context::{CallContext, Service};
use crate::error::{ExistsKind, ServiceError};
use crate::pools::patch::Wanted;
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{NodePoolName, PoolName};
use domain::node::Node;
use domain::pool::draft::PoolEdit;
use domain::pool::{Pool, PoolResource};
use std::sync::Arc;
use store::index::{Entry, Versioned};

/// A change of a pool by one of its node pools.
pub struct NodePoolChange {
    pub name: NodePoolName,
    pub edit: PoolEdit,
    /// Billing annotations were sent; they describe nodes that are added.
    pub mentions_billing: bool,
}

impl Service {
    /// The pool whose node pools are asked for.
    pub fn list_node_pools(&self, ctx: &CallContext, pool: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.find_pool(ctx, Action::NodePoolList, pool)
    }

    /// A pool with one of its elements.
    pub fn show_node_pool(&self, ctx: &CallContext, pool: &PoolName, name: &str) -> Result<(Versioned<Pool>, PoolResource), ServiceError> {
        let pool = self.find_pool(ctx, Action::NodePoolGet, pool)?;
        let element = pool.spec.resources[place(&pool, name)?].clone();
        Ok((pool, element))
    }

    /// The nodes of a node pool, newest first, then by name.
    pub fn list_node_pool_nodes(&self, ctx: &CallContext, pool: &PoolName, name: &str) -> Result<Vec<Arc<Entry>>, ServiceError> {
        let found = self.find_pool(ctx, Action::NodeList, pool)?;
        let key = found.spec.resources[place(&found, name)?].element();
        let mut nodes = self.nodes_of(&found);
        nodes.retain(|entry| entry.get::<Node>().is_some_and(|node| node.element() == key));
        Ok(nodes)
    }

    pub async fn create_node_pool(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn(&Pool) -> Result<NodePoolChange, FieldErrors>,
    ) -> Result<(Outcome<Pool>, NodePoolName), ServiceError> {
        let made = std::sync::Mutex::new(None);
        let outcome = self
            .change_pool(ctx, pool, Action::NodePoolCreate, |current| {
                let change = decode(current)?;
                only_physical(current)?;
                *made.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(change.name.clone());
                Ok(checked_for_conflict(current, change))
            })
            .await?;
        let name = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A repetition that is answered from memory has decided nothing: the node pool is the last element then.
        let last = || outcome.object.spec.resources.last().map(PoolResource::node_pool);
        match name.or_else(last) {
            Some(name) => Ok((outcome, name)),
            None => Err(ServiceError::Internal("a pool without elements".to_owned())),
        }
    }

    pub async fn patch_node_pool(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        name: &str,
        decode: impl Fn(&Pool, usize) -> Result<NodePoolChange, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.change_pool(ctx, pool, Action::NodePoolUpdate, |current| {
            let at = place(current, name)?;
            let change = decode(current, at)?;
            only_physical(current)?;
            let wanted = change.edit.draft.resources.get(at).map_or(0, |element| element.count);
            if change.mentions_billing && wanted <= current.spec.resources[at].count {
                let path = FieldPath::of("metadata").field("annotations");
                return Err(ServiceError::field(
                    path,
                    Reason::Forbidden,
                    "billing annotations are for added nodes only",
                ));
            }
            Ok(change.edit.into())
        })
        .await
    }

    /// Removes the element and its nodes. Gives the pool as it was before.
    pub async fn delete_node_pool(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        name: &str,
        without: impl Fn(&Pool, usize) -> Result<PoolEdit, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.change_pool(ctx, pool, Action::NodePoolDelete, |current| {
            let at = place(current, name)?;
            only_physical(current)?;
            if current.spec.resources.len() == 1 {
                return Err(ServiceError::Refused(
                    "the last node pool cannot be deleted; delete the pool instead".to_owned(),
                ));
            }
            let mut wanted = Wanted::from(without(current, at)?);
            wanted.answers_before = true;
            Ok(wanted)
        })
        .await
    }
}

/// A new node pool; with another name where its own is taken, so that everything else about it can be checked first.
fn checked_for_conflict(current: &Pool, change: NodePoolChange) -> Wanted {
    let is_taken = |name: &NodePoolName| current.spec.resources.iter().any(|element| element.node_pool() == *name);
    let mut wanted = Wanted::from(change.edit);
    if !is_taken(&change.name) {
        return wanted;
    }
    wanted.conflict = Some(ServiceError::AlreadyExists(ExistsKind::Named {
        kind: "NodePool".to_owned(),
        name: change.name.to_string(),
    }));
    let mut others = (0..=current.spec.resources.len()).filter_map(|at| NodePoolName::parse(&format!("other-{at}")).ok());
    if let Some(element) = wanted.edit.draft.resources.last_mut() {
        element.node_pool = others.find(|name| !is_taken(name));
    }
    wanted
}

fn only_physical(pool: &Pool) -> Result<(), ServiceError> {
    if pool.is_physical() {
        Ok(())
    } else {
        Err(ServiceError::Refused(format!(
            "pool {} has no nodes of its own: it is a logical one",
            pool.name
        )))
    }
}

/// The place of a node pool among the elements.
fn place(pool: &Pool, name: &str) -> Result<usize, ServiceError> {
    let at = pool.spec.resources.iter().position(|element| element.node_pool().as_str() == name);
    at.ok_or_else(|| ServiceError::named("NodePool", name))
}
