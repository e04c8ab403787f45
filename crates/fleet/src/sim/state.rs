//! Everything the fleet knows, and the lists that make it quick to find.

use super::JournalError;
use super::machine::Machine;
use super::pool::PoolState;
use super::rules::Rules;
use domain::catalogue::{Offers, ZoneOffer};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, PoolName, ZoneName};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

const EPOCH: &str = "#epoch";
const POOL: &str = "#pool/";

/// Machines of one flavor in one zone.
pub(super) type Stock = (FlavorName, ZoneName);

/// Everything the fleet knows.
#[derive(Debug, Default)]
pub(super) struct Fleetwide {
    machines: BTreeMap<String, Filed>,
    pools: BTreeMap<Uid, PoolState>,
    nodes: BTreeMap<Uid, BTreeMap<NodeName, String>>,
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
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Machine(String),
    Pool(Uid),
}

/// A machine and where it is filed.
#[derive(Debug)]
struct Filed {
    machine: Machine,
    is_free: bool,
    timer: Option<Timestamp>,
}

/// New values of what a change touches. `None`: gone.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub machines: BTreeMap<String, Option<Machine>>,
    pub pools: BTreeMap<Uid, Option<PoolState>>,
    pub epoch: Option<u64>,
}

impl Changes {
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
        documents.extend(self.epoch.map(|epoch| (EPOCH.to_owned(), Some(epoch.into()))));
        Ok(documents)
    }

    /// Adds what a document of the journal says.
    pub fn read(&mut self, id: String, document: Value) -> Result<(), JournalError> {
        let damaged = |error: serde_json::Error| JournalError(format!("{id} cannot be read: {error}"));
        if id == EPOCH {
            self.epoch = Some(serde_json::from_value(document).map_err(damaged)?);
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
    pub fn nodes(&self, pool: &Uid) -> impl Iterator<Item = (&NodeName, &Machine)> {
        let nodes = self.nodes.get(pool).into_iter().flatten();
        nodes.filter_map(|(node, id)| Some((node, self.machine(id)?)))
    }

    pub fn machine_of(&self, pool: &Uid, node: &NodeName) -> Option<&Machine> {
        self.machine(self.nodes.get(pool)?.get(node)?)
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
        self.epoch = changes.epoch.unwrap_or(self.epoch);
    }

    /// Lets everything happen that was due.
    pub fn settle(&mut self, now: Timestamp, rules: &Rules) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, thing)) = self.timers.pop_first()
        {
            match thing {
                Thing::Machine(id) => {
                    if let Some(machine) = self.unfile(&id) {
                        self.file(machine, now, rules);
                    }
                }
                Thing::Pool(uid) => {
                    let pool = self.pools.remove(&uid);
                    self.put_pool(uid, pool, now, rules);
                }
            }
        }
    }

    fn put_pool(&mut self, uid: Uid, pool: Option<PoolState>, now: Timestamp, rules: &Rules) {
        if let Some(at) = self.pool_timers.remove(&uid) {
            self.timers.remove(&(at, Thing::Pool(uid.clone())));
        }
        self.dirty.insert(uid.clone());
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
        if let Some(bound) = &machine.bound {
            let nodes = self.nodes.entry(bound.pool.uid.clone()).or_default();
            nodes.insert(bound.node.clone(), id.clone());
            self.dirty.insert(bound.pool.uid.clone());
        }
        if is_free {
            self.free.entry(stock(&machine)).or_default().insert(id.clone());
        }
        let offer = offer(&mut self.offers, &machine);
        offer.total += 1;
        offer.free += u32::from(is_free);
        let timer = machine.next_turn(now, rules);
        self.timers.extend(timer.map(|at| (at, Thing::Machine(id.clone()))));
        self.next_number = self.next_number.max(machine.number.saturating_add(1));
        self.machines.insert(id, Filed { machine, is_free, timer });
    }

    fn unfile(&mut self, id: &str) -> Option<Machine> {
        let Filed { machine, is_free, timer } = self.machines.remove(id)?;
        if let Some(bound) = &machine.bound {
            self.dirty.insert(bound.pool.uid.clone());
            if let Some(nodes) = self.nodes.get_mut(&bound.pool.uid) {
                nodes.remove(&bound.node);
                if nodes.is_empty() {
                    self.nodes.remove(&bound.pool.uid);
                }
            }
        }
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
