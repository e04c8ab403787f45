//! Machines of the simulated fleet, and faults.

use super::{context, document, own_context, page};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::pools::pool_name;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::fault::PoolFault;
use fleet::sim::MachineInfo;
use service::admin::{MAX_MACHINES, NewMachines};
use wire::admin::MachineList;
use wire::admin::machine::{
    FailureView, FaultList, FaultView, MachineView, Registered, decode_machine_fault, decode_machines, decode_pool_fault,
};

fn view(machine: &MachineInfo) -> MachineView {
    let registration = &machine.registration;
    let bound = machine.bound.as_ref();
    MachineView {
        id: registration.id.clone(),
        flavor: registration.flavor.to_string(),
        az: registration.az.to_string(),
        resources: registration.resources.to_map(),
        state: match (bound.is_some(), machine.is_releasing) {
            (false, _) => "free",
            (true, false) => "node",
            (true, true) => "releasing",
        },
        node: bound.map(|(_, node)| node.to_string()),
        pool: bound.map(|(mark, _)| mark.pool.name.to_string()),
        project_id: bound.map(|(mark, _)| mark.pool.project.to_string()),
        faults: machine.faults.iter().map(FaultView::from).collect(),
        failure: machine.failure.map(|(reason, until)| FailureView::new(reason, until)),
    }
}

fn faults(faults: &[PoolFault]) -> Response {
    render::json(&FaultList {
        faults: faults.iter().map(FaultView::from).collect(),
    })
}

pub(crate) async fn register(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = || {
        let request = decode_machines(&document(&call)?, MAX_MACHINES)?;
        Ok(NewMachines {
            id: request.id,
            flavor: request.flavor,
            az: request.az,
            count: request.count,
        })
    };
    let machines = app.service().register_machines(&ctx, decode).await?;
    Ok(render::json(&Registered {
        machines: machines.iter().map(view).collect(),
    }))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().all_machines(&call.principal)?;
    let (metadata, items) = page(&call, all, |machine| machine.registration.id.clone())?;
    Ok(render::json(&MachineList::of(metadata, items.iter().map(view).collect())))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let machine = app.service().machine(&call.principal, call.param("machine_id"))?;
    Ok(render::json(&view(&machine)))
}

pub(crate) async fn unregister(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let machine = app.service().unregister_machine(&ctx, call.param("machine_id")).await?;
    Ok(render::json(&view(&machine)))
}

pub(crate) async fn break_machine(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = || decode_machine_fault(&document(&call)?);
    let machine = app.service().break_machine(&ctx, call.param("machine_id"), decode).await?;
    Ok(render::json(&view(&machine)))
}

pub(crate) async fn mend_machine(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let machine = app.service().mend_machine(&ctx, call.param("machine_id")).await?;
    Ok(render::json(&view(&machine)))
}

pub(crate) async fn pool_faults(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    Ok(faults(&app.service().pool_faults(&ctx, &pool_name(&call)?)?))
}

pub(crate) async fn break_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    let decode = || decode_pool_fault(&document(&call)?);
    Ok(faults(&app.service().break_pool(&ctx, &pool_name(&call)?, decode).await?))
}

pub(crate) async fn mend_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = context(&call)?;
    Ok(faults(&app.service().mend_pool(&ctx, &pool_name(&call)?).await?))
}
