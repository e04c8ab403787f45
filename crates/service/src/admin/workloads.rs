//! Workloads of a simulated fleet, where nobody else submits them.

use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use crate::workloads::root_of;
use domain::catalogue::Flavor;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Uid;
use domain::name::{FlavorName, PoolName};
use domain::pool::{Pool, PoolPhase, Restricted, ScopeState};
use domain::principal::Principal;
use domain::quantities::Quantities;
use domain::workload::WorkloadKind;
use fleet::WorkloadFact;
use fleet::sim::{Refusal, Registration, Submission};
use jiff::SignedDuration;
use store::index::Versioned;

/// A workload to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkload {
    pub kind: WorkloadKind,
    pub flavor: FlavorName,
    /// At least 1.
    pub nodes: u32,
    /// `None`: until it is cancelled.
    pub lasting: Option<SignedDuration>,
    /// The higher, the earlier.
    pub priority: u32,
    /// Name of the user; `None`: the operator.
    pub owner: Option<String>,
    pub job_name: Option<String>,
    pub retries: u32,
}

impl Service {
    /// Every workload of every pool, the first submitted first in each.
    pub fn all_workloads(&self, who: &Principal) -> Result<Vec<WorkloadFact>, ServiceError> {
        let all = self.machines(who)?.all_workloads();
        Ok(all.into_iter().map(|(_, fact)| fact).collect())
    }

    pub fn workload(&self, who: &Principal, id: &str) -> Result<WorkloadFact, ServiceError> {
        let found = self.machines(who)?.workload(&Uid::from_text(id));
        found.ok_or_else(|| ServiceError::named("Workload", id))
    }

    /// Puts a workload into the queue of a pool; `ctx.project` is the pool's project. With an idempotency key it is one
    /// workload, however often it is sent. Gives it as it is then; nothing for a dry run.
    pub async fn submit_workload(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<NewWorkload, FieldErrors>,
    ) -> Result<Option<WorkloadFact>, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        let pool = self.parts.state.index().read().get::<Pool>(&ctx.project, name);
        let pool = pool.ok_or(ServiceError::NotFound(Missing::Pool))?;
        let new = decode()?;
        let resources = self.resources_of(&pool, &new)?;
        let root = self.check_delivery(&pool, &new)?;
        if ctx.is_dry_run {
            return Ok(None);
        }
        let uid = match &ctx.idempotency {
            Some(idempotency) => Uid::from_text(idempotency.key.get(..32).unwrap_or(&idempotency.key)),
            None => self.new_uid(self.now()),
        };
        let name = format!("job-{uid}");
        let submission = Submission {
            uid: uid.clone(),
            job_name: new.job_name.unwrap_or_else(|| name.clone()),
            name,
            kind: new.kind,
            owner: new.owner.unwrap_or_else(|| ctx.principal.user_name.clone()),
            flavor: new.flavor,
            nodes: new.nodes,
            resources,
            priority: new.priority,
            lasting: new.lasting,
            retries: new.retries,
        };
        let outcome = fleet.submit(&root.uid, &pool.uid, submission).await;
        outcome.map_err(super::machines::unavailable)?.map_err(|refusal| match refusal {
            // The next step of the controller tells the fleet of the pool.
            Refusal::Closed => ServiceError::Unavailable(refusal.to_string()),
            Refusal::TooLarge { .. } => ServiceError::field(FieldPath::of("nodes"), Reason::Capacity, refusal.to_string()),
        })?;
        self.workload(&ctx.principal, uid.as_str()).map(Some)
    }

    /// What a workload needs on each of its nodes: all of it.
    fn resources_of(&self, pool: &Pool, new: &NewWorkload) -> Result<Quantities, ServiceError> {
        let field = |name: &str, message: String| ServiceError::field(FieldPath::of(name), Reason::Invalid, message);
        if !pool.spec.resources.iter().any(|element| element.flavor == new.flavor) {
            return Err(field("flavor", format!("pool {} has no flavor {}", pool.name, new.flavor)));
        }
        let flavor = self.parts.state.index().read().get::<Flavor>("", &new.flavor);
        let flavor = flavor.ok_or_else(|| field("flavor", format!("unknown flavor {:?}", new.flavor.as_str())))?;
        let zone = flavor.zones.first().cloned();
        let zone = zone.ok_or_else(|| field("flavor", format!("{} is in no zone", new.flavor)))?;
        Ok(Registration::of(&flavor, String::new(), zone).resources)
    }

    /// Whether workloads of the type may be delivered to the pool now (semantics §2, §4 and §6). Gives its root.
    fn check_delivery(&self, pool: &Versioned<Pool>, new: &NewWorkload) -> Result<Versioned<Pool>, ServiceError> {
        self.refuse_restricted(&pool.object, Restricted::Service)?;
        let refused = |message: String| Err(ServiceError::Refused(message));
        let root = root_of(&self.parts.state.index().read(), pool);
        let Some(root) = root.filter(|_| takes_workloads(&pool.status.phase)) else {
            return refused(format!("pool {} is {}", pool.name, pool.status.phase.as_str()));
        };
        if !takes_workloads(&root.status.phase) {
            return refused(format!("pool {} is {}", root.name, root.status.phase.as_str()));
        }
        let job_type = new.kind.job_type();
        let is_wanted = root.physical().is_some_and(|spec| spec.scope.contains(&job_type));
        let is_enabled = |scope: &domain::pool::ScopeStatus| scope.job_type == job_type && scope.state == ScopeState::Enabled;
        if !is_wanted || !root.status.scopes.iter().any(is_enabled) {
            return refused(format!("job type {job_type} is not enabled in pool {}", root.name));
        }
        if root.status.resources.counters().available == 0 {
            return refused(format!("no node of pool {} is available", root.name));
        }
        Ok(root)
    }

    /// Ends a workload; gives it as it is then.
    pub async fn cancel_workload(&self, ctx: &CallContext, id: &str) -> Result<WorkloadFact, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        let found = self.workload(&ctx.principal, id)?;
        let was_cancelled = if ctx.is_dry_run {
            Some(!found.status.is_over())
        } else {
            fleet.cancel(&found.uid).await.map_err(super::machines::unavailable)?
        };
        match was_cancelled {
            Some(true) => self.workload(&ctx.principal, id),
            Some(false) => Err(ServiceError::Refused(format!("workload {id} is over"))),
            None => Err(ServiceError::named("Workload", id)),
        }
    }
}

fn takes_workloads(phase: &PoolPhase) -> bool {
    match phase {
        PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } => true,
        PoolPhase::Waiting(_) | PoolPhase::Creating | PoolPhase::CreationFailed { .. } | PoolPhase::Error { .. } | PoolPhase::Deleting => {
            false
        }
    }
}
