//! Worlds that once broke, kept as files: run again in every test, so that what they found stays found.

use crate::kube::{KubeFaults, KubeSettings};
use crate::world::{Faults, Settings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A world and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub found: String,
    pub seed: u64,
    pub hours: u64,
    /// The events that are needed for it. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<BTreeSet<usize>>,
}

impl Kept {
    pub fn of(settings: &Settings, found: String) -> Self {
        Self {
            found,
            seed: settings.seed,
            hours: settings.hours,
            keep: settings.keep.clone(),
        }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            hours: self.hours,
            faults: Faults::USUAL,
            keep: self.keep.clone(),
        }
    }

    pub fn of_kube(settings: &KubeSettings, found: String) -> Self {
        Self {
            found,
            seed: settings.seed,
            hours: settings.hours,
            keep: settings.keep.clone(),
        }
    }

    /// As of a world over a cluster.
    pub fn kube_settings(&self) -> KubeSettings {
        KubeSettings {
            seed: self.seed,
            hours: self.hours,
            faults: KubeFaults::USUAL,
            keep: self.keep.clone(),
        }
    }
}
