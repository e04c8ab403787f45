//! `batch-resize`: supernodes get another size.

use super::batch::{Asked, add_items, decided, put_node};
use super::counts::{check_scalable, refuse_locked, requested};
use crate::Outcome;
use crate::admission;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::catalogue::Offers;
use domain::field::{FieldError, FieldErrors, FieldPath, Reason};
use domain::name::{NodeName, NodePoolName, PoolName};
use domain::node::request::{Resize, ResizeEnd};
use domain::node::{Node, NodeBatch};
use domain::order::ItemAction;
use domain::pool::validate::{PoolChange, Scaling, check_references};
use domain::pool::{ElementKey, Pool, PoolResource, Restricted};
use std::collections::BTreeMap;
use store::index::Versioned;

/// Batches that are resized: the nodes of each, and which of them go.
struct Chosen {
    staying: Vec<Versioned<Node>>,
    going: Vec<Versioned<Node>>,
    batches: u32,
}

impl Service {
    /// `batch-resize`. Gives the name of the order.
    pub async fn resize_batches(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Resize, FieldErrors>,
    ) -> Result<Outcome<String>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change_with_offers(ctx, |offers| {
            let asked = self.asked(ctx, (Action::NodeUpdate, pool), &decode, Some(Restricted::Specification))?;
            check_scalable(&asked.pool, false)?;
            self.plan_resize(ctx, &asked, offers)
        })
        .await
    }

    fn plan_resize(
        &self,
        ctx: &CallContext,
        asked: &Asked<Resize>,
        offers: &Offers,
    ) -> Result<crate::commit::Decided<String>, ServiceError> {
        let Asked { pool, wants } = asked;
        let (source, target) = (key(&wants.source), key(&wants.target));
        if wants.source.flavor != wants.target.flavor {
            return refuse("target.flavor", "must be the flavor of the source: machines stay what they are");
        }
        let chosen = self.chosen(pool, wants, &source)?;
        refuse_locked(&chosen.going)?;
        let next = resized(pool, wants, (&source, &target), chosen.batches)?;
        let known = {
            let index = self.parts.state.index().read();
            let network = pool.physical().map(|spec| &spec.network);
            admission::references(&index, &ctx.project, network, None, offers.clone())
        };
        check_references(&next.spec, Some(&pool.spec), &known)
            .into_result()
            .map_err(|errors| told(&errors))?;
        let scaling = if next.wanted() < pool.wanted() { Scaling::In } else { Scaling::Out };
        let change = PoolChange::of_resources(next, scaling);
        self.check_sums(pool, &change)?;
        self.check_supply(ctx, pool, &change, offers)?;
        let mut after: BTreeMap<NodeName, Node> = self.nodes_under(pool).into_iter().map(|node| (node.name.clone(), node)).collect();
        for found in &chosen.going {
            after
                .entry(found.name.clone())
                .and_modify(|node| node.phase = requested(self.now()));
        }
        for found in &chosen.staying {
            after.entry(found.name.clone()).and_modify(|node| {
                node.node_pool = target.node_pool.clone();
                if let Some(batch) = &mut node.batch {
                    batch.step = wants.target.step.clone();
                }
            });
        }
        let nodes: Vec<Node> = after.values().cloned().collect();
        let decision = self.carry_out_with(ctx, pool, change, &nodes, offers)?;
        let mut batch = decision.batch;
        let order = decision.object.last_order.clone();
        let going: Vec<NodeName> = chosen.going.iter().map(|node| node.name.clone()).collect();
        add_items(&mut batch, &order, &going, ItemAction::DeleteNode, self.now());
        for found in chosen.going.iter().chain(&chosen.staying) {
            if let Some(next) = after.remove(&found.name) {
                put_node(&mut batch, found, next);
            }
        }
        Ok(decided(batch, order.to_string()))
    }

    /// The nodes of the named batches.
    fn chosen(&self, pool: &Versioned<Pool>, wants: &Resize, source: &ElementKey) -> Result<Chosen, ServiceError> {
        let names: Vec<NodeName> = self.nodes_under(pool).into_iter().map(|node| node.name).collect();
        let all = self.named_nodes(pool, &names)?;
        let fewer = wants.source.step.step.saturating_sub(wants.target.step.step);
        let mut chosen = Chosen {
            staying: Vec::new(),
            going: Vec::new(),
            batches: 0,
        };
        for (at, (uid, gone)) in wants.batches.iter().enumerate() {
            let place = format!("nodes[{at}]");
            let is_own = |batch: &NodeBatch| batch.uid.hyphenated() == *uid || batch.uid.as_str() == uid;
            let (going, staying): (Vec<_>, Vec<_>) = all
                .iter()
                .filter(|node| node.element() == *source && !node.phase.is_deleting() && node.batch.as_deref().is_some_and(is_own))
                .cloned()
                .partition(|node| gone.contains(&node.name));
            if going.is_empty() && staying.is_empty() {
                return refuse(&format!("{place}.batchUID"), "is no batch of the source");
            }
            if gone.len() != going.len() || gone.len() != fewer as usize {
                return refuse(
                    &format!("{place}.deleteNodeNames"),
                    &format!(
                        "must name {fewer} nodes of the batch: {} become {}",
                        wants.source.step.step, wants.target.step.step
                    ),
                );
            }
            chosen.going.extend(going);
            chosen.staying.extend(staying);
            chosen.batches += 1;
        }
        Ok(chosen)
    }
}

/// What is wrong with an element is wrong with the target: nothing else changes.
fn told(errors: &FieldErrors) -> FieldErrors {
    let mut told = FieldErrors::new();
    for FieldError { path, reason, message } in errors {
        let rest = path.as_str().strip_prefix("spec.resources[").and_then(|rest| rest.split_once(']'));
        let path = rest.map_or_else(|| path.clone(), |(_, rest)| FieldPath::of(&format!("target{rest}")));
        told.push(path, *reason, message.clone());
    }
    told
}

fn refuse<T>(field: &str, message: &str) -> Result<T, ServiceError> {
    Err(ServiceError::field(FieldPath::of(field), Reason::Invalid, message))
}

fn key(end: &ResizeEnd) -> ElementKey {
    ElementKey {
        flavor: end.flavor.clone(),
        node_pool: end.node_pool.clone().unwrap_or_else(|| NodePoolName::default_of(&end.flavor)),
    }
}

/// The pool with so many batches of the source in the target's size.
fn resized(pool: &Pool, wants: &Resize, (source, target): (&ElementKey, &ElementKey), batches: u32) -> Result<Pool, ServiceError> {
    let (old, new) = (&wants.source.step, &wants.target.step);
    if old == new {
        return refuse("target.creatingStep.step", "must not be that of the source");
    }
    let mut next = pool.clone();
    let elements = &mut next.spec.resources;
    let Some(from) = elements.iter_mut().find(|element| element.element() == *source) else {
        return refuse("source.nodePool", "there is no such node pool");
    };
    if from.creating_step.as_ref() != Some(old) {
        return refuse("source.creatingStep", "is not that of the node pool");
    }
    let moved = batches.saturating_mul(old.step);
    if source == target && from.count != moved {
        return refuse(
            "nodes",
            "must name every batch of the node pool, or another node pool as the target",
        );
    }
    from.count = from.count.saturating_sub(moved);
    from.max_count = from.count;
    // Where the batches are, nobody has said; placement follows them.
    from.azs = None;
    let template = PoolResource {
        count: 0,
        max_count: 0,
        node_pool: Some(target.node_pool.clone()),
        ..from.clone()
    };
    if source == target {
        from.creating_step = Some(new.clone());
    }
    let at = elements.iter().position(|element| element.element() == *target).unwrap_or_else(|| {
        elements.push(PoolResource {
            creating_step: Some(new.clone()),
            ..template
        });
        elements.len() - 1
    });
    let to = &mut elements[at];
    if to.creating_step.as_ref() != Some(new) {
        return refuse("target.creatingStep", "is not that of the node pool");
    }
    to.count += batches.saturating_mul(new.step);
    to.max_count = to.count;
    to.azs = None;
    if elements.len() > 10 {
        return refuse("target.nodePool", "the pool has 10 node pools already");
    }
    Ok(next)
}
