//! Nodes of a pool (contract `nodes.md`).

use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::watch::{self, Wanted};
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::field::FieldErrors;
use domain::name::NodeName;
use domain::plugin::PluginPhase;
use domain::pool::PoolPhase;
use service::ServiceError;
use std::sync::Arc;
use store::index::Entry;
use wire::node_batch as batch;

/// Items of a page at most, where the list is paged at all.
const MAXIMUM: usize = 500;

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    if let Some(wanted) = Wanted::read(&call)? {
        let watch = app.service().watch_nodes(&call.context()?, &pool_name(&call)?, wanted.after)?;
        return watch::answer(&app, &call, watch).await;
    }
    let read = || {
        let mut paging = read_paging(&call)?;
        if paging.is_requested() {
            paging.limit = paging.limit.or(Some(MAXIMUM));
        }
        Ok(paging.wanted())
    };
    let found = app.service().list_nodes(&call.context()?, &pool_name(&call)?, read)?;
    Ok(joined(render::part(&found)))
}

fn read_paging(call: &Call) -> Result<Paging, FieldErrors> {
    let query = call.query()?;
    let mut errors = FieldErrors::new();
    let paging = Paging::read(&query, MAXIMUM, &mut errors);
    errors.into_result().map(|()| paging)
}

/// A page of nodes; all of them where no paging was asked for.
pub(crate) fn page(entries: &[Arc<Entry>], call: &Call) -> Result<Response, ApiError> {
    let paging = read_paging(call)?;
    Ok(joined(render::page(entries, &paging, paging.is_requested().then_some(MAXIMUM))))
}

fn joined(page: render::Part<&Bytes>) -> Response {
    let metadata = wire::list::ListMeta::of(page.next);
    render::bytes(wire::list::join("NodeList", "v2", Some(&metadata), &page.items))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let pool = pool_name(&call)?;
    let node = call.name("node_name", NodeName::parse, || {
        ServiceError::named("Node", call.param("node_name"))
    })?;
    Ok(render::entry(&app.service().show_node(&ctx, &pool, &node)?.entry))
}

pub(crate) async fn delete(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    app.service()
        .delete_nodes(&ctx, &pool, || batch::decode_delete(&call.json()?))
        .await?;
    Ok(render::json(&serde_json::json!({})))
}

async fn set_lock(app: &App, call: &Call, is_locked: bool) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(call)?);
    let results = app
        .service()
        .lock_nodes(&ctx, &pool, is_locked, || batch::decode_lock(&call.json()?))
        .await?;
    Ok(render::json(&batch::NodeResults::of(&results.object)))
}

pub(crate) async fn lock(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    set_lock(&app, &call, true).await
}

pub(crate) async fn unlock(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    set_lock(&app, &call, false).await
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let results = app
        .service()
        .update_nodes(&ctx, &pool, || batch::decode_update(&call.json()?))
        .await?;
    Ok(render::json(&batch::UpdateResults::of(&results.object)))
}

pub(crate) async fn bind(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    app.service().bind_nodes(&ctx, &pool, || batch::decode_bind(&call.json()?)).await?;
    Ok(render::json(&serde_json::json!({})))
}

pub(crate) async fn drain(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    app.service()
        .drain_nodes(&ctx, &pool, || batch::decode_drain(&call.json()?))
        .await?;
    Ok(render::json(&serde_json::json!({})))
}

pub(crate) async fn migrate(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let job = app
        .service()
        .migrate_nodes(&ctx, &pool, || batch::decode_migrate(&call.json()?))
        .await?;
    Ok(render::json(&batch::JobId {
        job_id: job.object.to_string(),
    }))
}

pub(crate) async fn reboot(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let outcome = app
        .service()
        .reboot_nodes(&ctx, &pool, || batch::decode_reboot(&call.json()?))
        .await?;
    let (node_names, job_id) = outcome.object.as_ref().clone();
    Ok(render::json(&batch::RebootAnswer { node_names, job_id }))
}

pub(crate) async fn reset(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let job = app
        .service()
        .reset_nodes(&ctx, &pool, || batch::decode_reset(&call.json()?))
        .await?;
    Ok(render::json(&batch::JobId {
        job_id: job.object.to_string(),
    }))
}

pub(crate) async fn resize(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let (ctx, pool) = (call.context()?, pool_name(&call)?);
    let order = app
        .service()
        .resize_batches(&ctx, &pool, || batch::decode_resize(&call.json()?))
        .await?;
    Ok(render::json(&batch::ResizeAnswer {
        order_name: order.object.to_string(),
    }))
}

/// The settings of a pool's nodes.
pub(crate) async fn config(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().show_pool(&call.context()?, &pool_name(&call)?)?;
    Ok(render::json(&wire::node_config::NodeConfig::of(config_phase(&found.status.phase))))
}

/// The settings are in force where the pool's cluster is.
fn config_phase(phase: &PoolPhase) -> PluginPhase {
    match phase {
        PoolPhase::Waiting(_) | PoolPhase::Creating => PluginPhase::Pending,
        PoolPhase::Running | PoolPhase::ScalingFailed { .. } => PluginPhase::Running,
        PoolPhase::Abnormal { .. } | PoolPhase::Error { .. } | PoolPhase::CreationFailed { .. } => PluginPhase::Abnormal,
        PoolPhase::Deleting => PluginPhase::Deleting,
    }
}

pub(crate) async fn config_template(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    app.service().show_pool(&call.context()?, &pool_name(&call)?)?;
    Ok(render::json(&wire::node_config::NodeConfigTemplate::default()))
}

/// What the nodes of the flavors that refer to a template are made with.
pub(crate) async fn flavor_config_template(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let name = call.param("nodeconfigtemplate_name");
    let flavor = app.service().node_config_template(&call.context()?, name)?;
    Ok(render::json(&wire::node_config::FlavorNodeConfigTemplate::of(name, &flavor)))
}
