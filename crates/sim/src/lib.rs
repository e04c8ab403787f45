//! The whole control plane under virtual time, out of one seed: service, two controllers, the store in memory, the simulated
//! fleet, faults in between.
//!
//! Owns the world, its faults, its random users and what must hold. The code under test is that of production.

mod store_faults;
mod users;
mod world;

pub use store_faults::{FaultRates, FaultyStore};
pub use world::{Outcome, Settings, run};
