//! Repair of abnormal nodes: reboot, then reset, then replace; never more than a few at a time.

use super::work::Work;
use domain::name::NodeName;
use domain::node::{Node, NodePhase, Repair, TaskKind};
use fleet::{MachineState, Observation};
use jiff::Timestamp;
use std::time::Duration;

/// How abnormal nodes are repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairPolicy {
    pub is_on: bool,
    /// A node is left alone for so long: it may come back by itself.
    pub patience: Duration,
    /// Attempts on one node, each of which does more than the one before. The third replaces it.
    pub attempts: u32,
    /// A node that has been well for so long begins with the first attempt again.
    pub proven: Duration,
    /// With more abnormal nodes in a pool than this share, in per cent, at least one, nothing is begun: what many have in
    /// common is not cured by repairing each.
    pub most_percent: u32,
    /// As `most_percent`, in nodes. The smaller bound holds.
    pub most: u32,
}

impl Default for RepairPolicy {
    fn default() -> Self {
        Self {
            is_on: false,
            patience: Duration::from_mins(5),
            attempts: 3,
            proven: Duration::from_hours(1),
            most_percent: 20,
            most: 5,
        }
    }
}

impl RepairPolicy {
    /// Abnormal nodes with which a pool of this size is still repaired.
    pub fn bound(&self, nodes: usize) -> usize {
        (nodes * self.most_percent as usize / 100).max(1).min(self.most as usize)
    }
}

/// What is known of one abnormal node.
#[derive(Debug, Clone, Copy)]
pub struct Patient {
    pub abnormal_since: Timestamp,
    pub repair: Option<Repair>,
    /// Locked nodes are not replaced.
    pub is_locked: bool,
    /// Abnormal nodes of its pool, those in repair included, and all its nodes.
    pub abnormal: usize,
    pub all: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing more can or may be done.
    None,
    /// Not before then.
    Wait(Timestamp),
    Reboot,
    Reset,
    Replace,
}

/// What to do about an abnormal node.
pub fn treat(patient: &Patient, policy: &RepairPolicy, now: Timestamp) -> Treatment {
    let attempts = patient.repair.map_or(0, |repair| repair.attempts);
    if !policy.is_on || attempts >= policy.attempts || patient.abnormal > policy.bound(patient.all) {
        return Treatment::None;
    }
    let since = patient
        .repair
        .map_or(patient.abnormal_since, |repair| repair.last_at.max(patient.abnormal_since));
    let due = since.saturating_add(policy.patience).unwrap_or(Timestamp::MAX);
    if now < due {
        return Treatment::Wait(due);
    }
    match attempts {
        0 => Treatment::Reboot,
        1 => Treatment::Reset,
        _ if patient.is_locked => Treatment::None,
        _ => Treatment::Replace,
    }
}

impl Work<'_> {
    /// Repairs what is abnormal; forgets the repairs of what has been well for long enough.
    pub fn repair_nodes(&mut self, observed: &Observation) {
        self.forget_repairs();
        if !self.policy.repair.is_on || !self.is_building() {
            return;
        }
        let abnormal: Vec<NodeName> = self
            .nodes
            .values()
            .filter(|node| matches!(node.phase, NodePhase::Abnormal { .. }) && node.care.task.is_none())
            .map(|node| node.name.clone())
            .collect();
        let in_repair = self.nodes.values().filter(|node| is_in_repair(node)).count();
        let counted = (
            abnormal.len() + in_repair,
            self.nodes.values().filter(|node| !node.phase.is_deleting()).count(),
        );
        for name in abnormal {
            // A machine that is not there is neither rebooted nor reset; it is replaced after its time of grace.
            let can_be_treated = observed
                .nodes
                .get(&name)
                .is_some_and(|fact| !matches!(fact.state, MachineState::Releasing));
            if can_be_treated && let Some(mut node) = self.nodes.remove(&name) {
                self.repair_node(&mut node, counted);
                self.nodes.insert(node);
            }
        }
    }

    fn repair_node(&mut self, node: &mut Node, (abnormal, all): (usize, usize)) {
        let NodePhase::Abnormal { since, .. } = node.phase else { return };
        let patient = Patient {
            abnormal_since: since,
            repair: node.care.repair,
            is_locked: node.is_locked,
            abnormal,
            all,
        };
        let kind = match treat(&patient, &self.policy.repair, self.now) {
            Treatment::None => return,
            Treatment::Wait(until) => return self.wake_at(until),
            Treatment::Replace => return self.replace(node),
            Treatment::Reboot => TaskKind::Reboot,
            Treatment::Reset => TaskKind::Reset {
                image: None,
                runtime: None,
            },
        };
        node.care.ask(kind, None, self.now);
        node.care.repair = Some(Repair {
            attempts: patient.repair.map_or(0, |repair| repair.attempts) + 1,
            last_at: self.now,
        });
        // The request itself is made by the next step.
        self.wake_at(self.now);
    }

    fn forget_repairs(&mut self) {
        let (now, proven) = (self.now, self.policy.repair.proven);
        let mut next = None;
        let mut well = Vec::new();
        for node in self.nodes.values().filter(|node| node.care.repair.is_some()) {
            let NodePhase::Available { since } = node.phase else { continue };
            let over = since.saturating_add(proven).unwrap_or(Timestamp::MAX);
            if now >= over {
                well.push(node.name.clone());
            } else {
                next = Some(next.map_or(over, |earlier: Timestamp| earlier.min(over)));
            }
        }
        for name in well {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.care.repair = None;
            }
        }
        if let Some(at) = next {
            self.wake_at(at);
        }
    }
}

/// A request that nobody else has asked for.
fn is_in_repair(node: &Node) -> bool {
    node.care.task.as_ref().is_some_and(|task| task.job.is_none())
}

#[cfg(test)]
mod tests;
