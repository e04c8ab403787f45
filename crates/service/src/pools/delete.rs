//! DeletePool (contract pools §10, semantics §10).

use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use crate::{Outcome, orders};
use auth::Action;
use domain::name::PoolName;
use domain::node::Node;
use domain::order::{ItemAction, Operation, Order, Outcome as OrderOutcome};
use domain::pool::{Attempt, Pool, PoolPhase, PoolRef, Purpose, Restricted};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Facet, Versioned};
use store::{Count, Expect, TypedBatch, counters};

impl Service {
    pub async fn delete_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<Outcome<Pool>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, name)).await;
        self.change(ctx, || {
            let found = self.find_pool(ctx, Action::PoolDelete, name)?;
            if found.status.phase == PoolPhase::Deleting {
                return Ok(Decided {
                    batch: TypedBatch::default(),
                    object: Arc::clone(&found.object),
                    unchanged: Some(found.revision()),
                });
            }
            self.refuse_restricted(&found.object, Restricted::Deletion)?;
            let children = admission::children(&self.parts.state.index().read(), &found);
            let counting = children.iter().filter(|child| child.counts()).count();
            if counting > 0 {
                return Err(ServiceError::Refused(format!("pool has {counting} logical sub-pools")));
            }
            Ok(self.plan_deletion(&found, &children))
        })
        .await
    }

    fn plan_deletion(&self, found: &Versioned<Pool>, failed_children: &[Versioned<Pool>]) -> Decided<Pool> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        let mut next = Pool::clone(found);
        let mut order = self.new_order(found, Operation::Delete, &found.spec.resources, &[], now);
        order.item(found.name.as_str(), ItemAction::DeletePool, now);
        next.deleted_at = Some(next.deleted_at.unwrap_or(now));
        next.last_order = order.name.clone();
        self.close_open_order(found, &order, &mut batch, now);
        for child in failed_children {
            self.erase(child, &mut batch);
        }
        if self.is_gone_at_once(found) {
            order.end(now, OrderOutcome::Successed, Vec::new());
            next.status.phase = PoolPhase::Deleting;
            self.erase(found, &mut batch);
            self.release_logical(found, &mut batch);
        } else {
            next.status.attempt = deletion_attempt(&order, now);
            if let Some(event) = next.enter(PoolPhase::Deleting, now) {
                batch.put(event, Expect::Absent);
            }
            // A failed creation has stopped counting; while it is being deleted it counts again, until the record goes.
            if !found.counts() {
                batch.counts.extend(
                    counters::holdings(&next)
                        .into_iter()
                        .map(|(key, add)| Count { key, add, at_most: None }),
                );
            }
            batch.put(next.clone(), Expect::At(found.revision()));
        }
        batch.put(order, Expect::Absent);
        Decided {
            batch,
            object: Arc::new(next),
            unchanged: None,
        }
    }

    fn close_open_order(&self, found: &Versioned<Pool>, by: &Order, batch: &mut TypedBatch, now: Timestamp) {
        if let Some(open) = self.open_order(found) {
            let mut closed = Order::clone(&open);
            closed.supersede(&by.name, now, orders::reached(found));
            batch.put(closed, Expect::At(open.revision()));
        }
    }

    /// Logical pools, and the records of failed creations that hold nothing any more.
    fn is_gone_at_once(&self, found: &Versioned<Pool>) -> bool {
        let holds_nodes = || {
            self.parts
                .state
                .index()
                .read()
                .entries(Facet::NodesOfPool, found.uid.as_str())
                .next()
                .is_some()
        };
        !found.is_physical() || (!found.counts() && !holds_nodes())
    }

    /// Removes a pool's record with its events.
    fn erase(&self, pool: &Versioned<Pool>, batch: &mut TypedBatch) {
        batch.delete(pool.entry.key.clone(), Expect::At(pool.revision()));
        for event in self.parts.state.index().read().entries(Facet::EventsOfPool, pool.uid.as_str()) {
            batch.delete(event.key.clone(), Expect::Any);
        }
    }

    /// Gives back what a logical pool holds: its place in the quota and at its parent, and the nodes bound to it.
    fn release_logical(&self, found: &Versioned<Pool>, batch: &mut TypedBatch) {
        if found.counts() {
            batch.count(Count {
                key: counters::pools_of(&found.owner.project),
                add: -1,
                at_most: None,
            });
        }
        let Some(spec) = found.logical() else { return };
        let index = self.parts.state.index().read();
        if let Some(parent) = spec.parent.as_ref().and_then(|parent| admission::pool_at(&index, parent)) {
            let mut next = Pool::clone(&parent);
            next.status.children = next.status.children.saturating_sub(u32::from(found.counts()));
            batch.put(next, Expect::At(parent.revision()));
        }
        if let Some(root) = spec.root.as_ref().and_then(|root: &PoolRef| admission::pool_at(&index, root)) {
            for node in index.under::<Node>(Facet::NodesOfPool, root.uid.as_str()) {
                if node.quota.as_ref() == Some(&found.name) {
                    let mut unbound = Node::clone(&node);
                    unbound.quota = None;
                    batch.put(unbound, Expect::At(node.revision()));
                }
            }
        }
    }
}

fn deletion_attempt(order: &Order, now: Timestamp) -> Attempt {
    Attempt {
        order: order.name.clone(),
        purpose: Purpose::Deletion,
        started_at: now,
        given_up: BTreeMap::new(),
        retry_at: None,
        is_finished: false,
        node_billing: None,
        previous: None,
    }
}
