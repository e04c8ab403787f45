//! Reboots and resets of a machine.

use super::failure::{Cause, Wear};
use super::machine::{Bound, Machine};
use super::rules::Rules;
use super::timing::Step;
use crate::command::ResetRequest;
use crate::observation::{MachineState, RequestFact, RequestProgress};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestJob {
    pub number: u64,
    pub kind: Request,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    Reboot,
    Reset,
}

impl Machine {
    /// When it is up again, and when it has checked itself.
    pub fn request_times(&self, bound: &Bound, request: &RequestJob, rules: &Rules) -> (Timestamp, Timestamp) {
        let ordinal = self.ordinal * 1_000 + request.number;
        let after = |start, step| rules.timing.after(start, step, self.id(), ordinal);
        let start = request.at.max(self.up_at(bound, rules).1);
        let installed = match request.kind {
            Request::Reboot => start,
            Request::Reset => after(start, Step::Install),
        };
        let booted = after(installed, Step::Reboot);
        (booted, after(booted, Step::Check))
    }

    pub fn request_fact(&self, bound: &Bound, request: &RequestJob, now: Timestamp, rules: &Rules) -> RequestFact {
        let (booted, checked) = self.request_times(bound, request, rules);
        let progress = if now < booted {
            RequestProgress::Running
        } else if self.faults.never_boots {
            RequestProgress::Failed {
                reason: "the machine does not start".to_owned(),
            }
        } else if now < checked {
            RequestProgress::Running
        } else {
            RequestProgress::Done
        };
        RequestFact {
            number: request.number,
            progress,
        }
    }

    /// What it is doing because of a request that is not over.
    pub fn state_by_request(&self, bound: &Bound, now: Timestamp, rules: &Rules) -> Option<MachineState> {
        let request = bound.request.as_ref()?;
        let (booted, checked) = self.request_times(bound, request, rules);
        if now < booted {
            Some(MachineState::Booting)
        } else if self.faults.never_boots {
            Some(MachineState::Faulty("the machine does not start".to_owned()))
        } else {
            (now < checked).then_some(MachineState::Checking)
        }
    }

    /// `false`: nothing has begun.
    pub fn reboot(&mut self, number: u64, now: Timestamp, rules: &Rules) -> bool {
        let has_begun = self.begin(number, Request::Reboot, now);
        if has_begun {
            self.restart(now, rules);
        }
        has_begun
    }

    /// `false`: nothing has begun.
    pub fn reset(&mut self, wanted: &ResetRequest, now: Timestamp, rules: &Rules) -> bool {
        if !self.begin(wanted.number, Request::Reset, now) {
            return false;
        }
        self.restart(now, rules);
        let ordinal = self
            .bound
            .as_ref()
            .and_then(|bound| bound.driver.as_ref())
            .map_or(0, |job| job.ordinal + 1);
        let driver = wanted.driver.clone().map(|version| self.driver_job(version, now, ordinal));
        let Some(bound) = &mut self.bound else { return false };
        bound.installed = None;
        bound.driver = driver;
        self.install_image(wanted.image.as_ref());
        true
    }

    /// `false`: it is known, or the machine is on its way out.
    fn begin(&mut self, number: u64, kind: Request, now: Timestamp) -> bool {
        let Some(bound) = self.bound.as_mut().filter(|bound| bound.releasing_at.is_none()) else {
            return false;
        };
        if bound.request.as_ref().is_some_and(|known| known.number >= number) {
            return false;
        }
        bound.request = Some(RequestJob { number, kind, at: now });
        true
    }

    /// A crash is over when the machine starts again; what is broken stays broken.
    fn restart(&mut self, now: Timestamp, rules: &Rules) {
        if self.failure(now, rules).is_some_and(|failure| failure.cause == Cause::Crash) {
            self.wear = Wear {
                since: now,
                number: self.wear.number + 1,
            };
        }
    }
}
