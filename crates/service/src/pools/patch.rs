//! PatchPool (contract pools §9, semantics §3–§8).

use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use crate::{Outcome, orders};
use auth::Action;
use domain::catalogue::Offers;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::PoolName;
use domain::node::Node;
use domain::order::{ItemAction, Operation, Order, OrderPhase, Outcome as OrderOutcome};
use domain::pool::draft::PoolEdit;
use domain::pool::validate::{self, PoolChange, Scaling};
use domain::pool::{Attempt, BillingMode, Pool, PoolPhase, PoolResource, Purpose, Restricted, Sharing, Waiting, tree};
use domain::status;
use domain::tag::MAX_TAGS;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Facet, Versioned};
use store::{Expect, TypedBatch};

/// What is wanted of a pool.
pub(crate) struct Wanted {
    pub edit: PoolEdit,
    /// Check 12: told once everything else that is wrong with the request has been.
    pub conflict: Option<ServiceError>,
    /// The answer is the pool as it was, for what is shown a last time.
    pub answers_before: bool,
}

impl From<PoolEdit> for Wanted {
    fn from(edit: PoolEdit) -> Self {
        Self {
            edit,
            conflict: None,
            answers_before: false,
        }
    }
}

impl Service {
    /// Changes a pool. `edit` makes the wanted pool from the current one and is asked again whenever that has changed.
    pub async fn patch_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        edit: impl Fn(&Pool) -> Result<PoolEdit, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.change_pool(ctx, name, Action::PoolUpdate, |pool| Ok(edit(pool)?.into())).await
    }

    /// As [`Service::patch_pool`], for another action. `edit` may find that something has a wanted name already.
    pub(crate) async fn change_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        action: Action,
        edit: impl Fn(&Arc<Pool>) -> Result<Wanted, ServiceError>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, name)).await;
        self.change_with_offers(ctx, |offers| {
            let found = self.find_pool(ctx, action, name)?;
            let wanted = edit(&found.object)?;
            let (edit, conflict) = (wanted.edit, wanted.conflict);
            let change = validate::apply_edit(&found, &edit)?;
            if change.is_nothing(&found) {
                return Ok(unchanged(&found));
            }
            let target = if change.workspace_changed {
                Some(self.target_workspace(ctx, action, &change.next.workspace)?)
            } else {
                None
            };
            self.admit_change(ctx, &found, &change, offers)?;
            if let Some(conflict) = conflict {
                return Err(conflict);
            }
            self.check_amounts(ctx, &found, &change, offers)?;
            let mut decided = self.carry_out(ctx, &found, change, offers)?;
            if let Some(target) = target {
                decided.batch.check(target.entry.key.clone(), Expect::At(target.revision()));
            }
            if wanted.answers_before {
                decided.object = Arc::clone(&found.object);
            }
            Ok(decided)
        })
        .await
    }

    /// Checks 10 and 11.
    fn admit_change(&self, ctx: &CallContext, found: &Versioned<Pool>, change: &PoolChange, offers: &Offers) -> Result<(), ServiceError> {
        self.check_new_references(ctx, found, change, offers)?;
        self.check_restrictions(found, change)?;
        check_phase(found, change)?;
        self.check_sharing(found, change)
    }

    /// Check 13, and what depends on the nodes.
    fn check_amounts(&self, ctx: &CallContext, found: &Versioned<Pool>, change: &PoolChange, offers: &Offers) -> Result<(), ServiceError> {
        if change.works_on_resources() {
            self.check_sums(found, change)?;
            self.check_locks(found, change)?;
            self.check_supply(ctx, found, change, offers)?;
        }
        Ok(())
    }

    fn check_new_references(
        &self,
        ctx: &CallContext,
        found: &Versioned<Pool>,
        change: &PoolChange,
        offers: &Offers,
    ) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        let parent = found
            .logical()
            .and_then(|spec| spec.parent.as_ref())
            .and_then(|parent| admission::pool_at(&index, parent));
        let network = found.physical().map(|spec| &spec.network);
        let known = admission::references(&index, &ctx.project, network, parent.map(|parent| parent.object), offers.clone());
        validate::check_references(&change.next.spec, Some(&found.spec), &known).into_result()?;
        Ok(())
    }

    /// Check 11, restriction bits (semantics §6).
    fn check_restrictions(&self, found: &Versioned<Pool>, change: &PoolChange) -> Result<(), ServiceError> {
        let configures = change.driver_changed
            || change.job_flavors_changed
            || change.sharing_changed
            || change.workspace_changed
            || !change.removed_scopes.is_empty();
        for (applies, what) in [
            (change.works_on_resources(), Restricted::Specification),
            (!change.added_scopes.is_empty(), Restricted::Service),
            (configures, Restricted::Configuration),
            (change.switches_billing, Restricted::PrepaidSwitch),
        ] {
            if applies {
                self.refuse_restricted(&found.object, what)?;
            }
        }
        Ok(())
    }

    /// Semantics §8: a pool stays shared while other projects have sub-pools in it.
    fn check_sharing(&self, found: &Versioned<Pool>, change: &PoolChange) -> Result<(), ServiceError> {
        if !change.sharing_changed || change.next.sharing == Sharing::Shared {
            return Ok(());
        }
        let children = admission::children(&self.parts.state.index().read(), found);
        let foreign = children
            .iter()
            .filter(|child| child.owner.project != found.owner.project && child.counts())
            .count();
        if foreign == 0 {
            Ok(())
        } else {
            Err(ServiceError::Refused(format!(
                "other projects have {foreign} sub-pools in pool {}",
                found.name
            )))
        }
    }

    /// Check 13, sums of sub-pools (semantics §3).
    pub(crate) fn check_sums(&self, found: &Versioned<Pool>, change: &PoolChange) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        let children = admission::children(&index, found);
        let children: Vec<&Pool> = children.iter().map(|child| child.object.as_ref()).collect();
        tree::check_parent(&change.next.spec.resources, children.iter().copied()).map_err(ServiceError::Refused)?;
        let Some(parent) = found
            .logical()
            .and_then(|spec| spec.parent.as_ref())
            .and_then(|parent| admission::pool_at(&index, parent))
        else {
            return Ok(());
        };
        let siblings = admission::children(&index, &parent);
        let others = siblings
            .iter()
            .filter(|sibling| sibling.uid != found.uid)
            .map(|sibling| sibling.object.as_ref());
        tree::check_child(&change.next.spec.resources, &parent, others).into_result()?;
        Ok(())
    }

    /// Locked nodes are never chosen when scaling in; too few unlocked ones are a refusal (semantics §5 rule 5).
    fn check_locks(&self, found: &Versioned<Pool>, change: &PoolChange) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        let nodes = index.under::<Node>(Facet::NodesOfPool, found.uid.as_str());
        for old in &found.spec.resources {
            let key = old.element();
            let now = change.next.spec.resources.iter().position(|element| element.element() == key);
            let wanted = now.map(|at| &change.next.spec.resources[at]);
            let locked = nodes
                .iter()
                .filter(|node| node.element() == key && node.is_locked && !node.phase.is_deleting());
            let mut locked_in: BTreeMap<_, u32> = BTreeMap::new();
            for node in locked {
                *locked_in.entry(node.az.clone()).or_insert(0) += 1;
            }
            let total: u32 = locked_in.values().sum();
            let (count, azs) = wanted.map_or((0, None), |element| (element.count, element.azs.as_ref()));
            let is_too_few = match azs {
                None => total > count,
                Some(azs) => locked_in
                    .iter()
                    .any(|(zone, locked)| azs.iter().find(|entry| entry.az == *zone).map_or(0, |entry| entry.count) < *locked),
            };
            if is_too_few {
                let path = FieldPath::of("spec").field("resources").index(now.unwrap_or(0)).field("count");
                let message = format!(
                    "{total} nodes of flavor {} in node pool {} are locked against deletion",
                    key.flavor, key.node_pool
                );
                return Err(ServiceError::field(path, Reason::Forbidden, message));
            }
        }
        Ok(())
    }

    /// Check 13, machines and addresses.
    pub(crate) fn check_supply(
        &self,
        ctx: &CallContext,
        found: &Versioned<Pool>,
        change: &PoolChange,
        offers: &Offers,
    ) -> Result<(), ServiceError> {
        let Some(spec) = found.physical() else { return Ok(()) };
        let index = self.parts.state.index().read();
        admission::check_machines(&index, &found.spec.resources, &change.next.spec.resources, offers).into_result()?;
        if let Some(network) = index.get::<domain::network::Network>(&ctx.project, &spec.network) {
            admission::check_addresses(&index, &network, i64::from(change.next.wanted()) - i64::from(found.wanted()))?;
        }
        Ok(())
    }

    /// Writes the change with its order.
    fn carry_out(
        &self,
        ctx: &CallContext,
        found: &Versioned<Pool>,
        change: PoolChange,
        offers: &Offers,
    ) -> Result<Decided<Pool>, ServiceError> {
        let nodes = self.nodes_under(found);
        let mut decided = self.carry_out_with(ctx, found, change, &nodes, offers)?;
        self.refresh_nodes(found, &decided.object, &mut decided.batch)?;
        Ok(decided)
    }

    /// Changed labels and tags of elements, for the nodes that are there already.
    fn refresh_nodes(&self, found: &Pool, next: &Pool, batch: &mut TypedBatch) -> Result<(), ServiceError> {
        let changed = |before: &PoolResource, after: &PoolResource| before.labels != after.labels || before.tags != after.tags;
        let index = self.parts.state.index().read();
        for (at, after) in next.spec.resources.iter().enumerate() {
            let key = after.element();
            let before = found.spec.resources.iter().find(|element| element.element() == key);
            let Some(before) = before.filter(|before| changed(before, after)) else {
                continue;
            };
            for node in index.under::<Node>(Facet::NodesOfPool, found.uid.as_str()) {
                if node.element() != key || node.phase.is_deleting() {
                    continue;
                }
                let refreshed = node.refreshed(before, after).map_err(|_| {
                    let path = FieldPath::of("spec").field("resources").index(at).field("tags");
                    let message = format!("node {} would have more than {MAX_TAGS} tags", node.name);
                    ServiceError::field(path, Reason::Forbidden, message)
                })?;
                if refreshed != *node.object {
                    batch.put(refreshed, Expect::At(node.revision()));
                }
            }
        }
        Ok(())
    }

    /// The nodes of a physical pool as they are.
    pub(crate) fn nodes_under(&self, pool: &Pool) -> Vec<Node> {
        let index = self.parts.state.index().read();
        let nodes = index.under::<Node>(Facet::NodesOfPool, pool.uid.as_str());
        nodes.iter().map(|node| Node::clone(node)).collect()
    }

    /// As [`Service::carry_out`], for a change that comes with changes of nodes: `nodes` are the pool's after it.
    pub(crate) fn carry_out_with(
        &self,
        ctx: &CallContext,
        found: &Versioned<Pool>,
        change: PoolChange,
        nodes: &[Node],
        offers: &Offers,
    ) -> Result<Decided<Pool>, ServiceError> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        let is_spec_change = change.next.spec != found.spec;
        let mut next = change.next.clone();
        if is_spec_change {
            next.generation += 1;
        }
        show_begun(&change, nodes, &mut next);
        if change.works_on_resources() {
            self.start_attempt(ctx, found, &change, &mut next, &mut batch, now);
            let index = self.parts.state.index().read();
            next.status.resources = status::resource_counts(&next, nodes.iter(), offers);
            if let Some(spec) = next.physical() {
                batch
                    .counts
                    .extend(admission::promise(&found.spec.resources, &next.spec.resources, offers));
                let add = i64::from(next.wanted()) - i64::from(found.wanted());
                if add != 0
                    && let Some(network) = index.get::<domain::network::Network>(&ctx.project, &spec.network)
                {
                    batch.count(admission::addresses(&network, add));
                }
            }
        } else if change.workspace_changed || change.switches_billing {
            let mut order = self.new_order(&next, Operation::Modify, &found.spec.resources, &next.spec.resources, now);
            if change.switches_billing {
                order.item(next.name.as_str(), ItemAction::ToPeriodic, now);
            }
            order.end(now, OrderOutcome::Successed, orders::reached(found));
            next.last_order = order.name.clone();
            batch.put(order, Expect::Absent);
        }
        if let Some(parent) = next.logical().and_then(|spec| spec.parent.clone())
            && change.works_on_resources()
        {
            // The sum is held by the parent's record: whoever else relies on it conflicts with this.
            let index = self.parts.state.index().read();
            let parent =
                admission::pool_at(&index, &parent).ok_or_else(|| ServiceError::Internal("a sub-pool without a parent".to_owned()))?;
            batch.put(Pool::clone(&parent), Expect::At(parent.revision()));
        }
        batch.put(next.clone(), Expect::At(found.revision()));
        Ok(Decided {
            batch,
            object: Arc::new(next),
            unchanged: None,
        })
    }

    /// Closes the order that this change supersedes and opens its own.
    fn start_attempt(
        &self,
        ctx: &CallContext,
        found: &Versioned<Pool>,
        change: &PoolChange,
        next: &mut Pool,
        batch: &mut TypedBatch,
        now: Timestamp,
    ) {
        let open = self.open_order(found);
        // What a rejection goes back to is the last spec that nobody has to confirm any more.
        let unpaid = open.as_ref().and(found.status.attempt.previous.as_ref());
        let confirmed = unpaid.unwrap_or(&found.spec.resources).clone();
        let mut order = self.new_order(next, Operation::Modify, &confirmed, &next.spec.resources, now);
        if let Some(mode) = change.node_billing {
            order.billing_mode = mode;
        }
        let is_prepaid = change.node_billing.unwrap_or(next.billing.mode) == BillingMode::Prepaid;
        // An enlargement that is not paid yet may have become smaller, and is one all the same.
        let grows = match unpaid {
            Some(previous) => asks_for_more(previous, &next.spec.resources),
            None => change.scaling == Some(Scaling::Out),
        };
        let awaits_payment = grows && next.is_physical() && Self::awaits_payment(ctx, is_prepaid, change.auto_pay);
        if awaits_payment {
            order.phase = OrderPhase::Pending(Waiting::Payment);
            order.began_at = None;
        }
        if let Some(open) = open {
            let mut closed = Order::clone(&open);
            closed.supersede(&order.name, now, orders::reached(found));
            batch.put(closed, Expect::At(open.revision()));
        }
        if !next.is_physical() {
            order.end(now, OrderOutcome::Successed, orders::reached(next));
        }
        next.last_order = order.name.clone();
        next.status.attempt = Attempt {
            order: order.name.clone(),
            purpose: Purpose::Scaling,
            started_at: now,
            given_up: BTreeMap::new(),
            retry_at: None,
            is_finished: order.phase.is_ended(),
            node_billing: change.node_billing,
            previous: awaits_payment.then_some(confirmed),
        };
        batch.put(order, Expect::Absent);
    }
}

/// Shows at once what the change sets going: whoever waits for final states must not take the old ones for them.
fn show_begun(change: &PoolChange, nodes: &[Node], next: &mut Pool) {
    let Some(spec) = next.physical().cloned() else { return };
    if !change.added_scopes.is_empty() || !change.removed_scopes.is_empty() {
        next.status.want_scopes(&spec.scope);
    }
    for (kind, status) in &mut next.status.drivers {
        let has_any = nodes
            .iter()
            .any(|node| node.driver.as_ref().is_some_and(|driver| driver.kind == *kind));
        if let Some(version) = spec.driver.version(*kind).filter(|_| has_any) {
            status.aim_at(version);
        }
    }
}

/// Whether any flavor is asked for more often than before.
fn asks_for_more(before: &[PoolResource], after: &[PoolResource]) -> bool {
    let before = tree::amounts(before);
    let mut grown = tree::amounts(after).into_iter();
    grown.any(|(flavor, amount)| amount.count > before.get(flavor).map_or(0, |known| known.count))
}

fn unchanged(found: &Versioned<Pool>) -> Decided<Pool> {
    Decided {
        batch: TypedBatch::default(),
        object: Arc::clone(&found.object),
        unchanged: Some(found.revision()),
    }
}

/// Check 11, phases (contract pools §9.3). It concerns what changes, not what is repeated.
fn check_phase(found: &Versioned<Pool>, change: &PoolChange) -> Result<(), ServiceError> {
    let phase = &found.status.phase;
    let not = |wanted: &str, what: &str| {
        Err(ServiceError::Refused(format!(
            "{what} can be changed while the pool is {wanted}; it is {}",
            phase.as_str()
        )))
    };
    if found.deleted_at.is_some() || matches!(phase, PoolPhase::Deleting | PoolPhase::CreationFailed { .. }) {
        return Err(ServiceError::Refused(format!(
            "the pool is {} and cannot be changed",
            phase.as_str()
        )));
    }
    let is_running = *phase == PoolPhase::Running;
    if change.works_on_resources() && !is_running {
        let may_retry = found.is_physical() && matches!(phase, PoolPhase::ScalingFailed { .. });
        if !may_retry {
            return not(
                if found.is_physical() {
                    "Running or ScalingFailed"
                } else {
                    "Running"
                },
                "spec.resources",
            );
        }
    }
    if (!change.added_scopes.is_empty() || !change.removed_scopes.is_empty()) && !is_running {
        return not("Running", "spec.scope");
    }
    if change.driver_changed && !is_running {
        return not("Running", "spec.driver");
    }
    if change.driver_changed && found.status.drivers.is_empty() {
        let path = FieldPath::of("spec").field("driver");
        return Err(ServiceError::field(
            path,
            Reason::Forbidden,
            "the pool has no flavor with accelerators",
        ));
    }
    Ok(())
}
