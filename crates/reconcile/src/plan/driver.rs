//! Driver upgrades: one state machine per node (semantics §11).

pub mod machine;

use super::work::Work;
use domain::name::NodeName;
use domain::node::{Node, NodeDriver, NodeDriverState, NodePhase};
use domain::pool::{Accelerator, DriverState, DriverStatus, PoolPhase, UpdateStrategy};
use domain::status;
use fleet::{Command, NodeFact, Observation};
use machine::{Act, Limits, Places, Seen};
use std::collections::BTreeSet;

impl Work<'_> {
    /// The version that a node should have.
    pub fn driver_target(&self, node: &Node) -> Option<String> {
        status::driver_target(&self.pool, node).map(ToOwned::to_owned)
    }

    pub fn drivers(&mut self, observed: &Observation) {
        let (mut all, mut places) = (0, Places { taken: 0 });
        // Idle nodes take their turn first.
        let mut ordered: Vec<(bool, NodeName)> = Vec::new();
        for (node, fact) in self.nodes.with(&observed.nodes).filter(|(node, _)| may_be_upgraded(node)) {
            all += 1;
            places.taken += usize::from(in_work(node));
            if let Some(fact) = fact.filter(|fact| !self.is_upgraded(node, fact)) {
                ordered.push((fact.is_busy, node.name.clone()));
            }
        }
        ordered.sort();
        let share = |percent: u32| (all * percent as usize / 100).max(1);
        let (idle, force) = (
            share(self.policy.idle_upgrade_percent),
            self.policy.force_upgrade_percent.map_or(usize::MAX, share),
        );
        for (_, name) in ordered {
            let Some(fact) = observed.node(&name) else { continue };
            let Some(node) = self.nodes.get(&name) else { continue };
            let was_in_work = in_work(node);
            let most = match self.driver_strategy(node) {
                UpdateStrategy::Idle => idle,
                UpdateStrategy::Force => force,
            };
            self.advance_driver(&name, fact, places.admits(was_in_work, most));
            places.note(was_in_work, self.nodes.get(&name).is_some_and(in_work));
        }
        self.summarise_drivers();
    }

    /// It has its driver, and is not closed any more.
    fn is_upgraded(&self, node: &Node, fact: &NodeFact) -> bool {
        let is_done = |driver: &NodeDriver| {
            let target = status::driver_target(&self.pool, node);
            driver.state == NodeDriverState::Settled && driver.installed.as_deref() == target && target.is_some()
        };
        !fact.is_held && node.driver.as_ref().is_some_and(is_done)
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

    /// Takes one step of the node's state machine.
    fn advance_driver(&mut self, name: &NodeName, fact: &NodeFact, has_place: bool) {
        let Some(node) = self.nodes.get(name) else { return };
        let Some(target) = self.driver_target(node) else { return };
        let strategy = self.driver_strategy(node);
        let Some(driver) = &node.driver else { return };
        let of_pool = self.pool.status.drivers.get(&driver.kind).map(|status| status.target.as_str());
        let is_own = of_pool.is_some_and(|of_pool| of_pool != target);
        let seen = Seen {
            now: self.now,
            target: &target,
            strategy,
            installed: driver.installed.as_deref(),
            progress: fact.driver.as_ref().map(|reported| &reported.progress),
            is_busy: fact.is_busy,
            is_held: fact.is_held,
            is_well: matches!(node.phase, NodePhase::Available { .. }),
            has_place,
            limits: Limits {
                install: self.policy.driver_timeout,
                drain: self.policy.idle_upgrade_patience,
            },
        };
        let next = machine::advance(&driver.state, &seen);
        // Most nodes wait for their turn, and are not copied for that.
        let has_changed = driver.state != next.state;
        if has_changed && let Some(driver) = self.nodes.get_mut(name).and_then(|node| node.driver.as_mut()) {
            driver.state = next.state;
        }
        for act in next.acts {
            let (pool, node) = (self.mark(), name.clone());
            self.commands.push(match act {
                Act::Hold => Command::HoldNode { pool, node },
                Act::Open => Command::OpenNode { pool, node },
                Act::Install => Command::SetDriver {
                    pool,
                    node,
                    version: target.clone(),
                    is_own,
                },
            });
        }
        if let Some(at) = next.wake {
            self.wake_at(at);
        }
    }

    /// The node's own way of upgrading, else the pool's.
    fn driver_strategy(&self, node: &Node) -> UpdateStrategy {
        let own = node.care.driver.as_ref().and_then(|own| own.strategy);
        own.unwrap_or_else(|| self.pool.physical().map_or(UpdateStrategy::Idle, |spec| spec.driver.strategy()))
    }

    /// `status.driver`: the version changes when the last node is done.
    fn summarise_drivers(&mut self) {
        let is_created = !matches!(self.pool.status.phase, PoolPhase::Creating);
        let nodes = self.nodes.values().filter(|node| node.was_available && !node.phase.is_deleting());
        let nodes: Vec<(&Node, Option<&str>)> = nodes.map(|node| (node, status::driver_target(&self.pool, node))).collect();
        let mut next = self.pool.status.drivers.clone();
        for (kind, status) in &mut next {
            let own: Vec<_> = nodes
                .iter()
                .filter_map(|(node, target)| Some((&node.name, node.driver.as_ref().filter(|driver| driver.kind == *kind)?, *target)))
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
                driver.state == NodeDriverState::Settled && driver.installed.is_some() && driver.installed.as_deref() == *target
            });
            let (state, message) = match failed {
                Some((name, driver, _)) => (DriverState::Abnormal, Some(told(name, driver))),
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
        self.pool.status.drivers = next;
    }
}

fn may_be_upgraded(node: &Node) -> bool {
    // A machine that starts anew or is installed anew is not to be disturbed.
    let is_disturbed = node.care.task.as_ref().is_some_and(|task| task.began_at.is_some());
    node.driver.is_some() && node.was_available && !node.phase.is_deleting() && !is_disturbed
}

/// Which driver was given up, and why.
fn told(name: &NodeName, driver: &NodeDriver) -> String {
    match &driver.state {
        NodeDriverState::Failed {
            is_open: true, message, ..
        } => format!("node {name} was not upgraded: {message}"),
        NodeDriverState::Failed { is_open: false, .. }
        | NodeDriverState::Settled
        | NodeDriverState::Pending { .. }
        | NodeDriverState::Draining { .. }
        | NodeDriverState::Updating { .. } => format!("the driver of node {name} could not be installed"),
    }
}

fn in_work(node: &Node) -> bool {
    node.driver.as_ref().is_some_and(|driver| machine::in_work(&driver.state))
}
