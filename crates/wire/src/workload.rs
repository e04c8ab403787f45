//! Workloads and their statistics (contract tags… §4).

use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use utoipa::ToSchema;

/// A workload, as the list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    pub api_version: &'static str,
    pub kind: &'static str,
    /// `train`, `infer`, `notebook` or `x-infer`
    #[serde(rename = "type")]
    pub workload_type: &'static str,
    /// Id of the pool
    pub namespace: String,
    pub name: String,
    pub job_name: String,
    pub uid: String,
    #[serde(rename = "jobUUID")]
    pub job_uuid: String,
    pub flavor: String,
    pub status: &'static str,
    /// Why it waits, or how it ended
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub priority: String,
    pub user_name: String,
    pub gvk: String,
    /// Amounts by resource, over all nodes
    pub resource_requirement: BTreeMap<String, String>,
    /// Seconds
    pub running_duration: i64,
    /// Seconds
    pub pending_duration: i64,
    /// From 1; -1: it does not wait
    pub pending_position: i64,
    /// Milliseconds since the epoch
    pub create_time: i64,
    /// Separated by commas
    pub host_ips: String,
    pub nodes: Vec<WorkloadNode>,
    /// `true` or `false`
    pub is_deleted: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadNode {
    pub host_ip: String,
    /// 16 binary digits, the rightmost is card 1; empty where there are none
    pub npu_topology_placement: String,
    pub resource_requirement: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadList {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: crate::list::ListMeta,
    pub items: Vec<Workload>,
    pub total: usize,
}

/// A list that is put together from texts, without serialising its items again. It reads as [`WorkloadList`] does.
#[derive(Debug)]
pub struct WorkloadText(Vec<u8>);

impl WorkloadText {
    const HEAD: &[u8] = br#"{"kind":"WorkloadList","apiVersion":"v1","metadata":{},"items":["#;
    /// Bytes that durations take, but for very long ones.
    const DURATIONS: usize = 64;

    /// `room`: bytes that its items take, durations left out.
    pub fn begin(items: usize, room: usize) -> Self {
        let mut text = Vec::with_capacity(room + items * Self::DURATIONS + 2 * Self::HEAD.len());
        text.extend_from_slice(Self::HEAD);
        Self(text)
    }

    /// Adds a workload: what [`Workload::split`] gave of it, with durations in between.
    pub fn add(&mut self, before: &str, after: &str, durations: &Durations) {
        if !self.0.ends_with(b"[") {
            self.0.push(b',');
        }
        self.0.extend_from_slice(before.as_bytes());
        durations.write(&mut self.0);
        self.0.extend_from_slice(after.as_bytes());
    }

    /// `total`: over all pages.
    pub fn end(mut self, total: usize) -> bytes::Bytes {
        self.0.extend_from_slice(format!("],\"total\":{total}}}").as_bytes());
        self.0.into()
    }
}

/// What of a workload changes with time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// Seconds.
    pub running: i64,
    /// Seconds.
    pub pending: i64,
}

impl Durations {
    /// As no workload has them: where they stand is a gap.
    const GAP: Self = Self {
        running: i64::MIN,
        pending: i64::MIN,
    };

    pub fn of(created: Timestamp, started: Option<Timestamp>, ended: Option<Timestamp>, now: Timestamp) -> Self {
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().max(0);
        let end = ended.unwrap_or(now);
        Self {
            running: started.map_or(0, |started| seconds(started, end)),
            pending: seconds(created, started.unwrap_or(end)),
        }
    }

    fn write(self, text: &mut Vec<u8>) {
        // Writing into memory does not fail.
        let _written = write!(text, r#""runningDuration":{},"pendingDuration":{}"#, self.running, self.pending);
    }
}

/// What there is to show of a workload.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadSource<'a> {
    pub kind: WorkloadKind,
    /// Id of the pool.
    pub pool: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub job_name: &'a str,
    pub job_id: &'a str,
    pub flavor: &'a str,
    pub status: WorkloadStatus,
    pub reason: Option<&'a str>,
    pub priority: u32,
    pub owner: &'a str,
    pub gvk: &'a str,
    /// Nodes that it needs.
    pub nodes: u32,
    /// Kubernetes quantities that it needs on each node.
    pub resources: &'a Quantities,
    pub position: Option<u32>,
    pub created_at: Timestamp,
}

impl Workload {
    /// `hosts`: addresses of the nodes that it runs on.
    pub fn of(source: &WorkloadSource<'_>, hosts: &[&str], durations: Durations) -> Self {
        let node = |host: &&str| WorkloadNode {
            host_ip: (*host).to_owned(),
            npu_topology_placement: placement(source.resources),
            resource_requirement: amounts(source.resources, 1),
        };
        Self {
            api_version: "v1",
            kind: "Workload",
            workload_type: source.kind.as_str(),
            namespace: source.pool.to_owned(),
            name: source.name.to_owned(),
            job_name: source.job_name.to_owned(),
            uid: source.uid.to_owned(),
            job_uuid: source.job_id.to_owned(),
            flavor: source.flavor.to_owned(),
            status: source.status.as_str(),
            message: source.reason.map(ToOwned::to_owned),
            priority: source.priority.to_string(),
            user_name: source.owner.to_owned(),
            gvk: source.gvk.to_owned(),
            resource_requirement: amounts(source.resources, source.nodes),
            running_duration: durations.running,
            pending_duration: durations.pending,
            pending_position: source.position.map_or(-1, i64::from),
            create_time: source.created_at.as_millisecond(),
            host_ips: hosts.join(","),
            nodes: hosts.iter().map(node).collect(),
            is_deleted: "false",
        }
    }

    /// The text of a workload, before its durations and after them.
    pub fn split(source: &WorkloadSource<'_>, hosts: &[&str]) -> (String, String) {
        // It holds nothing that JSON cannot: its maps have text keys.
        let text = serde_json::to_string(&Self::of(source, hosts, Durations::GAP)).unwrap_or_default();
        let mut gap = Vec::new();
        Durations::GAP.write(&mut gap);
        // Names cannot hold the gap: a quotation mark within a text is written with another sign before it.
        let parts = text.split_once(&*String::from_utf8_lossy(&gap));
        parts
            .map(|(before, after)| (before.to_owned(), after.to_owned()))
            .unwrap_or_default()
    }
}

/// All cards of a node, as one digit each.
fn placement(resources: &Quantities) -> String {
    let cards = resources
        .iter()
        .filter(|(name, _)| name.starts_with("huawei.com/"))
        .filter_map(|(_, amount)| amount.parse::<usize>().ok());
    match cards.sum::<usize>().min(16) {
        0 => String::new(),
        used => format!("{}{}", "0".repeat(16 - used), "1".repeat(used)),
    }
}

/// Quantities times a number, as the API writes them: `1 Cores`, `6.52 GiB`, plain numbers of cards.
fn amounts(resources: &Quantities, times: u32) -> BTreeMap<String, String> {
    let shown = |name: &str, quantity: &str| {
        let Some(amount) = amount(quantity).map(|amount| amount * f64::from(times)) else {
            return quantity.to_owned();
        };
        match name {
            "cpu" => format!("{} Cores", rounded(amount)),
            "memory" => format!("{} GiB", rounded(amount / f64::from(1 << 30))),
            _ => rounded(amount),
        }
    };
    resources
        .iter()
        .map(|(name, quantity)| (name.to_owned(), shown(name, quantity)))
        .collect()
}

/// With two decimals at most.
fn rounded(amount: f64) -> String {
    let text = format!("{amount:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A Kubernetes quantity.
fn amount(quantity: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 9] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)));
    let (digits, factor) = unit.unwrap_or((quantity, 1.0));
    digits.parse::<f64>().ok().map(|number| number * factor)
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkloadStatistics {
    pub statistics: WorkloadCounts,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkloadCounts {
    pub total: u32,
    /// One for each type that has workloads
    pub items: Vec<WorkloadTypeCounts>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkloadTypeCounts {
    #[serde(rename = "type")]
    pub workload_type: &'static str,
    pub total: u32,
    pub status: BTreeMap<&'static str, u32>,
}

impl WorkloadStatistics {
    /// `Queue`, `Pending` and `Running` are always told, others where there are any.
    pub fn of(counts: &BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>>) -> Self {
        let told = [WorkloadStatus::Queue, WorkloadStatus::Pending, WorkloadStatus::Running];
        let item = |(kind, statuses): (&WorkloadKind, &BTreeMap<WorkloadStatus, u32>)| WorkloadTypeCounts {
            workload_type: kind.as_str(),
            total: statuses.values().sum(),
            status: told
                .into_iter()
                .map(|status| (status, 0))
                .chain(statuses.iter().map(|(status, count)| (*status, *count)))
                .map(|(status, count)| (status.as_str(), count))
                .collect(),
        };
        let items: Vec<WorkloadTypeCounts> = counts.iter().map(item).collect();
        Self {
            statistics: WorkloadCounts {
                total: items.iter().map(|item| item.total).sum(),
                items,
            },
        }
    }
}

#[cfg(test)]
mod tests;
