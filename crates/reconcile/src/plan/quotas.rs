//! By what workloads are let into a pool and the logical ones inside it (semantics §3).

use super::work::Work;
use domain::pool::tree::amounts;
use domain::pool::{JobType, Pool, PoolPhase, PoolRef, Restricted, ScopeState};
use fleet::observation::ClusterFact;
use fleet::{Command, Observation, PoolMark, Quota};
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    /// Tells the fleet the quotas of the tree when they are not what it has. Workloads are let in when the pool is up.
    pub fn set_quotas(&mut self, observed: &Observation) {
        if self.pool.status.phase.takes_workloads() && observed.cluster != ClusterFact::Absent {
            self.tell_quotas(self.quotas(), observed);
        }
    }

    /// Ends all workloads of a pool that goes.
    pub fn end_workloads(&mut self, observed: &Observation) {
        self.tell_quotas(Vec::new(), observed);
    }

    fn tell_quotas(&mut self, quotas: Vec<Quota>, observed: &Observation) {
        if observed.quotas != quotas {
            self.commands.push(Command::SetQuotas { pool: self.mark(), quotas });
        }
    }

    /// The physical pool, then its descendants, parents before their children and by name. Those that wait for approval are
    /// no part of it yet.
    pub(super) fn quotas(&self) -> Vec<Quota> {
        let mut all = vec![(mark(&self.pool), quota(&self.pool, None))];
        let mut rest: BTreeMap<PoolRef, &Pool> = self.descendants.iter().flatten().map(|pool| (mark(pool).pool, pool)).collect();
        rest.retain(|_, pool| matches!(pool.status.phase, PoolPhase::Running | PoolPhase::Abnormal { .. }));
        let mut at = 0;
        while let Some((parent, above)) = all.get(at).cloned() {
            let children = rest.extract_if(.., |_, pool| {
                pool.logical().and_then(|spec| spec.parent.as_ref()) == Some(&parent.pool)
            });
            all.extend(children.map(|(_, pool)| (mark(pool), quota(pool, Some(&above)))));
            at += 1;
        }
        all.into_iter().map(|(_, quota)| quota).collect()
    }
}

fn mark(pool: &Pool) -> PoolMark {
    PoolMark {
        uid: pool.uid.clone(),
        pool: PoolRef {
            project: pool.owner.project.clone(),
            name: pool.name.clone(),
        },
    }
}

/// What restricts a pool restricts those inside it too; what is closed in it is closed in them.
fn quota(pool: &Pool, parent: Option<&Quota>) -> Quota {
    let amounts = amounts(&pool.spec.resources);
    Quota {
        pool: mark(pool),
        parent: parent.map(|parent| parent.pool.uid.clone()),
        amounts: amounts.into_iter().map(|(flavor, amount)| (flavor.clone(), amount)).collect(),
        open: parent.map_or_else(
            || open_types(pool),
            |parent| parent.open.iter().copied().filter(|job_type| *job_type == JobType::Train).collect(),
        ),
        is_shut: pool.spec.control.refuses(Restricted::Service).is_some() || parent.is_some_and(|parent| parent.is_shut),
    }
}

/// Job types of a physical pool that are enabled or on their way there. A logical pool has of them what it can have: training.
fn open_types(pool: &Pool) -> BTreeSet<JobType> {
    let is_open = |state| match state {
        ScopeState::Enabling | ScopeState::Enabled => true,
        ScopeState::EnableFailed | ScopeState::Disabling | ScopeState::Disabled => false,
    };
    let scopes = pool.status.scopes.iter().filter(|scope| is_open(scope.state));
    scopes.map(|scope| scope.job_type).collect()
}
