//! How several replicas share the work, and how one of them goes.

use super::{Document, Sources};
use anyhow::{Result, bail};
use clap::Args;
use reconcile::LeaseTimes;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct ReplicaFlags {
    /// Seconds after the last sign of life of the replica that reconciles, after which another one does [default: 15]
    #[arg(long, env = "POOLKEEPER_LEASE_TTL", value_name = "SECONDS")]
    pub lease_ttl: Option<u64>,
    /// Seconds for which requests are still taken after the order to stop, while /readyz says no [default: 0]
    #[arg(long, env = "POOLKEEPER_STOP_GRACE", value_name = "SECONDS")]
    pub stop_grace: Option<u64>,
    /// Seconds for which reads are answered while PostgreSQL does not answer; then they are refused with 503
    /// [default: 30]
    #[arg(long, env = "POOLKEEPER_STALE_READS", value_name = "SECONDS")]
    pub stale_reads: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaSettings {
    pub lease_ttl: Duration,
    pub stop_grace: Duration,
    pub stale_reads: Duration,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self {
            lease_ttl: LeaseTimes::default().ttl,
            stop_grace: Duration::ZERO,
            stale_reads: Duration::from_secs(30),
        }
    }
}

impl ReplicaSettings {
    pub(super) fn load(from: &mut Sources<'_>, flags: &ReplicaFlags, file: &Document) -> Result<Self> {
        let usual = Self::default();
        let mut seconds = |name, flag, file, usual: Duration| Duration::from_secs(from.pick(name, flag, file, usual.as_secs()));
        let settings = Self {
            lease_ttl: seconds("lease_ttl", flags.lease_ttl, file.lease_ttl, usual.lease_ttl),
            stop_grace: seconds("stop_grace", flags.stop_grace, file.stop_grace, usual.stop_grace),
            stale_reads: seconds("stale_reads", flags.stale_reads, file.stale_reads, usual.stale_reads),
        };
        if settings.lease_ttl.is_zero() {
            bail!("lease_ttl must be at least 1");
        }
        Ok(settings)
    }

    /// A replica that stands still within a transaction keeps all others from writing, and from taking the lease over.
    pub fn stall(&self) -> Duration {
        self.lease_ttl / 3
    }

    pub fn lease(&self) -> LeaseTimes {
        LeaseTimes::of(self.lease_ttl)
    }
}
