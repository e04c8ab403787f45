//! What is done to nodes unasked, and to how many at a time.

use super::{Document, Sources};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct UpkeepFlags {
    /// Repair of abnormal nodes: off, or on: reboot, then reset, then replace [default: off]
    #[arg(long, env = "POOLKEEPER_NODE_REPAIR", value_name = "MODE", hide_possible_values = true)]
    pub node_repair: Option<Repair>,
    /// Seconds for which an abnormal node is left alone before each attempt [default: 300]
    #[arg(long, env = "POOLKEEPER_NODE_REPAIR_PATIENCE", value_name = "SECONDS")]
    pub node_repair_patience: Option<u64>,
    /// Attempts on one node; the third replaces it [default: 3]
    #[arg(long, env = "POOLKEEPER_NODE_REPAIR_ATTEMPTS", value_name = "N")]
    pub node_repair_attempts: Option<u64>,
    /// Nothing is repaired in a pool with more abnormal nodes than this share, in per cent, at least one [default: 20]
    #[arg(long, env = "POOLKEEPER_NODE_REPAIR_PERCENT", value_name = "N")]
    pub node_repair_percent: Option<u64>,
    /// Nothing is repaired in a pool with more abnormal nodes than this [default: 5]
    #[arg(long, env = "POOLKEEPER_NODE_REPAIR_NODES", value_name = "N")]
    pub node_repair_nodes: Option<u64>,
    /// Nodes of a pool whose driver is upgraded by force at the same time, in per cent, at least one [default: 100]
    #[arg(long, env = "POOLKEEPER_DRIVER_FORCE_PERCENT", value_name = "N")]
    pub driver_force_percent: Option<u64>,
}

/// Whether abnormal nodes are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    #[default]
    Off,
    On,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    pub repair: Repair,
    /// Seconds
    pub patience: u64,
    pub attempts: u64,
    pub percent: u64,
    pub nodes: u64,
    pub force_percent: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            repair: Repair::Off,
            patience: 300,
            attempts: 3,
            percent: 20,
            nodes: 5,
            force_percent: 100,
        }
    }
}

impl Upkeep {
    pub(super) fn load(from: &mut Sources<'_>, flags: &UpkeepFlags, file: &Document) -> Self {
        let usual = Self::default();
        let mut number = |name, flag, file, usual| from.pick(name, flag, file, usual);
        let patience = number(
            "node_repair_patience",
            flags.node_repair_patience,
            file.node_repair_patience,
            usual.patience,
        );
        let attempts = number(
            "node_repair_attempts",
            flags.node_repair_attempts,
            file.node_repair_attempts,
            usual.attempts,
        );
        let percent = number(
            "node_repair_percent",
            flags.node_repair_percent,
            file.node_repair_percent,
            usual.percent,
        );
        let nodes = number("node_repair_nodes", flags.node_repair_nodes, file.node_repair_nodes, usual.nodes);
        let force_percent = number(
            "driver_force_percent",
            flags.driver_force_percent,
            file.driver_force_percent,
            usual.force_percent,
        );
        Self {
            repair: from.pick("node_repair", flags.node_repair, file.node_repair, usual.repair),
            patience,
            attempts,
            percent,
            nodes,
            force_percent,
        }
    }

    /// The planner's rules with these settings.
    pub fn policy(&self) -> reconcile::Policy {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let usual = reconcile::Policy::default();
        reconcile::Policy {
            force_upgrade_percent: (self.force_percent < 100).then_some(number(self.force_percent)),
            repair: reconcile::RepairPolicy {
                is_on: self.repair == Repair::On,
                patience: Duration::from_secs(self.patience),
                attempts: number(self.attempts),
                most_percent: number(self.percent),
                most: number(self.nodes),
                ..usual.repair
            },
            ..usual
        }
    }
}
