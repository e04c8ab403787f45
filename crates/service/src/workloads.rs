//! Workloads of a pool and their statistics (contract tags… §4). They are read from the fleet: nothing of them is stored here.

use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use auth::Action;
use domain::field::FieldErrors;
use domain::meta::Uid;
use domain::name::PoolName;
use domain::pool::{Pool, PoolRef};
use domain::workload::{WorkloadKind, WorkloadStatus};
use fleet::{Wanted, Workload, Workloads};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
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
    /// Where the page begins.
    pub offset: usize,
    pub limit: usize,
}

/// A page.
#[derive(Debug)]
pub struct WorkloadPage {
    pub items: Vec<Arc<Workload>>,
    /// How many there are, over all pages.
    pub total: usize,
}

impl Service {
    /// The workloads of a pool and of the logical ones inside it, by the time at which they were submitted.
    pub async fn list_workloads(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        filter: impl FnOnce() -> Result<WorkloadFilter, FieldErrors>,
    ) -> Result<WorkloadPage, ServiceError> {
        let pool = self.workload_pool(ctx, pool)?;
        let filter = filter()?;
        let (all, inside) = self.workloads_of(&pool).await?;
        let wanted = Wanted {
            pools: inside.as_ref(),
            kinds: &filter.kinds,
            statuses: &filter.statuses,
            hosts: &filter.hosts,
            is_ascending: filter.is_ascending,
        };
        let (items, total) = all.part(&wanted, filter.offset, filter.limit);
        Ok(WorkloadPage { items, total })
    }

    /// How many workloads there are, by type and status.
    pub async fn workload_statistics(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
    ) -> Result<BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>>, ServiceError> {
        let pool = self.workload_pool(ctx, pool)?;
        let (all, inside) = self.workloads_of(&pool).await?;
        let wanted = Wanted {
            pools: inside.as_ref(),
            ..Wanted::default()
        };
        Ok(all.counts(&wanted))
    }

    fn workload_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.find_pool(ctx, Action::WorkloadList, name).map_err(|error| match error {
            ServiceError::NotFound(Missing::Pool) => ServiceError::NotFound(Missing::NamedPool(name.to_string())),
            other => other,
        })
    }

    /// Everything on the nodes of a pool's root, and of which pools it is the pool's: `None` for all.
    pub(crate) async fn workloads_of(&self, pool: &Versioned<Pool>) -> Result<(Arc<Workloads>, Option<BTreeSet<Uid>>), ServiceError> {
        let (root, inside) = {
            let index = self.parts.state.index().read();
            match root_of(&index, pool) {
                Some(root) => (root.uid.clone(), inside(&index, pool)),
                None => return Ok(Default::default()),
            }
        };
        let all = self.parts.fleet.workloads(&root).await;
        Ok((all.map_err(|error| ServiceError::Unavailable(error.to_string()))?, inside))
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
