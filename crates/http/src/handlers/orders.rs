//! Orders (contract tags… §8).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::OrderName;
use service::ServiceError;
use service::orders::{OrderFilter, OrderPhaseFilter};
use wire::query::Query;

/// Items of a page at most.
const MAXIMUM: usize = 500;
/// Items of a page for `limit=0`.
const FOR_ZERO: usize = 100;

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut window = (None, 0);
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = OrderFilter {
            workspace: super::pools::wanted_workspace(&query, &mut errors),
            involved: query.get("involvedName").filter(|text| !text.is_empty()).map(ToOwned::to_owned),
            since: query.timestamp("since", &mut errors),
            until: query.timestamp("until", &mut errors),
            phase: phase(&query, "phase", &mut errors).or_else(|| phase(&query, "result", &mut errors)),
        };
        let limit = query
            .integer("limit", 0, i64::MAX, &mut errors)
            .map(|limit| match usize::try_from(limit).unwrap_or(MAXIMUM) {
                0 => FOR_ZERO,
                limit => limit.min(MAXIMUM),
            });
        let offset = query.integer("offset", 0, i64::MAX, &mut errors).unwrap_or(0);
        window = (limit, usize::try_from(offset).unwrap_or(usize::MAX));
        if query
            .get("resource")
            .is_some_and(|resource| !resource.is_empty() && resource != "pools")
        {
            errors.push(FieldPath::of("resource"), Reason::Invalid, "must be pools");
        }
        errors.into_result()?;
        Ok(filter)
    };
    let entries = app.service().list_orders(&ctx, read)?;
    let (limit, offset) = window;
    let items: Vec<&Bytes> = entries
        .iter()
        .skip(offset)
        .take(limit.unwrap_or(usize::MAX))
        .map(|entry| render::object(entry))
        .collect();
    Ok(render::bytes(wire::list::join_counted(entries.len(), &items)))
}

fn phase(query: &Query, name: &str, errors: &mut FieldErrors) -> Option<OrderPhaseFilter> {
    let text = query.get(name).filter(|text| !text.is_empty())?;
    let phase = OrderPhaseFilter::parse(text);
    if phase.is_none() {
        errors.push(
            FieldPath::of(name),
            Reason::Invalid,
            "must be pending, running, successed, partialSuccessed or failed",
        );
    }
    phase
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = call.name("order_name", OrderName::parse, || {
        ServiceError::named("Order", call.param("order_name"))
    })?;
    let items: Vec<Bytes> = app
        .service()
        .show_order(&ctx, &name)?
        .iter()
        .map(|item| render::encode(&wire::order::OrderItem::from(item)))
        .collect();
    Ok(render::bytes(wire::list::join_counted(items.len(), &items)))
}

pub(crate) async fn create_id(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let decode = || {
        let query = call.query()?;
        if query.get("actionType").is_some_and(|text| !text.is_empty() && text != "toPeriod") {
            return Err(FieldErrors::one(FieldPath::of("actionType"), Reason::Invalid, "must be toPeriod"));
        }
        if call.body.is_empty() {
            return Ok(());
        }
        wire::order::decode_order_id(&call.json()?)
    };
    let outcome = app.service().issue_order_id(&ctx, call.param("pool_name"), decode).await?;
    Ok(render::json(&wire::order::OrderId {
        id: outcome.object.to_string(),
    }))
}
