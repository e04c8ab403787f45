//! How far a workload is, by its object, its pods and its scheduler.

use super::{Group, Host, WorkKind};
use crate::pods::{Phase, Pod};
use crate::scopes::{condition, is_true};
use domain::workload::WorkloadStatus;
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::BTreeMap;

/// What becomes of it.
pub(super) struct Verdict {
    pub status: WorkloadStatus,
    pub reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl From<WorkloadStatus> for Verdict {
    fn from(status: WorkloadStatus) -> Self {
        Self {
            status,
            reason: None,
            started_at: None,
            ended_at: None,
        }
    }
}

pub(super) fn verdict(group: &Group<'_>, word: Option<(WorkKind, &DynamicObject)>, hosts: &BTreeMap<String, Host>) -> Verdict {
    let own = group.owner.and_then(|(kind, object)| own_word(kind, object));
    if let Some(own) = own.filter(|own| own.status.is_over()) {
        return own;
    }
    if group.owner.is_none()
        && let Some(over) = all_over(&group.pods)
    {
        return over;
    }
    let is_going = own_word_is_going(group);
    if group.meta.is_leaving || is_going || (group.owner.is_none() && group.pods.iter().all(|pod| pod.is_leaving())) {
        return WorkloadStatus::Terminating.into();
    }
    let live = || group.pods.iter().filter(|pod| !pod.is_finished());
    let phase = word.map(|(_, object)| object.data["status"]["phase"].as_str().unwrap_or_default());
    let is_sick = live().filter_map(|pod| hosts.get(pod.node.as_ref()?)).any(|host| !host.is_sound);
    if is_sick || phase == Some("Unknown") {
        let reason = if is_sick {
            "a node of it is abnormal"
        } else {
            "some of its pods cannot run"
        };
        return Verdict {
            reason: Some(reason.to_owned()),
            ..WorkloadStatus::Abnormal.into()
        };
    }
    if phase == Some("Running") || live().any(|pod| pod.phase == Phase::Running) {
        return WorkloadStatus::Running.into();
    }
    if live().any(|pod| pod.node.is_some()) {
        return WorkloadStatus::Creating.into();
    }
    waiting(group, word)
}

/// Nothing of it has a node.
fn waiting(group: &Group<'_>, word: Option<(WorkKind, &DynamicObject)>) -> Verdict {
    let Some((kind, object)) = word else {
        let is_suspended = group.owner.is_some_and(|(_, object)| object.data["spec"]["suspend"] == true);
        let unscheduled = group.pods.iter().find_map(|pod| pod.unscheduled.clone());
        return Verdict {
            reason: unscheduled,
            ..if is_suspended {
                WorkloadStatus::Queue
            } else {
                WorkloadStatus::Pending
            }
            .into()
        };
    };
    let conditions = &object.data["status"]["conditions"];
    let (is_let_in, says) = match kind {
        WorkKind::KueueWorkload => (is_true(conditions, "QuotaReserved"), condition(conditions, "QuotaReserved")),
        WorkKind::PodGroup
        | WorkKind::VolcanoJob
        | WorkKind::Job
        | WorkKind::RayJob
        | WorkKind::RayCluster
        | WorkKind::Deployment
        | WorkKind::StatefulSet
        | WorkKind::ReplicaSet => (object.data["status"]["phase"] == "Inqueue", condition(conditions, "Unschedulable")),
    };
    let message = says.and_then(|says| says["message"].as_str()).filter(|message| !message.is_empty());
    Verdict {
        reason: message.filter(|_| !is_let_in).map(str::to_owned),
        ..if is_let_in {
            WorkloadStatus::Pending
        } else {
            WorkloadStatus::Queue
        }
        .into()
    }
}

fn own_word_is_going(group: &Group<'_>) -> bool {
    let Some((WorkKind::VolcanoJob, object)) = group.owner else {
        return false;
    };
    let phase = object.data["status"]["state"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Aborting" | "Terminating" | "Restarting")
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How it ended, by what its object says of itself.
fn own_word(kind: WorkKind, object: &DynamicObject) -> Option<Verdict> {
    let status = &object.data["status"];
    let over = |how: WorkloadStatus, reason: &Value, started_at: &Value, ended_at: &Value| {
        Some(Verdict {
            status: how,
            reason: reason.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
            started_at: time(started_at),
            ended_at: time(ended_at),
        })
    };
    match kind {
        WorkKind::VolcanoJob => {
            let state = &status["state"];
            let how = match state["phase"].as_str()? {
                "Completed" => WorkloadStatus::Completed,
                "Failed" => WorkloadStatus::Failed,
                "Aborted" | "Terminated" => WorkloadStatus::Terminated,
                _ => return None,
            };
            over(how, &state["message"], &Value::Null, &state["lastTransitionTime"])
        }
        WorkKind::Job => {
            let conditions = &status["conditions"];
            if let Some(done) = condition(conditions, "Complete").filter(|done| done["status"] == "True") {
                return over(
                    WorkloadStatus::Completed,
                    &Value::Null,
                    &status["startTime"],
                    &done["lastTransitionTime"],
                );
            }
            let failed = condition(conditions, "Failed").filter(|failed| failed["status"] == "True")?;
            over(
                WorkloadStatus::Failed,
                &failed["message"],
                &status["startTime"],
                &failed["lastTransitionTime"],
            )
        }
        WorkKind::RayJob => {
            let how = match status["jobStatus"].as_str()? {
                "SUCCEEDED" => WorkloadStatus::Completed,
                "FAILED" => WorkloadStatus::Failed,
                "STOPPED" => WorkloadStatus::Terminated,
                _ => return None,
            };
            over(how, &status["message"], &status["startTime"], &status["endTime"])
        }
        WorkKind::RayCluster
        | WorkKind::Deployment
        | WorkKind::StatefulSet
        | WorkKind::ReplicaSet
        | WorkKind::PodGroup
        | WorkKind::KueueWorkload => None,
    }
}

/// How pods ended that nobody speaks for. `None`: not all of them have.
fn all_over(pods: &[&Pod]) -> Option<Verdict> {
    if pods.is_empty() || !pods.iter().all(|pod| pod.is_finished()) {
        return None;
    }
    let failed = pods.iter().find(|pod| pod.phase == Phase::Failed);
    Some(Verdict {
        reason: failed.and_then(|pod| pod.message.clone()),
        ended_at: pods.iter().filter_map(|pod| pod.ended_at).max(),
        ..if failed.is_some() {
            WorkloadStatus::Failed
        } else {
            WorkloadStatus::Completed
        }
        .into()
    })
}
