//! One driver upgrade of one node: an explicit state machine, without anything around it.
//!
//! `Settled` and `Failed` are final for a target. `Pending` waits for a place among the nodes that may be upgraded at once,
//! `Draining` for the end of jobs, `Updating` for the installer; the last two end by themselves after a bounded time.

use domain::node::NodeDriverState;
use domain::pool::UpdateStrategy;
use fleet::observation::DriverProgress;
use jiff::Timestamp;
use std::time::Duration;

/// Attempts to install a version before it is given up.
pub const ATTEMPTS: u32 = 2;

/// What there is to know about the node.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own; every combination is possible"
)]
pub struct Seen<'a> {
    pub now: Timestamp,
    pub target: &'a str,
    pub strategy: UpdateStrategy,
    pub installed: Option<&'a str>,
    pub progress: Option<&'a DriverProgress>,
    pub is_busy: bool,
    pub is_held: bool,
    /// It is available; a node that is not is not begun with, unless by force.
    pub is_well: bool,
    /// There is a place among the nodes that may be upgraded at once.
    pub has_place: bool,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After which an attempt has failed.
    pub install: Duration,
    /// After which the jobs of a node have not ended.
    pub drain: Duration,
}

/// What to have the fleet do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Hold,
    Install,
    Open,
}

/// Where it goes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub state: NodeDriverState,
    pub acts: Vec<Act>,
    /// When it goes on by itself, if nothing else happens.
    pub wake: Option<Timestamp>,
}

/// Places for nodes that are being upgraded at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub taken: usize,
}

impl Places {
    /// Whether a node may be in work: one that is keeps its place.
    pub fn admits(self, is_in_work: bool, most: usize) -> bool {
        is_in_work || self.taken < most
    }

    pub fn note(&mut self, was_in_work: bool, is_in_work: bool) {
        match (was_in_work, is_in_work) {
            (false, true) => self.taken += 1,
            (true, false) => self.taken = self.taken.saturating_sub(1),
            (false, false) | (true, true) => {}
        }
    }
}

/// Whether a node takes a place.
pub fn in_work(state: &NodeDriverState) -> bool {
    match state {
        NodeDriverState::Draining { .. } | NodeDriverState::Updating { .. } => true,
        NodeDriverState::Settled | NodeDriverState::Pending { .. } | NodeDriverState::Failed { .. } => false,
    }
}

impl Seen<'_> {
    fn is_installed(&self) -> bool {
        self.installed == Some(self.target)
    }

    /// No job runs there, and none can come.
    fn is_empty(&self) -> bool {
        self.is_held && !self.is_busy
    }

    fn over(since: Timestamp, limit: Duration) -> Timestamp {
        since.saturating_add(limit).unwrap_or(Timestamp::MAX)
    }

    fn stay(state: NodeDriverState) -> Next {
        Next {
            state,
            acts: Vec::new(),
            wake: None,
        }
    }

    fn settled(&self) -> Next {
        Next {
            state: NodeDriverState::Settled,
            acts: if self.is_held { vec![Act::Open] } else { Vec::new() },
            wake: None,
        }
    }

    fn install(&self, attempt: u32, mut acts: Vec<Act>) -> Next {
        acts.push(Act::Install);
        Next {
            state: NodeDriverState::Updating {
                target: self.target.to_owned(),
                attempt,
                since: self.now,
            },
            acts,
            wake: Some(Self::over(self.now, self.limits.install)),
        }
    }

    /// Waits for the end of jobs, or goes on at once where nothing has to be waited for. `attempt` is the one that comes then.
    fn drain(&self, since: Timestamp, attempt: u32) -> Next {
        if self.strategy == UpdateStrategy::Force || self.is_empty() {
            let hold = (!self.is_held).then_some(Act::Hold);
            return self.install(attempt, hold.into_iter().collect());
        }
        let over = Self::over(since, self.limits.drain);
        if self.now >= over {
            return Next {
                state: NodeDriverState::Failed {
                    target: self.target.to_owned(),
                    message: "its jobs did not end in time".to_owned(),
                    is_open: true,
                },
                acts: vec![Act::Open],
                wake: None,
            };
        }
        Next {
            state: NodeDriverState::Draining {
                target: self.target.to_owned(),
                since: Some(since),
                attempt,
            },
            acts: if self.is_held { Vec::new() } else { vec![Act::Hold] },
            wake: Some(over),
        }
    }

    fn failed(&self, message: &str) -> Next {
        Self::stay(NodeDriverState::Failed {
            target: self.target.to_owned(),
            message: message.to_owned(),
            is_open: false,
        })
    }

    fn begin(&self) -> Next {
        let may_touch = self.is_well || self.strategy == UpdateStrategy::Force;
        if self.has_place && may_touch {
            self.drain(self.now, 1)
        } else {
            Self::stay(NodeDriverState::Pending {
                target: self.target.to_owned(),
            })
        }
    }

    fn follow(&self, state: &NodeDriverState, aimed: &str, attempt: u32, since: Timestamp) -> Next {
        if aimed != self.target {
            // Straight to the new target; the attempts at the old one do not count.
            return self.drain(self.now, 1);
        }
        let over = Self::over(since, self.limits.install);
        let has_failed = matches!(self.progress, Some(DriverProgress::Failed { version, .. }) if version == aimed);
        if has_failed || self.now >= over {
            return if attempt >= ATTEMPTS {
                self.failed("the driver could not be installed")
            } else {
                self.drain(self.now, attempt + 1)
            };
        }
        // The command may have been lost.
        let is_heard = matches!(self.progress, Some(DriverProgress::Installing { version }) if version == self.target);
        let acts = match (is_heard, self.strategy) {
            (true, _) => Vec::new(),
            (false, UpdateStrategy::Force) => vec![Act::Install],
            (false, UpdateStrategy::Idle) if self.is_empty() => vec![Act::Install],
            (false, UpdateStrategy::Idle) => vec![Act::Hold],
        };
        Next {
            state: state.clone(),
            acts,
            wake: Some(over),
        }
    }
}

/// One step. Taking it again without anything having happened changes nothing and repeats only what may have been lost.
pub fn advance(state: &NodeDriverState, seen: &Seen<'_>) -> Next {
    if seen.is_installed() {
        return seen.settled();
    }
    match state {
        NodeDriverState::Failed { target, .. } if target == seen.target => Seen::stay(state.clone()),
        NodeDriverState::Settled | NodeDriverState::Pending { .. } | NodeDriverState::Failed { .. } => seen.begin(),
        NodeDriverState::Draining { target, since, attempt } => {
            let is_same = target == seen.target;
            seen.drain(
                since.filter(|_| is_same).unwrap_or(seen.now),
                if is_same { (*attempt).max(1) } else { 1 },
            )
        }
        NodeDriverState::Updating { target, attempt, since } => seen.follow(state, target, *attempt, *since),
    }
}

#[cfg(test)]
mod tests;
