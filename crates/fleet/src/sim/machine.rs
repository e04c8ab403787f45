//! One machine, and what it is doing at a time.

use super::timing::{Step, Timing};
use crate::command::PoolMark;
use crate::observation::{DriverFact, DriverProgress, MachineState, NodeFact};
use domain::name::{FlavorName, NodeName, ZoneName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine as the operator registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub id: String,
    pub flavor: FlavorName,
    pub az: ZoneName,
    /// Allocatable quantities by resource name.
    pub resources: BTreeMap<String, String>,
    pub has_accelerator: bool,
}

/// A machine as the operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct MachineInfo {
    pub id: String,
    pub flavor: FlavorName,
    pub az: ZoneName,
    pub node: Option<NodeName>,
    pub is_broken: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Machine {
    pub registration: Registration,
    /// Its number, for its address.
    pub number: u32,
    /// How often it was bound.
    pub ordinal: u64,
    #[serde(default)]
    pub bound: Option<Bound>,
    #[serde(default)]
    pub silent_since: Option<Timestamp>,
    #[serde(default)]
    pub silent_until: Option<Timestamp>,
    #[serde(default)]
    pub fault: Option<String>,
    #[serde(default)]
    pub never_boots: bool,
    #[serde(default)]
    pub failing_drivers: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    pub node: NodeName,
    pub pool: PoolMark,
    pub at: Timestamp,
    #[serde(default)]
    pub driver: Option<DriverJob>,
    #[serde(default)]
    pub installed: Option<String>,
    #[serde(default)]
    pub held_at: Option<Timestamp>,
    #[serde(default)]
    pub releasing_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DriverJob {
    pub version: String,
    pub at: Timestamp,
    pub ordinal: u64,
    pub fails: bool,
}

impl Machine {
    pub fn id(&self) -> &str {
        &self.registration.id
    }

    /// Whether it is known to be out of order. That it will not boot is known only once it was tried.
    pub fn is_broken(&self) -> bool {
        self.fault.is_some() || self.silent_since.is_some()
    }

    fn up_at(&self, bound: &Bound, timing: &Timing) -> (Timestamp, Timestamp) {
        let booted = timing.after(bound.at, Step::Boot, self.id(), self.ordinal);
        (booted, timing.after(booted, Step::Check, self.id(), self.ordinal))
    }

    fn driver_done_at(&self, bound: &Bound, job: &DriverJob, timing: &Timing) -> Timestamp {
        let start = job.at.max(self.up_at(bound, timing).1);
        timing.after(start, Step::Driver, self.id(), self.ordinal * 1_000 + job.ordinal)
    }

    pub fn idle_at(&self, held_at: Timestamp, timing: &Timing) -> Timestamp {
        timing.after(held_at, Step::Drain, self.id(), self.ordinal)
    }

    /// When its machine is free again.
    pub fn freed_at(&self, bound: &Bound, timing: &Timing) -> Option<Timestamp> {
        Some(timing.after(bound.releasing_at?, Step::Release, self.id(), self.ordinal))
    }

    /// The instants at which what is observed of it changes.
    pub fn turning_points(&self, timing: &Timing) -> Vec<Timestamp> {
        let Some(bound) = &self.bound else { return Vec::new() };
        let (booted, checked) = self.up_at(bound, timing);
        let mut points = vec![booted, checked];
        points.extend(bound.driver.as_ref().map(|job| self.driver_done_at(bound, job, timing)));
        points.extend(bound.held_at.map(|at| self.idle_at(at, timing)));
        points.extend(self.freed_at(bound, timing));
        points.extend(self.silent_until);
        points
    }

    fn is_silent(&self, now: Timestamp) -> bool {
        self.silent_since.is_some_and(|since| since <= now) && self.silent_until.is_none_or(|until| now < until)
    }

    pub fn fact(&self, bound: &Bound, now: Timestamp, timing: &Timing) -> NodeFact {
        let (booted, checked) = self.up_at(bound, timing);
        let is_up = now >= checked;
        let state = if bound.releasing_at.is_some() {
            MachineState::Releasing
        } else if self.never_boots && bound.installed.is_none() && !is_up {
            MachineState::Booting
        } else if self.never_boots {
            MachineState::Failed("the machine does not start".to_owned())
        } else if now < booted {
            MachineState::Booting
        } else if now < checked {
            MachineState::Checking
        } else if let Some(reason) = &self.fault {
            MachineState::Faulty(reason.clone())
        } else {
            MachineState::Ready
        };
        let heartbeat = if self.is_silent(now) {
            self.silent_since.unwrap_or(now)
        } else {
            now
        };
        let resources = if is_up {
            self.registration.resources.clone()
        } else {
            BTreeMap::new()
        };
        NodeFact {
            state,
            az: self.registration.az.clone(),
            heartbeat,
            private_ip: (now >= booted).then(|| format!("192.168.{}.{}", 128 + (self.number / 250) % 128, 2 + self.number % 250)),
            instance: Some(self.registration.id.clone()),
            available: resources.clone(),
            resources,
            os: is_up.then(|| "EulerOS 2.10".to_owned()),
            driver: bound.driver.as_ref().map(|job| self.driver_fact(bound, job, now, timing)),
            is_busy: bound.held_at.is_some_and(|at| now < self.idle_at(at, timing)),
            is_held: bound.held_at.is_some(),
        }
    }

    fn driver_fact(&self, bound: &Bound, job: &DriverJob, now: Timestamp, timing: &Timing) -> DriverFact {
        if now < self.driver_done_at(bound, job, timing) {
            return DriverFact {
                installed: bound.installed.clone(),
                progress: DriverProgress::Installing {
                    version: job.version.clone(),
                },
            };
        }
        if job.fails {
            let progress = DriverProgress::Failed {
                version: job.version.clone(),
                reason: "the installer ended with an error".to_owned(),
            };
            return DriverFact {
                installed: bound.installed.clone(),
                progress,
            };
        }
        DriverFact {
            installed: Some(job.version.clone()),
            progress: DriverProgress::Done,
        }
    }

    /// What is installed at a time, for the next installation to start from.
    pub fn installed(&self, bound: &Bound, now: Timestamp, timing: &Timing) -> Option<String> {
        bound.driver.as_ref().map_or_else(
            || bound.installed.clone(),
            |job| self.driver_fact(bound, job, now, timing).installed,
        )
    }
}
