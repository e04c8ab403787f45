//! `watch=true` of lists: what happens, as server-sent events.

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::limits::Seat;
use crate::render;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clock::Clock;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use futures::stream;
use jiff::Timestamp;
use service::watch::{Notice, TooOld, Watch, What};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::query::Query;

/// While nothing happens, so often it is said how far that holds.
const SILENCE: Duration = Duration::from_secs(30);
/// A watch ends after this time, so that its caller has to sign in again.
const LIFE: Duration = Duration::from_mins(30);

/// What a list was asked to be instead.
pub(crate) struct Wanted {
    /// Everything up to here is known to the caller.
    pub after: Option<Revision>,
}

impl Wanted {
    /// `None`: just a list.
    pub fn read(call: &Call) -> Result<Option<Self>, FieldErrors> {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let is_wanted = query.boolean("watch", &mut errors).unwrap_or(false);
        let after = begin(call, &query, &mut errors);
        errors.into_result()?;
        Ok(is_wanted.then_some(Self { after }))
    }
}

/// A client that connects again sends the address that it began with, and how far it has come.
fn begin(call: &Call, query: &Query, errors: &mut FieldErrors) -> Option<Revision> {
    let (name, text) = match call.header("last-event-id") {
        Some(text) => ("Last-Event-ID", text),
        None => ("revision", query.get("revision")?),
    };
    if text.is_empty() {
        return None;
    }
    let revision = text.parse().ok().map(Revision);
    if revision.is_none() {
        errors.push(FieldPath::of(name), Reason::Invalid, "must be a revision: a whole number");
    }
    revision
}

/// Answers with what a watch tells, for as long as both sides want.
pub(crate) async fn answer(app: &App, call: &Call, watch: Watch) -> Result<Response, ApiError> {
    let seat = call.sit(app)?;
    app.service().reach(watch.revision()).await?;
    watch.check().map_err(|TooOld| ApiError::too_old(watch.revision()))?;
    let clock = Arc::clone(&app.parts.clock);
    let teller = Teller {
        ends_at: clock.now().saturating_add(LIFE).unwrap_or(Timestamp::MAX),
        clock,
        closing: app.parts.closing.clone(),
        watch,
        is_over: false,
        _seat: seat,
    };
    let told = stream::unfold(teller, |mut teller| async move {
        let text = teller.next().await?;
        Some((Ok::<_, Infallible>(text), teller))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(told)).into_response())
}

struct Teller {
    watch: Watch,
    clock: Arc<dyn Clock>,
    closing: watch::Receiver<bool>,
    ends_at: Timestamp,
    is_over: bool,
    _seat: Seat,
}

impl Teller {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let was_beginning = self.watch.is_beginning();
        let silent_until = self.clock.now().saturating_add(SILENCE).unwrap_or(Timestamp::MAX).min(self.ends_at);
        let told = tokio::select! {
            biased;
            _ = self.closing.wait_for(|is_closing| *is_closing) => {
                self.is_over = true;
                Ok(Vec::new())
            }
            told = self.watch.next() => told,
            () = self.clock.sleep_until(silent_until) => Ok(Vec::new()),
        };
        self.is_over |= self.clock.now() >= self.ends_at;
        Some(Bytes::from(self.tell(told, was_beginning)))
    }

    fn tell(&mut self, told: Result<Vec<Notice>, TooOld>, was_beginning: bool) -> String {
        let Ok(notices) = told else {
            self.is_over = true;
            let error = ApiError::too_old(self.watch.revision());
            return event("ERROR", &error.text(), None);
        };
        let mut text: String = notices.iter().map(Self::notice).collect();
        // Where a watch has to be begun anew, there is nothing yet to go on from.
        let is_due = notices.is_empty() || was_beginning || self.is_over;
        if is_due && !self.watch.is_beginning() {
            let revision = self.watch.revision();
            text.push_str(&event("BOOKMARK", &format!(r#"{{"revision":"{revision}"}}"#), Some(revision)));
        }
        text
    }

    fn notice(notice: &Notice) -> String {
        let name = match notice.what {
            What::Added => "ADDED",
            What::Modified => "MODIFIED",
            What::Deleted => "DELETED",
        };
        let object = render::object(&notice.entry);
        event(name, &String::from_utf8_lossy(object), notice.resume)
    }
}

/// One event. `data` has no line breaks: it is JSON as the renderer writes it.
fn event(name: &str, data: &str, id: Option<Revision>) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n")
}
