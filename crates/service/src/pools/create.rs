//! CreatePool (contract pools §6, semantics §1–§3, §7).

use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::{ExistsKind, QuotaKind, ServiceError};
use crate::{Outcome, orders};
use auth::Action;
use domain::catalogue::Offers;
use domain::event::Counters;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Uid;
use domain::name::{PoolName, WorkspaceId, suffix};
use domain::order::{ItemAction, Operation, Order, OrderPhase, Outcome as OrderOutcome};
use domain::pool::draft::PoolDraft;
use domain::pool::validate::{self, References};
use domain::pool::{
    Attempt, Billing, BillingMode, Business, DriverState, DriverStatus, JobType, Origin, Owner, Pool, PoolKind, PoolPhase, PoolRef,
    PoolSpec, PoolStatus, Purpose, ResourceCounts, Restricted, ScopeState, ScopeStatus, Sharing, Waiting, tree,
};
use domain::principal::Role;
use domain::status;
use domain::workspace::Workspace;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::Versioned;
use store::{Count, Expect, Key, Kind, TypedBatch, counters};

/// What the checks of a create have found.
struct Admitted {
    workspace: Versioned<Workspace>,
    spec: PoolSpec,
    parent: Option<Versioned<Pool>>,
    references: References,
    /// The record of a failed creation that the new pool replaces.
    replaces: Option<Versioned<Pool>>,
}

impl Service {
    pub async fn create_pool(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<PoolDraft, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.create_pool_for(ctx, Business::Private, decode).await
    }

    /// `business`: whether the pool is a tenant's own or hosts logical pools without a parent.
    pub(crate) async fn create_pool_for(
        &self,
        ctx: &CallContext,
        business: Business,
        decode: impl Fn() -> Result<PoolDraft, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.authorize_somewhere(ctx, Action::PoolCreate)?;
        self.effective_user(ctx, Action::PoolCreate)?;
        // Sub-pools take their turn at the parent's tree; a pool of its own has no tree yet.
        let tree = decode()
            .ok()
            .and_then(|draft| draft.parent)
            .map(|parent| self.tree_of(ctx, &parent));
        let _turn = match tree {
            Some(tree) => Some(self.locks.lock(tree).await),
            None => None,
        };
        self.change_with_offers(ctx, |offers| {
            let draft = decode()?;
            validate::check_create(&draft).into_result()?;
            let admitted = self.admit(ctx, &draft, offers.clone())?;
            Ok(self.build(ctx, draft, admitted, business))
        })
        .await
    }

    /// Checks 10 to 13.
    fn admit(&self, ctx: &CallContext, draft: &PoolDraft, offers: Offers) -> Result<Admitted, ServiceError> {
        let workspace = draft.workspace.clone().unwrap_or_else(WorkspaceId::default_workspace);
        let workspace = self.target_workspace(ctx, Action::PoolCreate, &workspace)?;
        let mut spec = validate::new_spec(draft);
        let parent = self.admit_parent(ctx, draft, &mut spec)?;
        let index = self.parts.state.index().read();
        let network = spec_network(&spec);
        let known = admission::references(
            &index,
            &ctx.project,
            network,
            parent.as_ref().map(|parent| Arc::clone(&parent.object)),
            offers,
        );
        drop(index);
        validate::check_references(&spec, None, &known).into_result()?;
        if let Some(network) = &known.network {
            let user = self.effective_user(ctx, Action::PoolCreate)?;
            let is_open = self
                .workspace(&ctx.project, &network.workspace)
                .is_none_or(|workspace| workspace.admits(&user));
            if !is_open {
                let path = FieldPath::of("spec").field("network").field("name");
                return Err(ServiceError::field(
                    path,
                    Reason::Forbidden,
                    "the network is in a workspace without access",
                ));
            }
        }
        if let Some(parent) = &parent {
            self.check_parent_state(parent)?;
        }
        let replaces = self.check_name(ctx, draft)?;
        self.check_capacity(ctx, &spec, parent.as_ref(), &known)?;
        Ok(Admitted {
            workspace,
            spec,
            parent,
            references: known,
            replaces,
        })
    }

    /// Finds the parent of a sub-pool and puts it into the spec.
    fn admit_parent(&self, ctx: &CallContext, draft: &PoolDraft, spec: &mut PoolSpec) -> Result<Option<Versioned<Pool>>, ServiceError> {
        let (Some(name), PoolKind::Logical(logical)) = (&draft.parent, &mut spec.kind) else {
            return Ok(None);
        };
        let path = FieldPath::of("spec").field("parent");
        let index = self.parts.state.index().read();
        let Some(parent) = admission::find_parent(&index, ctx, name) else {
            return Err(ServiceError::field(path, Reason::NotFound, format!("pool \"{name}\" not found")));
        };
        let line = admission::lineage(&index, &parent.object);
        drop(index);
        if parent.owner.project == ctx.project {
            self.check_workspace(ctx, Action::PoolCreate, &parent.workspace)?;
        }
        if line.len() + 1 > tree::MAX_DEPTH {
            return Err(ServiceError::field(
                path,
                Reason::Invalid,
                format!("pools may be nested {} levels deep", tree::MAX_DEPTH),
            ));
        }
        logical.parent = Some(PoolRef {
            project: parent.owner.project.clone(),
            name: parent.name.clone(),
        });
        logical.root = line.last().filter(|root| root.is_physical()).map(|root| PoolRef {
            project: root.owner.project.clone(),
            name: root.name.clone(),
        });
        Ok(Some(parent))
    }

    /// Check 11 for the parent of a new sub-pool.
    fn check_parent_state(&self, parent: &Versioned<Pool>) -> Result<(), ServiceError> {
        self.refuse_restricted(&parent.object, Restricted::Service)?;
        if parent.status.phase == PoolPhase::Running && parent.deleted_at.is_none() {
            Ok(())
        } else {
            Err(ServiceError::Refused(format!(
                "pool {} is {}, not Running",
                parent.name,
                parent.status.phase.as_str()
            )))
        }
    }

    /// Check 12. The record of a failed creation gives its name away once it has given its machines back.
    fn check_name(&self, ctx: &CallContext, draft: &PoolDraft) -> Result<Option<Versioned<Pool>>, ServiceError> {
        let index = self.parts.state.index().read();
        let name = PoolName::of(&draft.display_name, &ctx.project);
        match index.get::<Pool>(&ctx.project, &name) {
            None => Ok(None),
            Some(failed)
                if !failed.counts()
                    && index
                        .entries(store::index::Facet::NodesOfPool, failed.uid.as_str())
                        .next()
                        .is_none() =>
            {
                Ok(Some(failed))
            }
            Some(_) => Err(ServiceError::AlreadyExists(ExistsKind::Pool)),
        }
    }

    /// Check 13.
    fn check_capacity(
        &self,
        ctx: &CallContext,
        spec: &PoolSpec,
        parent: Option<&Versioned<Pool>>,
        known: &References,
    ) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        if let Some(parent) = parent {
            let children = admission::children(&index, parent);
            tree::check_child(&spec.resources, parent, children.iter().map(|child| child.object.as_ref())).into_result()?;
        }
        if let Some(network) = &known.network {
            admission::check_machines(&index, &[], &spec.resources, &known.offers).into_result()?;
            admission::check_addresses(&index, network, wanted(spec))?;
        }
        let (pools, _) = admission::quota(&index, &ctx.project);
        if index.counter(&counters::pools_of(&ctx.project)) >= u64::from(pools) {
            return Err(ServiceError::QuotaExceeded(QuotaKind::Pool));
        }
        Ok(())
    }

    /// The pool, its order and the counters that it moves.
    fn build(&self, ctx: &CallContext, draft: PoolDraft, admitted: Admitted, business: Business) -> Decided<Pool> {
        let now = self.now();
        let mut pool = self.new_pool(ctx, draft, &admitted, now);
        pool.business = business;
        let phase = first_phase(ctx, &pool);
        let mut order = self.new_order(&pool, Operation::Apply, &[], &pool.spec.resources, now);
        order.item(pool.name.as_str(), ItemAction::CreatePool, now);
        match &phase {
            PoolPhase::Waiting(reason) => {
                order.phase = OrderPhase::Pending(*reason);
                order.began_at = None;
            }
            PoolPhase::Running => order.end(now, OrderOutcome::Successed, orders::reached(&pool)),
            PoolPhase::Creating
            | PoolPhase::Abnormal { .. }
            | PoolPhase::ScalingFailed { .. }
            | PoolPhase::CreationFailed { .. }
            | PoolPhase::Error { .. }
            | PoolPhase::Deleting => {}
        }
        pool.last_order = order.name.clone();
        pool.status.attempt.order = order.name.clone();
        pool.status.attempt.is_finished = order.phase.is_ended();
        pool.status.phase = phase;
        pool.status.resources = status::resource_counts(&pool, std::iter::empty(), &admitted.references.offers);
        let batch = self.batch(ctx, &pool, order, &admitted);
        Decided {
            batch,
            object: Arc::new(pool),
            unchanged: None,
        }
    }

    fn batch(&self, ctx: &CallContext, pool: &Pool, order: Order, admitted: &Admitted) -> TypedBatch {
        let mut batch = TypedBatch::default();
        let expect = admitted.replaces.as_ref().map_or(Expect::Absent, |old| Expect::At(old.revision()));
        batch.put(pool.clone(), expect);
        batch.put(order, Expect::Absent);
        batch.check(admitted.workspace.entry.key.clone(), Expect::At(admitted.workspace.revision()));
        let (quota, _) = admission::quota(&self.parts.state.index().read(), &ctx.project);
        batch.count(Count {
            key: counters::pools_of(&ctx.project),
            add: 1,
            at_most: Some(u64::from(quota)),
        });
        if let Some(network) = &admitted.references.network {
            if let Some(current) = self
                .parts
                .state
                .index()
                .read()
                .get::<domain::network::Network>(&network.project, &network.name)
            {
                batch.check(current.entry.key.clone(), Expect::At(current.revision()));
            } else {
                // Gone since the checks: the commit must not succeed.
                batch.check(
                    Key::new(Kind::Network, &network.project, &network.name),
                    Expect::At(domain::meta::Revision(u64::MAX)),
                );
            }
            batch.count(Count {
                key: counters::users_of_network(&network.project, &network.name),
                add: 1,
                at_most: None,
            });
            batch.count(admission::addresses(network, wanted(&pool.spec)));
            for count in admission::promise(&[], &pool.spec.resources, &admitted.references.offers) {
                batch.count(count);
            }
        }
        if let Some(parent) = &admitted.parent {
            let mut next = Pool::clone(parent);
            next.status.children += 1;
            batch.put(next, Expect::At(parent.revision()));
        }
        batch
    }

    fn new_pool(&self, ctx: &CallContext, draft: PoolDraft, admitted: &Admitted, now: Timestamp) -> Pool {
        let random = |_: usize| suffix(self.entropy().next_u64());
        let is_operator = ctx.principal.role_in(&ctx.project) == Some(Role::Operator);
        let flavor_resource_ids = admitted
            .spec
            .resources
            .iter()
            .map(|element| {
                let stem = element
                    .flavor
                    .as_str()
                    .strip_prefix("modelarts.")
                    .unwrap_or(element.flavor.as_str());
                (
                    element.flavor.clone(),
                    format!("maos.{stem}.{}", self.entropy().next_u64() % 10_000_000_000),
                )
            })
            .collect();
        let mut labels = draft.labels;
        if let Some(region) = &admitted.references.config.region {
            labels.insert("os.modelarts/region".to_owned(), region.clone());
        }
        let mut annotations = draft.annotations;
        if let Some(access) = &admitted.references.config.external_access {
            annotations.insert("os.modelarts/external-access".to_owned(), access.clone());
        }
        Pool {
            name: PoolName::of(&draft.display_name, &ctx.project),
            uid: self.new_uid(now),
            generation: 1,
            created_at: now,
            deleted_at: None,
            owner: Owner {
                project: ctx.project.clone(),
                domain: ctx.principal.domain.clone(),
                domain_name: ctx.principal.domain_name.clone(),
            },
            resource_id: format!("maos-{}-{}", draft.display_name, random(0)),
            display_name: draft.display_name,
            workspace: draft.workspace.unwrap_or_else(WorkspaceId::default_workspace),
            sharing: draft.sharing.unwrap_or(Sharing::Unshared),
            node_prefix: draft.node_prefix,
            origin: if ctx.is_console {
                Origin::Console
            } else if is_operator {
                Origin::AdminConsole
            } else {
                Origin::Api
            },
            business: Business::Private,
            last_order: placeholder_order(),
            labels,
            annotations,
            description: draft.description.unwrap_or_default(),
            billing: Billing {
                mode: draft.billing.mode.unwrap_or(BillingMode::PayPerUse),
                period_num: draft.billing.period_num,
                period_type: draft.billing.period_type,
                auto_renew: draft.billing.auto_renew,
                auto_pay: draft.billing.auto_pay.unwrap_or(false),
                order_id: draft.billing.order_id,
                issued_order: None,
            },
            flavor_resource_ids,
            tags: draft.tags.unwrap_or_default(),
            status: new_status(
                &admitted.spec,
                &admitted.references,
                admitted.parent.as_ref().map(|parent| parent.object.as_ref()),
                now,
            ),
            spec: admitted.spec.clone(),
        }
    }

    pub(crate) fn new_uid(&self, now: Timestamp) -> Uid {
        Uid::new(u64::try_from(now.as_millisecond()).unwrap_or(0), clock::random(self.entropy()))
    }
}

/// Semantics §7: what a new pool waits for.
fn first_phase(ctx: &CallContext, pool: &Pool) -> PoolPhase {
    if pool.is_physical() {
        let is_prepaid = pool.billing.mode == BillingMode::Prepaid;
        return if Service::awaits_payment(ctx, is_prepaid, pool.billing.auto_pay) {
            PoolPhase::Waiting(Waiting::Payment)
        } else {
            PoolPhase::Creating
        };
    }
    let has_parent = pool.logical().is_some_and(|spec| spec.parent.is_some());
    if has_parent && ctx.principal.role_in(&ctx.project) == Some(Role::Operator) {
        PoolPhase::Running
    } else {
        PoolPhase::Waiting(Waiting::Approval)
    }
}

fn spec_network(spec: &PoolSpec) -> Option<&domain::name::NetworkName> {
    match &spec.kind {
        PoolKind::Physical(physical) => Some(&physical.network),
        PoolKind::Logical(_) => None,
    }
}

fn wanted(spec: &PoolSpec) -> i64 {
    spec.resources.iter().map(|element| i64::from(element.count)).sum()
}

/// Stands until the order of the same batch has its name.
#[expect(clippy::expect_used, reason = "a constant name")]
fn placeholder_order() -> domain::name::OrderName {
    domain::name::OrderName::parse("order").expect("a constant name is valid")
}

fn new_status(spec: &PoolSpec, known: &References, parent: Option<&Pool>, now: Timestamp) -> PoolStatus {
    PoolStatus {
        phase: PoolPhase::Creating,
        resources: ResourceCounts::default(),
        scopes: first_scopes(spec, parent),
        drivers: first_drivers(spec, known),
        children: 0,
        attempt: Attempt {
            order: placeholder_order(),
            purpose: Purpose::Creation,
            started_at: now,
            given_up: BTreeMap::new(),
            retry_at: None,
            is_finished: false,
            node_billing: None,
            previous: None,
        },
        cluster_ready: false,
        unwell_since: None,
        node_sequence: 0,
        event_sequence: 0,
        reported: Some((Counters::default(), now)),
        dependencies: BTreeMap::new(),
    }
}

/// Requested job types begin as `Enabling`; a logical pool shows what its parent has of `Train`.
fn first_scopes(spec: &PoolSpec, parent: Option<&Pool>) -> Vec<ScopeStatus> {
    match &spec.kind {
        PoolKind::Physical(physical) => physical
            .scope
            .iter()
            .map(|job_type| ScopeStatus {
                job_type: *job_type,
                state: ScopeState::Enabling,
                plugins: Vec::new(),
                message: None,
            })
            .collect(),
        PoolKind::Logical(_) => parent
            .map(|parent| {
                parent
                    .status
                    .scopes
                    .iter()
                    .filter(|scope| scope.job_type == JobType::Train)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default(),
    }
}

fn first_drivers(spec: &PoolSpec, known: &References) -> BTreeMap<domain::pool::Accelerator, DriverStatus> {
    let PoolKind::Physical(physical) = &spec.kind else {
        return BTreeMap::new();
    };
    validate::accelerators(&spec.resources, &known.flavors)
        .into_iter()
        .filter_map(|kind| {
            let newest = known.drivers.get(&kind).and_then(|template| template.newest());
            let target = physical.driver.version(kind).or(newest)?.to_owned();
            Some((
                kind,
                DriverStatus {
                    version: target.clone(),
                    target,
                    state: DriverState::Creating,
                    message: None,
                },
            ))
        })
        .collect()
}
