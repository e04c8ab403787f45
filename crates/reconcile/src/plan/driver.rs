//! Driver upgrades: one state machine per node (semantics §11).

use super::work::Work;
use domain::name::NodeName;
use domain::node::{Node, NodeDriverState, NodePhase};
use domain::pool::{Accelerator, DriverState, DriverStatus, PoolPhase, UpdateStrategy};
use fleet::observation::DriverProgress;
use fleet::{Command, NodeFact, Observation};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Work<'_> {
    /// The version that a node should have: that of its node pool, else the pool's.
    pub fn driver_target(&self, node: &Node) -> Option<String> {
        let kind = node.driver.as_ref()?.kind;
        let own = self
            .pool
            .spec
            .resources
            .iter()
            .find(|element| element.element() == node.element())
            .and_then(|element| element.driver_version.clone());
        own.or_else(|| self.pool.status.drivers.get(&kind).map(|status| status.target.clone()))
    }

    pub fn drivers(&mut self, observed: &Observation) {
        let strategy = self.pool.physical().map_or(UpdateStrategy::Idle, |spec| spec.driver.strategy());
        let names: Vec<NodeName> = self
            .nodes
            .values()
            .filter(|node| node.driver.is_some() && node.was_available && !node.phase.is_deleting())
            .map(|node| node.name.clone())
            .collect();
        let mut held = names.iter().filter(|name| self.is_in_work(name)).count();
        let most = (names.len() * self.policy.idle_upgrade_percent as usize / 100).max(1);
        // Idle nodes take their turn first.
        let mut ordered = names;
        ordered.sort_by_key(|name| (observed.nodes.get(name).is_some_and(|fact| fact.is_busy), name.clone()));
        for name in ordered {
            let Some(fact) = observed.nodes.get(&name) else { continue };
            let Some(mut node) = self.nodes.remove(&name) else { continue };
            let was_in_work = in_work(&node);
            self.advance_driver(&mut node, fact, strategy, held < most || was_in_work);
            if in_work(&node) && !was_in_work {
                held += 1;
            }
            self.nodes.insert(name, node);
        }
        self.summarise_drivers();
    }

    fn is_in_work(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(in_work)
    }

    /// Follows `spec.driver`; accelerators that came with a new flavor get the template's newest version, those that went
    /// with their last node are no longer shown. Before nodes are asked for: they are to come with the driver.
    pub fn set_driver_targets(&mut self) {
        let kinds: BTreeSet<Accelerator> = self
            .pool
            .spec
            .resources
            .iter()
            .filter_map(|element| self.input.catalogue.flavors.get(&element.flavor)?.accelerator())
            .collect();
        let Some(spec) = self.pool.physical().map(|spec| spec.driver.clone()) else {
            return;
        };
        let present: BTreeSet<Accelerator> = self
            .nodes
            .values()
            .filter_map(|node| node.driver.as_ref().map(|driver| driver.kind))
            .chain(kinds.iter().copied())
            .collect();
        self.pool.status.drivers.retain(|kind, _| present.contains(kind));
        for kind in kinds {
            let newest = || {
                let templates = &self.input.catalogue.templates;
                templates
                    .values()
                    .find(|template| template.name.as_str() == kind.driver_template())
                    .and_then(|template| template.newest())
                    .map(ToOwned::to_owned)
            };
            let known = self.pool.status.drivers.get(&kind);
            let Some(target) = spec
                .version(kind)
                .map(ToOwned::to_owned)
                .or_else(|| known.map(|status| status.target.clone()))
                .or_else(newest)
            else {
                continue;
            };
            let created = || DriverStatus {
                version: target.clone(),
                target: target.clone(),
                state: DriverState::Creating,
                message: None,
            };
            self.pool
                .status
                .drivers
                .entry(kind)
                .or_insert_with(created)
                .target
                .clone_from(&target);
        }
    }

    fn advance_driver(&mut self, node: &mut Node, fact: &NodeFact, strategy: UpdateStrategy, may_hold: bool) {
        let Some(target) = self.driver_target(node) else { return };
        let Some(driver) = node.driver.clone() else { return };
        let is_installed = driver.installed.as_deref() == Some(target.as_str());
        let (open, hold, set) = (
            Command::OpenNode {
                pool: self.mark(),
                node: node.name.clone(),
            },
            Command::HoldNode {
                pool: self.mark(),
                node: node.name.clone(),
            },
            |version: &str| Command::SetDriver {
                pool: self.mark(),
                node: node.name.clone(),
                version: version.to_owned(),
            },
        );
        let start = |attempt| NodeDriverState::Updating {
            target: target.clone(),
            attempt,
            since: self.now,
        };
        let mut commands = Vec::new();
        let next = match &driver.state {
            NodeDriverState::Settled if is_installed => {
                if fact.is_held {
                    commands.push(open);
                }
                NodeDriverState::Settled
            }
            NodeDriverState::Failed { target: failed, .. } if *failed == target && !is_installed => driver.state.clone(),
            NodeDriverState::Settled | NodeDriverState::Pending { .. } | NodeDriverState::Failed { .. } => {
                if is_installed {
                    NodeDriverState::Settled
                } else if strategy == UpdateStrategy::Force {
                    commands.extend([hold, set(&target)]);
                    start(1)
                } else if may_hold && matches!(node.phase, NodePhase::Available { .. }) {
                    commands.push(hold);
                    if fact.is_held && !fact.is_busy {
                        commands.push(set(&target));
                        start(1)
                    } else {
                        NodeDriverState::Draining { target: target.clone() }
                    }
                } else {
                    NodeDriverState::Pending { target: target.clone() }
                }
            }
            NodeDriverState::Draining { .. } if is_installed => {
                commands.push(open);
                NodeDriverState::Settled
            }
            NodeDriverState::Draining { .. } => {
                if strategy == UpdateStrategy::Force || (fact.is_held && !fact.is_busy) {
                    commands.extend([hold, set(&target)]);
                    start(1)
                } else {
                    if !fact.is_held {
                        commands.push(hold);
                    }
                    NodeDriverState::Draining { target: target.clone() }
                }
            }
            NodeDriverState::Updating {
                target: aimed,
                attempt,
                since,
            } => {
                let progress = fact.driver.as_ref().map(|reported| &reported.progress);
                let is_over = self.now >= since.saturating_add(self.policy.driver_timeout).unwrap_or(Timestamp::MAX);
                let has_failed = matches!(progress, Some(DriverProgress::Failed { version, .. }) if version == aimed) || is_over;
                if is_installed {
                    commands.push(open);
                    NodeDriverState::Settled
                } else if *aimed != target {
                    commands.push(set(&target));
                    start(1)
                } else if has_failed && *attempt >= 2 {
                    NodeDriverState::Failed {
                        target: target.clone(),
                        message: "the driver could not be installed".to_owned(),
                    }
                } else if has_failed {
                    commands.push(set(&target));
                    start(attempt + 1)
                } else {
                    if !matches!(progress, Some(DriverProgress::Installing { version }) if *version == target) {
                        commands.push(set(&target));
                    }
                    driver.state.clone()
                }
            }
        };
        if let NodeDriverState::Updating { since, .. } = &next {
            self.wake_at(since.saturating_add(self.policy.driver_timeout).unwrap_or(Timestamp::MAX));
        }
        self.commands.extend(commands);
        if let Some(driver) = &mut node.driver
            && driver.state != next
        {
            driver.state = next;
        }
    }

    /// `status.driver`: the version changes when the last node is done.
    fn summarise_drivers(&mut self) {
        let is_created = !matches!(self.pool.status.phase, PoolPhase::Creating);
        let nodes: Vec<Node> = self
            .nodes
            .values()
            .filter(|node| node.was_available && !node.phase.is_deleting())
            .cloned()
            .collect();
        let targets: Vec<Option<String>> = nodes.iter().map(|node| self.driver_target(node)).collect();
        for (kind, status) in &mut self.pool.status.drivers {
            let own: Vec<_> = nodes
                .iter()
                .zip(&targets)
                .filter_map(|(node, target)| Some((&node.name, node.driver.as_ref().filter(|driver| driver.kind == *kind)?, target)))
                .collect();
            let is_new = !self.input.tree.root.status.drivers.contains_key(kind);
            if own.is_empty() || is_new {
                continue;
            }
            let failed = own
                .iter()
                .find(|(_, driver, _)| matches!(driver.state, NodeDriverState::Failed { .. }));
            // A node that the fleet does not report has not been looked at, and may be settled with the version before.
            let is_settled = own.iter().all(|(_, driver, target)| {
                driver.state == NodeDriverState::Settled && driver.installed.is_some() && driver.installed == **target
            });
            let (state, message) = match failed {
                Some((name, ..)) => (
                    DriverState::Abnormal,
                    Some(format!("the driver of node {name} could not be installed")),
                ),
                None if is_settled => (DriverState::Running, None),
                None if !is_created => (status.state, None),
                None => (DriverState::Upgrading, None),
            };
            if state == DriverState::Running && status.version != status.target {
                status.version.clone_from(&status.target);
            }
            if status.state.may_become(state) && (status.state, &status.message) != (state, &message) {
                status.state = state;
                status.message = message;
            }
        }
    }
}

fn in_work(node: &Node) -> bool {
    node.driver
        .as_ref()
        .is_some_and(|driver| matches!(driver.state, NodeDriverState::Draining { .. } | NodeDriverState::Updating { .. }))
}
