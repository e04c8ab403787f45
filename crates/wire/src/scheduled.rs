//! Scheduled events as clients see them (contract tags… §3).

use crate::decode::{Place, finish};
use crate::time::{parse_rfc3339, rfc3339};
use domain::field::FieldErrors;
use domain::schedule as model;
use domain::schedule::{Acceptance, Redeploy};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    pub id: String,
    /// `hardware` or `software`
    pub catalog: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub description: String,
    /// `inquiring`, `scheduled`, `executing`, `completed`, `failed` or `canceled`
    pub state: &'static str,
    /// Always `standard`
    pub instance_type: &'static str,
    pub instance_id: String,
    pub node_name: String,
    pub pool_name: String,
    pub pool_display_name: String,
    pub publish_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_msg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_progress: Option<String>,
    /// `HARD`, `SOFT`
    pub redeploy_type: Vec<&'static str>,
    #[serde(rename = "underLyingInstanceId", skip_serializing_if = "Option::is_none")]
    pub underlying_instance_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScheduledEventList {
    pub count: usize,
    pub events: Vec<ScheduledEvent>,
}

impl From<&model::ScheduledEvent> for ScheduledEvent {
    fn from(event: &model::ScheduledEvent) -> Self {
        Self {
            id: event.id.hyphenated(),
            catalog: event.catalog.as_str(),
            kind: event.kind.as_str(),
            description: event.description.clone(),
            state: event.state.as_str(),
            instance_type: "standard",
            instance_id: event.node_uid.hyphenated(),
            node_name: event.node.to_string(),
            pool_name: event.pool.to_string(),
            pool_display_name: event.pool_display.to_string(),
            publish_time: rfc3339(event.published_at),
            start_time: event.started_at.map(rfc3339),
            finish_time: event.finished_at.map(rfc3339),
            not_before: event.not_before.map(rfc3339),
            probe_msg: event.probe_message.clone(),
            job_progress: event.job_progress.clone(),
            redeploy_type: event.redeploy.iter().map(|way| way.as_str()).collect(),
            underlying_instance_id: event.machine.clone(),
        }
    }
}

/// The body of an acceptance, as it is described.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptBody {
    /// RFC 3339, in the future; absent: now
    pub not_before: String,
    pub redeploy_config: RedeployConfig,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedeployConfig {
    /// `HARD` or `SOFT`
    #[serde(rename = "type")]
    pub kind: String,
    /// `true` or `false`
    pub auto_flow: String,
}

pub fn decode_accept(body: &Value) -> Result<Acceptance, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let root = Place::root(body, &errors);
    let found = root.body().map(|_| {
        let config = root.field("redeployConfig");
        let may = config.may_have_fields();
        Acceptance {
            not_before: moment(&root.field("notBefore")),
            redeploy: may.then(|| config.field("type").choice(Redeploy::ALL)).flatten(),
            is_automatic: may.then(|| config.field("autoFlow").boolean()).flatten().unwrap_or(false),
        }
    });
    finish(found, errors)
}

/// A moment in RFC 3339.
pub fn moment(place: &Place<'_>) -> Option<Timestamp> {
    let at = parse_rfc3339(place.text()?);
    if at.is_none() {
        place.invalid("must be a time as in 2024-10-24T12:42:43Z");
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn acceptances_are_read() {
        assert_eq!(decode_accept(&json!({})), Ok(Acceptance::default()));
        let body = json!({"notBefore": "2024-10-24T14:42:43+02:00", "redeployConfig": {"type": "SOFT", "autoFlow": "true"}});
        let wanted = Acceptance {
            not_before: Some("2024-10-24T12:42:43Z".parse().unwrap()),
            redeploy: Some(Redeploy::Soft),
            is_automatic: true,
        };
        assert_eq!(decode_accept(&body), Ok(wanted));
        for bad in [
            json!([]),
            json!({"notBefore": "tomorrow"}),
            json!({"redeployConfig": 1}),
            json!({"redeployConfig": {"type": "WARM"}}),
            json!({"redeployConfig": {"autoFlow": "perhaps"}}),
        ] {
            assert!(decode_accept(&bad).is_err(), "{bad}");
        }
    }
}
