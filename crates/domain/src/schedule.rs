//! Scheduled events: work on machines that the operator announces and, where it needs that, asks consent for
//! (contract tags… §3).

use crate::meta::Uid;
use crate::name::{DisplayName, NodeName, PoolName, ProjectId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledEvent {
    pub id: Uid,
    pub project: ProjectId,
    pub pool: PoolName,
    pub pool_uid: Uid,
    pub pool_display: DisplayName,
    pub node: NodeName,
    pub node_uid: Uid,
    /// Id of the machine under the node.
    pub machine: Option<String>,
    pub catalog: Catalog,
    pub kind: ScheduledKind,
    pub description: String,
    pub state: ScheduledState,
    pub published_at: Timestamp,
    /// When it begins at the earliest.
    pub not_before: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub probe_message: Option<String>,
    pub job_progress: Option<String>,
    /// Ways in which the node may be moved to another machine; without any, both are open.
    pub redeploy: Vec<Redeploy>,
    pub consent: Option<Consent>,
}

/// What a user agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub at: Timestamp,
    pub not_before: Option<Timestamp>,
    pub redeploy: Option<Redeploy>,
    /// Whether the next steps need no further consent.
    pub is_automatic: bool,
}

/// What an operator announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub node: NodeName,
    pub catalog: Catalog,
    pub kind: ScheduledKind,
    pub description: String,
    /// `Inquiring`, or `Scheduled` where no consent is asked for.
    pub state: ScheduledState,
    pub not_before: Option<Timestamp>,
    pub redeploy: Vec<Redeploy>,
}

/// What an operator tells of the work. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub state: Option<ScheduledState>,
    pub description: Option<String>,
    pub not_before: Option<Timestamp>,
    pub probe_message: Option<String>,
    pub job_progress: Option<String>,
}

/// What a user agrees to as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// In the future; absent: now.
    pub not_before: Option<Timestamp>,
    pub redeploy: Option<Redeploy>,
    pub is_automatic: bool,
}

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident: $($variant:ident => $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

texts! {
    Catalog:
    Hardware => "hardware",
    Software => "software",
}

texts! {
    ScheduledKind:
    SystemMaintenance => "system-maintenance",
    LocalDiskRecovery => "localdisk-recovery",
    NodeReboot => "node_reboot",
    OperationRequest => "operation-request",
    NodeMaintenance => "node_maintenance",
    NodeRedeploy => "node_redeploy",
    NodeLocalDiskRecovery => "node_localdisk_recovery",
}

texts! {
    /// Legal transitions: [`ScheduledState::may_become`].
    ScheduledState:
    Inquiring => "inquiring",
    Scheduled => "scheduled",
    Executing => "executing",
    Completed => "completed",
    Failed => "failed",
    Canceled => "canceled",
}

texts! {
    Redeploy:
    Hard => "HARD",
    Soft => "SOFT",
}

impl ScheduledState {
    pub fn may_become(self, next: Self) -> bool {
        use ScheduledState as S;
        self == next
            || match self {
                S::Inquiring => matches!(next, S::Scheduled | S::Executing | S::Canceled),
                S::Scheduled => matches!(next, S::Executing | S::Canceled),
                S::Executing => matches!(next, S::Completed | S::Failed),
                S::Completed | S::Failed | S::Canceled => false,
            }
    }
}

impl ScheduledEvent {
    /// The event as it is at a time: what is scheduled begins by itself.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let mut event = self.clone();
        if let Some(begin) = event.not_before.filter(|begin| *begin <= now)
            && event.state == ScheduledState::Scheduled
        {
            event.state = ScheduledState::Executing;
            event.started_at = Some(begin);
        }
        event
    }

    /// Enters a state and notes the time. `false`: it cannot.
    pub fn enter(&mut self, state: ScheduledState, now: Timestamp) -> bool {
        if !self.state.may_become(state) {
            return false;
        }
        if self.state != state {
            self.state = state;
            match state {
                ScheduledState::Executing => self.started_at = Some(now),
                ScheduledState::Completed | ScheduledState::Failed | ScheduledState::Canceled => self.finished_at = Some(now),
                ScheduledState::Inquiring | ScheduledState::Scheduled => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_change_only_along_the_table() {
        let row = |from: ScheduledState| {
            let next: Vec<_> = ScheduledState::ALL
                .iter()
                .filter(|(_, to)| from != *to && from.may_become(*to))
                .map(|(text, _)| *text)
                .collect();
            format!("{} -> {}", from.as_str(), next.join(" ")).trim_end().to_owned()
        };
        let rows: Vec<_> = ScheduledState::ALL.iter().map(|(_, state)| row(*state)).collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        inquiring -> scheduled executing canceled
        scheduled -> executing canceled
        executing -> completed failed
        completed ->
        failed ->
        canceled ->
        ");
    }
}
