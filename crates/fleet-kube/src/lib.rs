//! Machines of a Kubernetes cluster: the adapter behind the fleet port.
//!
//! Owns what pools are in a cluster: marks on Nodes, queues, name spaces, drivers, plug-ins; and what is concluded from what the
//! cluster shows. Must not know pools' rules, storage or transport.

pub mod amount;
pub mod cache;
pub mod commands;
pub mod config;
pub mod context;
mod device_info;
pub mod doctor;
mod driver;
pub mod edit;
mod facts;
pub mod failure;
pub mod fleet;
pub mod inventory;
pub mod kueue;
mod machine;
mod machines;
pub mod mark;
pub mod nodes;
pub mod object;
pub mod plugins;
mod pods;
pub mod pool;
pub mod quota;
pub mod report;
pub mod scopes;
mod select;
mod selector;
pub mod settings;
pub mod taint;
mod usage;
pub mod view;
pub mod volcano;
pub mod webhook;
mod worker;
pub mod workloads;

pub use crate::fleet::{KubeFleet, StartError, connect};
pub use config::{ConfigError, KubeConfig};
pub use context::{Context, Epoch};
pub use failure::{Failure, explained};
