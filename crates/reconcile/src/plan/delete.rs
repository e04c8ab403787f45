//! Pools that go (semantics §10).

use super::work::Work;
use domain::name::{NodeName, TemplateName};
use domain::node::DeleteCause;
use domain::order::Outcome;
use domain::pool::PoolPhase;
use fleet::observation::ClusterFact;
use fleet::{Command, Observation};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

impl Work<'_> {
    /// Takes everything down; the record goes last.
    pub fn delete(&mut self, observed: &Observation) {
        self.end_workloads(observed);
        self.take_down(observed);
        if self.is_bare(observed) {
            self.stop_counting();
            self.end_order(Outcome::Successed);
            self.is_erased = true;
        } else if self.nodes.len() == self.input.tree.nodes.len() {
            self.judge_teardown(observed);
        }
    }

    /// A teardown that does not get on any more has failed (README §8.1), which is told, while everything goes on being
    /// tried. A node that goes is progress: it changes the counters, and the time of their last change is kept.
    fn judge_teardown(&mut self, observed: &Observation) {
        let over = self
            .stalled_since()
            .saturating_add(self.policy.teardown_timeout)
            .unwrap_or(Timestamp::MAX);
        match &self.pool.status.phase {
            PoolPhase::Deleting if self.now < over => self.wake_at(over),
            PoolPhase::Deleting | PoolPhase::Error { .. } => {
                let message = format!("the pool could not be taken down: {}", self.remains(observed));
                if self.pool.status.phase.message() != Some(&message) {
                    self.enter(PoolPhase::Error { message });
                }
            }
            PoolPhase::Waiting(_)
            | PoolPhase::Creating
            | PoolPhase::Running
            | PoolPhase::Abnormal { .. }
            | PoolPhase::ScalingFailed { .. }
            | PoolPhase::CreationFailed { .. } => {}
        }
    }

    /// Since when nothing of the pool has gone away.
    fn stalled_since(&self) -> Timestamp {
        let started_at = self.pool.status.attempt.started_at;
        self.pool.status.reported.map_or(started_at, |(_, told_at)| told_at.max(started_at))
    }

    /// What is still there, in words.
    fn remains(&self, observed: &Observation) -> String {
        let nodes: BTreeSet<&NodeName> = self.nodes.keys().chain(observed.nodes.keys()).collect();
        let mut parts = Vec::new();
        match nodes.len() {
            0 => {}
            1..=3 => parts.push(format!(
                "node {}",
                nodes.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
            )),
            more => parts.push(format!("{more} nodes")),
        }
        if !observed.plugins.is_empty() {
            let names: Vec<&str> = observed.plugins.keys().map(TemplateName::as_str).collect();
            parts.push(format!("plug-in {}", names.join(", ")));
        }
        match &observed.cluster {
            ClusterFact::Absent => {}
            ClusterFact::Failed(reason) => parts.push(format!("the cluster ({reason})")),
            ClusterFact::Unreachable => parts.push("the cluster, which is not reachable".to_owned()),
            ClusterFact::Starting | ClusterFact::Ready => parts.push("the cluster".to_owned()),
        }
        format!("{} still there", parts.join(" and "))
    }

    fn take_down(&mut self, observed: &Observation) {
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in &names {
            self.take_quietly(name);
        }
        self.observe_nodes(observed);
        self.plugins.retain(|template, _| observed.plugins.contains_key(template));
        for template in observed.plugins.keys() {
            self.commands.push(Command::RemovePlugin {
                pool: self.mark(),
                template: template.clone(),
            });
        }
        if self.nodes.is_empty() && observed.nodes.is_empty() && observed.cluster != ClusterFact::Absent {
            self.commands.push(Command::RemovePool { pool: self.mark() });
            self.wake_after(self.patience());
        }
    }

    /// As `take`, without an item of the order: the pool itself is one.
    fn take_quietly(&mut self, name: &NodeName) {
        let stays = self.nodes.get(name).is_some_and(|node| !node.phase.is_deleting());
        if let Some(node) = self.nodes.get_mut(name).filter(|_| stays) {
            node.phase = domain::node::NodePhase::Deleting {
                cause: DeleteCause::PoolDeleted,
                since: self.now,
            };
        }
    }

    /// How long to wait for what was asked for: the longer it takes, the longer.
    fn patience(&self) -> Duration {
        let waited = self.now.duration_since(self.stalled_since()).unsigned_abs();
        (waited / 10).clamp(Duration::from_millis(100), Duration::from_mins(1))
    }

    fn is_bare(&self, observed: &Observation) -> bool {
        self.nodes.is_empty() && observed.nodes.is_empty() && observed.cluster == ClusterFact::Absent
    }

    /// A failed creation gives its machines back and is forgotten after three days.
    pub fn clear_failed(&mut self, observed: &Observation) {
        let PoolPhase::CreationFailed { at, .. } = self.pool.status.phase else {
            return;
        };
        self.take_down(observed);
        self.is_erased = self.is_forgotten(at) && self.is_bare(observed);
    }
}
