//! Name spaces of job types that are closed: they go once nothing works or waits in them any more.

use super::{Inner, failed, spaces};
use crate::context::Epoch;
use crate::failure::Failure;
use crate::kueue::SeenObjects;
use crate::mark;
use crate::object::{Change, Key};
use crate::pods::Pod;
use crate::workloads::{self, Input, Space, WorkKind, WorkObject};
use domain::meta::Uid;
use domain::pool::JobType;
use fleet::{FleetError, PoolMark, Workloads};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Job types with workloads that have not ended, by pool.
pub type Live = BTreeSet<(Uid, JobType)>;

/// What has not ended, as far as is known.
pub fn live(workloads: &Workloads) -> Live {
    let live = workloads.facts().filter(|fact| !fact.status.is_over());
    live.map(|fact| (fact.pool.uid.clone(), fact.kind.job_type())).collect()
}

/// A name space of a pool for a job type that is not open.
pub struct Closed {
    key: Key,
    pool: Uid,
    job_type: JobType,
    space: Space,
}

impl Closed {
    pub fn new(pool: &PoolMark, job_type: JobType, key: &Key) -> Self {
        Self {
            key: key.clone(),
            pool: pool.uid.clone(),
            job_type,
            space: spaces::space_of(pool, job_type),
        }
    }

    /// Whether it is there and takes no pods.
    pub fn is_closed(&self, seen: &SeenObjects) -> bool {
        let closing = |space: &Arc<DynamicObject>| {
            let labels = space.metadata.labels.as_ref();
            space.metadata.deletion_timestamp.is_none()
                && labels.and_then(|labels| labels.get(mark::CLOSING)).is_some_and(|is| is == "true")
        };
        seen.get(&self.key).is_some_and(closing)
    }
}

impl Inner {
    /// Deletes those in which nothing is left. That there is nothing is asked of the server: a cache may not have heard of it yet.
    pub(super) async fn take_away(&self, root: &Uid, closed: &[Closed], epoch: Epoch) -> Result<(), FleetError> {
        let seen = self.index.of(root);
        let live = live(&self.work.workloads(root, &spaces::workload_spaces(&seen)));
        for space in closed {
            if live.contains(&(space.pool.clone(), space.job_type)) {
                continue;
            }
            if self.has_work(space).await.map_err(Failure::on_read)? {
                tracing::info!(
                    namespace = space.key.name,
                    "work is left in a name space that is closed, and nobody has heard of it yet"
                );
                continue;
            }
            self.context.check(epoch).map_err(failed)?;
            self.carry_out(&seen, vec![Change::Delete(space.key.clone())], epoch).await?;
        }
        Ok(())
    }

    /// Whether anything in a name space has not ended.
    async fn has_work(&self, closed: &Closed) -> Result<bool, Failure> {
        let name = &closed.key.name;
        let mut objects: Vec<WorkObject> = Vec::new();
        // Owners come before pods: what they make meanwhile is among those.
        for kind in WorkKind::ALL {
            let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), name, &kind.resource().into());
            match self.context.call(api.list(&ListParams::default())).await {
                Ok(list) => objects.extend(list.into_iter().map(|object| (kind, Arc::new(object)))),
                // The cluster has no such type.
                Err(Failure::Missing(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), name);
        let pods: Vec<Arc<Pod>> = self
            .context
            .call(api.list(&ListParams::default()))
            .await?
            .into_iter()
            .map(Arc::new)
            .collect();
        let facts = workloads::facts(&Input {
            spaces: &BTreeMap::from([(name.clone(), closed.space.clone())]),
            objects: &objects,
            pods: &pods,
            hosts: &BTreeMap::new(),
        });
        Ok(pods.iter().any(|pod| !pod.is_finished()) || facts.iter().any(|fact| !fact.status.is_over()))
    }
}
