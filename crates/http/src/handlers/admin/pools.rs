//! What only operators may do to pools.

use super::{body, context};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::pools::{pool_name, rendered};
use axum::extract::State;
use axum::response::Response;
use domain::pool::{Business, ControlMode};
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

/// The body is that of CreatePool.
pub(crate) async fn create_public(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let outcome = app
        .service()
        .create_public_pool(&ctx, || wire::pool::decode_create(&call.json()?))
        .await?;
    Ok(rendered(&outcome))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BusinessBody {
    biz: BusinessName,
}

/// `os.modelarts.pool/biz`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BusinessName {
    Public,
    Private,
}

pub(crate) async fn set_business(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let name = pool_name(&call)?;
    let decode = || {
        Ok(match body::<BusinessBody>(&call)?.biz {
            BusinessName::Public => Business::Public,
            BusinessName::Private => Business::Private,
        })
    };
    Ok(rendered(&app.service().set_business(&ctx, &name, decode).await?))
}
