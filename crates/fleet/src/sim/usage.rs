//! How much of a machine is used at a time: a function of the machine, of what it does and of the minute.

use super::machine::Machine;
use super::rules::Rules;
use super::work::Spell;
use domain::sample::{Metric, Minute, add};
use jiff::Timestamp;

/// Megabytes of a machine's disk.
const DISK: f64 = 512_000.0;
/// What the draws are for, so that they differ from those of durations.
const PURPOSE: u64 = 0x7361_6d70;

impl Machine {
    /// Adds what this machine used in a minute, given when workloads ran on it. A machine that is not up reports nothing.
    pub fn use_in(&self, minute: i64, spells: &[Spell], into: &mut Minute, rules: &Rules) {
        let Ok(at) = Timestamp::from_second(minute * 60) else { return };
        if !self.reports_at(at, rules) {
            return;
        }
        let registration = &self.registration;
        let has = |prefix: &str| registration.resources.iter().any(|(name, _)| name.starts_with(prefix));
        let is_busy = spells.iter().any(|spell| spell.contains(at));
        let level = |metric: Metric| {
            let ordinal = u64::try_from(minute).unwrap_or(0);
            let noise = rules.timing.draw(PURPOSE + metric as u64, &registration.id, ordinal);
            // Work keeps a machine at a level of its own; the minute only moves it a little.
            let own = rules.timing.draw(PURPOSE, &registration.id, metric as u64);
            if is_busy {
                55.0 + 35.0 * own + 5.0 * noise
            } else {
                1.0 + 2.0 * own + noise
            }
        };
        add(into, Metric::CpuUsage, level(Metric::CpuUsage));
        add(into, Metric::MemUsedRate, level(Metric::MemUsedRate));
        for (prefix, metrics) in [
            ("nvidia.com/", [Metric::GpuUtil, Metric::GpuMemUsage]),
            ("huawei.com/", [Metric::NpuUtil, Metric::NpuMemUsage]),
        ] {
            if has(prefix) {
                for metric in metrics {
                    add(into, metric, level(metric));
                }
            }
        }
        let used = level(Metric::DiskUsedRate);
        add(into, Metric::DiskAvailableCapacity, DISK * (1.0 - used / 100.0));
        add(into, Metric::DiskCapacity, DISK);
        add(into, Metric::DiskUsedRate, used);
    }
}
