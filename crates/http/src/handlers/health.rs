//! Probes, metrics and the description of the API.

use crate::app::App;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The media type of metrics.
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn live() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(app): State<App>) -> Response {
    if app.parts.readiness.get() && app.parts.freshness.is_fresh() {
        match app.parts.readiness.remark() {
            Some(remark) => format!("ready, but {remark}\n").into_response(),
            None => "ready\n".into_response(),
        }
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let silence = app.parts.freshness.silence();
    let text = app.parts.metrics.render(&app.parts.service, silence);
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

pub(crate) async fn openapi(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.as_ref().clone()).into_response()
}
