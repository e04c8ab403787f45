//! Events as clients see them (contract tags… §2).

use crate::list::ContinueToken;
use crate::time::rfc3339;
use domain::event as model;
use serde::Serialize;
use std::ops::Deref;
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

impl Event {
    /// What an event said first, and what was said again in a row.
    pub fn of<E: Deref<Target = model::Event>>(told: &model::Told<E>) -> Self {
        let event = &told.first;
        Self {
            kind: "Event",
            api_version: "v1",
            severity: if event.is_warning { "Warning" } else { "Normal" },
            first_timestamp: rfc3339(event.first_at),
            last_timestamp: rfc3339(told.last_at),
            count: told.count,
            reason: event.reason.as_str(),
            message: event.message.clone(),
        }
    }
}

impl EventListMeta {
    /// `last`: the place, among the events of the pool, of the last one of a page that is not the last.
    pub fn of(last: Option<u64>) -> Self {
        let token = |sequence: u64| ContinueToken {
            created: 0,
            name: sequence.to_string(),
        };
        Self {
            continue_token: last.map(|sequence| token(sequence).encode()),
        }
    }
}

/// The place that a token names.
pub fn place(text: &str) -> Option<u64> {
    ContinueToken::decode(text)?.name.parse().ok()
}

/// A page of rendered events; `total`: over all pages. It reads as [`EventList`] does.
pub fn join<B: AsRef<[u8]>>(items: &[B], total: usize, metadata: &EventListMeta) -> bytes::Bytes {
    crate::list::join_total("EventList", "v1", metadata, items, total)
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
        let told = model::fold([&event]);
        let shown = serde_json::to_vec(&Event::of(&told[0])).unwrap();
        let published = json!({"kind":"EventList","apiVersion":"v1","metadata":{},
            "items":[{"kind":"Event","apiVersion":"v1","type":"Warning","firstTimestamp":"2022-12-30T02:16:19Z","lastTimestamp":"2022-12-30T02:16:19Z",
            "count":1,"reason":"PoolResourcesStatusChange",
            "message":"Pool resources status changed, available/abnormal/creating/deleting count from 1/0/0/0 to 0/1/0/0, timestamp: 1672366579."}],
            "total":1});
        let list = join(std::slice::from_ref(&shown), 1, &EventListMeta::of(None));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&list).unwrap(), published);
        let whole = EventList {
            kind: "EventList",
            api_version: "v1",
            metadata: EventListMeta::of(Some(7)),
            items: vec![Event::of(&told[0]); 2],
            total: 9,
        };
        let list = join(&[&shown, &shown], 9, &EventListMeta::of(Some(7)));
        assert_eq!(list, serde_json::to_vec(&whole).unwrap());
        assert_eq!(whole.metadata.continue_token.as_deref().and_then(place), Some(7));
        assert_eq!(place("x"), None);
    }
}
