//! `batch-delete`, and how elements of `spec.resources` follow nodes that come and go by name.

use super::batch::{Asked, add_items, decided, put_node};
use crate::Outcome;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::catalogue::Offers;
use domain::field::FieldErrors;
use domain::name::{NodeName, PoolName};
use domain::node::{DeleteCause, Node, NodePhase};
use domain::order::ItemAction;
use domain::pool::validate::{PoolChange, Scaling};
use domain::pool::{AzCount, Pool, PoolPhase, PoolResource, Restricted};
use store::TypedBatch;
use store::index::Versioned;

/// How nodes leave a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// They stay its own until their machines are given back.
    Deleted,
    /// They are those of another pool at once.
    Moved,
}

impl Service {
    /// `batch-delete`: nodes go, and the counts of their elements with them, in one commit. Those that are going already are
    /// passed over, so that the request can be repeated.
    pub async fn delete_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Vec<NodeName>, FieldErrors>,
    ) -> Result<Outcome<()>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change_with_offers(ctx, |offers| {
            let Asked { pool, wants: names } = self.asked(ctx, (Action::NodeDelete, pool), &decode, Some(Restricted::Specification))?;
            let mut going = self.named_nodes(&pool, &names)?;
            going.retain(|node| !node.phase.is_deleting());
            if going.is_empty() {
                return Ok(decided(TypedBatch::default(), ()));
            }
            check_scalable(&pool, true)?;
            refuse_locked(&going)?;
            let (mut batch, _) = self.send_away(ctx, &pool, (&going, Leaving::Deleted), offers)?;
            for found in &going {
                let mut next = Node::clone(found);
                next.phase = requested(self.now());
                put_node(&mut batch, found, next);
            }
            Ok(decided(batch, ()))
        })
        .await
    }

    /// Writes the pool without these nodes, with its order. The nodes themselves are the caller's to write.
    pub(super) fn send_away(
        &self,
        ctx: &CallContext,
        pool: &Versioned<Pool>,
        (going, leaving): (&[Versioned<Node>], Leaving),
        offers: &Offers,
    ) -> Result<(TypedBatch, Pool), ServiceError> {
        let mut nodes = self.nodes_under(pool);
        let mut next = Pool::clone(pool);
        for node in going {
            lower(&mut next.spec.resources, node)?;
        }
        check_whole_batches(&next.spec.resources)?;
        let names: Vec<NodeName> = going.iter().map(|node| node.name.clone()).collect();
        check_none_is_torn(&nodes, &names)?;
        let staying = nodes
            .iter()
            .filter(|node| !node.phase.is_deleting() && !names.contains(&node.name))
            .count();
        if next.wanted() == 0 || staying == 0 {
            return Err(ServiceError::Refused("at least one node must remain in the pool".to_owned()));
        }
        let change = PoolChange::of_resources(next, Scaling::In);
        self.check_sums(pool, &change)?;
        match leaving {
            Leaving::Deleted => {
                for node in nodes.iter_mut().filter(|node| names.contains(&node.name)) {
                    node.phase = requested(self.now());
                }
            }
            // From the same commit on they are counted where they go.
            Leaving::Moved => nodes.retain(|node| !names.contains(&node.name)),
        }
        let decision = self.carry_out_with(ctx, pool, change, &nodes, offers)?;
        let mut batch = decision.batch;
        let next = Pool::clone(&decision.object);
        add_items(&mut batch, &next.last_order, &names, ItemAction::DeleteNode, self.now());
        Ok((batch, next))
    }
}

pub(super) fn requested(now: jiff::Timestamp) -> NodePhase {
    NodePhase::Deleting {
        cause: DeleteCause::Requested,
        since: now,
    }
}

/// Whether counts of the pool can be changed by name; in `Abnormal` broken nodes may be taken out (semantics §5 rule 9).
pub(super) fn check_scalable(pool: &Pool, may_be_abnormal: bool) -> Result<(), ServiceError> {
    if pool.status.attempt.previous.is_some() {
        return Err(ServiceError::Refused(format!(
            "an order of pool {} waits to be confirmed",
            pool.name
        )));
    }
    match pool.status.phase {
        PoolPhase::Running | PoolPhase::ScalingFailed { .. } => Ok(()),
        PoolPhase::Abnormal { .. } if may_be_abnormal => Ok(()),
        PoolPhase::Abnormal { .. }
        | PoolPhase::Waiting(_)
        | PoolPhase::Creating
        | PoolPhase::CreationFailed { .. }
        | PoolPhase::Error { .. }
        | PoolPhase::Deleting => Err(ServiceError::Refused(format!(
            "nodes come and go while a pool is Running or ScalingFailed; pool {} is {}",
            pool.name,
            pool.status.phase.as_str()
        ))),
    }
}

pub(super) fn refuse_locked(nodes: &[Versioned<Node>]) -> Result<(), ServiceError> {
    match nodes.iter().find(|node| node.is_locked) {
        Some(node) => Err(ServiceError::Refused(format!("node {} is locked against deletion", node.name))),
        None => Ok(()),
    }
}

/// Takes a node out of its element's numbers.
pub(super) fn lower(resources: &mut [PoolResource], node: &Node) -> Result<(), ServiceError> {
    let element = resources.iter_mut().find(|element| element.element() == node.element());
    // A node whose element is gone is on its way out, whatever its record says yet.
    let Some(element) = element.filter(|element| element.count > 0) else {
        return Err(ServiceError::Refused(format!("node {} is being removed already", node.name)));
    };
    element.count -= 1;
    element.max_count = element.count;
    if let Some(azs) = &mut element.azs {
        let at = azs
            .iter()
            .position(|entry| entry.az == node.az)
            .or_else(|| azs.len().checked_sub(1));
        if let Some(entry) = at.and_then(|at| azs.get_mut(at)) {
            entry.count = entry.count.saturating_sub(1);
        }
        azs.retain(|entry| entry.count > 0);
        if azs.is_empty() {
            element.azs = None;
        }
    }
    Ok(())
}

/// Adds a node to an element's numbers.
pub(super) fn raise(element: &mut PoolResource, node: &Node) {
    element.count += 1;
    element.max_count = element.count;
    if let Some(azs) = &mut element.azs {
        match azs.iter_mut().find(|entry| entry.az == node.az) {
            Some(entry) => entry.count += 1,
            None => azs.push(AzCount {
                az: node.az.clone(),
                count: 1,
            }),
        }
    }
}

/// A rack or supernode goes as a whole, so that what stays of an element are whole ones too.
fn check_none_is_torn(nodes: &[Node], going: &[NodeName]) -> Result<(), ServiceError> {
    let is_going = |node: &&Node| going.contains(&node.name);
    for node in nodes.iter().filter(is_going) {
        let Some(batch) = node.batch.as_deref() else { continue };
        let mate = nodes.iter().find(|mate| {
            let is_same = mate.batch.as_deref().is_some_and(|other| other.uid == batch.uid);
            is_same && !mate.phase.is_deleting() && !is_going(mate)
        });
        if let Some(mate) = mate {
            return Err(ServiceError::Refused(format!(
                "nodes {} and {} are of one {} and go together",
                node.name,
                mate.name,
                batch.step.kind.as_str()
            )));
        }
    }
    Ok(())
}

/// Nodes of racks and supernodes come and go together (semantics §5 rule 10).
pub(super) fn check_whole_batches(resources: &[PoolResource]) -> Result<(), ServiceError> {
    for element in resources {
        if let Some(step) = &element.creating_step
            && !element.count.is_multiple_of(step.step.max(1))
        {
            return Err(ServiceError::Refused(format!(
                "nodes of node pool {} come and go {} at a time",
                element.node_pool(),
                step.step
            )));
        }
    }
    Ok(())
}
