//! Orders that wait for the operator.

use super::{body, context, name};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::name::{OrderName, PoolName, ProjectId};
use domain::pool::PoolRef;
use serde::Deserialize;
use service::orders::OrderDecision;
use service::{CallContext, ServiceError};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Confirmation {
    /// Id of the pool that a logical pool without a parent becomes a quota of.
    host: Option<String>,
    /// Project of the host; the order's own where absent.
    host_project: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejection {
    #[serde(default = "no_reason")]
    reason: String,
}

fn no_reason() -> String {
    "rejected by the operator".to_owned()
}

fn order_name(call: &Call) -> Result<OrderName, ApiError> {
    call.name("order_name", OrderName::parse, || {
        ServiceError::named("Order", call.param("order_name"))
    })
}

pub(crate) async fn pending(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().pending_orders(&call.principal)?;
    let items: Vec<_> = found.iter().map(|order| render::object(&order.entry)).collect();
    Ok(render::bytes(wire::list::join_counted(items.len(), &items)))
}

pub(crate) async fn confirm(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let confirmation: Confirmation = body(&call)?;
    let host = match &confirmation.host {
        None => None,
        Some(host) => {
            let project = match &confirmation.host_project {
                Some(project) => name("hostProject", project, ProjectId::parse)?,
                None => ctx.project.clone(),
            };
            Some(PoolRef {
                project,
                name: name("host", host, PoolName::parse)?,
            })
        }
    };
    decide(&app, &call, &ctx, OrderDecision::Confirm { host }).await
}

pub(crate) async fn reject(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let rejection: Rejection = body(&call)?;
    decide(&app, &call, &ctx, OrderDecision::Reject { reason: rejection.reason }).await
}

async fn decide(app: &App, call: &Call, ctx: &CallContext, decision: OrderDecision) -> Result<Response, ApiError> {
    let outcome = app.service().decide_order(ctx, &order_name(call)?, &decision).await?;
    Ok(render::json(&wire::order::Order::from(outcome.object.as_ref())))
}
