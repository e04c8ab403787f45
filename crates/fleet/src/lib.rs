//! How machines are made: the port, its reference implementation, and the suite that every fleet must pass.
//!
//! Owns the [`Fleet`] trait with the [`Command`]s that a fleet carries out and the [`Observation`] it reports, and the
//! simulated fleet ([`sim`]), which is a product feature. Must not know pools' rules, storage or transport.

pub mod command;
pub mod conformance;
pub mod observation;
pub mod port;
pub mod sim;
pub mod workload;

pub use command::{Command, NodeRequest, PluginRequest, PoolMark, ResetRequest};
pub use observation::{DriverFact, MachineState, NodeFact, Observation, PluginFact, PluginObject, RequestFact, RequestProgress};
pub use port::{Fleet, FleetError};
pub use workload::{HostFact, Quota, Rendered, Wanted, Workload, WorkloadFact, Workloads};
