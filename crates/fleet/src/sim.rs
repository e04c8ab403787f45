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
mod operations;
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
pub use journal::{Journal, JournalError, MemoryJournal, ReadDocument, SaveError, Stretch, TURN, Written};
pub use machine::{MachineInfo, Registration};
pub use work::Submission;

use crate::command::{Command, PoolMark};
use crate::observation::Observation;
use crate::port::{Fleet, FleetError};
use crate::workload::Workloads;
use async_trait::async_trait;
use change::Change;
use clock::Clock;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use domain::name::NodeName;
use domain::sample::Minute;
use failure::FailureModel;
use machine::Machine;
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

/// How often a change is decided anew because others were faster.
const ATTEMPTS: usize = 100;

/// Machines that exist on paper. Clones share them.
///
/// Several processes may each have one on the same journal: each follows what the others write, and what one decides holds
/// only if nobody has written since what it had seen.
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
    #[error("the pool takes no workloads of the type yet, or any more")]
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
        let mut kept = Changes::default();
        let position = journal.load(&mut |written| kept.take(written)).await?;
        let state = Self::stand(kept, position, clock.now(), &rules);
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

    /// The fleet as it is written down. Workloads get on from where they stood, one after the other, and not all at once.
    fn stand(kept: Changes, position: u64, now: jiff::Timestamp, rules: &Rules) -> Fleetwide {
        let mut state = Fleetwide::default();
        let stood_at = kept.time.unwrap_or(now);
        state.apply(kept, stood_at, rules);
        state.position = position;
        state
    }

    /// How far it has followed the journal.
    pub fn position(&self) -> u64 {
        self.state().position
    }

    /// Makes true what was written to the journal, here or elsewhere, up to where that is known. What is known already is left.
    pub fn take_in(&self, stretch: Stretch) -> Result<(), JournalError> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if stretch.up_to <= state.position {
            return Ok(());
        }
        let known = state.position;
        let mut changes = Changes::default();
        for written in stretch.documents {
            if stretch.is_whole || written.position > known {
                changes.take(written)?;
            }
        }
        if stretch.is_whole {
            *state = Self::stand(changes, stretch.up_to, now, &self.shared.rules);
        } else {
            state.position = stretch.up_to;
            if changes.turn.is_none() && changes.is_empty() {
                return Ok(());
            }
            let stood_at = changes.time.or(state.stood_at()).unwrap_or(now);
            state.undo_progress();
            state.apply(changes, stood_at, &self.shared.rules);
        }
        state.settle(now, &self.shared.rules);
        drop(state);
        self.shared.woken.notify_one();
        Ok(())
    }

    /// Takes in everything that has been written to the journal by now.
    pub async fn catch_up(&self) -> Result<(), JournalError> {
        let position = self.position();
        let stretch = self.shared.journal.since(position).await?;
        self.take_in(stretch)
    }

    /// As [`SimFleet::change_under`], for who needs no lease.
    async fn change<T>(&self, change: impl FnMut(&mut Change<'_>) -> T) -> Result<T, JournalError> {
        self.change_under(None, change).await.map_err(|error| match error {
            SaveError::Failed(error) => error,
            SaveError::Behind | SaveError::Fenced => JournalError(error.to_string()),
        })
    }

    /// Tries a change on what it touches, writes it to the journal, and only then makes it true. Where somebody else has
    /// written first, it is tried again on what that has left.
    async fn change_under<T>(&self, fence: Option<&Fence>, mut change: impl FnMut(&mut Change<'_>) -> T) -> Result<T, SaveError> {
        let _turn = self.shared.turn.lock().await;
        for _ in 0..ATTEMPTS {
            let (answer, changes, progress, turn) = {
                let state = self.state();
                let mut draft = Change::new(&state, &self.shared.rules, self.shared.clock.now());
                let (answer, changes) = (change(&mut draft), draft.finish());
                if changes.is_empty() {
                    return Ok(answer);
                }
                let progress = self.progress(&state, &changes);
                (answer, changes, progress, state.turn)
            };
            match self.write((changes, progress), turn, fence).await {
                Ok(()) => return Ok(answer),
                Err(SaveError::Behind) => self.catch_up().await?,
                Err(error) => return Err(error),
            }
        }
        Err(SaveError::Behind)
    }

    /// Writes down a change, and what workloads have got on before it.
    async fn write(&self, (changes, progress): (Changes, Changes), turn: u64, fence: Option<&Fence>) -> Result<(), SaveError> {
        let documents = [changes.documents()?, progress.documents()?, turn_document(fence)].concat();
        let position = self.shared.journal.save(documents, turn, fence).await?;
        let late = {
            let mut state = self.state();
            // Somebody who follows the journal may have been here first.
            (position > state.position).then(|| {
                state.saved(&progress.work);
                // What got on while the change was written down came first, and is not to be forgotten.
                let is_late = state.has_progress();
                let stood_at = Changes {
                    time: progress.time.or(changes.time),
                    turn: Some(position),
                    ..changes
                };
                state.apply(stood_at, self.shared.clock.now(), &self.shared.rules);
                state.position = position;
                is_late
            })
        };
        self.shared.journal.told(position);
        self.shared.woken.notify_one();
        if late == Some(true) {
            self.write_progress(position, fence).await?;
        }
        Ok(())
    }

    async fn write_progress(&self, turn: u64, fence: Option<&Fence>) -> Result<(), SaveError> {
        let progress = {
            let state = self.state();
            self.progress(&state, &Changes::default())
        };
        let documents = [progress.documents()?, turn_document(fence)].concat();
        match self.shared.journal.save(documents, turn, fence).await {
            Ok(position) => {
                let mut state = self.state();
                if position > state.position {
                    state.saved(&progress.work);
                    state.apply(
                        Changes::reached(progress.time, position),
                        self.shared.clock.now(),
                        &self.shared.rules,
                    );
                    state.position = position;
                }
                drop(state);
                self.shared.journal.told(position);
                Ok(())
            }
            // Workloads get on as time does: what they are now follows from what is written down, here as elsewhere.
            Err(SaveError::Behind | SaveError::Fenced) => Ok(()),
            Err(error @ SaveError::Failed(_)) => Err(error),
        }
    }

    /// What workloads have got on that the journal does not know, but for those of a change.
    fn progress(&self, state: &Fleetwide, changes: &Changes) -> Changes {
        let mut work = state.progress();
        work.retain(|uid, _| !changes.work.contains_key(uid));
        let has_work = state.has_work() || !changes.work.is_empty() || !work.is_empty();
        Changes {
            work,
            time: has_work.then(|| self.shared.clock.now()),
            ..Changes::default()
        }
    }
}

/// What is part of every write: under which epoch it was made, if under one.
fn turn_document(fence: Option<&Fence>) -> Vec<(String, Option<serde_json::Value>)> {
    let turn = serde_json::json!({"epoch": fence.map(|fence| fence.epoch)});
    vec![(TURN.to_owned(), Some(turn))]
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
            .change_under(Some(fence), |change| {
                if fence.epoch < change.epoch() {
                    return commands.iter().map(|_| Err(FleetError::Fenced)).collect();
                }
                change.set_epoch(fence.epoch);
                commands.iter().map(|command| change.carry_out(command)).collect()
            })
            .await;
        outcome.unwrap_or_else(|error| {
            let told = match &error {
                SaveError::Fenced => FleetError::Fenced,
                SaveError::Behind | SaveError::Failed(_) => FleetError::Ambiguous(error.to_string()),
            };
            commands.iter().map(|_| Err(told.clone())).collect()
        })
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
