//! Restrictions of pools.

use super::{body, context};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::pools::{pool_name, rendered};
use axum::extract::State;
use axum::response::Response;
use domain::pool::ControlMode;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Restriction {
    /// Sum of restriction bits; 0: none.
    control_mode: u32,
}

pub(crate) async fn set_control_mode(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let name = pool_name(&call)?;
    let outcome = app
        .service()
        .set_control_mode(&ctx, &name, || Ok(ControlMode(body::<Restriction>(&call)?.control_mode)))
        .await?;
    Ok(rendered(&outcome))
}
