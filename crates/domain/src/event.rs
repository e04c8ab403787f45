//! Events of pools (contract tags… §2): written with the change that they tell of.

use crate::meta::Uid;
use crate::pool::PoolPhase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub pool: Uid,
    /// Position among the pool's events, from 1.
    pub sequence: u64,
    pub is_warning: bool,
    pub reason: EventReason,
    pub message: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventReason {
    PoolStatusChange,
    PoolResourcesStatusChange,
}

impl EventReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PoolStatusChange => "PoolStatusChange",
            Self::PoolResourcesStatusChange => "PoolResourcesStatusChange",
        }
    }
}

/// How long events are shown and kept (semantics §16).
pub const RETENTION: Duration = Duration::from_hours(30 * 24);

/// The four node counters of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub available: u32,
    pub abnormal: u32,
    pub creating: u32,
    pub deleting: u32,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.available, self.abnormal, self.creating, self.deleting)
    }
}

/// What an event says, before it gets its place in the pool's sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    pub is_warning: bool,
    pub reason: EventReason,
    pub message: String,
}

impl Occurrence {
    /// The pool went from one phase to another.
    pub fn phase_change(from: &PoolPhase, to: &PoolPhase) -> Self {
        let details = match to.message() {
            Some(message) if to.is_failure() && !message.is_empty() => format!(", details: {message}"),
            Some(_) | None => String::new(),
        };
        Self {
            is_warning: to.is_failure(),
            reason: EventReason::PoolStatusChange,
            message: format!("Pool status changed, from {} to {}{details}.", from.as_str(), to.as_str()),
        }
    }

    /// The pool's node counters changed.
    pub fn counters_change(from: Counters, to: Counters, at: Timestamp) -> Self {
        Self {
            is_warning: to.abnormal > from.abnormal,
            reason: EventReason::PoolResourcesStatusChange,
            message: format!(
                "Pool resources status changed, available/abnormal/creating/deleting count from {from} to {to}, timestamp: {}.",
                at.as_second()
            ),
        }
    }

    pub fn at(self, pool: Uid, sequence: u64, now: Timestamp) -> Event {
        Event {
            pool,
            sequence,
            is_warning: self.is_warning,
            reason: self.reason,
            message: self.message,
            first_at: now,
            last_at: now,
            count: 1,
        }
    }
}

impl Event {
    fn is_like(&self, other: &Self) -> bool {
        (self.is_warning, self.reason, &self.message) == (other.is_warning, other.reason, &other.message)
    }
}

/// What was told once or several times in a row.
#[derive(Debug, Clone)]
pub struct Told<E> {
    /// The event that told it first.
    pub first: E,
    pub count: u32,
    pub last_at: Timestamp,
}

/// Folds what was told several times in a row into one; `events` are in the order of their sequence.
pub fn fold<E: Deref<Target = Event>>(events: impl IntoIterator<Item = E>) -> Vec<Told<E>> {
    let mut folded: Vec<Told<E>> = Vec::new();
    for event in events {
        match folded.last_mut() {
            Some(last) if last.first.is_like(&event) => {
                last.count += event.count;
                last.last_at = event.last_at;
            }
            Some(_) | None => folded.push(Told {
                count: event.count,
                last_at: event.last_at,
                first: event,
            }),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_in_a_row_is_one_event() {
        let event = |sequence: u64, message: &str| Event {
            pool: Uid::from_text("1"),
            sequence,
            is_warning: false,
            reason: EventReason::PoolStatusChange,
            message: message.to_owned(),
            first_at: Timestamp::from_second(i64::try_from(sequence).unwrap()).unwrap(),
            last_at: Timestamp::from_second(i64::try_from(sequence).unwrap()).unwrap(),
            count: 1,
        };
        let all = [event(1, "a"), event(2, "b"), event(3, "b"), event(4, "a")];
        let folded = fold(&all);
        assert_eq!(folded.iter().map(|event| event.count).collect::<Vec<_>>(), [1, 2, 1]);
        let twice = &folded[1];
        assert_eq!(
            (twice.first.sequence, twice.first.first_at.as_second(), twice.last_at.as_second()),
            (2, 2, 3)
        );
    }

    #[test]
    fn messages_have_the_documented_form() {
        let at = Timestamp::from_second(1_672_366_579).unwrap();
        let from = Counters {
            available: 1,
            ..Counters::default()
        };
        let to = Counters {
            abnormal: 1,
            ..Counters::default()
        };
        let event = Occurrence::counters_change(from, to, at);
        assert!(event.is_warning);
        assert_eq!(
            event.message,
            "Pool resources status changed, available/abnormal/creating/deleting count from 1/0/0/0 to 0/1/0/0, timestamp: 1672366579."
        );
        let failed = PoolPhase::ScalingFailed {
            message: "modelarts.vm.cpu.8ud is short of 2 nodes".to_owned(),
        };
        assert_eq!(
            Occurrence::phase_change(&PoolPhase::Running, &failed).message,
            "Pool status changed, from Running to ScalingFailed, details: modelarts.vm.cpu.8ud is short of 2 nodes."
        );
        assert_eq!(
            Occurrence::phase_change(&PoolPhase::Creating, &PoolPhase::Running).message,
            "Pool status changed, from Creating to Running."
        );
    }
}
