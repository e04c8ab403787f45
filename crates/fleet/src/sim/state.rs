//! Everything the fleet knows, and the lists that make it quick to find.

use super::JournalError;
use super::filed::Filed;
use super::journal::{TURN, Written};
use super::machine::{Bound, Machine};
use super::pool::PoolState;
use super::rules::Rules;
use super::shift::{Floor, Shift};
use super::work::Work;
use crate::workload::{WorkloadFact, Workloads};
use domain::catalogue::{Offers, ZoneOffer};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, PoolName, ZoneName};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

const EPOCH: &str = "#epoch";
const POOL: &str = "#pool/";
const WORK: &str = "#work/";
/// Up to when workloads have got on in what is written down.
const TIME: &str = "#time";

/// Machines of one flavor in one zone.
pub(super) type Stock = (FlavorName, ZoneName);

/// Everything the fleet knows.
#[derive(Debug, Default)]
pub(super) struct Fleetwide {
    machines: BTreeMap<String, Arc<Filed>>,
    pools: BTreeMap<Uid, PoolState>,
    nodes: BTreeMap<Uid, BTreeMap<NodeName, Arc<Filed>>>,
    /// Nodes that may be given a workload, by pool and flavor, whether they have one or not.
    open: BTreeMap<(Uid, FlavorName), BTreeSet<NodeName>>,
    /// Machines that are free and in order.
    free: BTreeMap<Stock, BTreeSet<String>>,
    offers: Offers,
    /// When something changes by itself next. One for each thing that will.
    timers: BTreeSet<(Timestamp, Thing)>,
    pool_timers: BTreeMap<Uid, Timestamp>,
    /// Pools whose observation may have changed.
    dirty: BTreeSet<Uid>,
    pub epoch: u64,
    next_number: u32,
    /// Workloads by physical pool.
    shifts: BTreeMap<Uid, Shift>,
    shift_timers: BTreeMap<Uid, Timestamp>,
    /// Pools whose workloads may have to be looked at, with the nodes whose machines have changed.
    stirred: BTreeMap<Uid, BTreeSet<NodeName>>,
    /// What was shown of them last, while it is still so.
    shown: BTreeMap<Uid, Shown>,
    next_work: u64,
    /// Everything that was written to the journal up to here is in this.
    pub position: u64,
    /// Where the last write was that is in this. 0: there was none.
    pub turn: u64,
    /// Up to when workloads have got on in what is written down.
    stood_at: Option<Timestamp>,
}

/// The workloads of a pool from a time on and up to another at which one of them changes by itself.
#[derive(Debug)]
struct Shown {
    workloads: Arc<Workloads>,
    from: Timestamp,
    until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Machine(String),
    Pool(Uid),
    /// The workloads of a pool.
    Shift(Uid),
}

/// New values of what a change touches. `None`: gone.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub machines: BTreeMap<String, Option<Machine>>,
    pub pools: BTreeMap<Uid, Option<PoolState>>,
    pub work: BTreeMap<Uid, Option<Work>>,
    pub epoch: Option<u64>,
    pub time: Option<Timestamp>,
    /// Where this was written.
    pub turn: Option<u64>,
}

impl Changes {
    /// Nothing but how far it has come.
    pub fn reached(time: Option<Timestamp>, turn: u64) -> Self {
        Self {
            time,
            turn: Some(turn),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.pools.is_empty() && self.work.is_empty() && self.epoch.is_none()
    }

    /// What the journal keeps of them.
    pub fn documents(&self) -> Result<Vec<(String, Option<Value>)>, JournalError> {
        let failed = |error: serde_json::Error| JournalError(error.to_string());
        let mut documents = Vec::new();
        for (id, machine) in &self.machines {
            let value = machine.as_ref().map(serde_json::to_value).transpose().map_err(failed)?;
            documents.push((id.clone(), value));
        }
        for (uid, pool) in &self.pools {
            let value = pool.as_ref().map(serde_json::to_value).transpose().map_err(failed)?;
            documents.push((format!("{POOL}{uid}"), value));
        }
        for (uid, work) in &self.work {
            let value = work.as_ref().map(serde_json::to_value).transpose().map_err(failed)?;
            documents.push((format!("{WORK}{uid}"), value));
        }
        if let Some(time) = &self.time {
            documents.push((TIME.to_owned(), Some(serde_json::to_value(time).map_err(failed)?)));
        }
        documents.extend(self.epoch.map(|epoch| (EPOCH.to_owned(), Some(epoch.into()))));
        Ok(documents)
    }

    /// Adds what became of a document of the journal.
    pub fn take(&mut self, written: Written) -> Result<(), JournalError> {
        match written.document {
            Some(document) => self.read(written.position, written.id, document)?,
            None if written.id == EPOCH || written.id == TIME || written.id == TURN => {}
            None => {
                let id = written.id;
                if let Some(uid) = id.strip_prefix(WORK) {
                    self.work.insert(Uid::from_text(uid), None);
                } else if let Some(uid) = id.strip_prefix(POOL) {
                    self.pools.insert(Uid::from_text(uid), None);
                } else {
                    self.machines.insert(id, None);
                }
            }
        }
        Ok(())
    }

    /// Adds what a document of the journal says.
    fn read(&mut self, position: u64, id: String, document: Value) -> Result<(), JournalError> {
        let damaged = |error: serde_json::Error| JournalError(format!("{id} cannot be read: {error}"));
        if id == EPOCH {
            self.epoch = Some(serde_json::from_value(document).map_err(damaged)?);
        } else if id == TURN {
            self.turn = Some(position);
        } else if id == TIME {
            self.time = Some(serde_json::from_value(document).map_err(damaged)?);
        } else if let Some(uid) = id.strip_prefix(WORK) {
            let work = serde_json::from_value(document).map_err(damaged)?;
            self.work.insert(Uid::from_text(uid), Some(work));
        } else if let Some(uid) = id.strip_prefix(POOL) {
            let pool = serde_json::from_value(document).map_err(damaged)?;
            self.pools.insert(Uid::from_text(uid), Some(pool));
        } else {
            let machine = serde_json::from_value(document).map_err(damaged)?;
            self.machines.insert(id, Some(machine));
        }
        Ok(())
    }
}

impl Fleetwide {
    pub fn machine(&self, id: &str) -> Option<&Machine> {
        self.machines.get(id).map(|filed| &filed.machine)
    }

    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().map(|filed| &filed.machine)
    }

    pub fn pool(&self, uid: &Uid) -> Option<&PoolState> {
        self.pools.get(uid)
    }

    pub fn pools(&self) -> impl Iterator<Item = &PoolState> {
        self.pools.values()
    }

    pub fn pool_named(&self, name: &PoolName) -> Option<&PoolState> {
        self.pools.values().find(|pool| pool.mark.pool.name == *name)
    }

    /// Nodes of a pool with their machines.
    pub fn nodes(&self, pool: &Uid) -> impl Iterator<Item = (&NodeName, &Filed)> {
        let nodes = self.nodes.get(pool).into_iter().flatten();
        nodes.map(|(node, filed)| (node, &**filed))
    }

    pub fn machine_of(&self, pool: &Uid, node: &NodeName) -> Option<&Machine> {
        Some(&self.nodes.get(pool)?.get(node)?.machine)
    }

    /// The next machine that is free and in order.
    pub fn free_after(&self, stock: &Stock, after: Option<&String>) -> Option<&Machine> {
        let free = self.free.get(stock)?;
        let id = match after {
            Some(after) => free.range::<String, _>((Excluded(after), Unbounded)).next(),
            None => free.first(),
        };
        self.machine(id?)
    }

    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// The workloads of a physical pool.
    pub fn shift(&self, pool: &Uid) -> Option<&Shift> {
        self.shifts.get(pool)
    }

    pub fn work(&self, uid: &Uid) -> Option<&Work> {
        self.shifts.values().find_map(|shift| shift.get(uid))
    }

    pub fn all_work(&self) -> impl Iterator<Item = &Work> {
        self.shifts.values().flat_map(Shift::work)
    }

    pub fn next_work(&self) -> u64 {
        self.next_work
    }

    /// A physical pool as its workloads find it.
    pub fn floor<'a>(&'a self, pool: &Uid, now: Timestamp, rules: &'a Rules) -> Floor<'a> {
        Floor {
            pool: pool.clone(),
            nodes: self.nodes.get(pool),
            open: &self.open,
            quotas: self.pool(pool).map_or(&[], |state| &state.quotas),
            now,
            rules,
        }
    }

    /// The workloads of a physical pool, made anew where something about them has changed.
    pub fn workloads(&mut self, pool: &Uid, now: Timestamp, rules: &Rules) -> Arc<Workloads> {
        let is_fresh = |shown: &&Shown| shown.from <= now && shown.until.is_none_or(|until| now < until);
        if let Some(shown) = self.shown.get(pool).filter(is_fresh) {
            return Arc::clone(&shown.workloads);
        }
        let Some(shift) = self.shift(pool) else {
            return Arc::default();
        };
        let workloads = Arc::new(Workloads::new(shift.facts(&self.floor(pool, now, rules))));
        let shown = Shown {
            workloads: Arc::clone(&workloads),
            from: now,
            until: shift.next_launch(now, rules),
        };
        self.shown.insert(pool.clone(), shown);
        workloads
    }

    /// A workload with what is shown of it.
    pub fn workload(&self, uid: &Uid, now: Timestamp, rules: &Rules) -> Option<WorkloadFact> {
        let shift = self.shifts.values().find(|shift| shift.get(uid).is_some())?;
        let root = &shift.get(uid)?.root;
        shift.one_fact(uid, &self.floor(root, now, rules))
    }

    /// What workloads have got on since that was last written down.
    pub fn progress(&self) -> BTreeMap<Uid, Option<Work>> {
        self.shifts.values().flat_map(Shift::progress).collect()
    }

    pub fn has_progress(&self) -> bool {
        self.shifts.values().any(Shift::has_progress)
    }

    /// This is written down now.
    pub fn saved(&mut self, progress: &BTreeMap<Uid, Option<Work>>) {
        for (uid, work) in progress {
            self.shifts.values_mut().any(|shift| shift.saved(uid, work.as_ref()));
        }
    }

    /// Forgets what workloads have got on by themselves: others have written down what it was instead.
    pub fn undo_progress(&mut self) {
        for (uid, shift) in &mut self.shifts {
            if shift.undo() {
                // What their machines did meanwhile comes to them once more.
                let hosts = shift.hosts().cloned();
                self.stirred.entry(uid.clone()).or_default().extend(hosts);
            }
        }
    }

    /// From when workloads get on from where they stand in what is written down.
    pub fn stood_at(&self) -> Option<Timestamp> {
        self.stood_at
    }

    pub fn has_work(&self) -> bool {
        self.shifts.values().any(|shift| !shift.is_empty())
    }

    pub fn next_number(&self) -> u32 {
        self.next_number
    }

    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Pools whose observation may have changed since this was last asked.
    pub fn take_dirty(&mut self) -> Vec<Uid> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    pub fn apply(&mut self, changes: Changes, now: Timestamp, rules: &Rules) {
        for (id, machine) in changes.machines {
            self.unfile(&id);
            if let Some(machine) = machine {
                self.file(machine, now, rules);
            }
        }
        for (uid, pool) in changes.pools {
            self.put_pool(uid, pool, now, rules);
        }
        for (uid, work) in changes.work {
            let Some(work) = work else {
                self.shifts.values_mut().any(|shift| shift.remove(&uid));
                continue;
            };
            self.next_work = self.next_work.max(work.number.saturating_add(1));
            self.stirred.entry(work.root.clone()).or_default();
            self.dirty.insert(work.root.clone());
            self.shifts.entry(work.root.clone()).or_default().put(work);
        }
        self.advance_shifts(now, rules);
        self.epoch = changes.epoch.unwrap_or(self.epoch);
        self.turn = changes.turn.unwrap_or(self.turn);
        self.stood_at = changes.time.or(self.stood_at);
    }

    /// Lets everything happen that was due.
    pub fn settle(&mut self, now: Timestamp, rules: &Rules) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((at, thing)) = self.timers.pop_first()
        {
            match thing {
                Thing::Machine(id) => {
                    if let Some(machine) = self.unfile(&id) {
                        self.file(machine, at, rules);
                    }
                }
                Thing::Pool(uid) => {
                    let pool = self.pools.remove(&uid);
                    self.put_pool(uid, pool, at, rules);
                }
                Thing::Shift(uid) => {
                    self.shift_timers.remove(&uid);
                    self.stirred.entry(uid).or_default();
                }
            }
            // What happens at the same time is seen together.
            if self.timers.first().is_none_or(|(next, _)| *next > at) {
                self.advance_shifts(at, rules);
            }
        }
    }

    /// Lets the workloads of all pools get on in which something has happened.
    fn advance_shifts(&mut self, now: Timestamp, rules: &Rules) {
        for (uid, touched) in std::mem::take(&mut self.stirred) {
            self.shown.remove(&uid);
            let Some(mut shift) = self.shifts.remove(&uid) else { continue };
            if shift.advance(&self.floor(&uid, now, rules), &touched) {
                self.dirty.insert(uid.clone());
            }
            if let Some(at) = self.shift_timers.remove(&uid) {
                self.timers.remove(&(at, Thing::Shift(uid.clone())));
            }
            if let Some(at) = shift.next_turn(now, rules) {
                self.shift_timers.insert(uid.clone(), at);
                self.timers.insert((at, Thing::Shift(uid.clone())));
            }
            if !shift.is_empty() || shift.has_progress() {
                self.shifts.insert(uid, shift);
            }
        }
    }

    fn put_pool(&mut self, uid: Uid, pool: Option<PoolState>, now: Timestamp, rules: &Rules) {
        if let Some(at) = self.pool_timers.remove(&uid) {
            self.timers.remove(&(at, Thing::Pool(uid.clone())));
        }
        self.dirty.insert(uid.clone());
        self.stirred.entry(uid.clone()).or_default();
        let Some(pool) = pool else {
            self.pools.remove(&uid);
            return;
        };
        if let Some(at) = pool.next_turn(now, &rules.timing) {
            self.pool_timers.insert(uid.clone(), at);
            self.timers.insert((at, Thing::Pool(uid.clone())));
        }
        self.pools.insert(uid, pool);
    }

    fn file(&mut self, mut machine: Machine, now: Timestamp, rules: &Rules) {
        machine.settle(now, rules);
        let id = machine.id().to_owned();
        let is_free = machine.bound.is_none() && !machine.is_broken(now, rules);
        if is_free {
            self.free.entry(stock(&machine)).or_default().insert(id.clone());
        }
        let offer = offer(&mut self.offers, &machine);
        offer.total += 1;
        offer.free += u32::from(is_free);
        let timer = machine.next_turn(now, rules);
        self.timers.extend(timer.map(|at| (at, Thing::Machine(id.clone()))));
        self.next_number = self.next_number.max(machine.number.saturating_add(1));
        let filed = Arc::new(Filed::new(machine, is_free, timer, (now, rules)));
        if let Some(bound) = &filed.machine.bound {
            let nodes = self.nodes.entry(bound.pool.uid.clone()).or_default();
            nodes.insert(bound.node.clone(), Arc::clone(&filed));
            if filed.standing.is_open {
                let open = self.open.entry((bound.pool.uid.clone(), filed.machine.registration.flavor.clone()));
                open.or_default().insert(bound.node.clone());
            }
            self.stir(bound);
        }
        self.machines.insert(id, filed);
    }

    fn stir(&mut self, bound: &Bound) {
        self.dirty.insert(bound.pool.uid.clone());
        let touched = self.stirred.entry(bound.pool.uid.clone()).or_default();
        touched.insert(bound.node.clone());
    }

    fn unfile(&mut self, id: &str) -> Option<Machine> {
        let filed = self.machines.remove(id)?;
        if let Some(bound) = &filed.machine.bound {
            self.stir(bound);
            if let Some(nodes) = self.nodes.get_mut(&bound.pool.uid) {
                nodes.remove(&bound.node);
                if nodes.is_empty() {
                    self.nodes.remove(&bound.pool.uid);
                }
            }
            let drawer = (bound.pool.uid.clone(), filed.machine.registration.flavor.clone());
            if filed.standing.is_open
                && let Some(open) = self.open.get_mut(&drawer)
            {
                open.remove(&bound.node);
                if open.is_empty() {
                    self.open.remove(&drawer);
                }
            }
        }
        let (is_free, timer) = (filed.is_free, filed.timer);
        let machine = Arc::unwrap_or_clone(filed).machine;
        if is_free && let Some(free) = self.free.get_mut(&stock(&machine)) {
            free.remove(id);
        }
        let offer = offer(&mut self.offers, &machine);
        offer.total = offer.total.saturating_sub(1);
        offer.free = offer.free.saturating_sub(u32::from(is_free));
        if let Some(at) = timer {
            self.timers.remove(&(at, Thing::Machine(id.to_owned())));
        }
        Some(machine)
    }
}

fn stock(machine: &Machine) -> Stock {
    (machine.registration.flavor.clone(), machine.registration.az.clone())
}

fn offer<'a>(offers: &'a mut Offers, machine: &Machine) -> &'a mut ZoneOffer {
    let (flavor, az) = stock(machine);
    offers.entry(flavor).or_default().zones.entry(az).or_default()
}
