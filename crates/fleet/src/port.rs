//! The port.

use crate::command::Command;
use crate::observation::Observation;
use crate::workload::Workloads;
use async_trait::async_trait;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use domain::name::NodeName;
use domain::sample::Minute;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Machines, wherever they come from.
#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// Name of the kind of fleet, for logs: `simulated`, `kubernetes`.
    fn provider(&self) -> &'static str;

    /// Free and existing machines by flavor and zone.
    async fn offers(&self) -> Result<Offers, FleetError>;

    /// Everything that carries the mark of a pool, also what nobody remembers asking for.
    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError>;

    /// The workloads of a physical pool and of the logical ones inside it: those that run or wait, and some that ended lately.
    /// It is asked for at every read: a fleet makes the list when something has changed, and gives the same one until then.
    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError>;

    /// Carries commands out: accepted, not finished. Idempotent: repeating a command has no further effect. One result for
    /// each command, in their order. A command under an epoch older than the newest one seen is refused.
    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>>;

    /// Tells that the holder of an epoch has taken over, and now and then that it still holds it, whether or not there is anything to
    /// command: a fleet that has to go on with what was begun needs to know in whose name. A holder that is over is ignored.
    async fn lead(&self, _fence: &Fence) {}

    /// What the nodes of a pool used, by minute since the epoch, for the minutes and nodes (`None`: all) that are asked about, as
    /// far as the fleet remembers. A minute of which it knows nothing is left out.
    async fn samples(
        &self,
        _pool: &Uid,
        _minutes: Range<i64>,
        _nodes: Option<&BTreeSet<NodeName>>,
    ) -> Result<BTreeMap<i64, Minute>, FleetError> {
        Ok(BTreeMap::new())
    }

    /// Waits until the observation of some pools may have changed since they were last returned here, and names them.
    /// There is one caller at a time. What changed while nobody waited is not lost.
    async fn changed(&self) -> Vec<Uid>;
}

/// Why a command was not, or may not have been, carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    #[error("no free machine")]
    NoCapacity,
    #[error("refused: {reason}")]
    Refused { reason: String },
    #[error("throttled for {} ms", retry_after.as_millis())]
    Throttled { retry_after: Duration },
    /// The node was to be deleted only if idle, and is not.
    #[error("the node has work")]
    Busy,
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// May have been carried out or not: look before doing anything else to the same target.
    #[error("the outcome is unknown: {0}")]
    Ambiguous(String),
    /// A newer epoch has been seen: this holder's time is over.
    #[error("a newer holder commands the fleet")]
    Fenced,
}
