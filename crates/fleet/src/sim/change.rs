//! A change to the fleet, tried on what it touches.

use super::Refusal;
use super::machine::{Bound, Machine};
use super::pool::PoolState;
use super::rules::Rules;
use super::state::{Changes, Fleetwide, Stock};
use super::work::{Ending, Submission, Work, WorkState};
use crate::command::{Command, NodeRequest};
use crate::port::FleetError;
use domain::meta::Uid;
use domain::name::{NodeName, PoolName};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is true, with changes on top that are not yet.
pub(super) struct Change<'a> {
    base: &'a Fleetwide,
    rules: &'a Rules,
    now: Timestamp,
    changes: Changes,
    /// Nodes that it makes, with their machines.
    made: BTreeMap<(Uid, NodeName), String>,
    /// Up to where free machines are taken.
    taken: BTreeMap<Stock, String>,
}

impl<'a> Change<'a> {
    pub fn new(base: &'a Fleetwide, rules: &'a Rules, now: Timestamp) -> Self {
        Self {
            base,
            rules,
            now,
            changes: Changes::default(),
            made: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    pub fn finish(self) -> Changes {
        self.changes
    }

    pub fn epoch(&self) -> u64 {
        self.changes.epoch.unwrap_or(self.base.epoch)
    }

    pub fn set_epoch(&mut self, epoch: u64) {
        if epoch != self.epoch() {
            self.changes.epoch = Some(epoch);
        }
    }

    pub fn next_number(&self) -> u32 {
        self.base.next_number()
    }

    pub fn pool_named(&self, name: &PoolName) -> Option<Uid> {
        self.base.pool_named(name).map(|pool| pool.mark.uid.clone())
    }

    pub fn machine(&self, id: &str) -> Option<&Machine> {
        match self.changes.machines.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.base.machine(id),
        }
    }

    fn pool(&self, uid: &Uid) -> Option<&PoolState> {
        match self.changes.pools.get(uid) {
            Some(changed) => changed.as_ref(),
            None => self.base.pool(uid),
        }
    }

    /// Adds a machine. The ones that are known stay as they are.
    pub fn add(&mut self, machine: Machine) {
        if self.machine(machine.id()).is_none() {
            self.changes.machines.insert(machine.id().to_owned(), Some(machine));
        }
    }

    pub fn remove(&mut self, id: &str) {
        self.changes.machines.insert(id.to_owned(), None);
    }

    /// `false`: there is no such machine. What stays as it is, is not touched: nobody is to be woken for it.
    pub fn edit_machine(&mut self, id: &str, edit: impl FnOnce(&mut Machine, Timestamp, &Rules)) -> bool {
        let Some(known) = self.machine(id) else { return false };
        let mut machine = known.clone();
        edit(&mut machine, self.now, self.rules);
        if machine != *known {
            self.changes.machines.insert(id.to_owned(), Some(machine));
        }
        true
    }

    /// `false`: the fleet has no such pool.
    pub fn edit_pool(&mut self, uid: &Uid, edit: impl FnOnce(&mut PoolState, Timestamp, &Rules)) -> bool {
        let Some(known) = self.pool(uid) else { return false };
        let mut pool = known.clone();
        edit(&mut pool, self.now, self.rules);
        if pool != *known {
            self.changes.pools.insert(uid.clone(), Some(pool));
        }
        true
    }

    pub fn carry_out(&mut self, command: &Command) -> Result<(), FleetError> {
        match command {
            Command::EnsurePool { pool } => {
                if self.pool(&pool.uid).is_none() {
                    let state = PoolState::new(pool.clone(), self.now);
                    self.changes.pools.insert(pool.uid.clone(), Some(state));
                }
            }
            Command::RemovePool { pool } => self.remove_pool(&pool.uid),
            Command::CreateNode(request) => return self.create(request),
            Command::DeleteNode { pool, node } => self.release(&pool.uid, node),
            Command::HoldNode { pool, node } => {
                self.edit_node(&pool.uid, node, |bound, now| bound.held_at = bound.held_at.or(Some(now)));
            }
            Command::OpenNode { pool, node } => self.edit_node(&pool.uid, node, |bound, _| bound.held_at = None),
            // Nobody else takes its machines away.
            Command::LockNode { .. } => {}
            Command::EvictNode { pool, node } => self.evict(&pool.uid, node),
            Command::RebootNode { pool, node, number } => {
                let mut has_begun = false;
                self.edit_bound(&pool.uid, node, |machine, now, rules| {
                    has_begun = machine.reboot(*number, now, rules);
                });
                if has_begun {
                    self.evict(&pool.uid, node);
                }
            }
            Command::ResetNode(request) => {
                let (pool, node) = (&request.pool.uid, &request.node);
                let mut has_begun = false;
                self.edit_bound(pool, node, |machine, now, rules| {
                    has_begun = machine.reset(request, now, rules);
                });
                if has_begun {
                    self.evict(pool, node);
                }
            }
            Command::MoveNode { pool, node, from } => {
                if self.machine_of(&pool.uid, node).is_none() {
                    self.edit_node(&from.uid, node, |bound, _| {
                        if bound.releasing_at.is_none() {
                            bound.pool = pool.clone();
                            bound.dedicated_to = None;
                        }
                    });
                }
            }
            Command::DedicateNode { pool, node, to } => {
                self.edit_node(&pool.uid, node, |bound, _| bound.dedicated_to.clone_from(to));
            }
            Command::SetDriver { pool, node, version, .. } => {
                if let Some(id) = self.machine_of(&pool.uid, node) {
                    self.edit_machine(&id, |machine, now, rules| machine.install(version, now, rules));
                }
            }
            Command::EnsurePlugin { pool, plugin } => {
                if !self.edit_pool(&pool.uid, |state, now, rules| state.install(plugin, now, &rules.timing)) {
                    let reason = "the pool has no cluster".to_owned();
                    return Err(FleetError::Refused { reason });
                }
            }
            Command::SetQuotas { pool, quotas } => {
                if !self.edit_pool(&pool.uid, |state, _, _| state.quotas.clone_from(quotas)) {
                    let reason = "the pool has no cluster".to_owned();
                    return Err(FleetError::Refused { reason });
                }
            }
            Command::RemovePlugin { pool, template } => {
                self.edit_pool(&pool.uid, |state, now, rules| state.remove(template, now, &rules.timing));
            }
        }
        Ok(())
    }

    /// Puts a workload into the queue of a pool. One that is known stays as it is.
    pub fn submit(&mut self, root: &Uid, pool: &Uid, submission: Submission) -> Result<(), Refusal> {
        if self.work(&submission.uid).is_some() {
            return Ok(());
        }
        let quotas = self.pool(root).map(|state| state.quotas.as_slice()).unwrap_or_default();
        let job_type = submission.kind.job_type();
        let quota = quotas.iter().find(|quota| quota.pool.uid == *pool && quota.takes(job_type));
        let quota = quota.ok_or(Refusal::Closed)?;
        let at_most = quota.amounts.get(&submission.flavor).map_or(0, |amount| amount.max_count);
        if u64::from(submission.nodes) > at_most {
            return Err(Refusal::TooLarge { at_most });
        }
        let work = Work {
            root: root.clone(),
            pool: quota.pool.clone(),
            number: self.base.next_work(),
            created_at: self.now,
            state: WorkState::Waiting,
            is_promised: false,
            failures: 0,
            submission,
        };
        self.changes.work.insert(work.submission.uid.clone(), Some(work));
        Ok(())
    }

    /// Ends a workload. `None`: there is none. `false`: it was over.
    pub fn cancel(&mut self, uid: &Uid) -> Option<bool> {
        let mut work = self.work(uid)?.clone();
        if work.is_over() {
            return Some(false);
        }
        work.end(Ending::Cancelled, self.now);
        self.changes.work.insert(uid.clone(), Some(work));
        Some(true)
    }

    /// Puts the workloads of a node back into the queue.
    fn evict(&mut self, pool: &Uid, node: &NodeName) {
        let there = |work: &&Work| work.nodes().any(|used| used == node);
        let on_it = self.base.shift(pool).and_then(|shift| shift.on(node));
        if let Some(uid) = on_it.map(|work| work.submission.uid.clone()) {
            let known = self.work(&uid).filter(there).cloned();
            if let Some(mut work) = known {
                work.requeue();
                self.changes.work.insert(uid, Some(work));
            }
        }
    }

    fn work(&self, uid: &Uid) -> Option<&Work> {
        match self.changes.work.get(uid) {
            Some(changed) => changed.as_ref(),
            None => self.base.work(uid),
        }
    }

    fn machine_of(&self, pool: &Uid, node: &NodeName) -> Option<String> {
        let made = self.made.get(&(pool.clone(), node.clone())).cloned();
        made.or_else(|| Some(self.base.machine_of(pool, node)?.id().to_owned()))
    }

    fn edit_node(&mut self, pool: &Uid, node: &NodeName, edit: impl FnOnce(&mut Bound, Timestamp)) {
        self.edit_bound(pool, node, |machine, now, _| {
            if let Some(bound) = &mut machine.bound {
                edit(bound, now);
            }
        });
    }

    /// Edits the machine of a node, as long as it is one of this pool.
    fn edit_bound(&mut self, pool: &Uid, node: &NodeName, edit: impl FnOnce(&mut Machine, Timestamp, &Rules)) {
        if let Some(id) = self.machine_of(pool, node) {
            self.edit_machine(&id, |machine, now, rules| {
                if machine.bound.as_ref().is_some_and(|bound| bound.pool.uid == *pool) {
                    edit(machine, now, rules);
                }
            });
        }
    }

    fn release(&mut self, pool: &Uid, node: &NodeName) {
        self.edit_node(pool, node, |bound, now| bound.releasing_at = bound.releasing_at.or(Some(now)));
    }

    fn remove_pool(&mut self, uid: &Uid) {
        if self.pool(uid).is_some() {
            self.changes.pools.insert(uid.clone(), None);
        }
        let made = self.made.keys().filter(|(pool, _)| pool == uid).map(|(_, node)| node.clone());
        let nodes: Vec<NodeName> = self.base.nodes(uid).map(|(node, _)| node.clone()).chain(made).collect();
        for node in nodes {
            self.release(uid, &node);
        }
    }

    fn create(&mut self, request: &NodeRequest) -> Result<(), FleetError> {
        let uid = &request.pool.uid;
        if self.machine_of(uid, &request.node).is_some() {
            return Ok(());
        }
        let stock = (request.flavor.clone(), request.az.clone());
        let mut after = self.taken.get(&stock);
        // A machine that this change has touched may not be what it was.
        let found = loop {
            let Some(machine) = self.base.free_after(&stock, after) else {
                return Err(FleetError::NoCapacity);
            };
            if !self.changes.machines.contains_key(machine.id()) {
                break machine;
            }
            after = Some(&machine.registration.id);
        };
        let mut machine = found.clone();
        machine.bind(request.node.clone(), request.pool.clone(), request.driver.clone(), self.now);
        machine.install_image(request.image.as_ref());
        let id = machine.id().to_owned();
        self.made.insert((uid.clone(), request.node.clone()), id.clone());
        self.taken.insert(stock, id.clone());
        self.changes.machines.insert(id, Some(machine));
        Ok(())
    }
}
