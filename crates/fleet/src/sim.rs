//! The simulated fleet: machines by flavor and zone that take their time, for laptops, CI and the simulation.
//!
//! Nothing ticks. What a machine is doing is a function of what it was told when, of durations drawn from the seed, and of
//! the time; so an idle fleet costs nothing, and a restarted one goes on where it stood.

mod change;
mod facts;
mod failure;
mod faults;
mod filed;
mod journal;
mod machine;
mod pool;
mod request;
mod rules;
mod shift;
mod state;
mod timing;
mod usage;
mod work;

pub use domain::fault::{MachineFault, PoolFault};
pub use faults::Unknown;
pub use journal::{Journal, JournalError, MemoryJournal, ReadDocument};
pub use machine::{MachineInfo, Registration};
pub use work::Submission;

use crate::command::{Command, PoolMark};
use crate::observation::Observation;
use crate::port::{Fleet, FleetError};
use crate::workload::{WorkloadFact, Workloads};
use async_trait::async_trait;
use change::Change;
use clock::Clock;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use domain::name::{NodeName, PoolName};
use domain::sample::Minute;
use failure::FailureModel;
use machine::Machine;
use pool::PoolState;
use rules::Rules;
use shift::Shift;
use state::{Changes, Fleetwide};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use timing::Timing;
use tokio::sync::Notify;
use work::Spell;

/// How a simulated fleet behaves.
#[derive(Debug, Clone, Copy)]
pub struct SimConfig {
    pub seed: u64,
    /// Factor on all durations: 0 = at once, 1 = as in life.
    pub speed: f64,
    /// How often machines fail by themselves, times the published rate (see `sim::failure`). 0 = never.
    pub failures: f64,
}

/// Machines that exist on paper. Clones share them.
#[derive(Clone)]
pub struct SimFleet {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    state: Mutex<Fleetwide>,
    /// One change at a time, from decision to journal.
    turn: tokio::sync::Mutex<()>,
    woken: Notify,
}

/// How the removal of a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    Removed,
    Unknown,
    /// It is a node.
    InUse(PoolMark, NodeName),
}

/// Why a workload is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the pool takes no workloads yet")]
    Closed,
    #[error("the pool may use {at_most} nodes of the flavor at most")]
    TooLarge { at_most: u64 },
}

impl SimFleet {
    /// Reads the journal and goes on where the fleet stood.
    pub async fn open(config: SimConfig, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let timing = Timing::new(config.seed, config.speed);
        let failures = FailureModel {
            factor: config.failures,
            timing,
        };
        let rules = Rules { timing, failures };
        let mut state = Fleetwide::default();
        let mut kept = Changes::default();
        journal.load(&mut |id, document| kept.read(id, document)).await?;
        // Workloads get on from where they stood, one after the other, and not all at once.
        let stood_at = kept.time.unwrap_or_else(|| clock.now());
        state.apply(kept, stood_at, &rules);
        let shared = Shared {
            rules,
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
        state.settle(self.shared.clock.now(), &self.shared.rules);
        state
    }

    /// Tries a change on what it touches, writes it to the journal, and only then makes it true.
    async fn change<T>(&self, change: impl FnOnce(&mut Change<'_>) -> T) -> Result<T, JournalError> {
        let _turn = self.shared.turn.lock().await;
        let (answer, changes, progress) = {
            let mut state = self.state();
            let mut draft = Change::new(&state, &self.shared.rules, self.shared.clock.now());
            let (answer, changes) = (change(&mut draft), draft.finish());
            let progress = (!changes.is_empty()).then(|| self.progress(&mut state, &changes));
            (answer, changes, progress)
        };
        if let Some(progress) = progress {
            let documents = [changes.documents()?, progress.documents()?].concat();
            if let Err(error) = self.shared.journal.save(documents).await {
                self.state().forget_saved(progress.work.into_keys());
                return Err(error);
            }
            let late = {
                let mut state = self.state();
                // What got on while the change was written down came first, and is not to be forgotten.
                let is_late = state.has_unsaved();
                state.apply(changes, self.shared.clock.now(), &self.shared.rules);
                is_late.then(|| self.progress_of(&mut state))
            };
            self.shared.woken.notify_one();
            if let Some(progress) = late {
                self.shared.journal.save(progress.documents()?).await?;
            }
        }
        Ok(answer)
    }

    /// What workloads have got on that the journal does not know, but for those of a change.
    fn progress(&self, state: &mut Fleetwide, changes: &Changes) -> Changes {
        let mut progress = self.progress_of(state);
        progress.work.retain(|uid, _| !changes.work.contains_key(uid));
        if !state.has_work() && changes.work.is_empty() && progress.work.is_empty() {
            progress.time = None;
        }
        progress
    }

    fn progress_of(&self, state: &mut Fleetwide) -> Changes {
        Changes {
            work: state.take_unsaved(),
            time: Some(self.shared.clock.now()),
            ..Changes::default()
        }
    }

    /// Puts a workload into the queue of a pool of the tree of a physical one.
    pub async fn submit(&self, root: &Uid, pool: &Uid, submission: Submission) -> Result<Result<(), Refusal>, JournalError> {
        self.change(|change| change.submit(root, pool, submission)).await
    }

    /// Ends a workload. `None`: there is none. `false`: it was over.
    pub async fn cancel(&self, uid: &Uid) -> Result<Option<bool>, JournalError> {
        self.change(|change| change.cancel(uid)).await
    }

    /// Every workload of every pool, the first submitted first.
    pub fn all_workloads(&self) -> Vec<(Uid, WorkloadFact)> {
        let now = self.shared.clock.now();
        let state = self.state();
        let roots: BTreeSet<Uid> = state.all_work().map(|work| work.root.clone()).collect();
        let mut all = Vec::new();
        for root in roots {
            let floor = state.floor(&root, now, &self.shared.rules);
            let facts = state.shift(&root).map(|shift| shift.facts(&floor)).unwrap_or_default();
            all.extend(facts.into_iter().map(|fact| (root.clone(), fact)));
        }
        all
    }

    /// One workload, wherever it is.
    pub fn workload(&self, uid: &Uid) -> Option<WorkloadFact> {
        let state = self.state();
        state.workload(uid, self.shared.clock.now(), &self.shared.rules)
    }

    /// Adds machines; those whose id is known stay as they are.
    pub async fn register(&self, machines: Vec<Registration>) -> Result<(), JournalError> {
        let now = self.shared.clock.now();
        let first = self.state().next_number();
        let machines = machines.into_iter().zip(first..);
        self.change(|change| machines.for_each(|(registration, number)| change.add(Machine::new(registration, number, now))))
            .await
    }

    /// Takes a free machine away.
    pub async fn unregister(&self, id: &str) -> Result<Removal, JournalError> {
        self.change(|change| match change.machine(id).map(|machine| machine.bound.as_ref()) {
            None => Removal::Unknown,
            Some(Some(bound)) => Removal::InUse(bound.pool.clone(), bound.node.clone()),
            Some(None) => {
                change.remove(id);
                Removal::Removed
            }
        })
        .await
    }

    /// Every machine, by id.
    pub fn machines(&self) -> Vec<MachineInfo> {
        let now = self.shared.clock.now();
        self.state()
            .machines()
            .map(|machine| machine.info(now, &self.shared.rules))
            .collect()
    }

    pub fn machine(&self, id: &str) -> Option<MachineInfo> {
        let now = self.shared.clock.now();
        self.state().machine(id).map(|machine| machine.info(now, &self.shared.rules))
    }

    /// Faults of pools that were asked for.
    pub fn pool_faults(&self) -> Vec<(PoolMark, Vec<PoolFault>)> {
        let state = self.state();
        let faults = state.pools().map(|pool| (pool.mark.clone(), pool.faults()));
        faults.filter(|(_, faults)| !faults.is_empty()).collect()
    }

    /// Breaks something about a machine.
    pub async fn break_machine(&self, id: &str, fault: MachineFault) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_machine(id, |machine, now, _| machine.suffer(fault, now)).await
    }

    /// Mends a machine: the faults that were asked for, and the failure that it has by itself.
    pub async fn mend_machine(&self, id: &str) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_machine(id, Machine::mend).await
    }

    /// Breaks something about what a pool has besides nodes.
    pub async fn break_pool(&self, pool: &PoolName, fault: PoolFault) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_pool(pool, |state, now, _| state.suffer(&fault, now)).await
    }

    /// Mends what a pool has besides nodes.
    pub async fn mend_pool(&self, pool: &PoolName) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_pool(pool, |state, now, rules| state.mend(now, &rules.timing)).await
    }

    async fn edit_machine(
        &self,
        id: &str,
        edit: impl FnOnce(&mut Machine, jiff::Timestamp, &Rules),
    ) -> Result<Result<(), Unknown>, JournalError> {
        let is_known = self.change(|change| change.edit_machine(id, edit)).await?;
        Ok(is_known.then_some(()).ok_or_else(|| Unknown::Machine(id.to_owned())))
    }

    async fn edit_pool(
        &self,
        name: &PoolName,
        edit: impl FnOnce(&mut PoolState, jiff::Timestamp, &Rules),
    ) -> Result<Result<(), Unknown>, JournalError> {
        let uid = self.state().pool_named(name).map(|pool| pool.mark.uid.clone());
        let is_known = match uid {
            Some(uid) => self.change(|change| change.edit_pool(&uid, edit)).await?,
            None => false,
        };
        Ok(is_known.then_some(()).ok_or_else(|| Unknown::Pool(name.clone())))
    }
}

#[async_trait]
impl Fleet for SimFleet {
    fn provider(&self) -> &'static str {
        "simulated"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        Ok(self.state().offers().clone())
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        let now = self.shared.clock.now();
        let rules = &self.shared.rules;
        let state = self.state();
        let shift = state.shift(pool);
        // Both are in the order of names.
        let mut hosts = shift.into_iter().flat_map(Shift::hosts).peekable();
        let nodes = state.nodes(pool).filter_map(|(node, filed)| {
            while hosts.next_if(|host| *host < node).is_some() {}
            let is_busy = hosts.next_if(|host| *host == node).is_some();
            Some((node.clone(), filed.fact(is_busy, rules)?))
        });
        let mut observation = Observation {
            nodes: nodes.collect(),
            workloads: shift.map(Shift::counts).unwrap_or_default(),
            ..Observation::default()
        };
        if let Some(known) = state.pool(pool) {
            known.report(&mut observation, now, &rules.timing);
        }
        Ok(observation)
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        let mut state = self.state();
        Ok(state.workloads(pool, self.shared.clock.now(), &self.shared.rules))
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        let outcome = self
            .change(|change| {
                if fence.epoch < change.epoch() {
                    return commands.iter().map(|_| Err(FleetError::Fenced)).collect();
                }
                change.set_epoch(fence.epoch);
                commands.iter().map(|command| change.carry_out(command)).collect()
            })
            .await;
        outcome.unwrap_or_else(|error| commands.iter().map(|_| Err(FleetError::Ambiguous(error.to_string()))).collect())
    }

    async fn samples(
        &self,
        pool: &Uid,
        minutes: Range<i64>,
        nodes: Option<&BTreeSet<NodeName>>,
    ) -> Result<BTreeMap<i64, Minute>, FleetError> {
        let rules = &self.shared.rules;
        let machines: Vec<(Machine, Vec<Spell>)> = {
            let state = self.state();
            let mut spells = state.shift(pool).map(Shift::spells).unwrap_or_default();
            let wanted = state
                .nodes(pool)
                .filter(|(node, _)| nodes.is_none_or(|nodes| nodes.contains(*node)));
            wanted
                .map(|(node, filed)| (filed.machine.clone(), spells.remove(node).unwrap_or_default()))
                .collect()
        };
        let of = |minute: i64| {
            let mut sample = Minute::new();
            for (machine, spells) in &machines {
                machine.use_in(minute, spells, &mut sample, rules);
            }
            (minute, sample)
        };
        Ok(minutes.map(of).filter(|(_, sample)| !sample.is_empty()).collect())
    }

    async fn changed(&self) -> Vec<Uid> {
        loop {
            let woken = self.shared.woken.notified();
            let next = {
                let mut state = self.state();
                let due = state.take_dirty();
                if !due.is_empty() {
                    return due;
                }
                state.next_timer()
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

#[cfg(test)]
mod tests;
