//! What a pool has besides its Nodes.

use crate::cache::{Cache, Selection, Task};
use crate::context::{Context, Epoch};
use crate::failure::Failure;
use crate::mark;
use domain::meta::Uid;
use fleet::observation::ClusterFact;
use fleet::{Command, FleetError, Observation, PoolMark, Workloads};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name spaces, queues, plug-ins and workloads of pools.
pub struct PoolSide {
    context: Arc<Context>,
    spaces: Arc<Cache<Namespace>>,
    _tasks: Vec<Task>,
}

impl PoolSide {
    /// Begins to watch; must be called inside a runtime.
    pub fn start(context: &Arc<Context>) -> Self {
        let teller = Arc::clone(context);
        let selection = Selection {
            labels: Some(mark::POOL.to_owned()),
            listener: Box::new(move |before, after| {
                for pool in [before, after].into_iter().flatten().filter_map(|space| pool_of(space)) {
                    teller.touch(&pool);
                }
            }),
            ..Selection::all(Api::all(context.client.clone()))
        };
        let (spaces, task) = Cache::start(context, selection);
        Self {
            context: Arc::clone(context),
            spaces,
            _tasks: vec![task],
        }
    }

    /// Waits until everything has been listed once.
    pub async fn synced(&self) {
        self.spaces.synced().await;
    }

    /// Carries out a command that is not about one node. Nodes of a pool that is removed are released by the caller.
    pub async fn execute(&self, command: &Command, epoch: Epoch) -> Result<(), FleetError> {
        match command {
            Command::EnsurePool { pool } => self.ensure(pool, epoch).await,
            Command::RemovePool { pool } => self.remove(pool, epoch).await,
            Command::EnsurePlugin { .. } | Command::SetQuotas { .. } => Err(FleetError::Refused {
                reason: "not offered in a cluster".to_owned(),
            }),
            Command::RemovePlugin { .. }
            | Command::CreateNode(_)
            | Command::DeleteNode { .. }
            | Command::HoldNode { .. }
            | Command::OpenNode { .. }
            | Command::EvictNode { .. }
            | Command::RebootNode { .. }
            | Command::ResetNode(_)
            | Command::MoveNode { .. }
            | Command::SetDriver { .. } => Ok(()),
        }
    }

    /// Adds what is known of the pool, or says why nothing may be concluded.
    pub fn report(&self, pool: &Uid, observation: &mut Observation) -> Result<(), FleetError> {
        self.spaces.fresh()?;
        if self.spaces.get(&mark::object_name(pool, "-train")).is_some() {
            observation.cluster = ClusterFact::Ready;
        }
        Ok(())
    }

    pub fn workloads(&self, _pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.spaces.fresh()?;
        Ok(Arc::default())
    }

    async fn ensure(&self, pool: &PoolMark, epoch: Epoch) -> Result<(), FleetError> {
        let name = mark::object_name(&pool.uid, "-train");
        if self.spaces.get(&name).is_some() {
            return Ok(());
        }
        let labels = [
            (mark::POOL, pool.uid.to_string()),
            (mark::POOL_NAME, mark::pool_slug(pool)),
            (mark::TYPE, "Train".to_owned()),
        ];
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(name),
                labels: Some(
                    labels
                        .map(|(key, value)| (key.to_owned(), value))
                        .into_iter()
                        .collect::<BTreeMap<_, _>>(),
                ),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = self.context.apply(epoch, &Api::all(self.context.client.clone()), object).await;
        self.spaces.note(made.map_err(Failure::on_write)?);
        Ok(())
    }

    async fn remove(&self, pool: &PoolMark, epoch: Epoch) -> Result<(), FleetError> {
        let name = mark::object_name(&pool.uid, "-train");
        if self.spaces.get(&name).is_none() {
            return Ok(());
        }
        self.context.check(epoch).map_err(Failure::on_write)?;
        let api: Api<Namespace> = Api::all(self.context.client.clone());
        match self.context.call(api.delete(&name, &DeleteParams::default())).await {
            Ok(_) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => Err(failure.on_write()),
        }
    }
}

fn pool_of(space: &Namespace) -> Option<Uid> {
    let uid = space.metadata.labels.as_ref()?.get(mark::POOL)?;
    Some(Uid::from_text(uid))
}
