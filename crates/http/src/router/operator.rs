//! The operator's part of the list of operations.

mod accounts;
mod outside;

use super::{Operation, op};
use crate::handlers::admin::{audit, configuration, flavors, machines, orders, pools, templates, workloads};
use crate::openapi::docs::admin as d;
use axum::http::Method;
use axum::routing::{delete, get, patch, post, put};
use wire::admin as a;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = accounts::domains_and_projects();
    all.extend(accounts::users_and_keys());
    all.extend(flavors_and_configuration());
    all.extend(plugin_templates());
    all.extend(machines_and_faults());
    all.extend(outside::scheduled_events());
    all.extend(outside::registered());
    all.extend(submitted_workloads());
    all.extend(pools_and_orders());
    all.push(audit());
    all
}

fn audit() -> Operation {
    op(
        "ListAuditEntries",
        GET,
        "/admin/v1/audit",
        get(audit::list),
        d::audit::<a::AuditList>("Lists who did what, newest first"),
    )
}

fn flavors_and_configuration() -> Vec<Operation> {
    vec![
        op(
            "CreateFlavor",
            POST,
            "/admin/v1/flavors",
            post(flavors::create),
            d::create::<a::flavor::FlavorView, a::flavor::FlavorView>("Creates a flavor"),
        ),
        op(
            "ListFlavors",
            GET,
            "/admin/v1/flavors",
            get(flavors::list),
            d::list::<a::FlavorList>("Lists all flavors, virtual ones too", None),
        ),
        op(
            "ShowFlavor",
            GET,
            "/admin/v1/flavors/{flavor_name}",
            get(flavors::show),
            d::show::<a::flavor::FlavorView>("Shows a flavor"),
        ),
        op(
            "UpdateFlavor",
            PATCH,
            "/admin/v1/flavors/{flavor_name}",
            patch(flavors::update),
            d::patch::<a::flavor::FlavorView, a::flavor::FlavorView>("Changes a flavor"),
        ),
        op(
            "DeleteFlavor",
            DELETE,
            "/admin/v1/flavors/{flavor_name}",
            delete(flavors::remove),
            d::delete::<a::flavor::FlavorView>("Deletes a flavor that nothing uses"),
        ),
        op(
            "ShowConfiguration",
            GET,
            "/admin/v1/os-config",
            get(configuration::show),
            d::show::<a::configuration::ConfigurationView>("Shows the configuration of the installation"),
        ),
        op(
            "UpdateConfiguration",
            PATCH,
            "/admin/v1/os-config",
            patch(configuration::update),
            d::patch::<a::configuration::ConfigurationView, a::configuration::ConfigurationView>(
                "Changes the configuration of the installation",
            ),
        ),
    ]
}

fn plugin_templates() -> Vec<Operation> {
    vec![
        op(
            "CreatePluginTemplate",
            POST,
            "/admin/v1/plugin-templates",
            post(templates::create),
            d::create::<a::template::TemplateView, a::template::TemplateView>("Creates a plug-in template"),
        ),
        op(
            "ListAllPluginTemplates",
            GET,
            "/admin/v1/plugin-templates",
            get(templates::list),
            d::list::<a::TemplateList>("Lists the plug-in templates", None),
        ),
        op(
            "ShowPluginTemplateEntry",
            GET,
            "/admin/v1/plugin-templates/{template_name}",
            get(templates::show),
            d::show::<a::template::TemplateView>("Shows a plug-in template"),
        ),
        op(
            "UpdatePluginTemplate",
            PATCH,
            "/admin/v1/plugin-templates/{template_name}",
            patch(templates::update),
            d::patch::<a::template::TemplateView, a::template::TemplateView>("Changes a plug-in template"),
        ),
        op(
            "DeletePluginTemplate",
            DELETE,
            "/admin/v1/plugin-templates/{template_name}",
            delete(templates::remove),
            d::delete::<a::template::TemplateView>("Deletes a plug-in template that nothing needs"),
        ),
        op(
            "AddPluginVersion",
            POST,
            "/admin/v1/plugin-templates/{template_name}/versions",
            post(templates::add_version),
            d::create::<a::template::VersionView, a::template::TemplateView>("Adds a version as the newest one").conditional(),
        ),
        op(
            "ListPluginVersions",
            GET,
            "/admin/v1/plugin-templates/{template_name}/versions",
            get(templates::versions),
            d::show::<a::template::VersionList>("Lists the versions of a plug-in template, newest first"),
        ),
        op(
            "DeletePluginVersion",
            DELETE,
            "/admin/v1/plugin-templates/{template_name}/versions/{version}",
            delete(templates::remove_version),
            d::delete::<a::template::TemplateView>("Takes a version away that no pool asks for"),
        ),
    ]
}

fn machines_and_faults() -> Vec<Operation> {
    vec![
        op(
            "RegisterMachines",
            POST,
            "/admin/v1/machines",
            post(machines::register),
            d::simulated::<a::machine::MachinesBody, a::machine::Registered>("Registers machines of the simulated fleet, all or none"),
        ),
        op(
            "ListMachines",
            GET,
            "/admin/v1/machines",
            get(machines::list),
            d::list::<a::MachineList>("Lists the machines of the simulated fleet", None),
        ),
        op(
            "ShowMachine",
            GET,
            "/admin/v1/machines/{machine_id}",
            get(machines::show),
            d::show::<a::machine::MachineView>("Shows a machine of the simulated fleet"),
        ),
        op(
            "UnregisterMachine",
            DELETE,
            "/admin/v1/machines/{machine_id}",
            delete(machines::unregister),
            d::mend::<a::machine::MachineView>("Takes a machine away that is no node"),
        ),
        op(
            "BreakMachine",
            POST,
            "/admin/v1/machines/{machine_id}/faults",
            post(machines::break_machine),
            d::simulated::<a::machine::FaultView, a::machine::MachineView>("Breaks something about a machine"),
        ),
        op(
            "MendMachine",
            DELETE,
            "/admin/v1/machines/{machine_id}/faults",
            delete(machines::mend_machine),
            d::mend::<a::machine::MachineView>("Clears all faults of a machine"),
        ),
        op(
            "ListPoolFaults",
            GET,
            "/admin/v1/{project_id}/pools/{pool_name}/faults",
            get(machines::pool_faults),
            d::show::<a::machine::FaultList>("Lists the faults of a pool's cluster, plug-ins and dependencies"),
        ),
        op(
            "BreakPool",
            POST,
            "/admin/v1/{project_id}/pools/{pool_name}/faults",
            post(machines::break_pool),
            d::simulated::<a::machine::FaultView, a::machine::FaultList>("Breaks a pool's cluster, a plug-in or a dependency"),
        ),
        op(
            "MendPool",
            DELETE,
            "/admin/v1/{project_id}/pools/{pool_name}/faults",
            delete(machines::mend_pool),
            d::mend::<a::machine::FaultList>("Clears all faults of a pool"),
        ),
    ]
}

fn submitted_workloads() -> Vec<Operation> {
    use a::workload::{WorkloadBody, WorkloadView};
    vec![
        op(
            "SubmitWorkload",
            POST,
            "/admin/v1/{project_id}/pools/{pool_name}/workloads",
            post(workloads::submit),
            d::simulated::<WorkloadBody, WorkloadView>("Submits a workload to a pool of the simulated fleet"),
        ),
        op(
            "ListSubmittedWorkloads",
            GET,
            "/admin/v1/workloads",
            get(workloads::list),
            d::list::<a::SubmittedWorkloadList>("Lists the workloads of the simulated fleet", Some(("pool", "Id of a pool"))),
        ),
        op(
            "ShowSubmittedWorkload",
            GET,
            "/admin/v1/workloads/{workload_id}",
            get(workloads::show),
            d::show::<WorkloadView>("Shows a workload of the simulated fleet"),
        ),
        op(
            "CancelWorkload",
            DELETE,
            "/admin/v1/workloads/{workload_id}",
            delete(workloads::cancel),
            d::mend::<WorkloadView>("Ends a workload of the simulated fleet"),
        ),
    ]
}

fn pools_and_orders() -> Vec<Operation> {
    vec![
        op(
            "CreatePublicPool",
            POST,
            "/admin/v1/{project_id}/pools",
            post(pools::create_public),
            d::create::<wire::pool::Pool, wire::pool::Pool>("Creates a public pool, which hosts logical pools without a parent"),
        ),
        op(
            "SetPoolBusiness",
            PUT,
            "/admin/v1/{project_id}/pools/{pool_name}/biz",
            put(pools::set_business),
            d::plain("Makes a pool a public one, or a private one again"),
        ),
        op(
            "SetControlMode",
            PUT,
            "/admin/v1/{project_id}/pools/{pool_name}/control-mode",
            put(pools::set_control_mode),
            d::plain("Restricts a pool"),
        ),
        op(
            "ListPendingOrders",
            GET,
            "/admin/v1/orders",
            get(orders::pending),
            d::plain("Orders that wait for payment or approval"),
        ),
        op(
            "ConfirmOrder",
            POST,
            "/admin/v1/{project_id}/orders/{order_name}/confirm",
            post(orders::confirm),
            d::plain("Confirms a pending order"),
        ),
        op(
            "RejectOrder",
            POST,
            "/admin/v1/{project_id}/orders/{order_name}/reject",
            post(orders::reject),
            d::plain("Rejects a pending order"),
        ),
    ]
}
