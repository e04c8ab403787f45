//! Machines of the simulated fleet, and faults.

use super::{decode, moment, only};
use crate::decode::Place;
use domain::fault::{MachineFault, PoolFault};
use domain::field::FieldErrors;
use domain::name::{FlavorName, TemplateName, ZoneName};
use domain::pool::JobType;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest id of a machine.
const MAX_ID: usize = 58;
/// Longest reason of a fault.
const MAX_REASON: usize = 255;

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorMachine)]
pub struct MachineView {
    pub id: String,
    pub flavor: String,
    pub az: String,
    /// Allocatable quantities by resource name
    pub resources: BTreeMap<String, String>,
    /// `free`, `node` or `releasing`
    pub state: &'static str,
    /// The node that it is
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Faults that were asked for
    pub faults: Vec<FaultView>,
    /// What it suffers from by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorMachineFailure)]
pub struct FailureView {
    pub reason: String,
    /// RFC 3339: repaired by then
    pub until: String,
}

impl FailureView {
    pub fn new(reason: &str, until: Timestamp) -> Self {
        Self {
            reason: reason.to_owned(),
            until: moment(until),
        }
    }
}

/// A fault. Which members there are depends on its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorFault)]
pub struct FaultView {
    /// Of a machine: `silent`, `faulty`, `neverBoots`, `driverFails`, `neverReleases`; of a pool: `clusterDown`,
    /// `pluginFails`, `dependencyDown`
    pub kind: &'static str,
    /// `silent`: ISO 8601, e.g. `PT10M`; absent: until it is cleared
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// `faulty`, `clusterDown`, `dependencyDown`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `driverFails`, `pluginFails`: the next so many
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// `pluginFails`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// `dependencyDown`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorFaultList)]
pub struct FaultList {
    pub faults: Vec<FaultView>,
}

/// Machines that were registered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorRegisteredMachines)]
pub struct Registered {
    pub machines: Vec<MachineView>,
}

/// The body that registers machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorMachineRegistration)]
pub struct MachinesBody {
    /// The machine's id; of several, what their ids begin with
    pub id: String,
    /// A flavor that is no slice of another one
    pub flavor: String,
    /// A zone in which the flavor is on sale
    pub az: String,
    /// Default 1
    pub count: Option<u32>,
}

/// Machines that a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachinesRequest {
    pub id: String,
    pub flavor: FlavorName,
    pub az: ZoneName,
    pub count: u32,
}

/// The body that registers machines, `most` of them at most.
pub fn decode_machines(body: &Value, most: u32) -> Result<MachinesRequest, FieldErrors> {
    decode(body, |root| {
        only(root, &["id", "flavor", "az", "count"]);
        let (flavor, az, count) = (root.field("flavor"), root.field("az"), root.field("count"));
        for place in [&flavor, &az] {
            if place.is_absent() {
                place.required();
            }
        }
        let (id, flavor, az) = (
            machine_id(&root.field("id")),
            flavor.name(FlavorName::parse),
            az.name(ZoneName::parse),
        );
        let count = if count.is_absent() { Some(1) } else { count.integer(1, most) };
        Some(MachinesRequest {
            id: id?,
            flavor: flavor?,
            az: az?,
            count: count?,
        })
    })
}

fn machine_id(place: &Place<'_>) -> Option<String> {
    let text = place.required_text()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(is_plain) || !text.as_bytes()[0].is_ascii_alphanumeric() {
        place.invalid(format!(
            "must be 1 to {MAX_ID} letters, digits, -, . or _, and begin with a letter or digit"
        ));
        return None;
    }
    Some(text.to_owned())
}

#[derive(Clone, Copy)]
enum MachineKind {
    Silent,
    Faulty,
    NeverBoots,
    DriverFails,
    NeverReleases,
}

const MACHINE_KINDS: [(&str, MachineKind); 5] = [
    ("silent", MachineKind::Silent),
    ("faulty", MachineKind::Faulty),
    ("neverBoots", MachineKind::NeverBoots),
    ("driverFails", MachineKind::DriverFails),
    ("neverReleases", MachineKind::NeverReleases),
];

/// A fault of a machine.
pub fn decode_machine_fault(body: &Value) -> Result<MachineFault, FieldErrors> {
    decode(body, |root| match kind(root, &MACHINE_KINDS)? {
        MachineKind::Silent => {
            only(root, &["kind", "lasting"]);
            Some(MachineFault::Silent {
                lasting: lasting(&root.field("lasting")),
            })
        }
        MachineKind::Faulty => {
            only(root, &["kind", "reason"]);
            let reason = reason(&root.field("reason"))?;
            Some(MachineFault::Faulty { reason })
        }
        MachineKind::NeverBoots => {
            only(root, &["kind"]);
            Some(MachineFault::NeverBoots)
        }
        MachineKind::DriverFails => {
            only(root, &["kind", "times"]);
            let times = times(&root.field("times"))?;
            Some(MachineFault::DriverFails { times })
        }
        MachineKind::NeverReleases => {
            only(root, &["kind"]);
            Some(MachineFault::NeverReleases)
        }
    })
}

#[derive(Clone, Copy)]
enum PoolKind {
    ClusterDown,
    PluginFails,
    DependencyDown,
}

const POOL_KINDS: [(&str, PoolKind); 3] = [
    ("clusterDown", PoolKind::ClusterDown),
    ("pluginFails", PoolKind::PluginFails),
    ("dependencyDown", PoolKind::DependencyDown),
];

/// A fault of what a pool has besides nodes.
pub fn decode_pool_fault(body: &Value) -> Result<PoolFault, FieldErrors> {
    decode(body, |root| match kind(root, &POOL_KINDS)? {
        PoolKind::ClusterDown => {
            only(root, &["kind", "reason"]);
            let reason = reason(&root.field("reason"))?;
            Some(PoolFault::ClusterDown { reason })
        }
        PoolKind::PluginFails => {
            only(root, &["kind", "template", "times"]);
            let template = root.field("template");
            if template.is_absent() {
                template.required();
            }
            let (template, times) = (template.name(TemplateName::parse), times(&root.field("times")));
            Some(PoolFault::PluginFails {
                template: template?,
                times: times?,
            })
        }
        PoolKind::DependencyDown => {
            only(root, &["kind", "jobType", "reason"]);
            let job_type = root.field("jobType");
            if job_type.is_absent() {
                job_type.required();
            }
            let job_type = job_type.choice(&JobType::ALL.map(|known| (known.as_str(), known)));
            let reason = reason(&root.field("reason"));
            Some(PoolFault::DependencyDown {
                job_type: job_type?,
                reason: reason?,
            })
        }
    })
}

fn kind<T: Copy>(root: &Place<'_>, kinds: &[(&str, T)]) -> Option<T> {
    let kind = root.field("kind");
    if kind.is_absent() {
        kind.required();
    }
    kind.choice(kinds)
}

fn reason(place: &Place<'_>) -> Option<String> {
    let text = place.required_text()?;
    if text.chars().count() > MAX_REASON {
        place.invalid(format!("must be at most {MAX_REASON} characters long"));
        return None;
    }
    Some(text.to_owned())
}

fn times(place: &Place<'_>) -> Option<u32> {
    if place.is_absent() { Some(1) } else { place.integer(1, 1_000_000) }
}

pub(super) fn lasting(place: &Place<'_>) -> Option<SignedDuration> {
    let text = place.text()?;
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .filter(|lasting| *lasting > SignedDuration::ZERO);
    if parsed.is_none() {
        place.invalid("must be a duration above zero, as in PT10M");
    }
    parsed
}

impl From<&MachineFault> for FaultView {
    fn from(fault: &MachineFault) -> Self {
        let plain = |kind| Self { kind, ..Self::default() };
        match fault {
            MachineFault::Silent { lasting } => Self {
                lasting: lasting.map(|lasting| lasting.to_string()),
                ..plain("silent")
            },
            MachineFault::Faulty { reason } => Self {
                reason: Some(reason.clone()),
                ..plain("faulty")
            },
            MachineFault::NeverBoots => plain("neverBoots"),
            MachineFault::DriverFails { times } => Self {
                times: Some(*times),
                ..plain("driverFails")
            },
            MachineFault::NeverReleases => plain("neverReleases"),
        }
    }
}

impl From<&PoolFault> for FaultView {
    fn from(fault: &PoolFault) -> Self {
        let plain = |kind| Self { kind, ..Self::default() };
        match fault {
            PoolFault::ClusterDown { reason } => Self {
                reason: Some(reason.clone()),
                ..plain("clusterDown")
            },
            PoolFault::PluginFails { template, times } => Self {
                template: Some(template.to_string()),
                times: Some(*times),
                ..plain("pluginFails")
            },
            PoolFault::DependencyDown { job_type, reason } => Self {
                job_type: Some(job_type.as_str()),
                reason: Some(reason.clone()),
                ..plain("dependencyDown")
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_fault_is_read_as_it_is_shown() {
        let machine = [
            json!({"kind": "silent"}),
            json!({"kind": "silent", "lasting": "PT10M"}),
            json!({"kind": "faulty", "reason": "smoke"}),
            json!({"kind": "neverBoots"}),
            json!({"kind": "driverFails", "times": 3}),
            json!({"kind": "neverReleases"}),
        ];
        for body in machine {
            let fault = decode_machine_fault(&body).unwrap();
            assert_eq!(serde_json::to_value(FaultView::from(&fault)).unwrap(), body);
        }
        let pool = [
            json!({"kind": "clusterDown", "reason": "smoke"}),
            json!({"kind": "pluginFails", "template": "volcano", "times": 2}),
            json!({"kind": "dependencyDown", "jobType": "Train", "reason": "smoke"}),
        ];
        for body in pool {
            let fault = decode_pool_fault(&body).unwrap();
            assert_eq!(serde_json::to_value(FaultView::from(&fault)).unwrap(), body);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, told) in [
            (json!({}), "kind is required"),
            (json!({"kind": "melts"}), "kind: "),
            (json!({"kind": "silent", "lasting": "soon"}), "lasting: must be a duration"),
            (json!({"kind": "silent", "lasting": "-PT1S"}), "lasting: must be a duration"),
            (json!({"kind": "faulty"}), "reason is required"),
            (json!({"kind": "neverBoots", "times": 1}), "times: unknown member"),
            (json!({"kind": "driverFails", "times": 0}), "times: "),
        ] {
            let error = decode_machine_fault(&body).unwrap_err().to_string();
            assert!(error.contains(told), "{body}: {error}");
        }
        let body = json!({"id": "a b", "flavor": "cpu", "az": "az-1"});
        let error = decode_machines(&body, 10).unwrap_err().to_string();
        assert!(error.contains("id: must be"), "{error}");
    }
}
