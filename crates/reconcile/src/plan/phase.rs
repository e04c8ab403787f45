//! The phase of a pool: one function of what is there (README §8.1).

use super::work::Work;
use domain::event::Counters;
use domain::node::{Node, NodeCounter};
use domain::pool::{ElementKey, PoolPhase, Purpose};
use fleet::Observation;
use fleet::observation::ClusterFact;
use jiff::Timestamp;

impl Work<'_> {
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for node in self.nodes.values() {
            match node.counter() {
                NodeCounter::Creating => counters.creating += 1,
                NodeCounter::Available => counters.available += 1,
                NodeCounter::Abnormal => counters.abnormal += 1,
                NodeCounter::Deleting => counters.deleting += 1,
            }
        }
        counters
    }

    pub fn derive_phase(&mut self, observed: &Observation) {
        let counters = self.counters();
        match self.pool.status.phase {
            PoolPhase::Creating => self.creating(counters, observed),
            PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } => self.running(counters, observed),
            PoolPhase::Waiting(_) | PoolPhase::CreationFailed { .. } | PoolPhase::Error { .. } | PoolPhase::Deleting => {}
        }
    }

    fn creating(&mut self, counters: Counters, observed: &Observation) {
        if let ClusterFact::Failed(reason) = &observed.cluster {
            let message = format!("the cluster could not be set up: {reason}");
            return self.fail_creation(message);
        }
        if counters.creating > 0 {
            return;
        }
        if counters.available > 0 {
            if !self.pool.status.cluster_ready {
                return;
            }
            if !self.pool.status.attempt.given_up.is_empty() {
                self.pool.status.attempt.retry_at = self.now.saturating_add(self.policy.creation_retry).ok();
                self.wake_after(self.policy.creation_retry);
            }
            self.enter(PoolPhase::Running);
            // Job types and plug-ins begin now.
            self.wake_at(self.now);
        } else if counters.abnormal == 0 || !self.pool.status.attempt.given_up.is_empty() {
            let message = format!("no node became available: {}", self.shortfall());
            self.fail_creation(message);
        }
    }

    fn running(&mut self, counters: Counters, observed: &Observation) {
        let attempt = &self.pool.status.attempt;
        if attempt.purpose == Purpose::Creation && !attempt.given_up.is_empty() && attempt.retry_at.is_none() {
            self.pool.status.attempt.retry_at = self.now.saturating_add(self.policy.creation_retry).ok();
            self.wake_after(self.policy.creation_retry);
        }
        let is_unwell = (counters.available == 0 && counters.abnormal > 0) || observed.cluster == ClusterFact::Unreachable;
        if !is_unwell {
            self.pool.status.unwell_since = None;
        } else if self.pool.status.unwell_since.is_none() {
            self.pool.status.unwell_since = Some(self.now);
        }
        let over = self
            .pool
            .status
            .unwell_since
            .map(|since| since.saturating_add(self.policy.unwell).unwrap_or(Timestamp::MAX));
        let is_abnormal = over.is_some_and(|over| self.now > over);
        if let Some(over) = over.filter(|_| !is_abnormal) {
            self.wake_at(over.saturating_add(std::time::Duration::from_millis(1)).unwrap_or(over));
        }
        let has_fallen_short =
            self.pool.status.attempt.purpose == Purpose::Scaling && !self.pool.status.attempt.given_up.is_empty() && counters.creating == 0;
        if is_abnormal {
            let message = if observed.cluster == ClusterFact::Unreachable {
                "the control plane is not reachable".to_owned()
            } else {
                format!("no node is available, {} are abnormal", counters.abnormal)
            };
            if !matches!(self.pool.status.phase, PoolPhase::Abnormal { .. }) {
                self.enter(PoolPhase::Abnormal { message });
            }
        } else if has_fallen_short {
            let message = self.shortfall();
            if self.pool.status.phase != (PoolPhase::ScalingFailed { message: message.clone() }) {
                self.enter(PoolPhase::ScalingFailed { message });
            }
        } else if self.pool.status.phase != PoolPhase::Running
            && (!is_unwell || matches!(self.pool.status.phase, PoolPhase::ScalingFailed { .. }))
        {
            let is_still_trying = matches!(self.pool.status.phase, PoolPhase::ScalingFailed { .. }) && counters.creating > 0;
            if !is_still_trying {
                self.enter(PoolPhase::Running);
            }
        }
    }

    /// Which flavors are short of how many nodes.
    pub fn shortfall(&self) -> String {
        let mut parts = Vec::new();
        for element in &self.pool.spec.resources {
            let key: ElementKey = element.element();
            let have = self
                .nodes
                .values()
                .filter(|node: &&Node| !node.phase.is_deleting() && node.element() == key)
                .count();
            let missing = (element.count as usize).saturating_sub(have);
            if missing > 0 {
                parts.push(format!("{} is short of {missing} of {} nodes", element.flavor, element.count));
            }
        }
        parts.join(", ")
    }
}
