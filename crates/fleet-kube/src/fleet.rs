//! The fleet itself: what stands behind the port.

use crate::cache::{Cache, Selection, Task};
use crate::config::{ConfigError, KubeConfig};
use crate::context::{Context, Epoch, fence_epoch};
use crate::failure::Failure;
use crate::mark;
use crate::nodes::Nodes;
use crate::pool::PoolSide;
use async_trait::async_trait;
use clock::Clock;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// After so long the cluster must have been listed.
const START: Duration = Duration::from_mins(1);

/// Why the fleet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the cluster is not reachable: {0}")]
    Unreachable(String),
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("no configuration of a cluster was found")]
    Infer(#[from] kube::config::InferConfigError),
    #[error("the client cannot be made")]
    Client(#[from] kube::Error),
}

/// Connects to the cluster of a kubeconfig; without one to that of the environment: `KUBECONFIG`, the user's own, or the cluster that
/// this process runs in.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, StartError> {
    let config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    Ok(Client::try_from(config)?)
}

/// The machines of a cluster.
pub struct KubeFleet {
    context: Arc<Context>,
    nodes: Arc<Nodes>,
    pools: PoolSide,
    _tasks: Vec<Task>,
}

impl KubeFleet {
    /// Lists the cluster and begins to follow it. Must be called inside a runtime; what it starts ends when the fleet is dropped.
    pub async fn start(client: Client, config: KubeConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        config.validate()?;
        let context = Arc::new(Context::new(client, config, clock));
        let nodes = Arc::new(Nodes::start(&context));
        let pools = PoolSide::start(&context, &nodes);
        let (fence, fence_task) = follow_fence(&context);
        let synced = async {
            nodes.synced().await;
            pools.synced().await;
            fence.synced().await;
        };
        tokio::select! {
            biased;
            () = synced => {}
            () = context.clock.sleep_until(context.after(START)) => {
                return Err(StartError::Unreachable(format!("it could not be listed within {} s", START.as_secs())));
            }
        }
        Ok(Self {
            context,
            nodes,
            pools,
            _tasks: vec![fence_task],
        })
    }

    /// For checks of the cluster.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    async fn carry_out(&self, command: &Command, epoch: Epoch) -> Result<(), FleetError> {
        self.context.check(epoch).map_err(Failure::on_write)?;
        match command {
            Command::EnsurePool { .. }
            | Command::RemovePool { .. }
            | Command::EnsurePlugin { .. }
            | Command::RemovePlugin { .. }
            | Command::SetQuotas { .. } => self.pools.execute(command, epoch).await,
            Command::CreateNode(_)
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
}

/// Learns of epochs that other processes raise the fence to.
fn follow_fence(context: &Arc<Context>) -> (Arc<Cache<ConfigMap>>, Task) {
    let teller = Arc::clone(context);
    let selection = Selection {
        fields: Some(format!("metadata.name={}", mark::FENCE)),
        listener: Box::new(move |_, after| {
            if let Some(fence) = after {
                teller.saw(fence_epoch(fence));
            }
        }),
        ..Selection::all(Api::namespaced(context.client.clone(), &context.config.namespace))
    };
    Cache::start(context, selection)
}

#[async_trait]
impl Fleet for KubeFleet {
    fn provider(&self) -> &'static str {
        "kubernetes"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        self.nodes.fresh()?;
        Ok(Offers::new())
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        self.nodes.fresh()?;
        let mut observation = Observation::default();
        self.pools.report(pool, &mut observation)?;
        Ok(observation)
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.pools.workloads(pool)
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        let epoch = match self.context.enter(fence).await {
            Ok(epoch) => epoch,
            Err(error) => return commands.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            results.push(self.carry_out(command, epoch).await);
        }
        results
    }

    async fn changed(&self) -> Vec<Uid> {
        self.context.changed().await
    }
}
