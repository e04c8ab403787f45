//! Workloads of the simulated fleet.

use super::{decode, moment, only};
use crate::decode::Place;
use domain::field::FieldErrors;
use domain::name::FlavorName;
use domain::workload::{NewWorkload, WorkloadKind};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Longest name of a job or user.
const MAX_TEXT: usize = 64;
/// Nodes of one workload at most.
const MAX_NODES: u32 = 2_000;
const MAX_PRIORITY: u32 = 9;
const MAX_RETRIES: u32 = 100;
const USUAL_RETRIES: u32 = 3;

/// The body that submits a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorWorkloadSubmission)]
pub struct WorkloadBody {
    /// `train`, `infer`, `notebook` or `x-infer`
    #[serde(rename = "type")]
    pub workload_type: String,
    /// A flavor of the pool
    pub flavor: String,
    /// Nodes, which it has to itself; default 1
    pub nodes: Option<u32>,
    /// ISO 8601, e.g. `PT10M`; absent: until it is cancelled
    pub lasting: Option<String>,
    /// 0 to 9, the higher the earlier; default 1. Training: 1 to 3
    pub priority: Option<u32>,
    /// Name of the user; default: that of the operator
    pub owner: Option<String>,
    pub job_name: Option<String>,
    /// How often it is queued again when a machine fails under it; default 3
    pub retries: Option<u32>,
}

const FIELDS: [&str; 8] = ["type", "flavor", "nodes", "lasting", "priority", "owner", "jobName", "retries"];

/// The body that submits a workload.
pub fn decode_workload(body: &Value) -> Result<NewWorkload, FieldErrors> {
    decode(body, |root| {
        only(root, &FIELDS);
        let kind = kind(&root.field("type"));
        let flavor = root.field("flavor");
        if flavor.is_absent() {
            flavor.required();
        }
        let flavor = flavor.name(FlavorName::parse);
        let nodes = integer(&root.field("nodes"), 1, (1, MAX_NODES));
        let priorities = match kind {
            Some(WorkloadKind::Train) => (1, 3),
            Some(WorkloadKind::Infer | WorkloadKind::Notebook | WorkloadKind::XInfer) | None => (0, MAX_PRIORITY),
        };
        let priority = integer(&root.field("priority"), 1, priorities);
        let retries = integer(&root.field("retries"), USUAL_RETRIES, (0, MAX_RETRIES));
        let (owner, job_name) = (name(&root.field("owner")), name(&root.field("jobName")));
        Some(NewWorkload {
            lasting: super::machine::lasting(&root.field("lasting")),
            kind: kind?,
            flavor: flavor?,
            nodes: nodes?,
            priority: priority?,
            owner,
            job_name,
            retries: retries?,
        })
    })
}

fn kind(place: &Place<'_>) -> Option<WorkloadKind> {
    if place.is_absent() {
        place.required();
    }
    place.choice(&WorkloadKind::ALL.map(|kind| (kind.as_str(), kind)))
}

fn integer(place: &Place<'_>, usual: u32, bounds: (u32, u32)) -> Option<u32> {
    if place.is_absent() {
        Some(usual)
    } else {
        place.integer(bounds.0, bounds.1)
    }
}

fn name(place: &Place<'_>) -> Option<String> {
    let text = place.text()?;
    let length = text.chars().count();
    if length == 0 || length > MAX_TEXT || text.chars().any(char::is_control) {
        place.invalid(format!("must be 1 to {MAX_TEXT} characters, none of them a control character"));
        return None;
    }
    Some(text.to_owned())
}

/// A workload, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorWorkload)]
pub struct WorkloadView {
    pub id: String,
    #[serde(rename = "type")]
    pub workload_type: &'static str,
    pub project_id: String,
    /// The pool that it was submitted to
    pub pool: String,
    pub name: String,
    pub job_name: String,
    pub owner: String,
    pub flavor: String,
    pub nodes: u32,
    pub priority: u32,
    pub status: &'static str,
    /// Why it waits, or how it ended
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its place among those that wait in its pool, from 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Nodes that it runs on
    pub hosts: Vec<String>,
    /// RFC 3339
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

impl WorkloadView {
    /// A time as the operator API writes it.
    pub fn moment(at: Timestamp) -> String {
        moment(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use serde_json::json;

    #[test]
    fn a_submission_has_defaults_and_bounds() {
        let request = decode_workload(&json!({"type": "infer", "flavor": "cpu"})).unwrap();
        assert_eq!((request.nodes, request.priority, request.retries, request.lasting), (1, 1, 3, None));
        let full = json!({"type": "train", "flavor": "cpu", "nodes": 4, "lasting": "PT1M", "priority": 3, "owner": "ada",
            "jobName": "mnist", "retries": 0});
        let request = decode_workload(&full).unwrap();
        assert_eq!(request.lasting, Some(SignedDuration::from_mins(1)));
        assert_eq!(
            (request.owner.as_deref(), request.job_name.as_deref()),
            (Some("ada"), Some("mnist"))
        );
        for (body, told) in [
            (json!({}), "type is required"),
            (json!({"type": "game", "flavor": "cpu"}), "type: "),
            (json!({"type": "train"}), "flavor is required"),
            (json!({"type": "train", "flavor": "cpu", "nodes": 0}), "nodes: "),
            (json!({"type": "train", "flavor": "cpu", "priority": 4}), "priority: "),
            (json!({"type": "train", "flavor": "cpu", "lasting": "soon"}), "lasting: "),
            (json!({"type": "train", "flavor": "cpu", "owner": ""}), "owner: "),
            (json!({"type": "train", "flavor": "cpu", "size": 1}), "size: unknown member"),
        ] {
            let error = decode_workload(&body).unwrap_err().to_string();
            assert!(error.contains(told), "{body}: {error}");
        }
    }
}
