//! The whole control plane under virtual time, out of one seed: service replicas, two controllers, the store in memory,
//! the simulated fleet, users, and faults of all of these.
//!
//! Owns the world, its faults, its users and what must hold. The code under test is that of production.

mod act;
mod auditor;
mod crowd;
mod fleet_faults;
mod house;
mod kept;
mod kill;
mod kube;
mod ledger;
mod place;
mod replica;
mod shrink;
mod store_faults;
mod users;
mod weather;
mod world;
mod year;

pub use fleet_faults::FleetRates;
pub use kept::Kept;
pub use kill::{Kill, OPERATIONS, kill, passes};
pub use kube::{KUBE_OPERATIONS, KubeFaults, KubeSettings, kube_kill, kube_writes, run_kube};
pub use shrink::{shrink, shrink_kube};
pub use store_faults::FaultRates;
pub use world::{Faults, Outcome, Settings, run};
pub use year::{Recorded, Tally, YearReport, YearSettings, year};
