//! The installation's configuration for pools.

use super::{document, own_context, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use wire::admin::configuration::{ConfigurationView, decode_patch};

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().installation_config(&call.principal)?;
    Ok(shown(&ConfigurationView::from(found.object.as_ref()), found.revision))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app
        .service()
        .update_installation_config(&ctx, |current| decode_patch(current, &document(&call)?))
        .await?;
    Ok(shown(&ConfigurationView::from(outcome.object.as_ref()), outcome.revision))
}
