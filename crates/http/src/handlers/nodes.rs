//! Nodes of a pool (contract `nodes.md`).

use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::name::NodeName;
use service::ServiceError;

/// Items of a page at most, where the list is paged at all.
const MAXIMUM: usize = 500;

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let entries = app.service().list_nodes(&call.context()?, &pool_name(&call)?)?;
    let query = call.query()?;
    let mut errors = FieldErrors::new();
    let paging = Paging::read(&query, MAXIMUM, &mut errors);
    errors.into_result()?;
    let page = render::page(&entries, &paging, paging.is_requested().then_some(MAXIMUM));
    let metadata = wire::list::ListMeta::of(page.next);
    Ok(render::bytes(wire::list::join("NodeList", "v2", Some(&metadata), &page.items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let pool = pool_name(&call)?;
    let node = call.name("node_name", NodeName::parse, || {
        ServiceError::named("Node", call.param("node_name"))
    })?;
    Ok(render::entry(&app.service().show_node(&ctx, &pool, &node)?.entry))
}
