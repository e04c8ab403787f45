//! Jobs (contract tags… §5).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::job::JobKind;
use service::jobs::JobFilter;
use wire::query::Query;

/// Items of a page at most.
const MAXIMUM: usize = 500;
/// Items of a page where no number is asked for.
const USUAL: usize = 100;

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut window = (USUAL, 0);
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = JobFilter {
            kind: kind(&query, &mut errors),
            pool: query.get("name").filter(|text| !text.is_empty()).map(ToOwned::to_owned),
            since: query.timestamp("since", &mut errors),
            until: query.timestamp("until", &mut errors),
        };
        let offset = query.integer("offset", 0, i64::MAX, &mut errors).unwrap_or(0);
        window = (
            query.limit("limit", MAXIMUM, &mut errors).unwrap_or(USUAL),
            usize::try_from(offset).unwrap_or(usize::MAX),
        );
        if query.get("resource").is_some_and(|text| !text.is_empty() && text != "pools") {
            errors.push(FieldPath::of("resource"), Reason::Invalid, "must be pools");
        }
        errors.into_result()?;
        Ok(filter)
    };
    let entries = app.service().list_jobs(&ctx, read)?;
    let (limit, offset) = window;
    let items: Vec<&Bytes> = entries.iter().skip(offset).take(limit).map(|entry| render::object(entry)).collect();
    Ok(render::bytes(wire::list::join_counted(entries.len(), &items)))
}

fn kind(query: &Query, errors: &mut FieldErrors) -> Option<JobKind> {
    let text = query.get("type").filter(|text| !text.is_empty())?;
    let kind = JobKind::parse(text);
    if kind.is_none() {
        let names = JobKind::ALL.map(JobKind::as_str).join(", ");
        errors.push(FieldPath::of("type"), Reason::Invalid, format!("must be one of {names}"));
    }
    kind
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().show_job(&call.context()?, call.param("job_id"))?;
    Ok(render::entry(&found.entry))
}
