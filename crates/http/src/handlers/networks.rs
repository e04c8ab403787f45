//! Networks (contract `networks.md`).

use super::pools::{selector, workspace};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::NetworkName;
use domain::network::Network;
use service::{Missing, Outcome, ServiceError};
use store::index::Entry;

/// Items of a page at most, and where no limit is asked for.
const MAXIMUM: usize = 500;

fn network_name(call: &Call) -> Result<NetworkName, ApiError> {
    call.name("network_name", NetworkName::parse, || ServiceError::NotFound(Missing::Network))
}

fn rendered(app: &App, outcome: &Outcome<Network>) -> Response {
    render::tagged(encoded(app, &outcome.object), outcome.revision)
}

fn encoded(app: &App, network: &Network) -> Bytes {
    render::encode(&wire::network::Network::from(&app.service().connected(network)))
}

/// What is connected to something outside is rendered anew: that may have come or gone meanwhile.
fn object(app: &App, entry: &Entry) -> Bytes {
    match entry.get::<Network>() {
        Some(network) if !(network.peers.is_empty() && network.sfs_turbo.is_empty()) => encoded(app, network),
        Some(_) | None => render::object(entry).clone(),
    }
}

/// Addresses of one subnet.
pub(crate) async fn addresses(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let subnet = || match call.query()?.get("network_id").filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(FieldErrors::one(FieldPath::of("network_id"), Reason::Required, "is required")),
    };
    let (network, used) = app.service().network_addresses(&call.context()?, &network_name(&call)?, subnet)?;
    Ok(render::json(&wire::network::IpAvailabilities::of(&network, used)))
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app
        .service()
        .create_network(&ctx, || wire::network::decode_create(&call.json()?))
        .await?;
    Ok(rendered(&app, &outcome))
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
    let page = render::page_of(&entries, &paging, Some(MAXIMUM), |entry| object(&app, entry));
    let metadata = wire::list::ListMeta::of(page.next);
    Ok(render::bytes(wire::list::join("NetworkList", "v1", Some(&metadata), &page.items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().show_network(&call.context()?, &network_name(&call)?)?;
    Ok(render::tagged(object(&app, &found.entry), Some(found.revision())))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = network_name(&call)?;
    let outcome = app
        .service()
        .patch_network(&ctx, &name, |current| wire::network::decode_patch(current, &call.json()?))
        .await?;
    Ok(rendered(&app, &outcome))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app.service().delete_network(&ctx, &network_name(&call)?).await?;
    Ok(rendered(&app, &outcome))
}
