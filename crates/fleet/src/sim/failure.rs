//! Failures that come by themselves: a stream of them for each machine, drawn from the seed.
//!
//! Rates and shares as published for a training run on 16,384 GPUs: 0.0038 faults per machine of 8 GPUs and day, of which
//! 30 % GPU, 17 % GPU memory, 8 % network; the rest is counted as the host. How long a repair takes was not published: here
//! it is 20 minutes to 8 hours, short ones more often.

use super::timing::Timing;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Faults of a machine with 8 GPUs in a day.
const RATE: f64 = 0.0038;
const DAY: f64 = 86_400.0;
/// Shares of a machine's faults that its accelerators and their memory cause.
const GPU: f64 = 0.30;
const GPU_MEMORY: f64 = 0.17;
const NETWORK: f64 = 0.08;
const REPAIR: (f64, f64) = (1_200.0, 28_800.0);

/// How often machines fail by themselves.
#[derive(Debug, Clone, Copy)]
pub struct FailureModel {
    /// Times the published rate, in the time of the clock, whatever the fleet's speed. 0 = never.
    pub factor: f64,
    pub timing: Timing,
}

/// How far a machine's stream of failures has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wear {
    /// In order since then.
    pub since: Timestamp,
    /// Failures before that.
    pub number: u64,
}

/// The next failure of a machine, or the one it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub at: Timestamp,
    /// Repaired.
    pub until: Timestamp,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Gpu,
    GpuMemory,
    /// Cut off: gives no sign of life.
    Network,
    /// Reports a fault.
    Host,
    /// Crashed: gives no sign of life.
    Crash,
}

impl Cause {
    /// What the machine reports. `None`: it is silent.
    pub fn reported(self) -> Option<&'static str> {
        match self {
            Self::Gpu => Some("an accelerator does not answer"),
            Self::GpuMemory => Some("uncorrectable errors in accelerator memory"),
            Self::Host => Some("the host reports a hardware fault"),
            Self::Network | Self::Crash => None,
        }
    }
}

impl FailureModel {
    pub(super) fn next(&self, machine: &str, accelerators: u32, wear: Wear) -> Option<Failure> {
        let per_accelerator = (GPU + GPU_MEMORY) / 8.0 * f64::from(accelerators);
        let share = 1.0 - GPU - GPU_MEMORY + per_accelerator;
        let rate = RATE * self.factor * share / DAY;
        if !(rate.is_finite() && rate > 0.0) {
            return None;
        }
        let draw = |purpose| self.timing.draw(purpose, machine, wear.number);
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let later = |from: Timestamp, wait| from.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let at = later(wear.since, seconds(-(1.0 - draw(101)).ln() / rate));
        let repair = draw(102);
        let until = later(at, seconds(REPAIR.0 + (REPAIR.1 - REPAIR.0) * repair * repair));
        let cause = cause(draw(103) * share, per_accelerator, draw(104));
        Some(Failure { at, until, cause })
    }
}

fn cause(drawn: f64, per_accelerator: f64, coin: f64) -> Cause {
    let gpu = per_accelerator * GPU / (GPU + GPU_MEMORY);
    if drawn < gpu {
        Cause::Gpu
    } else if drawn < per_accelerator {
        Cause::GpuMemory
    } else if drawn < per_accelerator + NETWORK {
        Cause::Network
    } else if coin < 0.5 {
        Cause::Host
    } else {
        Cause::Crash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(factor: f64) -> FailureModel {
        FailureModel {
            factor,
            timing: Timing::new(3, 1.0),
        }
    }

    fn stream(accelerators: u32, machine: &str, days: i64) -> Vec<Failure> {
        let start = Timestamp::UNIX_EPOCH;
        let end = Timestamp::from_second(days * 86_400).unwrap();
        let mut wear = Wear { since: start, number: 0 };
        let mut failures = Vec::new();
        while let Some(failure) = model(1.0).next(machine, accelerators, wear)
            && failure.at < end
        {
            failures.push(failure);
            wear = Wear {
                since: failure.until,
                number: wear.number + 1,
            };
        }
        failures
    }

    #[test]
    fn rates_and_causes_are_the_published_ones() {
        let failures: Vec<Failure> = (0..2_000).flat_map(|number| stream(8, &format!("machine-{number}"), 365)).collect();
        let rate = failures.len() as f64 / (2_000.0 * 365.0);
        assert!((0.0036..0.0040).contains(&rate), "{rate}");
        let share = |cause| failures.iter().filter(|failure| failure.cause == cause).count() as f64 / failures.len() as f64;
        for (cause, published) in [(Cause::Gpu, 0.30), (Cause::GpuMemory, 0.17), (Cause::Network, 0.08)] {
            assert!((share(cause) - published).abs() < 0.02, "{cause:?}: {}", share(cause));
        }
    }

    #[test]
    fn a_machine_without_accelerators_fails_less_often_and_never_by_them() {
        let failures: Vec<Failure> = (0..2_000).flat_map(|number| stream(0, &format!("machine-{number}"), 365)).collect();
        let rate = failures.len() as f64 / (2_000.0 * 365.0);
        assert!((0.0019..0.0022).contains(&rate), "{rate}");
        assert!(
            failures
                .iter()
                .all(|failure| !matches!(failure.cause, Cause::Gpu | Cause::GpuMemory))
        );
    }

    #[test]
    fn nothing_fails_at_factor_zero() {
        let wear = Wear {
            since: Timestamp::UNIX_EPOCH,
            number: 0,
        };
        for factor in [0.0, -1.0, f64::NAN] {
            assert_eq!(model(factor).next("machine", 8, wear), None);
        }
    }

    #[test]
    fn a_repair_takes_20_minutes_to_8_hours() {
        for failure in stream(8, "machine", 36_500) {
            let repair = failure.until.duration_since(failure.at).as_secs();
            assert!((1_200..=28_800).contains(&repair), "{repair}");
        }
    }
}
