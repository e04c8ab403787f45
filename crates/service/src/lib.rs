//! The use cases of the API, free of transport: one file per noun.
//!
//! Owns what a request may do and what it writes: authorization, references, restrictions, quotas, capacity, orders. Every
//! change is one batch. Must not know HTTP, JSON or any wire type, and not how a spec becomes reality.

pub mod accounts;
pub mod admin;
pub mod admission;
pub mod audit;
pub mod catalogue;
pub mod commit;
pub mod context;
pub mod error;
pub mod events;
#[cfg(test)]
mod fixture;
pub mod jobs;
pub mod monitor;
pub mod networks;
pub mod nodepools;
pub mod nodes;
pub mod orders;
pub mod plugins;
pub mod pools;
pub mod runtime;
pub mod scheduled;
pub mod tags;
pub mod watch;
pub mod workloads;
pub mod workspaces;

pub use context::{CallContext, Idempotency, Limits, Service, ServiceParts};
pub use error::{ExistsKind, Missing, QuotaKind, ServiceError};

/// An object after a change, or as it would be after one (`dryRun`).
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    pub object: std::sync::Arc<T>,
    /// Absent for a dry run and for an object that is gone.
    pub revision: Option<domain::meta::Revision>,
}
