//! What the fleet reports of the pool and its nodes.

use super::work::Work;
use domain::name::NodeName;
use domain::node::{DeleteCause, MachineFacts, Node, NodeDriver, NodeDriverState, NodePhase};
use domain::order::ItemStatus;
use domain::pool::PoolPhase;
use fleet::observation::{ClusterFact, DriverProgress};
use fleet::{Command, MachineState, NodeFact, NodeRequest, Observation};
use jiff::Timestamp;

/// Message of a node whose machine the fleet does not know.
const MISSING: &str = "node object missing";

impl Work<'_> {
    /// Sets the pool's cluster up, and notes what is reported of it.
    pub fn observe_pool(&mut self, observed: &Observation) {
        match &observed.cluster {
            ClusterFact::Absent => self.commands.push(Command::EnsurePool { pool: self.mark() }),
            ClusterFact::Ready => self.pool.status.cluster_ready = true,
            ClusterFact::Starting | ClusterFact::Failed(_) | ClusterFact::Unreachable => {}
        }
    }

    pub fn observe_nodes(&mut self, observed: &Observation) {
        let is_news = |(node, fact): &(&Node, Option<&NodeFact>)| !fact.is_some_and(|fact| is_as_known(node, fact));
        let news = self.nodes.with(&observed.nodes).filter(is_news);
        let names: Vec<NodeName> = news.map(|(node, _)| node.name.clone()).collect();
        for name in names {
            let Some(mut node) = self.nodes.remove(&name) else { continue };
            if self.observe_node(&mut node, observed.node(&name)) {
                self.nodes.insert(node);
            }
        }
        let orphans: Vec<NodeName> = observed
            .nodes
            .keys()
            // A name that is in use elsewhere is that of a node on its way to another pool, which takes the machine over.
            .filter(|name| !self.nodes.contains_key(name) && !self.nodes.was_known(name) && !(self.input.taken)(name))
            .cloned()
            .collect();
        for node in orphans {
            self.commands.push(Command::DeleteNode { pool: self.mark(), node });
        }
    }

    /// `false`: the node is gone, and so is its record.
    fn observe_node(&mut self, node: &mut Node, fact: Option<&NodeFact>) -> bool {
        if node.phase.is_deleting() {
            if fact.is_none() {
                return false;
            }
            self.commands.push(Command::DeleteNode {
                pool: self.mark(),
                node: node.name.clone(),
            });
            return true;
        }
        if let Some(stays) = self.await_arrival(node, fact) {
            return stays;
        }
        let Some(fact) = fact else { return self.observe_absence(node) };
        if !is_machine_known(node, fact) {
            node.machine = Some(Box::new(MachineFacts {
                private_ip: fact.private_ip.clone(),
                instance: fact.instance.clone(),
                resources: fact.resources.clone(),
                available: fact.available.clone(),
                os: fact.os.clone(),
            }));
        }
        if self.follow_task(node, fact) {
            return true;
        }
        observe_driver(node, fact);
        self.observe_state(node, fact);
        true
    }

    /// A node that the fleet does not know: not made yet, or lost.
    fn observe_absence(&mut self, node: &mut Node) -> bool {
        match &node.phase {
            NodePhase::Creating { deadline } | NodePhase::Checking { deadline } if !node.was_available => {
                if self.now >= *deadline {
                    self.give_up(node);
                    return false;
                }
                self.wake_at(*deadline);
                self.commands.push(self.create_command(node));
                true
            }
            NodePhase::Abnormal { since, message } if message == MISSING => {
                let over = since.saturating_add(self.policy.machine_grace).unwrap_or(Timestamp::MAX);
                if self.now >= over {
                    // Its record goes; what is missing then is made anew.
                    return false;
                }
                self.wake_at(over);
                true
            }
            // The time of grace begins now, however long the node has been abnormal for another reason.
            NodePhase::Creating { .. }
            | NodePhase::Checking { .. }
            | NodePhase::Available { .. }
            | NodePhase::Abnormal { .. }
            | NodePhase::Deleting { .. } => {
                node.phase = NodePhase::Abnormal {
                    since: self.now,
                    message: MISSING.to_owned(),
                };
                self.wake_after(self.policy.machine_grace);
                true
            }
        }
    }

    pub fn create_command(&self, node: &Node) -> Command {
        Command::CreateNode(NodeRequest {
            pool: self.mark(),
            node: node.name.clone(),
            flavor: node.flavor.clone(),
            az: node.az.clone(),
            driver: self.driver_target(node),
            image: node.template.as_ref().and_then(|template| template.os.clone()),
            labels: node.template.as_ref().map(|template| template.labels.clone()).unwrap_or_default(),
        })
    }

    fn give_up(&mut self, node: &Node) {
        let now = self.now;
        self.pool.status.attempt.give_up(&node.element());
        if let Some(order) = self.open_order() {
            order.settle_item(node.name.as_str(), ItemStatus::Failed, now, "did not become available in time");
        }
    }

    fn observe_state(&mut self, node: &mut Node, fact: &NodeFact) {
        let given_up_at = |since: Timestamp| since.saturating_add(self.policy.heartbeat_loss).unwrap_or(Timestamp::MAX);
        let silent_at = fact.silent_since.map(given_up_at);
        let is_silent = silent_at.is_some_and(|at| at <= self.now);
        if let Some(at) = silent_at
            && !is_silent
            && matches!(fact.state, MachineState::Ready | MachineState::Checking | MachineState::Faulty(_))
        {
            self.wake_at(at);
        }
        let deadline = match node.phase {
            NodePhase::Creating { deadline } | NodePhase::Checking { deadline } => deadline,
            NodePhase::Available { .. } | NodePhase::Abnormal { .. } | NodePhase::Deleting { .. } => Timestamp::MAX,
        };
        let is_new = !node.was_available;
        let next = match &fact.state {
            MachineState::Failed(reason) if is_new => {
                let reason = reason.clone();
                self.fail_new(node, &reason);
                return;
            }
            MachineState::Releasing if !is_new => abnormal(node, self.now, "the machine is being taken back"),
            MachineState::Failed(reason) | MachineState::Faulty(reason) if !is_new => abnormal(node, self.now, reason),
            MachineState::Ready | MachineState::Checking | MachineState::Booting if !is_new && is_silent => {
                abnormal(node, self.now, "no sign of life from the machine")
            }
            MachineState::Ready if !is_silent && (!is_new || is_driver_done(node.driver.as_ref(), fact)) => match node.phase {
                NodePhase::Available { since } => NodePhase::Available { since },
                NodePhase::Creating { .. } | NodePhase::Checking { .. } | NodePhase::Abnormal { .. } | NodePhase::Deleting { .. } => {
                    NodePhase::Available { since: self.now }
                }
            },
            MachineState::Checking if is_new => NodePhase::Checking { deadline },
            MachineState::Booting
            | MachineState::Checking
            | MachineState::Ready
            | MachineState::Faulty(_)
            | MachineState::Failed(_)
            | MachineState::Releasing => node.phase.clone(),
        };
        if is_new && !matches!(next, NodePhase::Available { .. }) {
            if self.now >= deadline {
                self.fail_new(node, "did not become available in time");
                return;
            }
            self.wake_at(deadline);
        }
        if let NodePhase::Available { .. } = next {
            node.was_available = true;
        }
        if node.phase.may_become(&next) && node.phase != next {
            node.phase = next;
        }
    }

    /// A new node that will not come up: its machine is given back, and it counts as given up.
    fn fail_new(&mut self, node: &mut Node, reason: &str) {
        let now = self.now;
        self.pool.status.attempt.give_up(&node.element());
        if let Some(order) = self.open_order() {
            order.settle_item(node.name.as_str(), ItemStatus::Failed, now, reason);
        }
        node.phase = NodePhase::Deleting {
            cause: DeleteCause::GivenUp,
            since: self.now,
        };
        self.commands.push(Command::DeleteNode {
            pool: self.mark(),
            node: node.name.clone(),
        });
    }

    /// Whether nodes are to be made and kept at all.
    pub fn is_building(&self) -> bool {
        domain::status::is_building(&self.pool) && !matches!(self.pool.status.phase, PoolPhase::Error { .. })
    }
}

/// A node that is up and of which nothing is reported that its record does not say: nothing follows from it.
fn is_as_known(node: &Node, fact: &NodeFact) -> bool {
    let is_driver_known = match (&node.driver, &fact.driver) {
        (Some(driver), Some(reported)) => driver.installed == reported.installed,
        (None, _) | (_, None) => true,
    };
    matches!(node.phase, NodePhase::Available { .. })
        && node.was_available
        && node.care.task.is_none()
        && node.care.coming_from.is_none()
        && fact.state == MachineState::Ready
        && fact.silent_since.is_none()
        && is_driver_known
        && is_machine_known(node, fact)
}

fn is_machine_known(node: &Node, fact: &NodeFact) -> bool {
    node.machine.as_ref().is_some_and(|known| {
        known.private_ip == fact.private_ip
            && known.instance == fact.instance
            && known.resources == fact.resources
            && known.available == fact.available
            && known.os == fact.os
    })
}

fn observe_driver(node: &mut Node, fact: &NodeFact) {
    let (Some(driver), Some(reported)) = (&mut node.driver, &fact.driver) else {
        return;
    };
    if driver.installed != reported.installed {
        driver.installed.clone_from(&reported.installed);
    }
}

fn abnormal(node: &Node, now: Timestamp, message: &str) -> NodePhase {
    let since = match &node.phase {
        NodePhase::Abnormal { since, .. } => *since,
        NodePhase::Creating { .. } | NodePhase::Checking { .. } | NodePhase::Available { .. } | NodePhase::Deleting { .. } => now,
    };
    NodePhase::Abnormal {
        since,
        message: message.to_owned(),
    }
}

/// Whether a new node has the driver it was asked to have.
pub(super) fn is_driver_done(driver: Option<&NodeDriver>, fact: &NodeFact) -> bool {
    match (driver, &fact.driver) {
        (None, _) | (Some(_), None) => true,
        (Some(driver), Some(reported)) => match (&driver.state, &reported.progress) {
            (NodeDriverState::Failed { .. }, _) => true,
            (_, DriverProgress::Done) => reported.installed.is_some(),
            (_, DriverProgress::Installing { .. } | DriverProgress::Failed { .. }) => false,
        },
    }
}
