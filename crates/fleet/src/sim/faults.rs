//! Faults that can be asked for.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Fault {
    /// The machine gives no sign of life any more, for a time or until the fault is cleared.
    Silent {
        machine: String,
        #[serde(default)]
        lasting: Option<Duration>,
    },
    /// The machine reports a fault of its own.
    Faulty { machine: String, reason: String },
    /// The machine never comes up when it is bound.
    NeverBoots { machine: String },
    /// The next so many driver installations on the machine fail.
    DriverFails { machine: String, times: u32 },
}

impl Fault {
    pub fn machine(&self) -> &str {
        match self {
            Self::Silent { machine, .. }
            | Self::Faulty { machine, .. }
            | Self::NeverBoots { machine }
            | Self::DriverFails { machine, .. } => machine,
        }
    }
}
