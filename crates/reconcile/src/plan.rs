//! The plan: a pure function from what is wanted, what is known and what is observed to the next writes and commands.

mod delete;
mod driver;
mod finish;
mod logical;
mod nodes;
mod order;
mod phase;
mod quotas;
mod repair;
mod roll;
mod scale;
mod scope;
mod tasks;
mod work;

use domain::catalogue::{Flavor, Offers, OsConfig};
use domain::job::Job;
use domain::name::{FlavorName, NodeName, TemplateName};
use domain::node::Node;
use domain::order::Order;
use domain::plugin::{Plugin, PluginTemplate};
use domain::pool::{Pool, PoolPhase};
use fleet::{Command, Observation};
use jiff::Timestamp;
pub use repair::{Patient, RepairPolicy, Treatment, treat};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::TypedBatch;
use store::index::Versioned;
use work::Work;

/// A physical pool with everything that belongs to it, or a logical one that has no root.
#[derive(Clone)]
pub struct Tree {
    pub root: Versioned<Pool>,
    pub nodes: Vec<Versioned<Node>>,
    pub plugins: Vec<Versioned<Plugin>>,
    /// The order of the pool's current attempt.
    pub order: Option<Versioned<Order>>,
    /// Logical pools inside it, at any depth.
    pub descendants: Vec<Descendant>,
    /// Events of the root, the oldest first: those that are to be forgotten, and all of a root that may go.
    pub events: Vec<KnownEvent>,
    /// What is scheduled for the root's nodes.
    pub scheduled: Vec<store::Key>,
    /// Jobs that work on its nodes, or did, the newest first.
    pub jobs: Vec<Versioned<Job>>,
}

/// An event of a pool.
#[derive(Debug, Clone)]
pub struct KnownEvent {
    pub key: store::Key,
    /// Too old, or one too many.
    pub is_surplus: bool,
}

/// A logical pool of a tree.
#[derive(Clone)]
pub struct Descendant {
    pub pool: Versioned<Pool>,
    /// The order of its attempt.
    pub order: Option<Versioned<Order>>,
    /// Its events, as those of the root.
    pub events: Vec<KnownEvent>,
}

/// The operator's catalogue.
#[derive(Clone)]
pub struct Catalogue {
    pub flavors: BTreeMap<FlavorName, Arc<Flavor>>,
    pub templates: BTreeMap<TemplateName, Arc<PluginTemplate>>,
    pub config: Arc<OsConfig>,
}

/// Times and bounds (semantics §16).
#[derive(Debug, Clone)]
pub struct Policy {
    /// How often every tree is looked at though nothing is known to have happened to it.
    pub resync: Duration,
    pub node_timeout: Duration,
    pub order_expiry: Duration,
    pub heartbeat_loss: Duration,
    pub unwell: Duration,
    pub failed_retention: Duration,
    /// When missing nodes of a creation are tried again.
    pub creation_retry: Duration,
    /// After which a plug-in that does not come up has failed, and with it the job types that need it.
    pub scope_timeout: Duration,
    pub driver_timeout: Duration,
    /// A node whose machine has vanished is replaced after this time.
    pub machine_grace: Duration,
    /// After so long without any progress, the teardown of a pool has failed; it goes on being tried.
    pub teardown_timeout: Duration,
    /// Nodes of a pool held at once for an idle driver upgrade, in per cent, at least one.
    pub idle_upgrade_percent: u32,
    /// The same for a forced one; absent: all at once.
    pub force_upgrade_percent: Option<u32>,
    /// A node whose jobs have not ended after so long is left out of an idle upgrade.
    pub idle_upgrade_patience: Duration,
    /// After which a reboot or reset has failed.
    pub request_timeout: Duration,
    /// Jobs that have ended are kept for so long.
    pub job_retention: Duration,
    pub repair: RepairPolicy,
    pub kept_events: usize,
    /// Older events go with the next step that looks at their pool.
    pub event_retention: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            resync: Duration::from_mins(10),
            node_timeout: Duration::from_mins(30),
            order_expiry: Duration::from_hours(7 * 24),
            heartbeat_loss: Duration::from_mins(1),
            unwell: Duration::from_mins(2),
            failed_retention: Duration::from_hours(3 * 24),
            creation_retry: Duration::from_mins(5),
            scope_timeout: Duration::from_mins(30),
            driver_timeout: Duration::from_mins(30),
            machine_grace: Duration::from_mins(10),
            teardown_timeout: Duration::from_mins(30),
            idle_upgrade_percent: 10,
            force_upgrade_percent: None,
            idle_upgrade_patience: Duration::from_hours(24),
            request_timeout: Duration::from_mins(30),
            job_retention: Duration::from_hours(31 * 24),
            repair: RepairPolicy::default(),
            kept_events: 10_000,
            event_retention: domain::event::RETENTION,
        }
    }
}

impl Policy {
    /// Events that were last told before then are forgotten.
    pub(crate) fn oldest_event(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.event_retention).unwrap_or(Timestamp::MIN)
    }
}

pub struct PlanInput<'a> {
    pub now: Timestamp,
    pub tree: &'a Tree,
    /// `None`: the fleet does not answer, and nothing is concluded.
    pub observed: Option<&'a Observation>,
    pub offers: &'a Offers,
    pub catalogue: &'a Catalogue,
    pub policy: &'a Policy,
    /// Whether a node name is in use in the project.
    pub taken: &'a dyn Fn(&NodeName) -> bool,
    /// Nodes for which there was no machine a moment ago.
    pub no_capacity: &'a std::collections::BTreeSet<NodeName>,
}

/// What to write, then what to command, then when to look again.
#[derive(Debug, Default)]
pub struct Plan {
    pub batch: TypedBatch,
    pub commands: Vec<Command>,
    pub wake: Option<Timestamp>,
    /// It only notes what machines have, and the next plan has nothing to do unless something happens.
    pub is_quiet: bool,
}

/// Total: cannot fail, cannot wait.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut work = Work::new(input);
    if !work.pool.is_physical() {
        work.plan_unrooted();
        return work.finish();
    }
    let Some(observed) = input.observed else {
        work.wake_after(Duration::from_secs(5));
        return work.finish();
    };
    match work.pool.status.phase {
        PoolPhase::Waiting(_) if work.pool.deleted_at.is_none() => work.expire_order(),
        PoolPhase::CreationFailed { .. } => work.clear_failed(observed),
        PoolPhase::Deleting | PoolPhase::Waiting(_) => work.delete(observed),
        PoolPhase::Error { .. } if work.pool.deleted_at.is_some() => work.delete(observed),
        PoolPhase::Creating
        | PoolPhase::Running
        | PoolPhase::Abnormal { .. }
        | PoolPhase::ScalingFailed { .. }
        | PoolPhase::Error { .. } => {
            work.expire_order();
            work.observe_pool(observed);
            work.set_driver_targets();
            work.observe_nodes(observed);
            work.repair_nodes(observed);
            work.drain_nodes(observed);
            work.scale(observed);
            work.scopes(observed);
            work.drivers(observed);
            work.dedicate_nodes(observed);
            work.hold_nodes(observed);
            work.lock_nodes(observed);
            work.derive_phase(observed);
            work.progress_order();
            work.set_quotas(observed);
        }
    }
    work.settle_jobs();
    work.mirror_descendants();
    work.finish()
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
