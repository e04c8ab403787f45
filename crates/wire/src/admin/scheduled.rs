//! Scheduled events as the operator announces them (contract tags… §3).

use super::{decode, keep, only};
use crate::decode::Place;
use crate::scheduled::{ScheduledEvent, moment};
use domain::field::FieldErrors;
use domain::name::NodeName;
use domain::schedule::{Announcement, Catalog, Progress, Redeploy, ScheduledKind, ScheduledState};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Longest description, probe message or progress.
const MAX_TEXT: usize = 1024;

/// A body that announces work.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorAnnouncement)]
pub struct AnnouncementBody {
    pub node_name: String,
    /// `hardware` or `software`
    pub catalog: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub description: String,
    /// `inquiring` (default) asks for consent; `scheduled` needs `notBefore`
    pub state: String,
    /// RFC 3339
    pub not_before: String,
    /// Ways that are offered: `HARD`, `SOFT`; default none in particular
    pub redeploy_type: Vec<String>,
}

/// A body that tells how the work gets on.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorProgress)]
pub struct ProgressBody {
    /// `scheduled`, `executing`, `completed`, `failed` or `canceled`
    pub state: String,
    pub description: String,
    /// RFC 3339
    pub not_before: String,
    pub probe_msg: String,
    pub job_progress: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorScheduledEventList)]
pub struct ScheduledList {
    pub metadata: crate::list::ListMeta,
    pub events: Vec<ScheduledEvent>,
}

pub fn decode_announcement(body: &Value) -> Result<Announcement, FieldErrors> {
    decode(body, |root| {
        let members = ["nodeName", "catalog", "type", "description", "state", "notBefore", "redeployType"];
        only(root, &members);
        for name in ["nodeName", "catalog", "type"] {
            if root.field(name).is_absent() {
                root.field(name).required();
            }
        }
        let node = root.field("nodeName").name(NodeName::parse);
        let catalog = root.field("catalog").choice(Catalog::ALL);
        let kind = root.field("type").choice(ScheduledKind::ALL);
        let description = text(root, "description").unwrap_or_default();
        let states = [("inquiring", ScheduledState::Inquiring), ("scheduled", ScheduledState::Scheduled)];
        let state = root.field("state").choice(&states).unwrap_or(ScheduledState::Inquiring);
        let not_before = moment(&root.field("notBefore"));
        if state == ScheduledState::Scheduled && root.field("notBefore").is_absent() {
            root.field("notBefore").required();
        }
        let mut redeploy: Vec<Redeploy> = root
            .field("redeployType")
            .items()
            .iter()
            .filter_map(|way| way.choice(Redeploy::ALL))
            .collect();
        redeploy.sort_unstable();
        redeploy.dedup();
        Some(Announcement {
            node: node?,
            catalog: catalog?,
            kind: kind?,
            description,
            state,
            not_before,
            redeploy,
        })
    })
}

/// What is absent stays; nothing can be taken away.
pub fn decode_progress(body: &Value) -> Result<Progress, FieldErrors> {
    decode(body, |root| {
        let members = ["state", "description", "notBefore", "probeMsg", "jobProgress"];
        only(root, &members);
        keep(root, &members);
        Some(Progress {
            state: root.field("state").choice(ScheduledState::ALL),
            description: text(root, "description"),
            not_before: moment(&root.field("notBefore")),
            probe_message: text(root, "probeMsg"),
            job_progress: text(root, "jobProgress"),
        })
    })
}

fn text(root: &Place<'_>, name: &str) -> Option<String> {
    let place = root.field(name);
    let text = place.text()?;
    if text.chars().count() > MAX_TEXT {
        place.invalid(format!("must be at most {MAX_TEXT} characters long"));
    }
    Some(text.to_owned())
}
