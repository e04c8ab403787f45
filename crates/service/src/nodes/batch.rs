//! What the batch actions have in common: which pool, which nodes, which job.

use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::FieldErrors;
use domain::job::{Job, JobKind, JobNode, JobNodeState};
use domain::meta::Uid;
use domain::name::{NodeName, PoolName, suffix};
use domain::node::{Node, NodePhase};
use domain::order::{ItemAction, Order};
use domain::pool::{Pool, PoolPhase, Restricted};
use jiff::Timestamp;
use std::sync::Arc;
use store::index::Versioned;
use store::{Expect, Object, Resource, TypedBatch};

/// A pool that a batch action was sent to, and what it asks for.
pub(super) struct Asked<T> {
    pub pool: Versioned<Pool>,
    pub wants: T,
}

impl Service {
    /// Checks 5 to 11 that all batch actions share. `restricted`: what restriction bits refuse; absent: nothing.
    pub(super) fn asked<T>(
        &self,
        ctx: &CallContext,
        (action, name): (Action, &PoolName),
        decode: impl FnOnce() -> Result<T, FieldErrors>,
        restricted: Option<Restricted>,
    ) -> Result<Asked<T>, ServiceError> {
        let pool = self.find_pool(ctx, action, name)?;
        let wants = decode()?;
        if !pool.is_physical() {
            return Err(ServiceError::Refused(format!(
                "pool {name} has no nodes of its own: it is a logical one"
            )));
        }
        if let Some(what) = restricted {
            self.refuse_restricted(&pool.object, what)?;
        }
        check_working(&pool)?;
        Ok(Asked { pool, wants })
    }

    /// The named nodes of the pool; all of them, or the first that it does not have.
    pub(super) fn named_nodes(&self, pool: &Pool, names: &[NodeName]) -> Result<Vec<Versioned<Node>>, ServiceError> {
        let index = self.parts.state.index().read();
        names
            .iter()
            .map(|name| {
                let found = index
                    .get::<Node>(&pool.owner.project, name)
                    .filter(|node| node.pool_uid == pool.uid);
                found.ok_or_else(|| ServiceError::node(name))
            })
            .collect()
    }

    /// A new job for nodes of a pool. `works_on`: the pool that they are of when it is done.
    pub(super) fn new_job(&self, kind: JobKind, asked: &Pool, works_on: &Uid, names: &[NodeName], inputs: String) -> Job {
        let now = self.now();
        Job {
            id: self.new_uid(now),
            name: format!("{}-{}", kind.as_str(), suffix(self.entropy().next_u64())),
            project: asked.owner.project.clone(),
            workspace: asked.workspace.clone(),
            pool: asked.name.clone(),
            pool_uid: works_on.clone(),
            kind,
            created_at: now,
            nodes: names
                .iter()
                .map(|name| JobNode {
                    name: name.clone(),
                    state: JobNodeState::Open,
                })
                .collect(),
            at_once: None,
            inputs,
            ended: None,
        }
    }
}

/// A pool that is not there yet, or no longer, has no nodes to work on.
pub(super) fn check_working(pool: &Pool) -> Result<(), ServiceError> {
    match pool.status.phase {
        PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } | PoolPhase::Error { .. }
            if pool.deleted_at.is_none() =>
        {
            Ok(())
        }
        PoolPhase::Running
        | PoolPhase::Abnormal { .. }
        | PoolPhase::ScalingFailed { .. }
        | PoolPhase::Error { .. }
        | PoolPhase::Waiting(_)
        | PoolPhase::Creating
        | PoolPhase::CreationFailed { .. }
        | PoolPhase::Deleting => Err(ServiceError::Refused(format!(
            "the pool is {} and its nodes cannot be changed",
            pool.status.phase.as_str()
        ))),
    }
}

/// Whether a request can be made of the node's machine now.
pub(super) fn check_can_be_asked(node: &Node) -> Result<(), ServiceError> {
    let refuse = |why: &str| Err(ServiceError::Refused(format!("node {} {why}", node.name)));
    if node.care.is_asked() || node.care.coming_from.is_some() {
        return refuse("is being worked on by another request");
    }
    match node.phase {
        NodePhase::Available { .. } | NodePhase::Abnormal { .. } => Ok(()),
        NodePhase::Checking { .. } if node.was_available => Ok(()),
        NodePhase::Creating { .. } | NodePhase::Checking { .. } => refuse("is being created"),
        NodePhase::Deleting { .. } => refuse("is being deleted"),
    }
}

/// Puts a changed node into a batch.
pub(super) fn put_node(batch: &mut TypedBatch, found: &Versioned<Node>, next: Node) {
    if next != *found.object {
        batch.put(next, Expect::At(found.revision()));
    }
}

/// A decision that writes this batch and gives this answer.
pub(super) fn decided<T>(batch: TypedBatch, answer: T) -> Decided<T> {
    Decided {
        batch,
        object: Arc::new(answer),
        unchanged: None,
    }
}

/// Adds things to an order that a batch writes.
pub(super) fn add_items(batch: &mut TypedBatch, order: &domain::name::OrderName, names: &[NodeName], action: ItemAction, now: Timestamp) {
    for (object, _) in &mut batch.puts {
        let Some(known) = Order::of(object).filter(|known| known.name == *order) else {
            continue;
        };
        let mut next = Order::clone(known);
        for name in names {
            next.item(name.as_str(), action, now);
        }
        *object = Object::from(next);
    }
}
