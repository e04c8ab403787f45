//! Flavors, quotas and configuration (contract `flavors.md`, tags… §6 and §7).

use super::pools::selector;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;

/// Items of a page at most, and where no limit is asked for.
const MAXIMUM: usize = 500;

pub(crate) async fn flavors(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut paging = Paging { limit: None, after: None };
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let selector = selector(&query, &mut errors);
        paging = Paging::read(&query, MAXIMUM, &mut errors);
        errors.into_result()?;
        Ok(selector)
    };
    let all = app
        .service()
        .list_flavors(&ctx, read, |selector, flavor| selector.matches_map(&wire::flavor::labels(flavor)))
        .await?;
    // Flavors are ordered by name alone.
    let start = paging.after.as_ref().map_or(0, |after| {
        all.partition_point(|(flavor, _)| flavor.name.as_str() <= after.name.as_str())
    });
    let rest = &all[start..];
    let shown = &rest[..rest.len().min(paging.limit.unwrap_or(MAXIMUM))];
    let remaining = rest.len() - shown.len();
    let next = shown.last().filter(|_| remaining > 0).map(|(flavor, _)| {
        (
            wire::list::ContinueToken {
                created: 0,
                name: flavor.name.to_string(),
            },
            remaining,
        )
    });
    let items: Vec<_> = shown
        .iter()
        .map(|(flavor, offer)| render::encode(&wire::flavor::ResourceFlavor::new(flavor, offer)))
        .collect();
    Ok(render::bytes(wire::list::join(
        "ResourceFlavorList",
        "v1",
        Some(&wire::list::ListMeta::of(next)),
        &items,
    )))
}

pub(crate) async fn virtual_flavors(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().list_virtual_flavors(&call.context()?)?;
    let items = all
        .iter()
        .filter_map(|(flavor, template)| wire::virtual_flavor::VirtualFlavor::new(flavor, template.as_deref()));
    Ok(render::json(&wire::virtual_flavor::VirtualFlavorList::of(items.collect())))
}

pub(crate) async fn virtual_template(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app
        .service()
        .show_virtual_template(&call.context()?, call.param("virtualresourcetemplate_name"))?;
    Ok(render::json(&wire::virtual_flavor::VirtualResourceTemplate::from(found.as_ref())))
}

pub(crate) async fn quotas(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let quotas = app.service().quotas(&call.context()?)?;
    Ok(render::json(&wire::quota::Quotas::of(
        quotas.iter().map(|quota| (quota.resource, quota.limit, quota.used)),
    )))
}

pub(crate) async fn os_config(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    Ok(render::json(&wire::os_config::OsConfig::from(
        &app.service().os_config(&call.context()?)?,
    )))
}
