//! What nodes are asked to go through: moves, reboots, resets, drains (contract nodes §4). The record holds the intent; each
//! step repeats the command until the fleet reports the request, then waits for its end.

use super::work::Work;
use domain::job::{Job, JobNodeState};
use domain::meta::Uid;
use domain::name::{NodeName, PoolName};
use domain::node::{DRAIN_TAINT, DeleteCause, Node, NodeDriverState, NodePhase, NodeTask, NodeTemplate, TaskKind};
use domain::order::ItemStatus;
use domain::pool::PoolPhase;
use fleet::{Command, MachineState, NodeFact, Observation, PoolMark, RequestProgress, ResetRequest};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    /// `None`: its machine is here, or was never elsewhere. Else whether its record stays while it is waited for.
    pub fn await_arrival(&mut self, node: &mut Node, fact: Option<&NodeFact>) -> Option<bool> {
        let from = node.care.coming_from.clone()?;
        if fact.is_some() {
            node.care.coming_from = None;
            return None;
        }
        let deadline = match node.phase {
            NodePhase::Checking { deadline } if deadline < Timestamp::MAX => deadline,
            NodePhase::Checking { .. }
            | NodePhase::Creating { .. }
            | NodePhase::Available { .. }
            | NodePhase::Abnormal { .. }
            | NodePhase::Deleting { .. } => {
                let deadline = self.now.saturating_add(self.policy.node_timeout).unwrap_or(Timestamp::MAX);
                node.phase = NodePhase::Checking { deadline };
                deadline
            }
        };
        if self.now >= deadline {
            let now = self.now;
            self.pool.status.attempt.give_up(&node.element());
            if let Some(order) = self.open_order() {
                order.settle_item(node.name.as_str(), ItemStatus::Failed, now, "its machine did not arrive in time");
            }
            return Some(false);
        }
        self.wake_at(deadline);
        self.commands.push(Command::MoveNode {
            pool: self.mark(),
            node: node.name.clone(),
            from: PoolMark {
                uid: from.uid,
                pool: from.pool,
            },
        });
        Some(true)
    }

    /// Follows the request that the node is asked to go through. `true`: it is in work, and nothing else is to be concluded
    /// from what its machine does.
    pub fn follow_task(&mut self, node: &mut Node, fact: &NodeFact) -> bool {
        let Some(task) = node.care.task.clone() else { return false };
        let began_at = match task.began_at {
            Some(at) => at,
            None if !self.may_begin(&task) => return false,
            None => {
                if let Some(task) = &mut node.care.task {
                    task.began_at = Some(self.now);
                }
                self.now
            }
        };
        let over = began_at.saturating_add(self.policy.request_timeout).unwrap_or(Timestamp::MAX);
        let progress = fact.request.as_ref().filter(|request| request.number == task.number);
        match judge(node, &task, fact, progress.map(|request| &request.progress)) {
            Some(result) => {
                self.finish_task(node, &task, result);
                return false;
            }
            None if self.now >= over => {
                self.finish_task(node, &task, Err("it did not come up in time".to_owned()));
                return false;
            }
            None => {}
        }
        let phase = NodePhase::Checking { deadline: over };
        if node.phase != phase && node.phase.may_become(&phase) {
            node.phase = phase;
        }
        self.wake_at(over);
        if progress.is_none() {
            let command = self.task_command(node, &task);
            self.commands.push(command);
        }
        true
    }

    /// Jobs may bound how many of their nodes are worked on at once.
    fn may_begin(&self, task: &NodeTask) -> bool {
        let Some(job) = task.job.as_ref().and_then(|id| self.jobs.get(id)) else {
            return true;
        };
        let Some(most) = job.at_once else { return true };
        let busy = self.nodes.values().filter(|node| {
            let own = node.care.task.as_ref().filter(|own| own.job == task.job);
            own.is_some_and(|own| own.began_at.is_some()) && !node.phase.is_deleting()
        });
        busy.count() < most as usize
    }

    fn task_command(&self, node: &Node, task: &NodeTask) -> Command {
        match &task.kind {
            TaskKind::Reboot => Command::RebootNode {
                pool: self.mark(),
                node: node.name.clone(),
                number: task.number,
            },
            TaskKind::Reset { image, runtime } => Command::ResetNode(ResetRequest {
                pool: self.mark(),
                node: node.name.clone(),
                number: task.number,
                image: image.clone(),
                runtime: runtime.clone(),
                driver: self.driver_target(node),
            }),
        }
    }

    fn finish_task(&mut self, node: &mut Node, task: &NodeTask, result: Result<(), String>) {
        node.care.task = None;
        if let Err(reason) = &result
            && node.was_available
        {
            let phase = NodePhase::Abnormal {
                since: self.now,
                message: reason.clone(),
            };
            if node.phase.may_become(&phase) {
                node.phase = phase;
            }
        }
        if result.is_ok() {
            // What was drained is fresh now.
            node.care.drain = None;
            node.care.untaint(DRAIN_TAINT);
            if let TaskKind::Reset { image, runtime } = &task.kind {
                reinstalled(node, image.as_ref(), runtime.as_ref());
            }
        }
        let state = match result {
            Ok(()) => JobNodeState::Done,
            Err(reason) => JobNodeState::Failed { reason },
        };
        if let Some(job) = task.job.as_ref().and_then(|id| self.jobs.get_mut(id)) {
            job.settle(&node.name, &state);
        }
        // Whoever waited for a turn has it now.
        self.wake_at(self.now);
    }

    /// Drains, and evicts jobs from nodes that are to have none.
    pub fn drain_nodes(&mut self, observed: &Observation) {
        let mark = self.mark();
        let is_meant = |node: &Node| !node.phase.is_deleting() && (node.care.drain.is_some() || node.care.evicts());
        let meant: Vec<_> = self
            .nodes
            .values()
            .filter(|node| is_meant(node))
            .map(|node| node.name.clone())
            .collect();
        for name in meant {
            let (Some(node), Some(fact)) = (self.nodes.get_mut(&name), observed.node(&name)) else {
                continue;
            };
            if let Some(drain) = node.care.drain.as_mut().filter(|drain| drain.done_at.is_none())
                && fact.is_held
                && !fact.is_busy
            {
                drain.done_at = Some(self.now);
                if drain.reopens {
                    node.care.drain = None;
                }
            }
            if node.care.evicts() && fact.is_held && fact.is_busy {
                let (pool, node) = (mark.clone(), node.name.clone());
                self.commands.push(Command::EvictNode { pool, node });
            }
        }
    }

    /// Closes nodes to new jobs and opens them again, for all reasons together.
    pub fn hold_nodes(&mut self, observed: &Observation) {
        let mark = self.mark();
        let is_closed = |name: &NodeName| {
            let node = self.nodes.get(name).filter(|node| node.was_available && !node.phase.is_deleting());
            node.is_some_and(|node| node.care.is_closed()) && observed.nodes.contains_key(name)
        };
        self.commands
            .retain(|command| !matches!(command, Command::OpenNode { node, .. } if is_closed(node)));
        let said = self.commands.iter().filter_map(|command| match command {
            Command::HoldNode { node, .. } | Command::OpenNode { node, .. } => Some(node.clone()),
            _ => None,
        });
        let said: BTreeSet<NodeName> = said.collect();
        for (node, fact) in self.nodes.with(&observed.nodes) {
            let Some(fact) = fact.filter(|_| node.was_available && !node.phase.is_deleting()) else {
                continue;
            };
            let wants = node.care.is_closed() || is_held_by_driver(node);
            if wants == fact.is_held || said.contains(&node.name) {
                continue;
            }
            let (pool, node) = (mark.clone(), node.name.clone());
            self.commands.push(if wants {
                Command::HoldNode { pool, node }
            } else {
                Command::OpenNode { pool, node }
            });
        }
    }

    /// Keeps nodes for the logical pools that they are bound to.
    pub fn dedicate_nodes(&mut self, observed: &Observation) {
        let mark = self.mark();
        let uids: BTreeMap<&PoolName, &Uid> = self
            .descendants
            .iter()
            .flatten()
            .filter(|pool| matches!(pool.status.phase, PoolPhase::Running | PoolPhase::Abnormal { .. }))
            .map(|pool| (&pool.name, &pool.uid))
            .collect();
        for (node, fact) in self.nodes.with(&observed.nodes) {
            let Some(fact) = fact.filter(|_| !node.phase.is_deleting()) else {
                continue;
            };
            let wanted = node.quota.as_ref().and_then(|name| uids.get(name).copied());
            if wanted != fact.dedicated_to.as_ref() {
                self.commands.push(Command::DedicateNode {
                    pool: mark.clone(),
                    node: node.name.clone(),
                    to: wanted.cloned(),
                });
            }
        }
    }

    /// Tells fleets that can keep others from machines which ones are locked.
    pub fn lock_nodes(&mut self, observed: &Observation) {
        let mark = self.mark();
        for (node, fact) in self.nodes.with(&observed.nodes) {
            let is_told = |fact: &NodeFact| fact.is_locked.is_none_or(|known| known == node.is_locked);
            if node.phase.is_deleting() || fact.is_none_or(is_told) {
                continue;
            }
            self.commands.push(Command::LockNode {
                pool: mark.clone(),
                node: node.name.clone(),
                is_locked: node.is_locked,
            });
        }
    }

    /// Ends jobs whose nodes are all settled. A node that went, or that was asked for something else, has failed its job.
    pub fn settle_jobs(&mut self) {
        let now = self.now;
        for job in self.jobs.values_mut().filter(|job| job.ended.is_none()) {
            let lost: Vec<_> = job
                .nodes
                .iter()
                .filter(|entry| entry.state == JobNodeState::Open)
                .filter_map(|entry| {
                    let node = self.nodes.get(&entry.name).filter(|node| !node.phase.is_deleting());
                    let reason = match node {
                        None => "the node is gone",
                        Some(node) if is_of(node, job) => return None,
                        Some(_) => "another request took its place",
                    };
                    Some((entry.name.clone(), reason.to_owned()))
                })
                .collect();
            for (name, reason) in lost {
                job.settle(&name, &JobNodeState::Failed { reason });
            }
            job.conclude(now);
        }
    }

    /// Sends an abnormal node away for another one.
    pub fn replace(&mut self, node: &mut Node) {
        node.phase = NodePhase::Deleting {
            cause: DeleteCause::Replaced,
            since: self.now,
        };
        self.commands.push(Command::DeleteNode {
            pool: self.mark(),
            node: node.name.clone(),
        });
    }
}

/// How the request ended, if it has.
fn judge(node: &Node, task: &NodeTask, fact: &NodeFact, progress: Option<&RequestProgress>) -> Option<Result<(), String>> {
    match (progress, &fact.state) {
        (_, MachineState::Releasing) => Some(Err("the machine is being taken back".to_owned())),
        (Some(RequestProgress::Failed { reason }), _)
        | (Some(RequestProgress::Done), MachineState::Faulty(reason) | MachineState::Failed(reason)) => Some(Err(reason.clone())),
        (Some(RequestProgress::Done), MachineState::Ready) => {
            let is_silent = fact.silent_since.is_some();
            let is_installed = match task.kind {
                TaskKind::Reboot => true,
                TaskKind::Reset { .. } => super::nodes::is_driver_done(node.driver.as_ref(), fact),
            };
            (!is_silent && is_installed).then_some(Ok(()))
        }
        (Some(RequestProgress::Done), MachineState::Booting | MachineState::Checking) | (Some(RequestProgress::Running) | None, _) => None,
    }
}

fn is_of(node: &Node, job: &Job) -> bool {
    node.care.task.as_ref().is_some_and(|task| task.job.as_ref() == Some(&job.id))
}

/// Whether a driver upgrade keeps the node closed.
pub fn is_held_by_driver(node: &Node) -> bool {
    node.driver.as_ref().is_some_and(|driver| match &driver.state {
        NodeDriverState::Draining { .. } | NodeDriverState::Updating { .. } => true,
        NodeDriverState::Failed { is_open, .. } => !is_open,
        NodeDriverState::Settled | NodeDriverState::Pending { .. } => false,
    })
}

/// Notes what a node was reset to.
fn reinstalled(node: &mut Node, image: Option<&domain::pool::NodeOs>, runtime: Option<&String>) {
    if image.is_none() && runtime.is_none() {
        return;
    }
    let template = node.template.get_or_insert_with(|| Box::new(NodeTemplate::default()));
    if let Some(image) = image {
        template.os = Some(image.clone());
    }
    if let Some(runtime) = runtime {
        template.extend_params.insert("runtime".to_owned(), runtime.clone());
    }
}
