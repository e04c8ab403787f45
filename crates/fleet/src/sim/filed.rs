//! A machine as the fleet has it on file, with what follows from it until it does something by itself or is told something.

use super::machine::{Fitness, Machine};
use super::rules::Rules;
use crate::observation::NodeFact;
use jiff::Timestamp;
use std::sync::{Arc, OnceLock};

/// A machine and where it is filed.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    pub machine: Machine,
    pub is_free: bool,
    /// When it does something by itself next. Nothing of this changes before.
    pub timer: Option<Timestamp>,
    pub standing: Standing,
    /// When it was filed.
    at: Timestamp,
    /// What is reported of it without and with a workload, once somebody has asked.
    facts: [OnceLock<Arc<NodeFact>>; 2],
}

/// What a machine is to workloads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Whether one may be put on it.
    pub is_open: bool,
    fitness: Fitness,
    /// When a driver was last asked for. Workloads from before that are not on it any more.
    driver_at: Option<Timestamp>,
}

impl Filed {
    pub fn new(machine: Machine, is_free: bool, timer: Option<Timestamp>, (now, rules): (Timestamp, &Rules)) -> Self {
        let fitness = machine.fitness(now, rules);
        let bound = machine.bound.as_ref();
        let standing = Standing {
            is_open: fitness == Fitness::Fit && bound.is_some_and(|bound| bound.held_at.is_none()),
            fitness,
            driver_at: bound.and_then(|bound| bound.driver.as_ref()).map(|job| job.at),
        };
        Self {
            machine,
            is_free,
            timer,
            standing,
            at: now,
            facts: [OnceLock::new(), OnceLock::new()],
        }
    }

    /// What is reported from when it was filed until its timer. `None`: it is no node.
    pub fn fact(&self, is_busy: bool, rules: &Rules) -> Option<Arc<NodeFact>> {
        let bound = self.machine.bound.as_ref()?;
        let fact = self.facts[usize::from(is_busy)].get_or_init(|| {
            let mut fact = self.machine.fact(bound, self.at, rules);
            fact.is_busy = is_busy;
            if is_busy {
                // A workload has its nodes to itself.
                fact.available = fact.available.emptied();
            }
            Arc::new(fact)
        });
        Some(Arc::clone(fact))
    }
}

impl Standing {
    /// What the machine is to a workload that has been on it since a time.
    pub fn fitness(&self, since: Timestamp) -> Fitness {
        match self.fitness {
            Fitness::Fit if self.driver_at.is_some_and(|at| at > since) => Fitness::Taken,
            Fitness::Fit | Fitness::Taken | Fitness::Broken => self.fitness,
        }
    }
}
