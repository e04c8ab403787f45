//! What a pool is: phase, counters, job types and drivers (contract pools §5, README §8).

use super::{AzCount, CreatingStep, ElementKey, JobType};
use crate::event::Counters;
use crate::name::{OrderName, TemplateName};
use crate::plugin::PluginPhase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    pub phase: PoolPhase,
    pub resources: ResourceCounts,
    /// One entry per job type ever requested.
    pub scopes: Vec<ScopeStatus>,
    pub drivers: BTreeMap<super::Accelerator, DriverStatus>,
    /// Number of direct sub-pools (`os.modelarts.pool/subpools.count`).
    pub children: u32,
    /// The job that turns spec into reality right now, or the last one.
    pub attempt: Attempt,
    /// Set once the fleet reported that the pool's cluster is up.
    pub cluster_ready: bool,
    /// Since when the pool has had no available node and at least one abnormal one, or no control plane.
    pub unwell_since: Option<Timestamp>,
    /// Counts the nodes ever created, for their names.
    pub node_sequence: u64,
    /// Counts the events ever written, for their keys.
    pub event_sequence: u64,
    /// The counters of the last `PoolResourcesStatusChange` event and its time.
    pub reported: Option<(Counters, Timestamp)>,
    /// External dependency states by job type, as JSON text (annotation `…scope.external.dependency.<Type>`).
    pub dependencies: BTreeMap<JobType, String>,
}

impl PoolStatus {
    /// Follows `spec.scope`: what is wanted and off is being enabled, what is on and not wanted is being disabled. Every job
    /// type ever requested has an entry.
    pub fn want_scopes(&mut self, wanted: &[JobType]) {
        for job_type in wanted {
            match self.scopes.iter_mut().find(|scope| scope.job_type == *job_type) {
                None => self.scopes.push(ScopeStatus {
                    job_type: *job_type,
                    state: ScopeState::Enabling,
                    plugins: Vec::new(),
                    message: None,
                }),
                Some(scope) if scope.state == ScopeState::Disabled => {
                    scope.state = ScopeState::Enabling;
                    scope.message = None;
                }
                Some(_) => {}
            }
        }
        let is_unwanted = |scope: &&mut ScopeStatus| scope.state.is_on() && !wanted.contains(&scope.job_type);
        for scope in self.scopes.iter_mut().filter(is_unwanted) {
            scope.state = ScopeState::Disabling;
            scope.message = None;
        }
    }
}

/// `status.phase` with what belongs to it. Legal transitions: [`PoolPhase::may_become`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolPhase {
    Waiting(Waiting),
    Creating,
    Running,
    Abnormal { message: String },
    ScalingFailed { message: String },
    CreationFailed { message: String, at: Timestamp },
    Error { message: String },
    Deleting,
}

/// What a `Waiting` pool waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    Payment,
    Approval,
}

impl PoolPhase {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "Waiting",
            Self::Creating => "Creating",
            Self::Running => "Running",
            Self::Abnormal { .. } => "Abnormal",
            Self::ScalingFailed { .. } => "ScalingFailed",
            Self::CreationFailed { .. } => "CreationFailed",
            Self::Error { .. } => "Error",
            Self::Deleting => "Deleting",
        }
    }

    /// Whether workloads are let into such a pool, and run on: it is up, well or not.
    pub fn takes_workloads(&self) -> bool {
        match self {
            Self::Running | Self::Abnormal { .. } | Self::ScalingFailed { .. } => true,
            Self::Waiting(_) | Self::Creating | Self::CreationFailed { .. } | Self::Error { .. } | Self::Deleting => false,
        }
    }

    /// Every value of `status.phase`.
    pub const NAMES: [&'static str; 8] = [
        "Waiting",
        "Creating",
        "Running",
        "Abnormal",
        "ScalingFailed",
        "CreationFailed",
        "Error",
        "Deleting",
    ];

    /// Why the pool is in this phase, where there is something to say.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Waiting(Waiting::Payment) => Some("waiting for the order to be paid"),
            Self::Waiting(Waiting::Approval) => Some("waiting for administrator approval"),
            Self::Abnormal { message }
            | Self::ScalingFailed { message }
            | Self::CreationFailed { message, .. }
            | Self::Error { message } => Some(message),
            Self::Creating | Self::Running | Self::Deleting => None,
        }
    }

    /// Whether an event about entering this phase is a warning, and carries the message.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Abnormal { .. } | Self::Error { .. } | Self::CreationFailed { .. } | Self::ScalingFailed { .. } => true,
            Self::Waiting(_) | Self::Creating | Self::Running | Self::Deleting => false,
        }
    }

    /// The table of README §8.1. A phase may always become itself.
    pub fn may_become(&self, next: &Self) -> bool {
        use PoolPhase as P;
        if self.as_str() == next.as_str() {
            return true;
        }
        match self {
            P::Waiting(_) => matches!(next, P::Creating | P::Running | P::CreationFailed { .. } | P::Deleting),
            P::Creating => matches!(next, P::Running | P::CreationFailed { .. } | P::Error { .. } | P::Deleting),
            P::Running => matches!(next, P::Abnormal { .. } | P::ScalingFailed { .. } | P::Error { .. } | P::Deleting),
            P::Abnormal { .. } => matches!(next, P::Running | P::ScalingFailed { .. } | P::Error { .. } | P::Deleting),
            P::ScalingFailed { .. } => matches!(next, P::Running | P::Abnormal { .. } | P::Error { .. } | P::Deleting),
            P::CreationFailed { .. } => matches!(next, P::Deleting),
            P::Error { .. } => matches!(next, P::Running | P::Deleting),
            P::Deleting => matches!(next, P::Error { .. }),
        }
    }
}

/// The pool's current or last piece of work towards its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The order it belongs to.
    pub order: OrderName,
    pub purpose: Purpose,
    pub started_at: Timestamp,
    /// Nodes given up in this attempt, by element: not wanted again until a new attempt (scaling) or `retry_at` (creation).
    pub given_up: BTreeMap<String, u32>,
    /// When the missing nodes of a creation are tried again.
    pub retry_at: Option<Timestamp>,
    /// Whether the order has been closed.
    pub is_finished: bool,
    /// Billing of the nodes that this attempt makes, where it differs from the pool's.
    pub node_billing: Option<super::BillingMode>,
    /// The spec's resources before, for an order that still has to be confirmed and may be rejected.
    pub previous: Option<Vec<super::PoolResource>>,
}

impl Attempt {
    pub fn given_up_of(&self, key: &ElementKey) -> u32 {
        self.given_up.get(&Self::slot(key)).copied().unwrap_or(0)
    }

    pub fn give_up(&mut self, key: &ElementKey) {
        *self.given_up.entry(Self::slot(key)).or_insert(0) += 1;
    }

    fn slot(key: &ElementKey) -> String {
        format!("{}/{}", key.flavor, key.node_pool)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    Creation,
    Scaling,
    Deletion,
}

/// Nodes by state, each list sorted by flavor, then node pool; elements without nodes are left out (contract pools §4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceCounts {
    pub creating: Vec<FlavorCount>,
    pub available: Vec<FlavorCount>,
    pub abnormal: Vec<FlavorCount>,
    pub deleting: Vec<FlavorCount>,
}

impl ResourceCounts {
    pub fn counters(&self) -> Counters {
        let sum = |list: &[FlavorCount]| list.iter().map(|entry| entry.count).sum();
        Counters {
            available: sum(&self.available),
            abnormal: sum(&self.abnormal),
            creating: sum(&self.creating),
            deleting: sum(&self.deleting),
        }
    }
}

/// Nodes of one element in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlavorCount {
    pub key: ElementKey,
    pub count: u32,
    /// Sorted by zone; the sum is `count`.
    pub azs: Vec<AzCount>,
    pub creating_step: Option<CreatingStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeStatus {
    pub job_type: JobType,
    pub state: ScopeState,
    /// Plug-ins of the job type with their phases.
    pub plugins: Vec<(TemplateName, PluginPhase)>,
    pub message: Option<String>,
}

/// `status.scope[].state` (README §8.2). Legal transitions: [`ScopeState::may_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScopeState {
    Enabling,
    Enabled,
    EnableFailed,
    Disabling,
    Disabled,
}

impl ScopeState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::EnableFailed => "EnableFailed",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
        }
    }

    pub fn may_become(self, next: Self) -> bool {
        use ScopeState as S;
        self == next
            || match self {
                S::Enabling => matches!(next, S::Enabled | S::EnableFailed | S::Disabling),
                S::Enabled => matches!(next, S::Disabling),
                S::EnableFailed => matches!(next, S::Enabling | S::Disabling),
                S::Disabling => matches!(next, S::Disabled),
                S::Disabled => matches!(next, S::Enabling),
            }
    }

    /// Whether the job type is wanted in this state.
    pub fn is_on(self) -> bool {
        match self {
            Self::Enabling | Self::Enabled | Self::EnableFailed => true,
            Self::Disabling | Self::Disabled => false,
        }
    }
}

/// `status.driver.gpu` / `.npu`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverStatus {
    /// The version that every node has; changes when the last node is done.
    pub version: String,
    /// The version that nodes should have.
    pub target: String,
    pub state: DriverState,
    pub message: Option<String>,
}

impl DriverStatus {
    /// Another version is asked for: that the upgrade is still to begin shows at once.
    pub fn aim_at(&mut self, version: &str) {
        if self.target == version {
            return;
        }
        version.clone_into(&mut self.target);
        if self.version != version && self.state != DriverState::Creating {
            self.state = DriverState::Upgrading;
            self.message = None;
        }
    }
}

/// README §8.3
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriverState {
    Creating,
    Upgrading,
    Running,
    Abnormal,
}

impl DriverState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Upgrading => "Upgrading",
            Self::Running => "Running",
            Self::Abnormal => "Abnormal",
        }
    }

    /// README §8.3.
    pub fn may_become(self, next: Self) -> bool {
        use DriverState as D;
        self == next
            || match self {
                D::Creating | D::Upgrading => matches!(next, D::Running | D::Abnormal),
                D::Running => matches!(next, D::Upgrading | D::Abnormal),
                D::Abnormal => matches!(next, D::Upgrading | D::Running),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_phase() -> Vec<PoolPhase> {
        let message = String::new();
        vec![
            PoolPhase::Waiting(Waiting::Payment),
            PoolPhase::Creating,
            PoolPhase::Running,
            PoolPhase::Abnormal { message: message.clone() },
            PoolPhase::ScalingFailed { message: message.clone() },
            PoolPhase::CreationFailed {
                message: message.clone(),
                at: Timestamp::UNIX_EPOCH,
            },
            PoolPhase::Error { message },
            PoolPhase::Deleting,
        ]
    }

    #[test]
    fn phases_change_only_along_the_table() {
        let mut rows = Vec::new();
        for from in every_phase() {
            let next: Vec<_> = every_phase()
                .iter()
                .filter(|to| from.as_str() != to.as_str() && from.may_become(to))
                .map(PoolPhase::as_str)
                .collect();
            rows.push(format!("{} -> {}", from.as_str(), next.join(" ")));
        }
        insta::assert_snapshot!(rows.join("\n"), @r"
        Waiting -> Creating Running CreationFailed Deleting
        Creating -> Running CreationFailed Error Deleting
        Running -> Abnormal ScalingFailed Error Deleting
        Abnormal -> Running ScalingFailed Error Deleting
        ScalingFailed -> Running Abnormal Error Deleting
        CreationFailed -> Deleting
        Error -> Running Deleting
        Deleting -> Error
        ");
    }
}
