//! Networks (contract `networks.md`).

use super::pools::{selector, workspace};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::name::NetworkName;
use domain::network::Network;
use service::{Missing, Outcome, ServiceError};

/// Items of a page at most, and where no limit is asked for.
const MAXIMUM: usize = 500;

fn network_name(call: &Call) -> Result<NetworkName, ApiError> {
    call.name("network_name", NetworkName::parse, || ServiceError::NotFound(Missing::Network))
}

fn rendered(outcome: &Outcome<Network>) -> Response {
    render::tagged(
        render::encode(&wire::network::Network::from(outcome.object.as_ref())),
        outcome.revision,
    )
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app
        .service()
        .create_network(&ctx, || wire::network::decode_create(&call.json()?))
        .await?;
    Ok(rendered(&outcome))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut paging = Paging { limit: None, after: None };
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = (workspace(&query, &mut errors), selector(&query, &mut errors));
        paging = Paging::read(&query, MAXIMUM, &mut errors);
        errors.into_result()?;
        Ok(filter)
    };
    let entries = app.service().list_networks(&ctx, read, |selector, network| {
        selector.matches_map(&wire::network::labels(network))
    })?;
    let page = render::page(&entries, &paging, Some(MAXIMUM));
    let metadata = wire::list::ListMeta::of(page.next);
    Ok(render::bytes(wire::list::join("NetworkList", "v1", Some(&metadata), &page.items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().show_network(&call.context()?, &network_name(&call)?)?;
    Ok(render::entry(&found.entry))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = network_name(&call)?;
    let outcome = app
        .service()
        .patch_network(&ctx, &name, |current| wire::network::decode_patch(current, &call.json()?))
        .await?;
    Ok(rendered(&outcome))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app.service().delete_network(&ctx, &network_name(&call)?).await?;
    Ok(rendered(&outcome))
}
