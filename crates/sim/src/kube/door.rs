//! The fleet of a host, whatever process is there at the moment.

use async_trait::async_trait;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use fleet_kube::KubeFleet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// As in production, the service of a host asks the fleet that its controller has. Without a process there is none.
#[derive(Default)]
pub(crate) struct Door(Mutex<Weak<KubeFleet>>);

impl Door {
    pub fn open(&self, fleet: &Arc<KubeFleet>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(fleet);
    }

    fn fleet(&self) -> Result<Arc<KubeFleet>, FleetError> {
        let fleet = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        fleet.ok_or_else(|| FleetError::Unreachable("no process is there".to_owned()))
    }
}

#[async_trait]
impl Fleet for Door {
    fn provider(&self) -> &'static str {
        "kubernetes"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        self.fleet()?.offers().await
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        self.fleet()?.observe(pool).await
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.fleet()?.workloads(pool).await
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        match self.fleet() {
            Ok(fleet) => fleet.execute(commands, fence).await,
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn lead(&self, fence: &Fence) {
        if let Ok(fleet) = self.fleet() {
            fleet.lead(fence).await;
        }
    }

    async fn changed(&self) -> Vec<Uid> {
        match self.fleet() {
            Ok(fleet) => fleet.changed().await,
            Err(_) => std::future::pending().await,
        }
    }
}
