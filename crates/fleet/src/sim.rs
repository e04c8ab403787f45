//! The simulated fleet: machines by flavor and zone that take their time, for laptops, CI and the simulation.
//!
//! Nothing ticks. What a machine is doing is a function of what it was told when, of durations drawn from the seed, and of
//! the time; so an idle fleet costs nothing, and a restarted one goes on where it stood.

mod faults;
mod journal;
mod machine;
mod timing;

pub use faults::Fault;
pub use journal::{Journal, JournalError, MemoryJournal};
pub use machine::{MachineInfo, Registration};
pub use timing::Timing;

use crate::command::{Command, NodeRequest, PoolMark};
use crate::observation::{ClusterFact, Observation, PluginFact, PluginState};
use crate::port::{Fleet, FleetError};
use async_trait::async_trait;
use clock::Clock;
use domain::catalogue::{Offers, ZoneOffer};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName, TemplateName, ZoneName};
use domain::pool::JobType;
use jiff::Timestamp;
use machine::{Bound, Machine};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How a simulated fleet behaves.
#[derive(Debug, Clone, Copy)]
pub struct SimConfig {
    pub seed: u64,
    /// Factor on all durations: 0 = at once, 1 = as in life.
    pub speed: f64,
}

/// Machines that exist on paper. Clones share them.
#[derive(Clone)]
pub struct SimFleet {
    shared: Arc<Shared>,
}

struct Shared {
    timing: Timing,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    state: Mutex<Fleetwide>,
    /// One change at a time, from decision to journal.
    turn: tokio::sync::Mutex<()>,
    woken: Notify,
}

/// Everything the fleet knows.
#[derive(Debug, Default, Clone)]
struct Fleetwide {
    machines: BTreeMap<String, Machine>,
    pools: BTreeMap<Uid, PoolState>,
    nodes: BTreeMap<Uid, BTreeMap<NodeName, String>>,
    free: BTreeMap<(FlavorName, ZoneName), BTreeSet<String>>,
    /// When the observation of a pool changes next.
    timers: BTreeSet<(Timestamp, Uid)>,
    dirty: BTreeSet<Uid>,
    epoch: u64,
}

/// What a pool has besides nodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PoolState {
    mark: PoolMark,
    cluster_at: Timestamp,
    plugins: BTreeMap<TemplateName, PluginEntry>,
    #[serde(default)]
    failing_plugins: BTreeSet<TemplateName>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PluginEntry {
    version: String,
    since: Timestamp,
    running: Option<String>,
    is_removing: bool,
}

const EPOCH: &str = "#epoch";

impl SimFleet {
    /// Reads the journal and goes on where the fleet stood.
    pub async fn open(config: SimConfig, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let timing = Timing::new(config.seed, config.speed);
        let mut state = Fleetwide::default();
        for (id, value) in journal.load().await? {
            let damaged = |error: serde_json::Error| JournalError(format!("{id} cannot be read: {error}"));
            if id == EPOCH {
                state.epoch = serde_json::from_value(value).map_err(damaged)?;
            } else if let Some(uid) = id.strip_prefix("#pool/") {
                state
                    .pools
                    .insert(Uid::from_text(uid), serde_json::from_value(value).map_err(damaged)?);
            } else {
                let machine: Machine = serde_json::from_value(value).map_err(damaged)?;
                state.machines.insert(id, machine);
            }
        }
        state.rebuild(&timing);
        let shared = Shared {
            timing,
            journal,
            clock,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            woken: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn state(&self) -> MutexGuard<'_, Fleetwide> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(self.shared.clock.now(), &self.shared.timing);
        state
    }

    /// Tries a change on a copy of what it touches, writes it to the journal, and only then makes it true.
    async fn change<T>(&self, change: impl FnOnce(&mut Fleetwide, &mut Touched, Timestamp) -> T) -> Result<T, JournalError> {
        let _turn = self.shared.turn.lock().await;
        let mut next = self.state().clone();
        let mut touched = Touched::default();
        let answer = change(&mut next, &mut touched, self.shared.clock.now());
        let documents = next.documents(&touched)?;
        if !documents.is_empty() {
            self.shared.journal.save(documents).await?;
        }
        next.rebuild_timers(&touched, &self.shared.timing);
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.shared.woken.notify_one();
        Ok(answer)
    }

    /// Adds machines; those whose id is known stay as they are.
    pub async fn register(&self, machines: Vec<Registration>) -> Result<(), JournalError> {
        self.change(|state, touched, _| {
            for registration in machines {
                if state.machines.contains_key(&registration.id) {
                    continue;
                }
                let number = u32::try_from(state.machines.len()).unwrap_or(u32::MAX);
                let machine = Machine {
                    number,
                    ordinal: 0,
                    bound: None,
                    silent_since: None,
                    silent_until: None,
                    fault: None,
                    never_boots: false,
                    failing_drivers: 0,
                    registration,
                };
                touched.machines.insert(machine.id().to_owned());
                state.put(machine);
            }
        })
        .await
    }

    /// Every machine, by id.
    pub fn machines(&self) -> Vec<MachineInfo> {
        let state = self.state();
        let info = |machine: &Machine| MachineInfo {
            id: machine.id().to_owned(),
            flavor: machine.registration.flavor.clone(),
            az: machine.registration.az.clone(),
            node: machine.bound.as_ref().map(|bound| bound.node.clone()),
            is_broken: machine.is_broken(),
        };
        state.machines.values().map(info).collect()
    }

    /// Makes something go wrong. `false`: there is no such machine.
    pub async fn inject(&self, fault: Fault) -> Result<bool, JournalError> {
        self.set_fault(&fault, true).await
    }

    /// Mends it. `false`: there is no such machine.
    pub async fn clear(&self, fault: &Fault) -> Result<bool, JournalError> {
        self.set_fault(fault, false).await
    }

    async fn set_fault(&self, fault: &Fault, is_on: bool) -> Result<bool, JournalError> {
        self.change(|state, touched, now| {
            let Some(mut machine) = state.take(fault.machine()) else {
                return false;
            };
            match fault {
                Fault::Silent { lasting, .. } => {
                    machine.silent_since = is_on.then_some(now);
                    machine.silent_until = lasting.filter(|_| is_on).and_then(|lasting| now.saturating_add(lasting).ok());
                }
                Fault::Faulty { reason, .. } => machine.fault = is_on.then(|| reason.clone()),
                Fault::NeverBoots { .. } => machine.never_boots = is_on,
                Fault::DriverFails { times, .. } => machine.failing_drivers = if is_on { *times } else { 0 },
            }
            touched.machines.insert(machine.id().to_owned());
            touched.pools.extend(machine.bound.as_ref().map(|bound| bound.pool.uid.clone()));
            state.put(machine);
            true
        })
        .await
    }
}

/// What a change has touched, so that only that is written.
#[derive(Debug, Default)]
struct Touched {
    machines: BTreeSet<String>,
    pools: BTreeSet<Uid>,
    epoch: bool,
}

impl Fleetwide {
    fn put(&mut self, machine: Machine) {
        let id = machine.id().to_owned();
        if let Some(bound) = &machine.bound {
            self.nodes
                .entry(bound.pool.uid.clone())
                .or_default()
                .insert(bound.node.clone(), id.clone());
        } else {
            let key = (machine.registration.flavor.clone(), machine.registration.az.clone());
            self.free.entry(key).or_default().insert(id.clone());
        }
        self.machines.insert(id, machine);
    }

    /// Takes a machine out of all lists; it has to be put back.
    fn take(&mut self, id: &str) -> Option<Machine> {
        let machine = self.machines.remove(id)?;
        if let Some(free) = self
            .free
            .get_mut(&(machine.registration.flavor.clone(), machine.registration.az.clone()))
        {
            free.remove(id);
        }
        if let Some(bound) = &machine.bound
            && let Some(nodes) = self.nodes.get_mut(&bound.pool.uid)
        {
            nodes.remove(&bound.node);
        }
        Some(machine)
    }

    fn rebuild(&mut self, timing: &Timing) {
        let machines = std::mem::take(&mut self.machines);
        let mut touched = Touched::default();
        for machine in machines.into_values() {
            touched.pools.extend(machine.bound.as_ref().map(|bound| bound.pool.uid.clone()));
            self.put(machine);
        }
        touched.pools.extend(self.pools.keys().cloned());
        self.rebuild_timers(&touched, timing);
    }

    /// Files the turning points of what was touched, and has its pools looked at.
    fn rebuild_timers(&mut self, touched: &Touched, timing: &Timing) {
        for uid in &touched.pools {
            self.dirty.insert(uid.clone());
            for id in self.nodes.get(uid).into_iter().flat_map(BTreeMap::values) {
                let Some(machine) = self
                    .machines
                    .get(id)
                    .filter(|_| touched.machines.is_empty() || touched.machines.contains(id))
                else {
                    continue;
                };
                self.timers
                    .extend(machine.turning_points(timing).into_iter().map(|at| (at, uid.clone())));
            }
            if let Some(pool) = self.pools.get(uid) {
                let cluster = timing.after(pool.cluster_at, timing::Step::Cluster, uid.as_str(), 0);
                self.timers.insert((cluster, uid.clone()));
                for (template, plugin) in &pool.plugins {
                    self.timers.insert((plugin_done(uid, template, plugin, timing), uid.clone()));
                }
            }
        }
    }

    /// Passes due timers on, and frees machines whose release is over.
    fn settle(&mut self, now: Timestamp, timing: &Timing) {
        while let Some((at, uid)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.pop_first();
            let released: Vec<String> = self
                .nodes
                .get(&uid)
                .into_iter()
                .flat_map(BTreeMap::values)
                .filter(|id| {
                    let machine = self.machines.get(*id);
                    machine.is_some_and(|machine| {
                        machine
                            .bound
                            .as_ref()
                            .and_then(|bound| machine.freed_at(bound, timing))
                            .is_some_and(|at| at <= now)
                    })
                })
                .cloned()
                .collect();
            for id in released {
                if let Some(mut machine) = self.take(&id) {
                    machine.bound = None;
                    self.put(machine);
                }
            }
            self.dirty.insert(uid);
        }
    }

    fn documents(&self, touched: &Touched) -> Result<Vec<(String, Option<serde_json::Value>)>, JournalError> {
        let failed = |error: serde_json::Error| JournalError(error.to_string());
        let mut documents = Vec::new();
        for id in &touched.machines {
            let value = self.machines.get(id).map(serde_json::to_value).transpose().map_err(failed)?;
            documents.push((id.clone(), value));
        }
        for uid in &touched.pools {
            let value = self.pools.get(uid).map(serde_json::to_value).transpose().map_err(failed)?;
            documents.push((format!("#pool/{uid}"), value));
        }
        if touched.epoch {
            documents.push((EPOCH.to_owned(), Some(self.epoch.into())));
        }
        Ok(documents)
    }

    fn carry_out(&mut self, command: &Command, touched: &mut Touched, now: Timestamp, timing: &Timing) -> Result<(), FleetError> {
        match command {
            Command::EnsurePool { pool } => {
                if !self.pools.contains_key(&pool.uid) {
                    let state = PoolState {
                        mark: pool.clone(),
                        cluster_at: now,
                        plugins: BTreeMap::new(),
                        failing_plugins: BTreeSet::new(),
                    };
                    self.pools.insert(pool.uid.clone(), state);
                    touched.pools.insert(pool.uid.clone());
                }
            }
            Command::RemovePool { pool } => {
                if self.pools.remove(&pool.uid).is_some() {
                    touched.pools.insert(pool.uid.clone());
                }
                let nodes: Vec<NodeName> = self
                    .nodes
                    .get(&pool.uid)
                    .map(|nodes| nodes.keys().cloned().collect())
                    .unwrap_or_default();
                for node in nodes {
                    self.with_node(&pool.uid, &node, touched, |bound| {
                        bound.releasing_at = bound.releasing_at.or(Some(now));
                    });
                }
            }
            Command::CreateNode(request) => return self.create(request, touched, now),
            Command::DeleteNode { pool, node } => {
                self.with_node(&pool.uid, node, touched, |bound| {
                    bound.releasing_at = bound.releasing_at.or(Some(now));
                });
            }
            Command::HoldNode { pool, node } => {
                self.with_node(&pool.uid, node, touched, |bound| bound.held_at = bound.held_at.or(Some(now)));
            }
            Command::OpenNode { pool, node } => self.with_node(&pool.uid, node, touched, |bound| bound.held_at = None),
            Command::SetDriver { pool, node, version } => self.set_driver(&pool.uid, node, version, touched, now, timing),
            Command::EnsurePlugin { pool, plugin } => {
                let Some(state) = self.pools.get_mut(&pool.uid) else {
                    return Err(FleetError::Refused {
                        reason: "the pool has no cluster".to_owned(),
                    });
                };
                let done = |entry: &PluginEntry| now >= plugin_done(&pool.uid, &plugin.template, entry, timing);
                let known = state.plugins.get(&plugin.template);
                if known.is_none_or(|entry| entry.version != plugin.version || entry.is_removing) {
                    let running = known.and_then(|entry| {
                        if done(entry) {
                            Some(entry.version.clone())
                        } else {
                            entry.running.clone()
                        }
                    });
                    let entry = PluginEntry {
                        version: plugin.version.clone(),
                        since: now,
                        running,
                        is_removing: false,
                    };
                    state.plugins.insert(plugin.template.clone(), entry);
                    touched.pools.insert(pool.uid.clone());
                }
            }
            Command::RemovePlugin { pool, template } => {
                if let Some(entry) = self.pools.get_mut(&pool.uid).and_then(|state| state.plugins.get_mut(template))
                    && !entry.is_removing
                {
                    entry.is_removing = true;
                    entry.since = now;
                    touched.pools.insert(pool.uid.clone());
                }
            }
        }
        Ok(())
    }

    fn with_node(&mut self, pool: &Uid, node: &NodeName, touched: &mut Touched, change: impl FnOnce(&mut Bound)) {
        let Some(id) = self.nodes.get(pool).and_then(|nodes| nodes.get(node)).cloned() else {
            return;
        };
        let Some(bound) = self.machines.get_mut(&id).and_then(|machine| machine.bound.as_mut()) else {
            return;
        };
        let before = bound.clone();
        change(bound);
        // A repeated command changes nothing, and nobody is to be woken for it.
        if *bound != before {
            touched.machines.insert(id);
            touched.pools.insert(pool.clone());
        }
    }

    fn create(&mut self, request: &NodeRequest, touched: &mut Touched, now: Timestamp) -> Result<(), FleetError> {
        let uid = &request.pool.uid;
        if self.nodes.get(uid).is_some_and(|nodes| nodes.contains_key(&request.node)) {
            return Ok(());
        }
        let key = (request.flavor.clone(), request.az.clone());
        let free = self.free.get(&key).into_iter().flatten();
        let well = free
            .clone()
            .find(|id| self.machines.get(*id).is_some_and(|machine| !machine.is_broken()));
        let Some(id) = well.or_else(|| self.free.get(&key)?.first()).cloned() else {
            return Err(FleetError::NoCapacity);
        };
        let Some(mut machine) = self.take(&id) else {
            return Err(FleetError::NoCapacity);
        };
        machine.ordinal += 1;
        let fails = machine.failing_drivers > 0 && request.driver.is_some();
        machine.failing_drivers = machine.failing_drivers.saturating_sub(u32::from(fails));
        machine.bound = Some(Bound {
            node: request.node.clone(),
            pool: request.pool.clone(),
            at: now,
            driver: request.driver.clone().map(|version| machine::DriverJob {
                version,
                at: now,
                ordinal: 0,
                fails,
            }),
            installed: None,
            held_at: None,
            releasing_at: None,
        });
        touched.machines.insert(id);
        touched.pools.insert(uid.clone());
        self.put(machine);
        Ok(())
    }

    fn set_driver(&mut self, pool: &Uid, node: &NodeName, version: &str, touched: &mut Touched, now: Timestamp, timing: &Timing) {
        let Some(id) = self.nodes.get(pool).and_then(|nodes| nodes.get(node)).cloned() else {
            return;
        };
        let Some(machine) = self.machines.get(&id) else { return };
        let Some(bound) = &machine.bound else { return };
        let installed = machine.installed(bound, now, timing);
        let is_running = bound.driver.as_ref().is_some_and(|job| {
            job.version == version
                && matches!(
                    machine.fact(bound, now, timing).driver.map(|fact| fact.progress),
                    Some(crate::observation::DriverProgress::Installing { .. })
                )
        });
        if is_running || installed.as_deref() == Some(version) {
            return;
        }
        let fails = machine.failing_drivers > 0;
        let ordinal = bound.driver.as_ref().map_or(0, |job| job.ordinal) + 1;
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.failing_drivers = machine.failing_drivers.saturating_sub(u32::from(fails));
        if let Some(bound) = &mut machine.bound {
            bound.installed = installed;
            bound.driver = Some(machine::DriverJob {
                version: version.to_owned(),
                at: now,
                ordinal,
                fails,
            });
        }
        touched.machines.insert(id);
        touched.pools.insert(pool.clone());
    }
}

fn plugin_done(pool: &Uid, template: &TemplateName, plugin: &PluginEntry, timing: &Timing) -> Timestamp {
    timing.after(
        plugin.since,
        timing::Step::Plugin,
        &format!("{pool}/{template}/{}", plugin.version),
        u64::from(plugin.is_removing),
    )
}

#[async_trait]
impl Fleet for SimFleet {
    fn provider(&self) -> &'static str {
        "simulated"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        let state = self.state();
        let mut offers = Offers::new();
        for machine in state.machines.values() {
            let registration = &machine.registration;
            let zones = &mut offers.entry(registration.flavor.clone()).or_default().zones;
            let offer: &mut ZoneOffer = zones.entry(registration.az.clone()).or_default();
            offer.total += 1;
            offer.free += u32::from(machine.bound.is_none() && !machine.is_broken());
        }
        Ok(offers)
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        let now = self.shared.clock.now();
        let timing = &self.shared.timing;
        let state = self.state();
        let mut observation = Observation::default();
        for (node, id) in state.nodes.get(pool).into_iter().flatten() {
            if let Some(machine) = state.machines.get(id)
                && let Some(bound) = &machine.bound
            {
                observation.nodes.insert(node.clone(), machine.fact(bound, now, timing));
            }
        }
        let Some(known) = state.pools.get(pool) else {
            return Ok(observation);
        };
        let is_ready = now >= timing.after(known.cluster_at, timing::Step::Cluster, pool.as_str(), 0);
        observation.cluster = if is_ready { ClusterFact::Ready } else { ClusterFact::Starting };
        if is_ready {
            observation.dependencies = JobType::ALL.into_iter().map(|job_type| (job_type, Ok(()))).collect();
        }
        for (template, plugin) in &known.plugins {
            let is_done = now >= plugin_done(pool, template, plugin, timing);
            let (running, plugin_state) = match (plugin.is_removing, is_done) {
                (true, true) => continue,
                (true, false) => (Some(plugin.version.clone()), PluginState::Removing),
                (false, true) => (Some(plugin.version.clone()), PluginState::Running),
                (false, false) => (plugin.running.clone(), PluginState::Installing),
            };
            observation.plugins.insert(
                template.clone(),
                PluginFact {
                    version: plugin.version.clone(),
                    running,
                    state: plugin_state,
                },
            );
        }
        Ok(observation)
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        let timing = self.shared.timing;
        let outcome = self
            .change(|state, touched, now| {
                if fence.epoch < state.epoch {
                    return commands.iter().map(|_| Err(FleetError::Fenced)).collect();
                }
                touched.epoch = fence.epoch > state.epoch;
                state.epoch = fence.epoch;
                commands
                    .iter()
                    .map(|command| state.carry_out(command, touched, now, &timing))
                    .collect()
            })
            .await;
        outcome.unwrap_or_else(|error| commands.iter().map(|_| Err(FleetError::Ambiguous(error.to_string()))).collect())
    }

    async fn changed(&self) -> Vec<Uid> {
        loop {
            let woken = self.shared.woken.notified();
            let next = {
                let mut state = self.state();
                let due: Vec<Uid> = std::mem::take(&mut state.dirty).into_iter().collect();
                if !due.is_empty() {
                    return due;
                }
                state.timers.first().map(|(at, _)| *at)
            };
            match next {
                Some(at) => tokio::select! {
                    biased;
                    () = woken => {}
                    () = self.shared.clock.sleep_until(at) => {}
                },
                None => woken.await,
            }
        }
    }
}
