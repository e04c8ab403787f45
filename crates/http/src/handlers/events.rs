//! Events and scheduled events (contract tags… §2 and §3).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::watch::{self, Wanted};
use crate::render;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::schedule::{Acceptance, ScheduledEvent, ScheduledKind, ScheduledState};
use jiff::Timestamp;
use service::events::{Begin, EventFilter, ToldEvent};
use service::scheduled::ScheduledFilter;
use wire::event::{Event, EventListMeta};
use wire::query::Query;
use wire::scheduled::{self as body, ScheduledEventList};

/// Events of a page at most, and where no limit is asked for.
const MAXIMUM: usize = 500;
/// Scheduled events of a page at most, and where no limit is asked for.
const SCHEDULED: usize = 100;

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    if let Some(wanted) = Wanted::read(&call)? {
        let read = || {
            let mut errors = FieldErrors::new();
            let filter = filter(&call.query()?, &mut errors);
            errors.into_result()?;
            Ok((filter, wanted.after))
        };
        return watch::answer(&app, &call, app.service().watch_events(&ctx, read)?).await;
    }
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = filter(&query, &mut errors);
        errors.into_result().map(|()| filter)
    };
    let page = app.service().list_events(&ctx, read)?;
    let items: Vec<&Bytes> = page.items().map(|event| event.rendered(rendered)).collect();
    let last = page.items().next_back().filter(|_| !page.is_last);
    let metadata = EventListMeta::of(last.map(|event| event.told.first.sequence));
    Ok(render::bytes(wire::event::join(&items, page.total, &metadata)))
}

fn rendered(event: &ToldEvent) -> Bytes {
    if event.is_single() {
        render::object(&event.told.first.entry).clone()
    } else {
        render::encode(&Event::of(&event.told))
    }
}

fn window(query: &Query, errors: &mut FieldErrors) -> (Begin, usize) {
    let limit = query.limit("limit", MAXIMUM, errors).unwrap_or(MAXIMUM);
    let offset = query.integer("offset", 0, i64::MAX, errors).unwrap_or(0);
    let token = query.get("continue").filter(|text| !text.is_empty()).map(wire::event::place);
    let begin = match token {
        None => Begin::Offset(size(offset)),
        Some(Some(last)) => Begin::After(last),
        Some(None) => {
            errors.push(
                FieldPath::of("continue"),
                Reason::Invalid,
                "is not a value that a list has returned",
            );
            Begin::Offset(0)
        }
    };
    (begin, limit)
}

fn filter(query: &Query, errors: &mut FieldErrors) -> EventFilter {
    let (begin, limit) = window(query, errors);
    let sent = |name: &str| query.get(name).filter(|text| !text.is_empty());
    match sent("resource") {
        Some("pools") => {}
        None => errors.push(FieldPath::of("resource"), Reason::Required, "is required"),
        Some(_) => errors.push(FieldPath::of("resource"), Reason::Invalid, "must be pools"),
    }
    let pool = sent("name").unwrap_or_default().to_owned();
    if pool.is_empty() {
        errors.push(FieldPath::of("name"), Reason::Required, "is required");
    }
    let is_warning = match sent("type") {
        None => None,
        Some("Normal") => Some(false),
        Some("Warning") => Some(true),
        Some(_) => {
            errors.push(FieldPath::of("type"), Reason::Invalid, "must be Normal or Warning");
            None
        }
    };
    EventFilter {
        pool,
        is_warning,
        since: query.timestamp("since", errors),
        until: query.timestamp("until", errors),
        is_ascending: query.boolean("ascend", errors).unwrap_or(false),
        begin,
        limit,
    }
}

pub(crate) async fn scheduled(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut page = (0, SCHEDULED);
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let limit = query.integer("limit", 1, i64::MAX, &mut errors).map_or(SCHEDULED, size);
        let offset = query.integer("offset", 0, i64::MAX, &mut errors).map_or(0, size);
        page = (offset, limit.min(SCHEDULED));
        let filter = scheduled_filter(&query, &mut errors);
        errors.into_result().map(|()| filter)
    };
    let found = app.service().list_scheduled(&ctx, read)?;
    let (offset, limit) = page;
    let events = found.iter().skip(offset).take(limit).map(body::ScheduledEvent::from);
    Ok(render::json(&ScheduledEventList {
        count: found.len(),
        events: events.collect(),
    }))
}

fn scheduled_filter(query: &Query, errors: &mut FieldErrors) -> ScheduledFilter {
    let sent = |name: &str| query.get(name).filter(|text| !text.is_empty());
    ScheduledFilter {
        workspace: super::pools::wanted_workspace(query, errors),
        states: choices(query, "state", ScheduledState::ALL, errors),
        kinds: choices(query, "type", ScheduledKind::ALL, errors),
        id: sent("id").map(ToOwned::to_owned),
        node: sent("nodeName").map(ToOwned::to_owned),
        pool: sent("poolName").map(ToOwned::to_owned),
        since: moment(query, "publishStartTime", errors),
        until: moment(query, "publishEndTime", errors),
    }
}

fn choices<T: Copy>(query: &Query, name: &'static str, all: &[(&str, T)], errors: &mut FieldErrors) -> Vec<T> {
    let mut chosen = Vec::new();
    for text in query.all(name).filter(|text| !text.is_empty()) {
        if let Some((_, value)) = all.iter().find(|(known, _)| *known == text) {
            chosen.push(*value);
        } else {
            let names: Vec<_> = all.iter().map(|(known, _)| *known).collect();
            errors.push(FieldPath::of(name), Reason::Invalid, format!("must be one of {}", names.join(", ")));
        }
    }
    chosen
}

fn moment(query: &Query, name: &'static str, errors: &mut FieldErrors) -> Option<Timestamp> {
    let text = query.get(name).filter(|text| !text.is_empty())?;
    let at = wire::time::parse_rfc3339(text);
    if at.is_none() {
        errors.push(FieldPath::of(name), Reason::Invalid, "must be a time as in 2024-10-24T12:42:43Z");
    }
    at
}

pub(crate) async fn accept(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let decode = || {
        if call.body.is_empty() {
            return Ok(Acceptance::default());
        }
        body::decode_accept(&call.json()?)
    };
    let outcome = app.service().accept_scheduled(&ctx, call.param("event_id"), decode).await?;
    let event: &ScheduledEvent = &outcome.object;
    Ok(render::tagged(render::encode(&body::ScheduledEvent::from(event)), outcome.revision))
}
