//! A Kubernetes API server inside the process, for tests and the simulation: no sockets, a virtual clock, seeded faults.
//!
//! Owns objects and their versions, watches, patches, admission, and small actors that do what a cluster's own controllers do
//! (kubelet, scheduler, driver roll-out). Must not know pools or fleets.
//!
//! Where it differs from a real server it is wrong: the probes of this crate are run against both.

mod admission;
mod answer;
mod apply;
mod call;
mod cluster;
mod cluster_api;
mod crd;
mod delete;
mod discovery;
mod dying;
mod evict;
mod faults;
mod kinds;
mod list;
mod machines;
mod objects;
mod patch;
pub mod probes;
mod quantity;
mod query;
mod queue_rules;
mod refusal;
mod selector;
mod server;
mod stage;
mod twins;
mod validate;
mod watch;
mod way;
mod write;

pub use cluster::{FakeCluster, NodeSpec};
pub use dying::{Dying, Life};
pub use faults::{Fault, FaultRates, FaultTarget};
pub use kinds::ResourceType;
pub use objects::{Change, ChangeKind, Key};
pub use queue_rules::queue_tree_faults;
pub use server::FakeServer;
pub use twins::{FAILS, KubeletOptions, RUN_SECONDS, STOP_SECONDS, TwinOptions};
pub use way::{Sent, Way};
