//! Logical pools: they mirror their root, and those that wait or failed have clocks of their own.

use super::work::Work;

use domain::order::{OrderPhase, Outcome};
use domain::pool::{JobType, Pool, PoolPhase};
use jiff::Timestamp;
use store::{Count, counters};

impl Work<'_> {
    /// A logical pool without a root: it waits for approval, or has failed.
    pub fn plan_unrooted(&mut self) {
        match self.pool.status.phase {
            PoolPhase::Waiting(_) => self.expire_order(),
            PoolPhase::CreationFailed { at, .. } => self.is_erased = self.is_forgotten(at),
            PoolPhase::Creating
            | PoolPhase::Running
            | PoolPhase::Abnormal { .. }
            | PoolPhase::ScalingFailed { .. }
            | PoolPhase::Error { .. }
            | PoolPhase::Deleting => {}
        }
    }

    /// Descendants are abnormal exactly while the root is, and show what it has of `Train`.
    pub fn mirror_descendants(&mut self) {
        if self.is_erased {
            return;
        }
        let train: Vec<_> = self
            .pool
            .status
            .scopes
            .iter()
            .filter(|scope| scope.job_type == JobType::Train)
            .cloned()
            .collect();
        let is_abnormal = matches!(self.pool.status.phase, PoolPhase::Abnormal { .. });
        for at in 0..self.descendants.len() {
            let Some(mut child) = self.descendants[at].take() else { continue };
            match child.status.phase {
                PoolPhase::Running if is_abnormal => {
                    let message = format!("pool {} is abnormal", self.pool.name);
                    self.enter_child(&mut child, PoolPhase::Abnormal { message });
                }
                PoolPhase::Abnormal { .. } if !is_abnormal => self.enter_child(&mut child, PoolPhase::Running),
                PoolPhase::Waiting(_) => self.expire_child(&mut child, at),
                PoolPhase::CreationFailed { at, .. } if self.is_forgotten(at) => continue,
                PoolPhase::Running
                | PoolPhase::Abnormal { .. }
                | PoolPhase::Creating
                | PoolPhase::ScalingFailed { .. }
                | PoolPhase::CreationFailed { .. }
                | PoolPhase::Error { .. }
                | PoolPhase::Deleting => {}
            }
            let mirrors = matches!(child.status.phase, PoolPhase::Running | PoolPhase::Abnormal { .. });
            if mirrors && child.status.scopes != train {
                child.status.scopes.clone_from(&train);
            }
            self.descendants[at] = Some(child);
        }
    }

    fn enter_child(&mut self, child: &mut Pool, phase: PoolPhase) {
        self.descendant_events.extend(child.enter(phase, self.now));
    }

    /// Whether a creation that failed at this time has been kept for long enough.
    pub fn is_forgotten(&mut self, failed_at: Timestamp) -> bool {
        let over = failed_at.saturating_add(self.policy.failed_retention).unwrap_or(Timestamp::MAX);
        if self.now < over {
            self.wake_at(over);
        }
        self.now >= over
    }

    fn expire_child(&mut self, child: &mut Pool, at: usize) {
        let Some(order) = self.input.tree.descendants[at]
            .order
            .as_ref()
            .filter(|order| matches!(order.phase, OrderPhase::Pending(_)))
        else {
            return;
        };
        let over = order.created_at.saturating_add(self.policy.order_expiry).unwrap_or(Timestamp::MAX);
        if self.now < over {
            return self.wake_at(over);
        }
        let reason = "not confirmed in time".to_owned();
        let mut ended = domain::order::Order::clone(order);
        ended.end(self.now, Outcome::Failed { reason: reason.clone() }, Vec::new());
        self.descendant_orders.push(ended);
        let phase = PoolPhase::CreationFailed {
            message: reason,
            at: self.now,
        };
        self.enter_child(child, phase);
        child.status.attempt.is_finished = true;
        self.wake_after(self.policy.failed_retention);
        self.counts.push(Count {
            key: counters::pools_of(&child.owner.project),
            add: -1,
            at_most: None,
        });
        let Some(parent) = child.logical().and_then(|spec| spec.parent.clone()) else {
            return;
        };
        let is_parent = |pool: &Pool| pool.name == parent.name && pool.owner.project == parent.project;
        let parent = std::iter::once(&mut self.pool)
            .chain(self.descendants.iter_mut().flatten())
            .find(|pool| is_parent(pool));
        if let Some(parent) = parent {
            parent.status.children = parent.status.children.saturating_sub(1);
        }
    }
}
