//! Node pools (contract nodes §5).

use super::nodes::page;
use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::meta::Revision;
use domain::pool::Pool;
use service::nodepools::NodePoolChange;
use service::{Missing, ServiceError};
use wire::nodepool::{NodePool, NodePoolEdit, NodePoolList, decode_change, decode_create, removal, renamed};

fn change(edit: NodePoolEdit) -> NodePoolChange {
    NodePoolChange {
        name: edit.name,
        edit: edit.edit,
        mentions_billing: edit.mentions_billing,
    }
}

/// Errors of node pools: a missing one in the words that clients look for, fields as the client wrote them.
fn told(error: ServiceError) -> ApiError {
    match error {
        ServiceError::Invalid(errors) => ServiceError::Invalid(renamed(&errors)).into(),
        ServiceError::NotFound(Missing::Named { kind, name }) if kind == "NodePool" => ApiError::no_node_pool(&name),
        other => other.into(),
    }
}

/// A node pool with the entity tag of its pool, whose part it is.
fn tagged(node_pool: &NodePool, revision: Option<Revision>) -> Response {
    render::tagged(render::encode(node_pool), revision)
}

fn shown(pool: &Pool, name: &str) -> Result<NodePool, ApiError> {
    let element = pool.spec.resources.iter().find(|element| element.node_pool().as_str() == name);
    let element = element.ok_or_else(|| ApiError::no_node_pool(name))?;
    Ok(NodePool::of(pool, element))
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let decode = |current: &Pool| decode_create(current, &call.json()?).map(change);
    let (outcome, name) = app.service().create_node_pool(&ctx, &pool, decode).await.map_err(told)?;
    Ok(tagged(&shown(&outcome.object, name.as_str())?, outcome.revision))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().list_node_pools(&call.context()?, &pool_name(&call)?)?;
    Ok(render::json(&NodePoolList::of(&found)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let found = app.service().show_node_pool(&ctx, &pool, call.param("nodepool_name"));
    let (found, element) = found.map_err(told)?;
    Ok(tagged(&NodePool::of(&found, &element), Some(found.revision())))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let name = call.param("nodepool_name");
    let decode = |current: &Pool, at: usize| decode_change(current, at, &call.json()?).map(change);
    let outcome = app.service().patch_node_pool(&ctx, &pool, name, decode).await.map_err(told)?;
    Ok(tagged(&shown(&outcome.object, name)?, outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let name = call.param("nodepool_name");
    let before = app.service().delete_node_pool(&ctx, &pool, name, removal).await.map_err(told)?;
    Ok(render::json(&shown(&before.object, name)?))
}

pub(crate) async fn nodes(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let found = app.service().list_node_pool_nodes(&ctx, &pool, call.param("nodepool_name"));
    page(&found.map_err(told)?, &call)
}
