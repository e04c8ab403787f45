//! Workloads of the simulated fleet.

use super::{context, document, own_context, page, pair};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::pools::pool_name;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use fleet::WorkloadFact;
use wire::admin::SubmittedWorkloadList;
use wire::admin::workload::{WorkloadView, decode_workload};

fn view(fact: &WorkloadFact) -> WorkloadView {
    WorkloadView {
        id: fact.uid.to_string(),
        workload_type: fact.kind.as_str(),
        project_id: fact.pool.pool.project.to_string(),
        pool: fact.pool.pool.name.to_string(),
        name: fact.name.clone(),
        job_name: fact.job_name.clone(),
        owner: fact.owner.clone(),
        flavor: fact.flavor.to_string(),
        nodes: fact.nodes,
        priority: fact.priority,
        status: fact.status.as_str(),
        reason: fact.reason.clone(),
        position: fact.position,
        hosts: fact.hosts.iter().map(|host| host.node.to_string()).collect(),
        created_at: WorkloadView::moment(fact.created_at),
        started_at: fact.started_at.map(WorkloadView::moment),
        ended_at: fact.ended_at.map(WorkloadView::moment),
    }
}

pub(crate) async fn submit(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let decode = || decode_workload(&document(&call)?);
    let submitted = app.service().submit_workload(&ctx, &pool_name(&call)?, decode).await?;
    Ok(match submitted {
        Some(fact) => render::json(&view(&fact)),
        None => render::json(&serde_json::json!({})),
    })
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let mut all = app.service().all_workloads(&call.principal)?;
    if let Some(pool) = call.query()?.get("pool").filter(|text| !text.is_empty()) {
        all.retain(|fact| fact.pool.pool.name.as_str() == pool);
    }
    let key = |fact: &WorkloadFact| pair(&fact.created_at.as_millisecond().to_string(), fact.uid.as_str());
    let (metadata, items) = page(&call, all, key)?;
    Ok(render::json(&SubmittedWorkloadList::of(metadata, items.iter().map(view).collect())))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let fact = app.service().workload(&call.principal, call.param("workload_id"))?;
    Ok(render::json(&view(&fact)))
}

pub(crate) async fn cancel(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let fact = app.service().cancel_workload(&ctx, call.param("workload_id")).await?;
    Ok(render::json(&view(&fact)))
}
