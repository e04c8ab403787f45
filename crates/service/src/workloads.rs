//! Workloads of a pool and their statistics (contract tags… §4). They are read from the fleet: nothing of them is stored here.

use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use auth::Action;
use domain::field::FieldErrors;
use domain::meta::Uid;
use domain::name::PoolName;
use domain::pool::{Pool, PoolRef};
use domain::workload::{WorkloadKind, WorkloadStatus};
use fleet::WorkloadFact;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use store::index::{Facet, Snapshot, Versioned};

/// Which workloads a list shows. An empty list lets everything through.
#[derive(Debug, Clone, Default)]
pub struct WorkloadFilter {
    pub kinds: Vec<WorkloadKind>,
    pub statuses: Vec<WorkloadStatus>,
    /// Addresses of nodes.
    pub hosts: Vec<String>,
    /// The oldest first.
    pub is_ascending: bool,
}

impl WorkloadFilter {
    fn admits(&self, fact: &WorkloadFact) -> bool {
        let runs_on = |host: &String| fact.hosts.iter().any(|known| known.ip.as_ref() == Some(host));
        (self.kinds.is_empty() || self.kinds.contains(&fact.kind))
            && (self.statuses.is_empty() || self.statuses.contains(&fact.status))
            && (self.hosts.is_empty() || self.hosts.iter().any(runs_on))
    }
}

impl Service {
    /// The workloads of a pool and of the logical ones inside it, by the time at which they were submitted.
    pub async fn list_workloads(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        filter: impl FnOnce() -> Result<WorkloadFilter, FieldErrors>,
    ) -> Result<Vec<WorkloadFact>, ServiceError> {
        let pool = self.workload_pool(ctx, pool)?;
        let filter = filter()?;
        let mut found = self.workloads_of(&pool).await?;
        found.retain(|fact| filter.admits(fact));
        if filter.is_ascending {
            found.sort_by_key(|fact| (fact.created_at, fact.uid.clone()));
        } else {
            found.sort_by_key(|fact| (Reverse(fact.created_at), fact.uid.clone()));
        }
        Ok(found)
    }

    /// How many workloads there are, by type and status.
    pub async fn workload_statistics(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
    ) -> Result<BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>>, ServiceError> {
        let pool = self.workload_pool(ctx, pool)?;
        let mut counts: BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>> = BTreeMap::new();
        for fact in self.workloads_of(&pool).await? {
            *counts.entry(fact.kind).or_default().entry(fact.status).or_default() += 1;
        }
        Ok(counts)
    }

    fn workload_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.find_pool(ctx, Action::WorkloadList, name).map_err(|error| match error {
            ServiceError::NotFound(Missing::Pool) => ServiceError::NotFound(Missing::NamedPool(name.to_string())),
            other => other,
        })
    }

    async fn workloads_of(&self, pool: &Versioned<Pool>) -> Result<Vec<WorkloadFact>, ServiceError> {
        self.workloads_among(pool, &mut BTreeMap::new()).await
    }

    /// As [`Service::workloads_of`], for many pools: `trees` keeps what the fleet has told of each physical one.
    pub(crate) async fn workloads_among(
        &self,
        pool: &Versioned<Pool>,
        trees: &mut BTreeMap<Uid, Vec<WorkloadFact>>,
    ) -> Result<Vec<WorkloadFact>, ServiceError> {
        let (root, inside) = {
            let index = self.parts.state.index().read();
            match root_of(&index, pool) {
                Some(root) => (root.uid.clone(), inside(&index, pool)),
                None => return Ok(Vec::new()),
            }
        };
        if !trees.contains_key(&root) {
            let all = self.parts.fleet.workloads(&root).await;
            let all = all.map_err(|error| ServiceError::Unavailable(error.to_string()))?;
            trees.insert(root.clone(), all);
        }
        let mut found = trees.get(&root).cloned().unwrap_or_default();
        if let Some(inside) = inside {
            found.retain(|fact| inside.contains(&fact.pool.uid));
        }
        Ok(found)
    }
}

/// The physical pool on whose nodes a pool's workloads run. A logical pool that waits for its host has none.
pub(crate) fn root_of(index: &Snapshot<'_>, pool: &Versioned<Pool>) -> Option<Versioned<Pool>> {
    match pool.logical() {
        None => Some(pool.clone()),
        Some(spec) => spec.root.as_ref().and_then(|root| index.get::<Pool>(&root.project, &root.name)),
    }
}

/// A logical pool and those inside it. `None`: the pool is physical, and everything is.
fn inside(index: &Snapshot<'_>, pool: &Versioned<Pool>) -> Option<BTreeSet<Uid>> {
    let root = pool.logical()?.root.as_ref()?;
    let tree = index.under::<Pool>(Facet::PoolsOfRoot, format!("{}/{}", root.project, root.name));
    let mut uids = BTreeSet::from([pool.uid.clone()]);
    let mut parents = vec![reference(pool)];
    while let Some(parent) = parents.pop() {
        let is_child = |pool: &&Versioned<Pool>| pool.logical().and_then(|spec| spec.parent.as_ref()) == Some(&parent);
        for child in tree.iter().filter(is_child) {
            if uids.insert(child.uid.clone()) {
                parents.push(reference(child));
            }
        }
    }
    Some(uids)
}

fn reference(pool: &Pool) -> PoolRef {
    PoolRef {
        project: pool.owner.project.clone(),
        name: pool.name.clone(),
    }
}
