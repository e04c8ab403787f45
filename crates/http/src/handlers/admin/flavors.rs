//! The catalogue of flavors.

use super::{document, own_context, page, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::name::FlavorName;
use service::ServiceError;
use wire::admin::FlavorList;
use wire::admin::flavor::{FlavorView, decode_create, decode_patch};

fn flavor_name(call: &Call) -> Result<FlavorName, ApiError> {
    call.name("flavor_name", FlavorName::parse, || {
        ServiceError::named("Resourceflavor", call.param("flavor_name"))
    })
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().create_flavor(&ctx, || decode_create(&document(&call)?)).await?;
    Ok(shown(&FlavorView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().all_flavors(&call.principal)?;
    let (metadata, items) = page(&call, all, |flavor| flavor.name.to_string())?;
    let items = items.iter().map(|flavor| FlavorView::from(flavor.as_ref())).collect();
    Ok(render::json(&FlavorList::of(metadata, items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().show_flavor(&call.principal, &flavor_name(&call)?)?;
    Ok(shown(&FlavorView::from(found.object.as_ref()), found.revision))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let name = flavor_name(&call)?;
    let outcome = app
        .service()
        .update_flavor(&ctx, &name, |current| decode_patch(current, &document(&call)?))
        .await?;
    Ok(shown(&FlavorView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_flavor(&ctx, &flavor_name(&call)?).await?;
    Ok(render::json(&FlavorView::from(outcome.object.as_ref())))
}
