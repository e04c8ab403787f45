//! The fleet itself: what stands behind the port.

use crate::cache::{Cache, Selection, Task};
use crate::commands::NodeSide;
use crate::config::{ConfigError, DriverMode, KubeConfig};
use crate::context::{Context, Epoch, fence_epoch};
use crate::failure::Failure;
use crate::mark;
use crate::nodes::Nodes;
use crate::pool::PoolSide;
use crate::usage::Usage;
use crate::webhook::{Caller, Http};
use crate::worker::Worker;
use async_trait::async_trait;
use clock::Clock;
use domain::catalogue::{Flavor, Offers};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName};
use domain::sample::Minute;
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// After so long the cluster must have been listed.
const START: Duration = Duration::from_mins(1);

/// Commands that are carried out side by side: most of each is waiting for the server. More would be more that is under way, and unclear,
/// when a process ends or the server goes, and a burst that a server with priorities puts off.
const AT_ONCE: usize = 16;

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
    #[error("the client for webhooks cannot be made")]
    Webhook(#[source] reqwest::Error),
}

/// Connects to the cluster of a kubeconfig; without one to that of the environment: `KUBECONFIG`, the user's own, or the cluster that
/// this process runs in.
///
/// What the server puts off (429, 503, 504) is told, not tried again by the client: whoever asked knows better when, and whether, than a
/// layer below it that would do so up to 15 times, at first after 5 ms.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, StartError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// The machines of a cluster.
pub struct KubeFleet {
    context: Arc<Context>,
    nodes: Arc<Nodes>,
    side: Arc<NodeSide>,
    pools: PoolSide,
    usage: Arc<Usage>,
    _tasks: [Task; 3],
}

impl KubeFleet {
    /// Lists the cluster and begins to follow it. Must be called inside a runtime; what it starts ends when the fleet is dropped.
    pub async fn start(client: Client, config: KubeConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let caller: Option<Arc<dyn Caller>> = if config.has_webhooks() {
            Some(Arc::new(Http::new().map_err(StartError::Webhook)?))
        } else {
            None
        };
        Self::start_with(client, config, clock, caller).await
    }

    /// As `start`, with who asks services of the site.
    pub async fn start_with(
        client: Client,
        config: KubeConfig,
        clock: Arc<dyn Clock>,
        caller: Option<Arc<dyn Caller>>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let context = Arc::new(Context::new(client, config, clock));
        if let Some(caller) = caller {
            let _known = context.caller.set(caller);
        }
        let nodes = Arc::new(Nodes::start(&context, context.config.selector()?));
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
        let side = Arc::new(NodeSide::new(&context, &nodes));
        let worker = Task(tokio::spawn(Worker::new(Arc::clone(&side)).run()));
        let (usage, usage_task) = Usage::start(&context, &nodes);
        Ok(Self {
            usage,
            context,
            nodes,
            side,
            pools,
            _tasks: [fence_task, worker, usage_task],
        })
    }

    /// For checks of the cluster.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What is known of the cluster, for checks of it.
    pub fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The flavors of the Nodes of the inventory, as the catalogue describes flavors.
    pub fn flavors(&self) -> BTreeMap<FlavorName, Flavor> {
        self.nodes.view(|view| view.flavors())
    }

    async fn carry_out(&self, command: &Command, epoch: Epoch) -> Result<(), FleetError> {
        self.context.check(epoch).map_err(Failure::on_write)?;
        if let Command::RemovePool { pool } = command {
            self.side.release_all(&pool.uid, epoch).await?;
        }
        if self.context.config.driver.mode == DriverMode::Operator
            && let Some((pool, version, is_own)) = self.side.gpu_driver(command)
        {
            self.pools.offer_driver(&pool.uid, version, is_own, epoch).await?;
            self.side.follow_driver(&pool.uid, version, epoch).await?;
        }
        match command.node() {
            Some(_) => self.side.execute(command, epoch).await,
            None => self.pools.execute(command, epoch).await,
        }
    }
}

/// Commands that may be carried out side by side: those of one row one after the other. A node's are in one row, also where it goes from
/// one pool to another. A command about a whole pool is alone.
fn rows(commands: &[Command]) -> Vec<Vec<Vec<usize>>> {
    let mut stages: Vec<Vec<Vec<usize>>> = Vec::new();
    let mut places: BTreeMap<&NodeName, usize> = BTreeMap::new();
    let mut is_open = false;
    for (at, command) in commands.iter().enumerate() {
        let Some(node) = command.node() else {
            stages.push(vec![vec![at]]);
            places.clear();
            is_open = false;
            continue;
        };
        if !is_open {
            stages.push(Vec::new());
            is_open = true;
        }
        let Some(stage) = stages.last_mut() else { continue };
        let place = *places.entry(node).or_insert(stage.len());
        match stage.get_mut(place) {
            Some(row) => row.push(at),
            None => stage.push(vec![at]),
        }
    }
    stages
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
        Ok(self.nodes.offers())
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        self.nodes.fresh()?;
        let mut observation = Observation::default();
        let named = self.nodes.named(pool);
        let earliest = self.nodes.view(|view| {
            let mut earliest: Option<Timestamp> = None;
            for (name, node) in named {
                let Some((fact, until)) = view.fact(&node.name_any(), &self.context) else {
                    continue;
                };
                observation.nodes.insert(name, fact);
                earliest = [earliest, until].into_iter().flatten().min();
            }
            earliest
        });
        let until = self.nodes.add_machines(pool, &mut observation.nodes);
        if let Some(at) = [earliest, until].into_iter().flatten().min() {
            self.context.touch_at(pool, at);
        }
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
        let mut results: Vec<Result<(), FleetError>> = commands.iter().map(|_| Err(FleetError::Fenced)).collect();
        for stage in rows(commands) {
            let of_row = |row: Vec<usize>| async move {
                let mut done = Vec::with_capacity(row.len());
                for at in row {
                    done.push((at, self.carry_out(&commands[at], epoch).await));
                }
                done
            };
            let mut stream = futures::stream::iter(stage.into_iter().map(of_row)).buffered(AT_ONCE);
            while let Some(row) = stream.next().await {
                for (at, result) in row {
                    results[at] = result;
                }
            }
        }
        results
    }

    async fn lead(&self, fence: &Fence) {
        if let Err(error) = self.context.enter(fence).await {
            tracing::warn!(%error, epoch = fence.epoch, "the fence could not be raised");
        }
    }

    async fn samples(
        &self,
        pool: &Uid,
        minutes: Range<i64>,
        nodes: Option<&BTreeSet<NodeName>>,
    ) -> Result<BTreeMap<i64, Minute>, FleetError> {
        Ok(self.usage.samples(pool, minutes, nodes))
    }

    async fn changed(&self) -> Vec<Uid> {
        self.context.changed().await
    }
}

#[cfg(test)]
mod tests;
