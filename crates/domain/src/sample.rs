//! What machines report of their use, minute by minute (contract pools §11).

use crate::meta::Uid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long samples are kept.
pub const RETENTION: Duration = Duration::from_hours(30 * 24);

macro_rules! metrics {
    ($($metric:ident => $name:literal),+ $(,)?) => {
        /// What is measured, in the order in which it is shown.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Metric { $($metric),+ }

        impl Metric {
            pub const ALL: &'static [Self] = &[$(Self::$metric),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$metric => $name),+ }
            }
        }
    };
}

metrics! {
    CpuUsage => "cpuUsage",
    MemUsedRate => "memUsedRate",
    GpuUtil => "gpuUtil",
    GpuMemUsage => "gpuMemUsage",
    NpuUtil => "npuUtil",
    NpuMemUsage => "npuMemUsage",
    DiskAvailableCapacity => "diskAvailableCapacity",
    DiskCapacity => "diskCapacity",
    DiskUsedRate => "diskUsedRate",
}

impl Metric {
    /// Shares are in per cent, capacities in megabytes.
    pub fn unit(self) -> &'static str {
        match self {
            Self::DiskAvailableCapacity | Self::DiskCapacity => "Megabytes",
            Self::CpuUsage
            | Self::MemUsedRate
            | Self::GpuUtil
            | Self::GpuMemUsage
            | Self::NpuUtil
            | Self::NpuMemUsage
            | Self::DiskUsedRate => "Percent",
        }
    }
}

/// What is known of many values: two of these add up to that of all values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub count: u32,
    pub sum: f64,
    pub least: f64,
    pub most: f64,
}

impl Aggregate {
    pub fn of(value: f64) -> Self {
        Self {
            count: 1,
            sum: value,
            least: value,
            most: value,
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum + other.sum,
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

/// All nodes of a pool in one minute.
pub type Minute = BTreeMap<Metric, Aggregate>;

/// Adds one value to a minute.
pub fn add(minute: &mut Minute, metric: Metric, value: f64) {
    merge(minute, metric, Aggregate::of(value));
}

pub fn merge(minute: &mut Minute, metric: Metric, values: Aggregate) {
    let sum = minute.get(&metric).map_or(values, |known| known.and(values));
    minute.insert(metric, sum);
}

/// Minutes since the epoch: what samples are filed by.
pub fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The samples of one pool in one hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleHour {
    pub pool: Uid,
    /// Hours since the epoch.
    pub hour: i64,
    /// By minute since the epoch. Without nodes there is nothing in a minute; a minute that is not there was never asked for.
    pub minutes: BTreeMap<i64, Minute>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_add_up() {
        let mut minute = Minute::new();
        for value in [3.0, 1.0, 2.0] {
            add(&mut minute, Metric::CpuUsage, value);
        }
        let all = minute[&Metric::CpuUsage];
        assert_eq!((all.count, all.sum, all.least, all.most), (3, 6.0, 1.0, 3.0));
    }
}
