//! Workloads of a simulated fleet, where nobody else submits them.

use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use crate::workloads::root_of;
use domain::catalogue::Flavor;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Uid;
use domain::name::PoolName;
use domain::pool::{Pool, Restricted, ScopeState};
use domain::principal::Principal;
use domain::quantities::Quantities;
use domain::workload::NewWorkload;
use fleet::WorkloadFact;
use fleet::sim::{Refusal, Registration, Submission};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::TypedBatch;
use store::index::Versioned;

/// A workload that may be delivered to a pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Admitted {
    root: Uid,
    pool: Uid,
    submission: Submission,
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
        // Nothing of it is stored here but what belongs to a key: the fleet knows it by its id.
        let admitted = self.change(ctx, || {
            Ok(Decided {
                batch: TypedBatch::default(),
                object: Arc::new(self.admit_workload(ctx, name, &decode)?),
                unchanged: None,
            })
        });
        let Admitted { root, pool, submission } = Admitted::clone(&admitted.await?.object);
        if ctx.is_dry_run {
            return Ok(None);
        }
        let uid = submission.uid.clone();
        let outcome = fleet.submit(&root, &pool, submission).await;
        outcome.map_err(super::machines::unavailable)?.map_err(|refusal| match refusal {
            // The next step of the controller tells the fleet of the pool.
            Refusal::Closed => ServiceError::Unavailable(refusal.to_string()),
            Refusal::TooLarge { .. } => ServiceError::field(FieldPath::of("nodes"), Reason::Capacity, refusal.to_string()),
        })?;
        self.workload(&ctx.principal, uid.as_str()).map(Some)
    }

    fn admit_workload(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<NewWorkload, FieldErrors>,
    ) -> Result<Admitted, ServiceError> {
        let pool = self.parts.state.index().read().get::<Pool>(&ctx.project, name);
        let pool = pool.ok_or(ServiceError::NotFound(Missing::Pool))?;
        let new = decode()?;
        let resources = self.resources_of(&pool, &new)?;
        let root = self.check_delivery(&pool, &new)?;
        let uid = self.new_uid(self.now());
        let name = format!("job-{uid}");
        let submission = Submission {
            uid,
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
        Ok(Admitted {
            root: root.uid.clone(),
            pool: pool.uid.clone(),
            submission,
        })
    }

    /// What a workload needs on each of its nodes: all of it.
    fn resources_of(&self, pool: &Pool, new: &NewWorkload) -> Result<Quantities, ServiceError> {
        let field = |name: &str, message: String| ServiceError::field(FieldPath::of(name), Reason::Invalid, message);
        if !pool.spec.resources.iter().any(|element| element.flavor == new.flavor) {
            return Err(field("flavor", format!("pool {} has no flavor {}", pool.name, new.flavor)));
        }
        let flavor = self.parts.state.index().read().get::<Flavor>("", &new.flavor);
        let flavor = flavor.ok_or_else(|| field("flavor", format!("unknown flavor {:?}", new.flavor.as_str())))?;
        Ok(Registration::allocatable(&flavor))
    }

    /// Whether workloads of the type may be delivered to the pool now (semantics §2, §4 and §6). Gives its root.
    fn check_delivery(&self, pool: &Versioned<Pool>, new: &NewWorkload) -> Result<Versioned<Pool>, ServiceError> {
        self.refuse_restricted(&pool.object, Restricted::Service)?;
        let refused = |message: String| Err(ServiceError::Refused(message));
        let root = root_of(&self.parts.state.index().read(), pool);
        let Some(root) = root.filter(|_| pool.status.phase.takes_workloads()) else {
            return refused(format!("pool {} is {}", pool.name, pool.status.phase.as_str()));
        };
        if !root.status.phase.takes_workloads() {
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
