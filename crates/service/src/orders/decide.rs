//! The operator's part: orders that wait for payment or approval are confirmed or rejected (semantics §7).

use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use crate::{Outcome, orders};
use domain::catalogue::Offers;
use domain::name::OrderName;
use domain::order::{Operation, Order, OrderPhase, Outcome as OrderOutcome};
use domain::pool::{Business, JobType, Pool, PoolKind, PoolPhase, PoolRef, Waiting, tree};
use domain::status;
use std::sync::Arc;
use store::index::{Facet, Versioned};
use store::{Count, Expect, TypedBatch, counters};

/// What the operator says of a pending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// For a logical pool without a parent: the pool it becomes a quota of. Without one, the only suitable public pool is taken.
    Confirm {
        host: Option<PoolRef>,
    },
    Reject {
        reason: String,
    },
}

impl Service {
    /// All pending orders, newest first. Operators only.
    pub fn pending_orders(&self, who: &domain::principal::Principal) -> Result<Vec<Versioned<Order>>, ServiceError> {
        self.authorize_operator(who)?;
        Ok(self.parts.state.index().read().under::<Order>(Facet::OrdersPending, ""))
    }

    /// Confirms or rejects a pending order. Operators only; `ctx.project` is the order's project.
    pub async fn decide_order(&self, ctx: &CallContext, name: &OrderName, decision: &Decision) -> Result<Outcome<Order>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.change_with_offers(ctx, |offers| {
            let index = self.parts.state.index().read();
            let order = index
                .get::<Order>(&ctx.project, name)
                .ok_or_else(|| ServiceError::named("Order", name))?;
            let OrderPhase::Pending(waiting) = order.phase else {
                return Err(ServiceError::Refused(format!(
                    "order {name} is {}, not pending",
                    order.phase.as_str()
                )));
            };
            let pool = index
                .get::<Pool>(&order.project, &order.pool)
                .filter(|pool| pool.uid == order.pool_uid)
                .ok_or_else(|| ServiceError::Refused(format!("the pool of order {name} is gone")))?;
            drop(index);
            match decision {
                Decision::Reject { reason } => Ok(self.reject(&order, &pool, reason)),
                Decision::Confirm { host } => match waiting {
                    Waiting::Payment => Ok(self.confirm_payment(&order, &pool, offers)),
                    Waiting::Approval => self.approve(ctx, &order, &pool, host.as_ref()),
                },
            }
        })
        .await
    }

    fn reject(&self, order: &Versioned<Order>, pool: &Versioned<Pool>, reason: &str) -> Decided<Order> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        let mut closed = Order::clone(order);
        closed.end(now, OrderOutcome::Failed { reason: reason.to_owned() }, orders::reached(pool));
        let mut next = Pool::clone(pool);
        next.status.attempt.is_finished = true;
        match closed.operation {
            Operation::Apply => {
                if let Some(event) = next.enter(
                    PoolPhase::CreationFailed {
                        message: reason.to_owned(),
                        at: now,
                    },
                    now,
                ) {
                    batch.put(event, Expect::Absent);
                }
                next.status.resources = domain::pool::ResourceCounts::default();
                self.give_back(pool, &mut batch);
            }
            Operation::Modify | Operation::Delete => {
                if let Some(previous) = next.status.attempt.previous.take() {
                    batch
                        .counts
                        .extend(admission::promise(&next.spec.resources, &previous, &Offers::new()));
                    let wanted: u32 = previous.iter().map(|element| element.count).sum();
                    count_addresses(&next, i64::from(wanted) - i64::from(next.wanted()), &mut batch);
                    next.spec.resources = previous;
                    next.generation += 1;
                }
            }
        }
        batch.put(next, Expect::At(pool.revision()));
        batch.put(closed.clone(), Expect::At(order.revision()));
        Decided {
            batch,
            object: Arc::new(closed),
            unchanged: None,
        }
    }

    /// Takes back what a pool that failed before it began counts against.
    fn give_back(&self, pool: &Pool, batch: &mut TypedBatch) {
        batch.count(Count {
            key: counters::pools_of(&pool.owner.project),
            add: -1,
            at_most: None,
        });
        match &pool.spec.kind {
            PoolKind::Physical(spec) => {
                batch.count(Count {
                    key: counters::users_of_network(&pool.owner.project, &spec.network),
                    add: -1,
                    at_most: None,
                });
                batch.counts.extend(admission::promise(&pool.spec.resources, &[], &Offers::new()));
                count_addresses(pool, -i64::from(pool.wanted()), batch);
            }
            PoolKind::Logical(spec) => {
                let index = self.parts.state.index().read();
                if let Some(parent) = spec.parent.as_ref().and_then(|parent| admission::pool_at(&index, parent)) {
                    let mut next = Pool::clone(&parent);
                    next.status.children = next.status.children.saturating_sub(1);
                    batch.put(next, Expect::At(parent.revision()));
                }
            }
        }
    }

    fn confirm_payment(&self, order: &Versioned<Order>, pool: &Versioned<Pool>, offers: &Offers) -> Decided<Order> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        let mut begun = Order::clone(order);
        begun.begin(now);
        let mut next = Pool::clone(pool);
        next.status.attempt.previous = None;
        next.status.attempt.started_at = now;
        if matches!(next.status.phase, PoolPhase::Waiting(_))
            && let Some(event) = next.enter(PoolPhase::Creating, now)
        {
            batch.put(event, Expect::Absent);
        }
        let index = self.parts.state.index().read();
        let nodes = index.under::<domain::node::Node>(Facet::NodesOfPool, next.uid.as_str());
        next.status.resources = status::resource_counts(&next, nodes.iter().map(|node| node.object.as_ref()), offers);
        batch.put(next, Expect::At(pool.revision()));
        batch.put(begun.clone(), Expect::At(order.revision()));
        Decided {
            batch,
            object: Arc::new(begun),
            unchanged: None,
        }
    }

    /// A logical pool is `Running` as soon as it is approved.
    fn approve(
        &self,
        ctx: &CallContext,
        order: &Versioned<Order>,
        pool: &Versioned<Pool>,
        host: Option<&PoolRef>,
    ) -> Result<Decided<Order>, ServiceError> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        let mut next = Pool::clone(pool);
        if next.logical().is_some_and(|spec| spec.parent.is_none()) {
            self.adopt(ctx, &mut next, host, &mut batch)?;
        } else if host.is_some() {
            return Err(ServiceError::Refused(format!("pool {} has a parent already", pool.name)));
        }
        if let Some(event) = next.enter(PoolPhase::Running, now) {
            batch.put(event, Expect::Absent);
        }
        next.status.attempt.is_finished = true;
        let mut ended = Order::clone(order);
        ended.begin(now);
        ended.end(now, OrderOutcome::Successed, orders::reached(&next));
        batch.put(next, Expect::At(pool.revision()));
        batch.put(ended.clone(), Expect::At(order.revision()));
        Ok(Decided {
            batch,
            object: Arc::new(ended),
            unchanged: None,
        })
    }

    /// Makes a parent-less logical pool a child of the host.
    fn adopt(&self, ctx: &CallContext, next: &mut Pool, host: Option<&PoolRef>, batch: &mut TypedBatch) -> Result<(), ServiceError> {
        let host = self.host(ctx, next, host)?;
        let index = self.parts.state.index().read();
        let line = admission::lineage(&index, &host.object);
        let siblings = admission::children(&index, &host);
        drop(index);
        if host.status.phase != PoolPhase::Running {
            return Err(ServiceError::Refused(format!(
                "pool {} is {}, not Running",
                host.name,
                host.status.phase.as_str()
            )));
        }
        if line.len() + 1 > tree::MAX_DEPTH {
            return Err(ServiceError::Refused(format!(
                "pools may be nested {} levels deep",
                tree::MAX_DEPTH
            )));
        }
        if let Some(element) = next
            .spec
            .resources
            .iter()
            .find(|element| !host.spec.resources.iter().any(|offered| offered.flavor == element.flavor))
        {
            return Err(ServiceError::Refused(format!(
                "flavor {} is not in pool {}",
                element.flavor, host.name
            )));
        }
        tree::check_child(&next.spec.resources, &host, siblings.iter().map(|sibling| sibling.object.as_ref())).into_result()?;
        let reference = PoolRef {
            project: host.owner.project.clone(),
            name: host.name.clone(),
        };
        if let PoolKind::Logical(spec) = &mut next.spec.kind {
            spec.root = line.last().map(|root| PoolRef {
                project: root.owner.project.clone(),
                name: root.name.clone(),
            });
            spec.parent = Some(reference);
        }
        next.status.scopes = host
            .status
            .scopes
            .iter()
            .filter(|scope| scope.job_type == JobType::Train)
            .cloned()
            .collect();
        let mut parent = Pool::clone(&host);
        parent.status.children += 1;
        batch.put(parent, Expect::At(host.revision()));
        Ok(())
    }

    fn host(&self, ctx: &CallContext, pool: &Pool, wanted: Option<&PoolRef>) -> Result<Versioned<Pool>, ServiceError> {
        let index = self.parts.state.index().read();
        if let Some(wanted) = wanted {
            return admission::pool_at(&index, wanted).ok_or_else(|| ServiceError::Refused(format!("host pool {} not found", wanted.name)));
        }
        let mut suitable = index.under::<Pool>(Facet::PoolsOfProject, &ctx.project).into_iter().filter(|host| {
            let siblings = admission::children(&index, host);
            host.business == Business::Public
                && host.status.phase == PoolPhase::Running
                && pool
                    .spec
                    .resources
                    .iter()
                    .all(|element| host.spec.resources.iter().any(|offered| offered.flavor == element.flavor))
                && tree::check_child(&pool.spec.resources, host, siblings.iter().map(|sibling| sibling.object.as_ref())).is_empty()
        });
        match (suitable.next(), suitable.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(ServiceError::Refused("no public pool has room; name a host pool".to_owned())),
            (Some(_), Some(_)) => Err(ServiceError::Refused(
                "several public pools are suitable; name a host pool".to_owned(),
            )),
        }
    }
}

fn count_addresses(pool: &Pool, add: i64, batch: &mut TypedBatch) {
    if let Some(spec) = pool.physical() {
        batch.count(Count {
            key: counters::addresses_of(&pool.owner.project, &spec.network),
            add,
            at_most: None,
        });
    }
}
