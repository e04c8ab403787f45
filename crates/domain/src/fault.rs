//! Faults that a simulated fleet can be asked for. They stay until they are cleared, or for as long as they say.

use crate::name::TemplateName;
use crate::pool::JobType;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Something that goes wrong with a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MachineFault {
    /// It gives no sign of life any more.
    Silent {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasting: Option<SignedDuration>,
    },
    /// It reports a fault of its own.
    Faulty { reason: String },
    /// It never comes up when it is bound.
    NeverBoots,
    /// The next so many driver installations fail.
    DriverFails { times: u32 },
    /// It is never given back.
    NeverReleases,
}

/// Something that goes wrong with what a pool has besides nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PoolFault {
    /// The cluster does not come up; one that was up does not answer any more.
    ClusterDown { reason: String },
    /// The next so many installations of the plug-in fail.
    PluginFails { template: TemplateName, times: u32 },
    /// What the job type needs from outside is down.
    DependencyDown { job_type: JobType, reason: String },
}
