//! One machine, and what it is doing at a time.

use super::MachineFault;
use super::failure::{Failure, Wear};
use super::request::{Request, RequestJob};
use super::rules::Rules;
use super::timing::Step;
use crate::command::PoolMark;
use crate::observation::{DriverFact, DriverProgress, MachineState, NodeFact};
use domain::catalogue::Flavor;
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, ZoneName};
use domain::pool::NodeOs;
use domain::quantities::Quantities;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A machine as the operator registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub id: String,
    pub flavor: FlavorName,
    pub az: ZoneName,
    /// Allocatable quantities by resource name.
    pub resources: Quantities,
    #[serde(default)]
    pub accelerators: u32,
}

impl Registration {
    /// What a machine of a flavor has for jobs once the system has taken its share.
    pub fn allocatable(flavor: &Flavor) -> Quantities {
        let mut resources = vec![
            ("cpu".to_owned(), format!("{}m", flavor.cpu.saturating_mul(1000).saturating_sub(80))),
            ("memory".to_owned(), format!("{}Mi", u64::from(flavor.memory_gib) * 1024 * 9 / 10)),
        ];
        if let Some(gpu) = &flavor.gpu {
            resources.push(("nvidia.com/gpu".to_owned(), gpu.size.to_string()));
        }
        if let Some(npu) = &flavor.npu {
            resources.push((format!("huawei.com/{}", npu.model), npu.size.to_string()));
        }
        resources.into_iter().collect()
    }

    /// A machine of a flavor.
    pub fn of(flavor: &Flavor, id: String, az: ZoneName) -> Self {
        let accelerators = [&flavor.gpu, &flavor.npu].into_iter().flatten().map(|spec| spec.size);
        Self {
            id,
            flavor: flavor.name.clone(),
            az,
            resources: Self::allocatable(flavor),
            accelerators: accelerators.sum(),
        }
    }
}

/// A machine as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineInfo {
    pub registration: Registration,
    /// The node that it is, and of which pool.
    pub bound: Option<(PoolMark, NodeName)>,
    pub is_releasing: bool,
    /// Faults that were asked for.
    pub faults: Vec<MachineFault>,
    /// What it suffers from by itself, and when that will be repaired.
    pub failure: Option<(&'static str, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub registration: Registration,
    /// Its number, for its address.
    pub number: u32,
    /// How often it was bound.
    pub ordinal: u64,
    pub wear: Wear,
    #[serde(default)]
    pub bound: Option<Bound>,
    #[serde(default)]
    pub faults: Faults,
}

/// Faults that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Faults {
    pub silent: Option<Silence>,
    pub faulty: Option<String>,
    pub never_boots: bool,
    pub failing_drivers: u32,
    pub never_releases: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Silence {
    pub since: Timestamp,
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// The node that a machine is.
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
    /// The last reboot or reset.
    #[serde(default)]
    pub request: Option<RequestJob>,
    /// The image that was asked for.
    #[serde(default)]
    pub image: Option<String>,
    /// The logical pool that it is kept for.
    #[serde(default)]
    pub dedicated_to: Option<Uid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DriverJob {
    pub version: String,
    pub at: Timestamp,
    pub ordinal: u64,
    pub fails: bool,
}

/// What a machine is to a workload on it, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fitness {
    Fit,
    /// It is wanted for something else: given back, or a driver is installed.
    Taken,
    Broken,
}

impl Machine {
    pub fn new(registration: Registration, number: u32, now: Timestamp) -> Self {
        Self {
            registration,
            number,
            ordinal: 0,
            wear: Wear { since: now, number: 0 },
            bound: None,
            faults: Faults::default(),
        }
    }

    pub fn id(&self) -> &str {
        &self.registration.id
    }

    /// Forgets what time has settled: releases and failures that are over.
    pub fn settle(&mut self, now: Timestamp, rules: &Rules) {
        if self
            .bound
            .as_ref()
            .and_then(|bound| self.freed_at(bound, rules))
            .is_some_and(|at| at <= now)
        {
            self.bound = None;
        }
        if self
            .faults
            .silent
            .as_ref()
            .and_then(|silence| silence.until)
            .is_some_and(|until| until <= now)
        {
            self.faults.silent = None;
        }
        while let Some(failure) = self.next_failure(rules).filter(|failure| failure.until <= now) {
            self.wear = Wear {
                since: failure.until,
                number: self.wear.number + 1,
            };
        }
    }

    fn next_failure(&self, rules: &Rules) -> Option<Failure> {
        rules.failures.next(self.id(), self.registration.accelerators, self.wear)
    }

    pub(super) fn failure(&self, now: Timestamp, rules: &Rules) -> Option<Failure> {
        self.next_failure(rules).filter(|failure| failure.at <= now && now < failure.until)
    }

    /// Whether it is known to be out of order. That it will not boot is known only once it was tried.
    pub fn is_broken(&self, now: Timestamp, rules: &Rules) -> bool {
        self.faults.faulty.is_some() || self.silent_since(now, rules).is_some() || self.failure(now, rules).is_some()
    }

    fn silent_since(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        let asked = self.faults.silent.as_ref().map(|silence| silence.since);
        let failed = self.failure(now, rules).filter(|failure| failure.cause.reported().is_none());
        [asked, failed.map(|failure| failure.at)].into_iter().flatten().min()
    }

    pub(super) fn up_at(&self, bound: &Bound, rules: &Rules) -> (Timestamp, Timestamp) {
        let booted = rules.timing.after(bound.at, Step::Boot, self.id(), self.ordinal);
        (booted, rules.timing.after(booted, Step::Check, self.id(), self.ordinal))
    }

    fn driver_done_at(&self, bound: &Bound, job: &DriverJob, rules: &Rules) -> Timestamp {
        let asked = bound
            .request
            .as_ref()
            .filter(|request| request.kind == Request::Reset && request.at <= job.at);
        let reset = asked.map(|request| self.request_times(bound, request, rules).1);
        let start = job.at.max(self.up_at(bound, rules).1).max(reset.unwrap_or(job.at));
        rules
            .timing
            .after(start, Step::Driver, self.id(), self.ordinal * 1_000 + job.ordinal)
    }

    fn freed_at(&self, bound: &Bound, rules: &Rules) -> Option<Timestamp> {
        let start = bound.releasing_at.filter(|_| !self.faults.never_releases)?;
        Some(rules.timing.after(start, Step::Release, self.id(), self.ordinal))
    }

    /// The first instant after `now` at which what it does changes by itself.
    pub fn next_turn(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        let failure = self.next_failure(rules);
        let own = [
            failure.map(|failure| failure.at),
            failure.map(|failure| failure.until),
            self.faults.silent.as_ref().and_then(|silence| silence.until),
        ];
        let of_node = self.bound.as_ref().map(|bound| {
            let (booted, checked) = self.up_at(bound, rules);
            let request = bound.request.as_ref().map(|request| self.request_times(bound, request, rules));
            [
                Some(booted),
                Some(checked),
                request.map(|(booted, _)| booted),
                request.map(|(_, checked)| checked),
                bound.driver.as_ref().map(|job| self.driver_done_at(bound, job, rules)),
                self.freed_at(bound, rules),
            ]
        });
        let all = own.into_iter().chain(of_node.into_iter().flatten()).flatten();
        all.filter(|at| *at > now).min()
    }

    /// What the machine is to a workload.
    pub fn fitness(&self, now: Timestamp, rules: &Rules) -> Fitness {
        let Some(bound) = &self.bound else { return Fitness::Taken };
        let is_done = |job: &DriverJob| self.driver_fact(bound, job, now, rules).progress == DriverProgress::Done;
        let is_installing = bound.driver.as_ref().is_some_and(|job| !is_done(job));
        match self.state(bound, now, rules) {
            MachineState::Releasing | MachineState::Booting | MachineState::Checking => Fitness::Taken,
            MachineState::Faulty(_) | MachineState::Failed(_) => Fitness::Broken,
            MachineState::Ready if self.silent_since(now, rules).is_some() => Fitness::Broken,
            MachineState::Ready if is_installing => Fitness::Taken,
            MachineState::Ready => Fitness::Fit,
        }
    }

    pub fn address(&self, now: Timestamp, rules: &Rules) -> Option<String> {
        let (booted, _) = self.up_at(self.bound.as_ref()?, rules);
        (now >= booted).then(|| format!("192.168.{}.{}", 128 + (self.number / 250) % 128, 2 + self.number % 250))
    }

    pub fn fact(&self, bound: &Bound, now: Timestamp, rules: &Rules) -> NodeFact {
        let (_, checked) = self.up_at(bound, rules);
        let is_up = now >= checked;
        let resources = if is_up {
            self.registration.resources.clone()
        } else {
            Quantities::default()
        };
        NodeFact {
            state: self.state(bound, now, rules),
            az: self.registration.az.clone(),
            silent_since: self.silent_since(now, rules),
            private_ip: self.address(now, rules),
            instance: Some(self.registration.id.clone()),
            available: resources.clone(),
            resources,
            os: is_up.then(|| bound.image.clone().unwrap_or_else(|| "EulerOS 2.10".to_owned())),
            driver: bound.driver.as_ref().map(|job| self.driver_fact(bound, job, now, rules)),
            // Whether workloads run on it, the fleet knows.
            is_busy: false,
            is_held: bound.held_at.is_some(),
            is_locked: None,
            request: bound.request.as_ref().map(|request| self.request_fact(bound, request, now, rules)),
            dedicated_to: bound.dedicated_to.clone(),
        }
    }

    /// Whether it is a node that is up at a time and gives signs of life.
    pub fn reports_at(&self, at: Timestamp, rules: &Rules) -> bool {
        let is_up = |bound: &Bound| at >= self.up_at(bound, rules).1 && bound.releasing_at.is_none_or(|since| at < since);
        !self.faults.never_boots && self.bound.as_ref().is_some_and(is_up) && self.silent_since(at, rules).is_none_or(|since| at < since)
    }

    fn state(&self, bound: &Bound, now: Timestamp, rules: &Rules) -> MachineState {
        let (booted, checked) = self.up_at(bound, rules);
        let reported = || {
            let failed = self.failure(now, rules).and_then(|failure| failure.cause.reported());
            self.faults.faulty.clone().or_else(|| failed.map(str::to_owned))
        };
        if bound.releasing_at.is_some() {
            MachineState::Releasing
        } else if self.faults.never_boots && bound.installed.is_none() && now < checked {
            MachineState::Booting
        } else if self.faults.never_boots {
            MachineState::Failed("the machine does not start".to_owned())
        } else if now < booted {
            MachineState::Booting
        } else if now < checked {
            MachineState::Checking
        } else if let Some(state) = self.state_by_request(bound, now, rules) {
            state
        } else {
            reported().map_or(MachineState::Ready, MachineState::Faulty)
        }
    }

    fn driver_fact(&self, bound: &Bound, job: &DriverJob, now: Timestamp, rules: &Rules) -> DriverFact {
        let version = job.version.clone();
        let (installed, progress) = if now < self.driver_done_at(bound, job, rules) {
            (bound.installed.clone(), DriverProgress::Installing { version })
        } else if job.fails {
            let reason = "the installer ended with an error".to_owned();
            (bound.installed.clone(), DriverProgress::Failed { version, reason })
        } else {
            (Some(version), DriverProgress::Done)
        };
        DriverFact { installed, progress }
    }

    /// Binds a free machine.
    pub fn bind(&mut self, node: NodeName, pool: PoolMark, driver: Option<String>, now: Timestamp) {
        self.ordinal += 1;
        let driver = driver.map(|version| self.driver_job(version, now, 0));
        self.bound = Some(Bound {
            node,
            pool,
            at: now,
            driver,
            installed: None,
            held_at: None,
            releasing_at: None,
            request: None,
            image: None,
            dedicated_to: None,
        });
    }

    /// Another image for the node, where one is named.
    pub fn install_image(&mut self, image: Option<&NodeOs>) {
        let name = image.and_then(|image| image.name.clone().or_else(|| image.image_id.clone()));
        if let (Some(bound), Some(name)) = (&mut self.bound, name) {
            bound.image = Some(name);
        }
    }

    /// Starts an installation, unless it is running, or done and well.
    pub fn install(&mut self, version: &str, now: Timestamp, rules: &Rules) {
        let Some(bound) = &self.bound else { return };
        let fact = bound.driver.as_ref().map(|job| self.driver_fact(bound, job, now, rules));
        let is_running =
            |fact: &DriverFact| matches!(&fact.progress, DriverProgress::Installing { version: running } if running == version);
        if fact.as_ref().is_some_and(is_running) {
            return;
        }
        let installed = fact.map_or_else(|| bound.installed.clone(), |fact| fact.installed);
        if installed.as_deref() == Some(version) {
            return;
        }
        let ordinal = bound.driver.as_ref().map_or(0, |job| job.ordinal) + 1;
        let job = self.driver_job(version.to_owned(), now, ordinal);
        if let Some(bound) = &mut self.bound {
            bound.installed = installed;
            bound.driver = Some(job);
        }
    }

    pub(super) fn driver_job(&mut self, version: String, at: Timestamp, ordinal: u64) -> DriverJob {
        let fails = self.faults.failing_drivers > 0;
        self.faults.failing_drivers = self.faults.failing_drivers.saturating_sub(1);
        DriverJob {
            version,
            at,
            ordinal,
            fails,
        }
    }

    pub fn suffer(&mut self, fault: MachineFault, now: Timestamp) {
        let faults = &mut self.faults;
        match fault {
            MachineFault::Silent { lasting } => {
                let until = lasting.and_then(|lasting| now.saturating_add(lasting.max(SignedDuration::ZERO)).ok());
                faults.silent = Some(Silence { since: now, until });
            }
            MachineFault::Faulty { reason } => faults.faulty = Some(reason),
            MachineFault::NeverBoots => faults.never_boots = true,
            MachineFault::DriverFails { times } => faults.failing_drivers = times,
            MachineFault::NeverReleases => faults.never_releases = true,
        }
    }

    /// Clears faults that were asked for and ends the failure that it has by itself.
    pub fn mend(&mut self, now: Timestamp, rules: &Rules) {
        self.faults = Faults::default();
        if self.failure(now, rules).is_some() {
            self.wear = Wear {
                since: now,
                number: self.wear.number + 1,
            };
        }
    }

    pub fn info(&self, now: Timestamp, rules: &Rules) -> MachineInfo {
        let faults = &self.faults;
        let silent = faults.silent.as_ref().map(|silence| MachineFault::Silent {
            lasting: silence.until.map(|until| until.duration_since(silence.since)),
        });
        let drivers = Some(faults.failing_drivers).filter(|times| *times > 0);
        let asked = [
            silent,
            faults.faulty.clone().map(|reason| MachineFault::Faulty { reason }),
            faults.never_boots.then_some(MachineFault::NeverBoots),
            drivers.map(|times| MachineFault::DriverFails { times }),
            faults.never_releases.then_some(MachineFault::NeverReleases),
        ];
        let failure = self.failure(now, rules);
        MachineInfo {
            registration: self.registration.clone(),
            bound: self.bound.as_ref().map(|bound| (bound.pool.clone(), bound.node.clone())),
            is_releasing: self.bound.as_ref().is_some_and(|bound| bound.releasing_at.is_some()),
            faults: asked.into_iter().flatten().collect(),
            failure: failure.map(|failure| (failure.cause.reported().unwrap_or("the machine does not answer"), failure.until)),
        }
    }
}
