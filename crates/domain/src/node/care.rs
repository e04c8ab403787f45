//! What a node goes through besides coming and going: requests to its machine, drains, taints, repair, moves.

use crate::meta::Uid;
use crate::pool::{NodeOs, PoolRef, UpdateStrategy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that is asked of a node's machine. The record is the intent: whoever asks writes it here, and the planner
/// turns it into commands until the fleet reports that it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Care {
    /// The number of the last request; the next one gets the next number.
    pub last_request: u64,
    /// The request in work, or waiting for its turn.
    pub task: Option<Box<NodeTask>>,
    pub drain: Option<Drain>,
    /// Taints that the server put there, in the order in which they came.
    pub taints: Vec<Taint>,
    /// A driver version for this node alone.
    pub driver: Option<Box<PinnedDriver>>,
    pub repair: Option<Repair>,
    /// The pool that its machine still belongs to.
    pub coming_from: Option<Box<MoveFrom>>,
}

/// A numbered request to the machine. The number makes a repeated command recognisable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTask {
    pub number: u64,
    pub kind: TaskKind,
    /// The job that waits for it; absent: the repair of an abnormal node.
    pub job: Option<Uid>,
    pub asked_at: Timestamp,
    /// Absent: it waits for its turn.
    pub began_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskKind {
    Reboot,
    /// Everything is installed anew; with another image or container runtime where one is named.
    Reset {
        image: Option<NodeOs>,
        runtime: Option<String>,
    },
}

/// No new jobs, and the running ones are evicted (contract nodes §4, `batch-drain` and `batch-bind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub asked_at: Timestamp,
    /// When no job was left.
    pub done_at: Option<Timestamp>,
    /// Opens to jobs again as soon as it is empty. Otherwise a reboot or reset opens it.
    pub reopens: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: TaintEffect,
    pub added_at: Timestamp,
}

/// Key of the taint of spares that are kept for high availability.
pub const HA_TAINT: &str = "os.modelarts.node/ha.redundant";
/// Key of the taint of drained nodes.
pub const DRAIN_TAINT: &str = "os.modelarts.node/drain";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl TaintEffect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// Whether it keeps new jobs away.
    pub fn closes(self) -> bool {
        match self {
            Self::NoSchedule | Self::NoExecute => true,
            Self::PreferNoSchedule => false,
        }
    }
}

/// A driver version that was asked for by `batch-update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedDriver {
    pub version: String,
    pub strategy: Option<UpdateStrategy>,
    /// What the node was to have otherwise. Once that changes, the newer wish holds again.
    pub instead_of: Option<String>,
}

/// How far the repair of an abnormal node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Attempts made since it was last well for long enough.
    pub attempts: u32,
    pub last_at: Timestamp,
}

/// Where a moved node's machine is to be taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveFrom {
    pub uid: Uid,
    pub pool: PoolRef,
}

impl Care {
    /// Asks for something new. A repair that is in work makes way; the caller has looked for other requests.
    pub fn ask(&mut self, kind: TaskKind, job: Option<Uid>, now: Timestamp) {
        self.last_request += 1;
        self.task = Some(Box::new(NodeTask {
            number: self.last_request,
            kind,
            job,
            asked_at: now,
            began_at: None,
        }));
    }

    /// Whether somebody waits for a request that is not done.
    pub fn is_asked(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.job.is_some())
    }

    pub fn taint(&mut self, key: &str, effect: TaintEffect, now: Timestamp) {
        let known = self.taints.iter().any(|taint| taint.key == key && taint.effect == effect);
        if !known {
            self.untaint(key);
            self.taints.push(Taint {
                key: key.to_owned(),
                value: "true".to_owned(),
                effect,
                added_at: now,
            });
        }
    }

    pub fn untaint(&mut self, key: &str) {
        self.taints.retain(|taint| taint.key != key);
    }

    /// Whether it is closed to new jobs for a reason of its own, apart from its driver.
    pub fn is_closed(&self) -> bool {
        self.drain.is_some() || self.taints.iter().any(|taint| taint.effect.closes())
    }

    /// Whether running jobs have to go.
    pub fn evicts(&self) -> bool {
        self.drain.is_some_and(|drain| drain.done_at.is_none()) || self.taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_is_put_once_and_replaced_by_another_effect() {
        let mut care = Care::default();
        let later = Timestamp::from_second(9).unwrap();
        care.taint(HA_TAINT, TaintEffect::NoSchedule, Timestamp::UNIX_EPOCH);
        care.taint(HA_TAINT, TaintEffect::NoSchedule, later);
        assert_eq!(care.taints.len(), 1);
        assert_eq!(care.taints[0].added_at, Timestamp::UNIX_EPOCH);
        assert!(care.is_closed() && !care.evicts());
        care.taint(HA_TAINT, TaintEffect::NoExecute, later);
        assert_eq!((care.taints.len(), care.taints[0].added_at), (1, later));
        assert!(care.evicts());
        care.untaint(HA_TAINT);
        assert_eq!(care, Care::default());
    }

    #[test]
    fn every_request_has_a_number_of_its_own() {
        let mut care = Care::default();
        care.ask(TaskKind::Reboot, None, Timestamp::UNIX_EPOCH);
        assert!(!care.is_asked());
        care.ask(TaskKind::Reboot, Some(Uid::from_text("job")), Timestamp::UNIX_EPOCH);
        assert!(care.is_asked());
        assert_eq!(care.task.unwrap().number, 2);
    }
}
