//! The fleet of a cluster that may be away when the server starts.

use crate::config::Cluster;
use async_trait::async_trait;
use clock::Clock;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use domain::name::NodeName;
use domain::sample::Minute;
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use fleet_kube::{KubeFleet, StartError, connect, explained};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A cluster that could not be reached is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
enum State {
    /// Not there, and why.
    Away(String),
    Here(Arc<KubeFleet>),
}

/// The machines of a cluster, from when it is reached. Until then everything is answered as unreachable: the API goes on without.
pub struct ClusterFleet {
    state: watch::Sender<State>,
    /// Who leads, for when the cluster is reached.
    leader: Mutex<Option<Fence>>,
}

impl ClusterFleet {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::new(State::Away("it was not listed yet".to_owned())),
            leader: Mutex::default(),
        })
    }

    /// Connects until it succeeds, and then stays as long as the server.
    pub async fn run(self: Arc<Self>, cluster: Cluster, clock: Arc<dyn Clock>) {
        let mut told = String::new();
        loop {
            match open(&cluster, &clock).await {
                Ok(fleet) => {
                    tracing::info!("the cluster was listed");
                    let fleet = Arc::new(fleet);
                    self.state.send_replace(State::Here(Arc::clone(&fleet)));
                    let leader = self.leader().clone();
                    if let Some(fence) = leader {
                        fleet.lead(&fence).await;
                    }
                    return std::future::pending().await;
                }
                Err(error) => {
                    let reason = explained(&error);
                    if reason != told {
                        tracing::warn!(%reason, "the cluster cannot be used, it is tried again");
                    }
                    self.state.send_replace(State::Away(reason.clone()));
                    told = reason;
                }
            }
            let again = clock.now().saturating_add(AGAIN).unwrap_or(jiff::Timestamp::MAX);
            clock.sleep_until(again).await;
        }
    }

    fn leader(&self) -> MutexGuard<'_, Option<Fence>> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the cluster is not there. `None`: it was reached.
    pub fn away(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Away(reason) => Some(reason.clone()),
            State::Here(_) => None,
        }
    }

    /// The fleet itself, where the cluster was reached.
    pub fn here(&self) -> Result<Arc<KubeFleet>, FleetError> {
        match &*self.state.borrow() {
            State::Away(reason) => Err(FleetError::Unreachable(reason.clone())),
            State::Here(fleet) => Ok(Arc::clone(fleet)),
        }
    }
}

async fn open(cluster: &Cluster, clock: &Arc<dyn Clock>) -> Result<KubeFleet, StartError> {
    let client = connect(cluster.kubeconfig.as_deref()).await?;
    KubeFleet::start(client, cluster.settings.clone(), Arc::clone(clock)).await
}

#[async_trait]
impl Fleet for ClusterFleet {
    fn provider(&self) -> &'static str {
        "kubernetes"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        self.here()?.offers().await
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        self.here()?.observe(pool).await
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.here()?.workloads(pool).await
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        match self.here() {
            Ok(fleet) => fleet.execute(commands, fence).await,
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn lead(&self, fence: &Fence) {
        *self.leader() = Some(fence.clone());
        if let Ok(fleet) = self.here() {
            fleet.lead(fence).await;
        }
    }

    async fn samples(
        &self,
        pool: &Uid,
        minutes: Range<i64>,
        nodes: Option<&BTreeSet<NodeName>>,
    ) -> Result<BTreeMap<i64, Minute>, FleetError> {
        self.here()?.samples(pool, minutes, nodes).await
    }

    async fn changed(&self) -> Vec<Uid> {
        let mut state = self.state.subscribe();
        loop {
            if let Ok(fleet) = self.here() {
                return fleet.changed().await;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::SystemClock;
    use std::path::PathBuf;

    #[tokio::test]
    async fn a_cluster_that_is_away_is_told_and_ends_nothing() {
        let fleet = ClusterFleet::new();
        let cluster = Cluster {
            kubeconfig: Some(PathBuf::from("/nowhere/kubeconfig")),
            ..Cluster::default()
        };
        let running = tokio::spawn(Arc::clone(&fleet).run(cluster, Arc::new(SystemClock)));
        let mut state = fleet.state.subscribe();
        state.changed().await.unwrap();
        let Err(FleetError::Unreachable(reason)) = fleet.offers().await else {
            panic!("a cluster was found");
        };
        assert!(reason.contains("/nowhere/kubeconfig"), "{reason}");
        assert_eq!(fleet.away(), Some(reason));
        assert!(!running.is_finished());
        running.abort();
    }
}
