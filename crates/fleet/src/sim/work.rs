//! One workload, and what it is doing at a time.

use super::rules::Rules;
use super::timing::Step;
use crate::command::PoolMark;
use domain::capacity::Wait;
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A workload as the operator submits it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub uid: Uid,
    pub name: String,
    pub job_name: String,
    pub kind: WorkloadKind,
    /// Name of the user.
    pub owner: String,
    pub flavor: FlavorName,
    pub nodes: u32,
    /// Quantities that it needs on each node, by resource name.
    pub resources: Quantities,
    /// The higher, the earlier.
    pub priority: u32,
    /// How long it runs, in life: not at the fleet's speed. `None`: until it is cancelled.
    pub lasting: Option<SignedDuration>,
    /// How often it is put back into the queue when a machine fails under it; after that it has failed.
    pub retries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Work {
    pub submission: Submission,
    pub root: Uid,
    pub pool: PoolMark,
    /// Its place among all that were submitted.
    pub number: u64,
    pub created_at: Timestamp,
    pub state: WorkState,
    /// Others were asked to give back for it.
    pub is_promised: bool,
    /// How often machines failed under it.
    pub failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WorkState {
    Waiting,
    Placed {
        at: Timestamp,
        nodes: BTreeSet<NodeName>,
        /// When it was asked to give back.
        asked_at: Option<Timestamp>,
    },
    Over {
        started_at: Option<Timestamp>,
        at: Timestamp,
        how: Ending,
        /// Where it was when it ended.
        #[serde(default)]
        nodes: BTreeSet<NodeName>,
    },
}

/// When a workload was on its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spell {
    from: Timestamp,
    to: Option<Timestamp>,
}

impl Spell {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Completed,
    Cancelled,
    MachineFailed,
}

impl Ending {
    fn status(self) -> WorkloadStatus {
        match self {
            Self::Completed => WorkloadStatus::Completed,
            Self::Cancelled => WorkloadStatus::Terminated,
            Self::MachineFailed => WorkloadStatus::Failed,
        }
    }

    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Completed => None,
            Self::Cancelled => Some("it was cancelled"),
            Self::MachineFailed => Some("a machine failed under it"),
        }
    }
}

impl Work {
    pub fn is_waiting(&self) -> bool {
        self.state == WorkState::Waiting
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, WorkState::Over { .. })
    }

    /// Nodes that it has.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        let nodes = match &self.state {
            WorkState::Placed { nodes, .. } => Some(nodes),
            WorkState::Waiting | WorkState::Over { .. } => None,
        };
        nodes.into_iter().flatten()
    }

    /// When it was, or is, on its nodes. A stay that ended with going back into the queue is forgotten.
    pub fn spell(&self) -> Option<(Spell, &BTreeSet<NodeName>)> {
        match &self.state {
            WorkState::Waiting => None,
            WorkState::Placed { at, nodes, .. } => Some((Spell { from: *at, to: None }, nodes)),
            WorkState::Over { started_at, at, nodes, .. } => {
                let from = (*started_at)?;
                Some((Spell { from, to: Some(*at) }, nodes))
            }
        }
    }

    /// Its place in the queue of its pool.
    pub fn order(&self) -> (Reverse<u32>, u64) {
        (Reverse(self.submission.priority), self.number)
    }

    /// When it is up on nodes that it was given at a time.
    fn up_at(&self, placed_at: Timestamp, rules: &Rules) -> Timestamp {
        rules.timing.after(placed_at, Step::Launch, self.submission.uid.as_str(), 0)
    }

    /// When it is up on the nodes that it has.
    pub fn up(&self, rules: &Rules) -> Option<Timestamp> {
        let WorkState::Placed { at, .. } = &self.state else { return None };
        Some(self.up_at(*at, rules))
    }

    /// When it has done what it had to do.
    pub fn done_at(&self, rules: &Rules) -> Option<Timestamp> {
        let WorkState::Placed { at, .. } = &self.state else { return None };
        let lasting = self.submission.lasting?;
        Some(self.up_at(*at, rules).saturating_add(lasting).unwrap_or(Timestamp::MAX))
    }

    /// When it has to be off the nodes that it was asked for.
    pub fn evicted_at(&self, rules: &Rules) -> Option<Timestamp> {
        let WorkState::Placed { asked_at, .. } = &self.state else {
            return None;
        };
        Some(rules.timing.after((*asked_at)?, Step::Grace, self.submission.uid.as_str(), 0))
    }

    pub fn status(&self, wait: Option<Wait>, now: Timestamp, rules: &Rules) -> WorkloadStatus {
        match &self.state {
            WorkState::Waiting if wait == Some(Wait::Returning) => WorkloadStatus::Pending,
            WorkState::Waiting => WorkloadStatus::Queue,
            WorkState::Placed { asked_at: Some(_), .. } => WorkloadStatus::Terminating,
            WorkState::Placed { at, .. } if now < self.up_at(*at, rules) => WorkloadStatus::Creating,
            WorkState::Placed { .. } => WorkloadStatus::Running,
            WorkState::Over { how, .. } => how.status(),
        }
    }

    pub fn started_at(&self) -> Option<Timestamp> {
        match &self.state {
            WorkState::Waiting => None,
            WorkState::Placed { at, .. } => Some(*at),
            WorkState::Over { started_at, .. } => *started_at,
        }
    }

    pub fn end(&mut self, how: Ending, at: Timestamp) {
        let started_at = self.started_at();
        let nodes = self.nodes().cloned().collect();
        self.state = WorkState::Over {
            started_at,
            at,
            how,
            nodes,
        };
        self.is_promised = false;
    }

    /// Puts it back into the queue, at the place that it had there.
    pub fn requeue(&mut self) {
        self.state = WorkState::Waiting;
        self.is_promised = false;
    }

    /// A machine failed under it.
    pub fn lose_machine(&mut self, at: Timestamp) {
        if self.failures >= self.submission.retries {
            self.end(Ending::MachineFailed, at);
        } else {
            self.failures += 1;
            self.requeue();
        }
    }
}
