//! Scheduled events: announced here, accepted by users.

use super::{context, document, page, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::schedule::ScheduledEvent;
use service::Outcome;
use wire::admin::scheduled::{ScheduledList, decode_announcement, decode_progress};
use wire::scheduled as body;

fn rendered(app: &App, outcome: &Outcome<ScheduledEvent>) -> Response {
    let now = app.parts.clock.now();
    shown(&body::ScheduledEvent::from(&outcome.object.at(now)), outcome.revision)
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let decode = || decode_announcement(&document(&call)?);
    let outcome = app.service().announce(&ctx, decode).await?;
    Ok(rendered(&app, &outcome))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let now = app.parts.clock.now();
    let all = app.service().all_scheduled(&context(&call)?)?;
    let (metadata, events) = page(&call, all, |event| event.id.to_string())?;
    let events = events.iter().map(|event| body::ScheduledEvent::from(&event.at(now))).collect();
    Ok(render::json(&ScheduledList { metadata, events }))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().one_scheduled(&context(&call)?, call.param("event_id"))?;
    let now = app.parts.clock.now();
    Ok(shown(&body::ScheduledEvent::from(&found.at(now)), Some(found.revision())))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let decode = |_: &ScheduledEvent| decode_progress(&document(&call)?);
    let outcome = app.service().progress_scheduled(&ctx, call.param("event_id"), decode).await?;
    Ok(rendered(&app, &outcome))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let outcome = app.service().withdraw_scheduled(&ctx, call.param("event_id")).await?;
    Ok(render::json(&body::ScheduledEvent::from(outcome.object.as_ref())))
}
