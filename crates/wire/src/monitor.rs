//! Monitoring of pools as clients see it (contract pools §11, tags… §9).

use crate::query::Query;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::sample::{Aggregate, Metric, Minute, minute_of};
use domain::workload::WorkloadKind;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Points of one answer at most.
const MAX_POINTS: i64 = 1_440;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PoolMonitor {
    pub metrics: Vec<MetricSeries>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSeries {
    pub metric: MetricName,
    pub data_points: Vec<DataPoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricName {
    pub metric_name: &'static str,
    pub namespace: &'static str,
    pub dimensions: Vec<Dimension>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Dimension {
    pub name: &'static str,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DataPoint {
    /// Milliseconds since the epoch
    pub timestamp: i64,
    pub unit: &'static str,
    pub statistics: Vec<StatisticValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StatisticValue {
    pub statistic: &'static str,
    /// -1: no valid data
    pub value: f64,
}

/// How many values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Maximum,
    Minimum,
    Sum,
    Average,
    SampleCount,
}

impl Statistic {
    const ALL: [(&'static str, Self); 5] = [
        ("maximum", Self::Maximum),
        ("minimum", Self::Minimum),
        ("sum", Self::Sum),
        ("average", Self::Average),
        ("sampleCount", Self::SampleCount),
    ];

    fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, known)| *known == self);
        found.map_or("", |(name, _)| name)
    }

    fn value(self, of: Option<&Aggregate>) -> f64 {
        let Some(values) = of else { return -1.0 };
        let value = match self {
            Self::Maximum => values.most,
            Self::Minimum => values.least,
            Self::Sum => values.sum,
            Self::Average => values.sum / f64::from(values.count.max(1)),
            Self::SampleCount => f64::from(values.count),
        };
        (value * 100.0).round() / 100.0
    }
}

/// What a query asks for, in minutes since the epoch; `to` is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
    /// Minutes
    pub period: i64,
    pub statistic: Statistic,
}

/// Reads `time_range`, `statistics` and `period`.
pub fn read_range(query: &Query, now: Timestamp) -> Result<Range, FieldErrors> {
    let mut errors = FieldErrors::new();
    let sent = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let statistic = sent("statistics").map_or(Some(Statistic::Maximum), |text| {
        Statistic::ALL
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, statistic)| *statistic)
    });
    if statistic.is_none() {
        let names = Statistic::ALL.map(|(name, _)| name).join(", ");
        errors.push(FieldPath::of("statistics"), Reason::Invalid, format!("must be one of {names}"));
    }
    let period = match sent("period") {
        None | Some("60") => Some(1),
        Some("300") => Some(5),
        Some("900") => Some(15),
        Some("3600") => Some(60),
        Some(_) => {
            errors.push(FieldPath::of("period"), Reason::Invalid, "must be 60, 300, 900 or 3600");
            None
        }
    };
    let range = sent("time_range").unwrap_or("-1.-1.60");
    let (from, to) = match bounds(range, now) {
        Ok((from, to, minutes)) => {
            if minutes / period.unwrap_or(1) > MAX_POINTS {
                let message = format!("asks for more than {MAX_POINTS} points");
                errors.push(FieldPath::of("time_range"), Reason::Invalid, message);
            }
            (from, to)
        }
        Err(message) => {
            errors.push(FieldPath::of("time_range"), Reason::Invalid, message);
            (0, 0)
        }
    };
    errors.into_result()?;
    Ok(Range {
        from,
        to,
        period: period.unwrap_or(1),
        statistic: statistic.unwrap_or(Statistic::Maximum),
    })
}

/// `start.end.minutes` as minutes since the epoch.
fn bounds(text: &str, now: Timestamp) -> Result<(i64, i64, i64), &'static str> {
    let form = "must have the form start.end.minutes, with milliseconds or -1";
    let parts: Vec<i64> = text.split('.').map(crate::decode::decimal).collect::<Option<_>>().ok_or(form)?;
    let [start, end, minutes] = parts[..] else { return Err(form) };
    if start < -1 || end < -1 {
        return Err(form);
    }
    // No point lies further away than this, and sums stay far from the ends of the type.
    if minutes <= 0 || minutes > 100_000_000 {
        return Err("must cover at least one minute, and not more than there are");
    }
    if start >= 0 && end >= 0 && (end < start || minutes < (end - start) / 60_000 - 1) {
        return Err("must end after it begins, and minutes must cover it");
    }
    let minute = |millis: i64| millis.div_euclid(60_000);
    let present = minute_of(now) + 1;
    Ok(match (start, end) {
        (-1, -1) => (present - minutes, present, minutes),
        (-1, end) => (minute(end) - minutes, minute(end), minutes),
        (start, -1) => (minute(start), (minute(start) + minutes).min(present), minutes),
        (start, end) => (
            minute(start),
            minute(end).max(minute(start) + 1).min(minute(start) + minutes),
            minutes,
        ),
    })
}

impl PoolMonitor {
    /// Every metric in its place, with one value at each point.
    pub fn of(points: &[(i64, Minute)], statistic: Statistic, has_npus: bool, cluster: &str) -> Self {
        let series = |metric: &Metric| MetricSeries {
            metric: MetricName {
                metric_name: metric.as_str(),
                namespace: "PAAS.AGGR",
                dimensions: vec![Dimension {
                    name: "clusterId",
                    value: cluster.to_owned(),
                }],
            },
            data_points: points
                .iter()
                .map(|(minute, values)| DataPoint {
                    timestamp: minute * 60_000,
                    unit: unit(*metric, has_npus),
                    statistics: vec![StatisticValue {
                        statistic: statistic.as_str(),
                        value: statistic.value(values.get(metric)),
                    }],
                })
                .collect(),
        };
        Self {
            metrics: Metric::ALL.iter().map(series).collect(),
        }
    }
}

fn unit(metric: Metric, has_npus: bool) -> &'static str {
    if !has_npus && matches!(metric, Metric::NpuUtil | Metric::NpuMemUsage) {
        ""
    } else {
        metric.unit()
    }
}

/// What pools have right now and what of it is in use.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolMetricsList {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub items: Vec<PoolMetrics>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PoolMetrics {
    pub metadata: PoolMetricsMetadata,
    pub table: MetricsTable,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PoolMetricsMetadata {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricsTable {
    pub allocated: MetricsRow,
    pub capacity: MetricsRow,
    pub available: MetricsRow,
    pub workload: WorkloadRow,
}

/// Workloads of a pool
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkloadRow {
    /// On nodes
    pub allocated: WorkloadNumbers,
    /// Waiting for nodes
    pub queue: WorkloadNumbers,
    pub timestamp: String,
    pub window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadNumbers {
    pub train: u32,
    pub infer: u32,
    pub notebook: u32,
    #[serde(rename = "x-infer")]
    pub x_infer: u32,
    /// Always 0: there are none
    pub warm_up_task: u32,
    pub sum: u32,
}

impl WorkloadNumbers {
    pub fn of(counts: &BTreeMap<WorkloadKind, u32>) -> Self {
        let count = |kind| counts.get(&kind).copied().unwrap_or_default();
        Self {
            train: count(WorkloadKind::Train),
            infer: count(WorkloadKind::Infer),
            notebook: count(WorkloadKind::Notebook),
            x_infer: count(WorkloadKind::XInfer),
            warm_up_task: 0,
            sum: counts.values().sum(),
        }
    }
}

impl WorkloadRow {
    pub fn of(placed: &BTreeMap<WorkloadKind, u32>, waiting: &BTreeMap<WorkloadKind, u32>, now: Timestamp) -> Self {
        Self {
            allocated: WorkloadNumbers::of(placed),
            queue: WorkloadNumbers::of(waiting),
            timestamp: crate::time::rfc3339(now),
            window: "1m",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsRow {
    /// Quantities by resource
    pub value: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value: Option<BTreeMap<String, String>>,
    pub timestamp: String,
    pub window: &'static str,
}

/// Amounts as quantities: memory in mebibytes, everything else in thousandths.
pub fn quantities(amounts: &BTreeMap<String, u64>) -> BTreeMap<String, String> {
    let text = |name: &str, amount: u64| match (name == "memory", amount.is_multiple_of(1_024), amount.is_multiple_of(1_000)) {
        (true, true, _) => format!("{}Gi", amount / 1_024),
        (true, false, _) => format!("{amount}Mi"),
        (false, _, true) => format!("{}", amount / 1_000),
        (false, _, false) => format!("{amount}m"),
    };
    amounts.iter().map(|(name, amount)| (name.clone(), text(name, *amount))).collect()
}

impl MetricsRow {
    pub fn of(value: &BTreeMap<String, u64>, most: Option<&BTreeMap<String, u64>>, now: Timestamp) -> Self {
        Self {
            value: quantities(value),
            max_value: most.map(quantities),
            timestamp: crate::time::rfc3339(now),
            window: "1m",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<Range, FieldErrors> {
        // 1000 minutes after the epoch, and a half.
        read_range(&Query::parse(text).unwrap(), Timestamp::from_second(60_030).unwrap())
    }

    fn span(text: &str) -> (i64, i64) {
        let range = range(&format!("time_range={text}")).unwrap();
        (range.from, range.to)
    }

    #[test]
    fn ranges_are_read() {
        let default = range("").unwrap();
        assert_eq!(
            (default.from, default.to, default.period, default.statistic),
            (941, 1001, 1, Statistic::Maximum)
        );
        assert_eq!(span("-1.-1.5"), (996, 1001));
        assert_eq!(span("-1.6000000.5"), (95, 100));
        assert_eq!(span("6000000.-1.5"), (100, 105));
        assert_eq!(span("59940000.-1.60"), (999, 1001), "not beyond the present");
        assert_eq!(span("6000000.6300000.5"), (100, 105));
        assert_eq!(range("period=300&statistics=average").unwrap().period, 5);
        assert!(range("time_range=-1.-1.1440").is_ok());
        for wrong in [
            "time_range=x",
            "time_range=1.2",
            "time_range=-2.-1.5",
            "time_range=-1.-1.0",
            "time_range=-1.-1.1441",
            "time_range=6000000.5000000.5",
            "time_range=6000000.12000000.5",
            "period=61",
            "statistics=median",
        ] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
        assert!(range("time_range=-1.-1.1441&period=300").is_ok());
    }

    #[test]
    fn every_metric_has_a_value_at_every_point() {
        let mut minute = Minute::new();
        domain::sample::add(&mut minute, Metric::CpuUsage, 12.345);
        let shown = PoolMonitor::of(&[(1, minute), (2, Minute::new())], Statistic::Average, false, "c");
        let names: Vec<_> = shown.metrics.iter().map(|series| series.metric.metric_name).collect();
        assert_eq!(
            names,
            [
                "cpuUsage",
                "memUsedRate",
                "gpuUtil",
                "gpuMemUsage",
                "npuUtil",
                "npuMemUsage",
                "diskAvailableCapacity",
                "diskCapacity",
                "diskUsedRate"
            ]
        );
        let cpu: Vec<_> = shown.metrics[0]
            .data_points
            .iter()
            .map(|point| (point.timestamp, point.statistics[0].value))
            .collect();
        assert_eq!(cpu, [(60_000, 12.35), (120_000, -1.0)]);
        assert_eq!(
            (shown.metrics[2].data_points[0].unit, shown.metrics[4].data_points[0].unit),
            ("Percent", "")
        );
        assert_eq!(shown.metrics[7].data_points[0].unit, "Megabytes");
    }

    #[test]
    fn quantities_are_texts() {
        let amounts = [("cpu", 5_000), ("memory", 15_548), ("tnt004", 1_073)];
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), amount)).into();
        let wanted = [("cpu", "5"), ("memory", "15548Mi"), ("tnt004", "1073m")];
        let wanted: BTreeMap<_, _> = wanted.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        assert_eq!(quantities(&amounts), wanted);
    }
}
