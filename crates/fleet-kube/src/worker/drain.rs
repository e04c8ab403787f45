//! Ends the pods of a Node: asks first, then tells, then takes.

use super::{Next, Running, Worker};
use crate::cache;
use crate::failure::Failure;
use crate::pods::Pod;
use jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, Preconditions};
use std::sync::Arc;

/// How hard a pod is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    /// By eviction: disruption budgets may say no.
    Ask,
    /// By deletion, with the time that it asks for.
    Tell,
    /// At once.
    Take,
}

impl Worker {
    /// Empties a Node; goes on with the action once the server says that it is empty.
    pub(super) async fn empty(&self, running: &Running) -> Next {
        let known = self.side.nodes.pods_on(&running.name());
        let mut left: Vec<Arc<Pod>> = known.into_iter().filter(|pod| pod.is_movable()).collect();
        if left.is_empty() {
            left = self.left_on_server(&running.name()).await?;
        }
        if left.is_empty() {
            return self.emptied(running).await;
        }
        self.drain(running, &left).await
    }

    /// What of other people's work the server has on a Node. The cache may not know of it yet.
    async fn left_on_server(&self, node: &str) -> Result<Vec<Arc<Pod>>, Failure> {
        let context = &self.side.context;
        let api: Api<Pod> = Api::all(context.client.clone());
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let listed = context.call(api.list(&params)).await?;
        Ok(listed.items.into_iter().filter(Pod::is_movable).map(Arc::new).collect())
    }

    async fn drain(&self, running: &Running, left: &[Arc<Pod>]) -> Next {
        let drain = &self.side.context.config.drain;
        let (tell, take) = (running.since(drain.timeout()), running.since(drain.kill()));
        let now = self.side.context.now();
        let force = if now >= take {
            Force::Take
        } else if now >= tell {
            Force::Tell
        } else {
            Force::Ask
        };
        let mut next = match force {
            Force::Ask => tell,
            Force::Tell => take,
            Force::Take => self.side.context.after(drain.retry()),
        };
        for pod in left {
            if pod.is_leaving() && force != Force::Take {
                continue;
            }
            if !self.end(running, pod, force).await? {
                next = next.min(self.side.context.after(drain.retry()));
            }
        }
        Ok(Some(next.max(
            now.saturating_add(std::time::Duration::from_millis(1)).unwrap_or(Timestamp::MAX),
        )))
    }

    /// `false`: not now.
    async fn end(&self, running: &Running, pod: &Pod, force: Force) -> Result<bool, Failure> {
        let context = &self.side.context;
        context.check(running.epoch)?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
        let mut params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: pod.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let result = match force {
            Force::Ask => {
                let params = EvictParams {
                    delete_options: Some(params),
                    ..EvictParams::default()
                };
                context.call(api.evict(name, &params)).await.map(|_| ())
            }
            Force::Tell => context.call(api.delete(name, &params)).await.map(|_| ()),
            Force::Take => {
                params.grace_period_seconds = Some(0);
                context.call(api.delete(name, &params)).await.map(|_| ())
            }
        };
        match result {
            Ok(()) => Ok(true),
            Err(Failure::Missing(_)) => {
                // The watch says it later.
                self.side.nodes.pods.forget(&cache::key(pod));
                Ok(true)
            }
            // A budget says no, or another pod has the name by now.
            Err(Failure::Throttled(_) | Failure::Conflict) => Ok(false),
            Err(failure) => context.heed(Err(failure)),
        }
    }
}
