//! The order that the pool is being worked on for (semantics §5 and §7).

use super::work::Work;
use domain::name::FlavorName;
use domain::node::{Node, NodePhase};
use domain::order::{Operation, OrderCount, OrderPhase, Outcome};
use domain::pool::{AzCount, PoolPhase, ResourceCounts};
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::{Count, counters};

impl Work<'_> {
    /// What the pool has, by flavor.
    pub fn reached(&self) -> Vec<OrderCount> {
        let mut sums: BTreeMap<FlavorName, OrderCount> = BTreeMap::new();
        let has = |node: &&Node| {
            matches!(node.phase, NodePhase::Available { .. } | NodePhase::Abnormal { .. })
                || (node.was_available && !node.phase.is_deleting())
        };
        for node in self.nodes.values().filter(has) {
            let sum = sums.entry(node.flavor.clone()).or_insert_with(|| OrderCount {
                flavor: node.flavor.clone(),
                count: 0,
                max_count: 0,
                azs: Vec::new(),
            });
            sum.count += 1;
            sum.max_count += 1;
            match sum.azs.iter_mut().find(|entry| entry.az == node.az) {
                Some(entry) => entry.count += 1,
                None => sum.azs.push(AzCount {
                    az: node.az.clone(),
                    count: 1,
                }),
            }
        }
        sums.into_values().collect()
    }

    /// Ends the order when its work is done, or cannot be.
    pub fn progress_order(&mut self) {
        let Some(order) = self.order.as_ref().filter(|order| order.phase == OrderPhase::Processing) else {
            return;
        };
        let counters = self.counters();
        let is_busy = counters.creating + counters.deleting > 0;
        let shortfall = self.shortfall();
        let outcome = match self.pool.status.phase {
            PoolPhase::Creating | PoolPhase::Waiting(_) | PoolPhase::Deleting => return,
            PoolPhase::CreationFailed { .. } => Outcome::Failed { reason: shortfall },
            PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } | PoolPhase::Error { .. } => {
                if is_busy || order.operation == Operation::Delete {
                    return;
                }
                let given_up = !self.pool.status.attempt.given_up.is_empty();
                if shortfall.is_empty() {
                    Outcome::Successed
                } else if !given_up {
                    return;
                } else if order.has_reached_anything(&self.reached()) {
                    Outcome::PartialSuccessed { reason: shortfall }
                } else {
                    Outcome::Failed { reason: shortfall }
                }
            }
        };
        self.end_order(outcome);
    }

    pub fn end_order(&mut self, outcome: Outcome) {
        let (now, reached) = (self.now, self.reached());
        let failed: Vec<String> = self
            .nodes
            .values()
            .filter(|node| !node.was_available)
            .map(|node| node.name.to_string())
            .collect();
        if let Some(order) = self.open_order() {
            for item in order
                .items
                .iter_mut()
                .filter(|item| item.status == domain::order::ItemStatus::Processing && !failed.contains(&item.resource))
            {
                item.status = domain::order::ItemStatus::Succeed;
                item.updated_at = now;
            }
            order.end(now, outcome, reached);
        }
        self.pool.status.attempt.is_finished = true;
    }

    /// An order that nobody confirms is rejected in the end.
    pub fn expire_order(&mut self) {
        let Some(order) = self.order.as_ref().filter(|order| matches!(order.phase, OrderPhase::Pending(_))) else {
            return;
        };
        let operation = order.operation;
        let over = order.created_at.saturating_add(self.policy.order_expiry).unwrap_or(Timestamp::MAX);
        if self.now < over {
            return self.wake_at(over);
        }
        let reason = "not confirmed in time".to_owned();
        if operation == Operation::Apply {
            self.end_order(Outcome::Failed { reason: reason.clone() });
            self.enter(PoolPhase::CreationFailed {
                message: reason,
                at: self.now,
            });
            self.stop_counting();
        } else if let Some(previous) = self.pool.status.attempt.previous.take() {
            self.uncount_nodes(&previous);
            self.pool.spec.resources = previous;
            self.pool.generation += 1;
            self.end_order(Outcome::Failed { reason });
        }
    }

    /// A creation that came to nothing: machines are given back, and the pool counts no more.
    pub fn fail_creation(&mut self, message: String) {
        self.enter(PoolPhase::CreationFailed {
            message: message.clone(),
            at: self.now,
        });
        self.end_order(Outcome::Failed { reason: message });
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for name in names {
            self.take(&name, domain::node::DeleteCause::GivenUp);
        }
        self.stop_counting();
        self.wake_at(self.now);
    }

    /// The pool no longer counts against quota, machines, network and addresses.
    pub fn stop_counting(&mut self) {
        let project = self.pool.owner.project.clone();
        self.counts.push(Count {
            key: counters::pools_of(&project),
            add: -1,
            at_most: None,
        });
        if let Some(network) = self.pool.physical().map(|spec| spec.network.clone()) {
            self.counts.push(Count {
                key: counters::users_of_network(&project, &network),
                add: -1,
                at_most: None,
            });
            self.uncount_nodes(&[]);
        }
    }

    /// Lowers promised machines and addresses from the present spec to another.
    fn uncount_nodes(&mut self, after: &[domain::pool::PoolResource]) {
        let Some(network) = self.pool.physical().map(|spec| spec.network.clone()) else {
            return;
        };
        let sums = |resources: &[domain::pool::PoolResource]| {
            let mut sums: BTreeMap<FlavorName, i64> = BTreeMap::new();
            for element in resources {
                *sums.entry(element.flavor.clone()).or_insert(0) += i64::from(element.count);
            }
            sums
        };
        let (old, new) = (sums(&self.pool.spec.resources), sums(after));
        let mut total = 0;
        for flavor in old.keys().chain(new.keys().filter(|flavor| !old.contains_key(*flavor))) {
            let add = new.get(flavor).unwrap_or(&0) - old.get(flavor).unwrap_or(&0);
            total += add;
            if add != 0 {
                self.counts.push(Count {
                    key: counters::promised(flavor),
                    add,
                    at_most: None,
                });
            }
        }
        if total != 0 {
            self.counts.push(Count {
                key: counters::addresses_of(&self.pool.owner.project, &network),
                add: total,
                at_most: None,
            });
        }
    }

    pub fn clear_counts(&mut self) {
        self.pool.status.resources = ResourceCounts::default();
    }
}
