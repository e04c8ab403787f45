//! What stands behind the fleet port.

use crate::cluster::ClusterFleet;
use crate::config::{Config, FleetKind};
use crate::journal::StoreJournal;
use anyhow::Result;
use clock::Clock;
use fleet::Fleet;
use fleet::sim::{Journal, SimConfig, SimFleet};
use std::sync::Arc;
use store::{State, Store};

pub enum Machines {
    Simulated(SimFleet, Arc<StoreJournal>),
    Cluster(Arc<ClusterFleet>),
}

impl Machines {
    /// Simulated machines are read from the store; a cluster is reached later.
    pub async fn open(config: Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self> {
        match config.fleet {
            FleetKind::Simulated => {
                let sim = SimConfig {
                    seed: config.fleet_seed,
                    speed: config.fleet_speed,
                    failures: config.fleet_failures,
                };
                let journal = Arc::new(StoreJournal::new(store));
                let fleet = SimFleet::open(sim, Arc::clone(&journal) as Arc<dyn Journal>, clock).await?;
                Ok(Self::Simulated(fleet, journal))
            }
            FleetKind::Kubernetes => Ok(Self::Cluster(ClusterFleet::new())),
        }
    }

    /// Learns from now on what other replicas do to simulated machines.
    pub async fn attach(&self, state: &State) -> Result<()> {
        match self {
            Self::Simulated(fleet, journal) => Ok(journal.attach(state, fleet).await?),
            Self::Cluster(_) => Ok(()),
        }
    }

    pub fn port(&self) -> Arc<dyn Fleet> {
        match self {
            Self::Simulated(fleet, _) => Arc::new(fleet.clone()),
            Self::Cluster(fleet) => Arc::clone(fleet) as Arc<dyn Fleet>,
        }
    }

    pub fn simulated(&self) -> Option<&SimFleet> {
        match self {
            Self::Simulated(fleet, _) => Some(fleet),
            Self::Cluster(_) => None,
        }
    }

    pub fn cluster(&self) -> Option<&Arc<ClusterFleet>> {
        match self {
            Self::Simulated(..) => None,
            Self::Cluster(fleet) => Some(fleet),
        }
    }
}
