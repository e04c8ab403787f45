//! Events as clients see them (contract tags… §2).

use crate::list::ContinueToken;
use crate::time::rfc3339;
use domain::event as model;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub kind: &'static str,
    pub api_version: &'static str,
    /// `Normal` or `Warning`
    #[serde(rename = "type")]
    pub severity: &'static str,
    pub first_timestamp: String,
    pub last_timestamp: String,
    pub count: u32,
    pub reason: &'static str,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: EventListMeta,
    pub items: Vec<Event>,
    pub total: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = EventListMeta)]
pub struct EventListMeta {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

impl From<&model::Event> for Event {
    fn from(event: &model::Event) -> Self {
        Self {
            kind: "Event",
            api_version: "v1",
            severity: if event.is_warning { "Warning" } else { "Normal" },
            first_timestamp: rfc3339(event.first_at),
            last_timestamp: rfc3339(event.last_at),
            count: event.count,
            reason: event.reason.as_str(),
            message: event.message.clone(),
        }
    }
}

/// Where a page ended: the place of its last event among those of the pool.
pub fn token(event: &model::Event) -> String {
    let token = ContinueToken {
        created: 0,
        name: event.sequence.to_string(),
    };
    token.encode()
}

/// The place that a token names.
pub fn place(text: &str) -> Option<u64> {
    ContinueToken::decode(text)?.name.parse().ok()
}

impl EventList {
    /// A page; `is_last`: nothing follows.
    pub fn of(page: &[model::Event], total: usize, is_last: bool) -> Self {
        Self {
            kind: "EventList",
            api_version: "v1",
            metadata: EventListMeta {
                continue_token: page.last().filter(|_| !is_last).map(token),
            },
            items: page.iter().map(Event::from).collect(),
            total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::{Counters, Occurrence};
    use domain::meta::Uid;
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn the_published_list_is_shown() {
        let at: Timestamp = "2022-12-30T02:16:19Z".parse().unwrap();
        let from = Counters {
            available: 1,
            ..Counters::default()
        };
        let to = Counters {
            abnormal: 1,
            ..Counters::default()
        };
        let event = Occurrence::counters_change(from, to, at).at(Uid::from_text("1"), 7, at);
        let list = EventList::of(std::slice::from_ref(&event), 1, true);
        let published = json!({"kind":"EventList","apiVersion":"v1","metadata":{},
            "items":[{"kind":"Event","apiVersion":"v1","type":"Warning","firstTimestamp":"2022-12-30T02:16:19Z","lastTimestamp":"2022-12-30T02:16:19Z",
            "count":1,"reason":"PoolResourcesStatusChange",
            "message":"Pool resources status changed, available/abnormal/creating/deleting count from 1/0/0/0 to 0/1/0/0, timestamp: 1672366579."}],
            "total":1});
        assert_eq!(serde_json::to_value(list).unwrap(), published);
        let list = EventList::of(std::slice::from_ref(&event), 2, false);
        assert_eq!(list.metadata.continue_token.as_deref().and_then(place), Some(7));
        assert_eq!(place("x"), None);
    }
}
