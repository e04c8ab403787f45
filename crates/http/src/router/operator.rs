//! The operator's part of the list of operations.

use super::{Operation, op};
use crate::handlers::admin::{
    configuration, domains, flavors, keys, machines, orders, pools, projects, registry, scheduled, templates, users, workloads,
};
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
    let mut all = domains_and_projects();
    all.extend(users_and_keys());
    all.extend(flavors_and_configuration());
    all.extend(plugin_templates());
    all.extend(machines_and_faults());
    all.extend(scheduled_events());
    all.extend(registered());
    all.extend(submitted_workloads());
    all.extend(pools_and_orders());
    all
}

fn domains_and_projects() -> Vec<Operation> {
    vec![
        op(
            "CreateDomain",
            POST,
            "/admin/v1/domains",
            post(domains::create),
            d::create::<a::accounts::DomainBody, a::accounts::DomainView>("Creates a domain"),
        ),
        op(
            "ListDomains",
            GET,
            "/admin/v1/domains",
            get(domains::list),
            d::list::<a::DomainList>("Lists the domains", None),
        ),
        op(
            "ShowDomain",
            GET,
            "/admin/v1/domains/{domain_id}",
            get(domains::show),
            d::show::<a::accounts::DomainView>("Shows a domain"),
        ),
        op(
            "UpdateDomain",
            PATCH,
            "/admin/v1/domains/{domain_id}",
            patch(domains::update),
            d::patch::<a::accounts::DomainBody, a::accounts::DomainView>("Renames a domain"),
        ),
        op(
            "DeleteDomain",
            DELETE,
            "/admin/v1/domains/{domain_id}",
            delete(domains::remove),
            d::delete::<a::accounts::DomainView>("Deletes a domain without projects and users"),
        ),
        op(
            "CreateProject",
            POST,
            "/admin/v1/projects",
            post(projects::create),
            d::create::<a::accounts::ProjectBody, a::accounts::ProjectView>("Creates a project with its default workspace"),
        ),
        op(
            "ListAllProjects",
            GET,
            "/admin/v1/projects",
            get(projects::list),
            d::list::<a::ProjectList>("Lists the projects of all domains or of one", Some(("domain", "Id of a domain"))),
        ),
        op(
            "ShowProject",
            GET,
            "/admin/v1/projects/{project_id}",
            get(projects::show),
            d::show::<a::accounts::ProjectView>("Shows a project"),
        ),
        op(
            "UpdateProject",
            PATCH,
            "/admin/v1/projects/{project_id}",
            patch(projects::update),
            d::patch::<a::accounts::ProjectBody, a::accounts::ProjectView>(
                "Changes a project: its name, description, quota, or whether it is enabled",
            ),
        ),
        op(
            "DeleteProject",
            DELETE,
            "/admin/v1/projects/{project_id}",
            delete(projects::remove),
            d::delete::<a::accounts::ProjectView>("Deletes a project without pools and networks"),
        ),
        op(
            "ShowProjectQuotas",
            GET,
            "/admin/v1/projects/{project_id}/quotas",
            get(projects::quotas),
            d::show::<wire::quota::Quotas>("Shows the limits in force for a project, and their use"),
        ),
    ]
}

fn users_and_keys() -> Vec<Operation> {
    vec![
        op(
            "CreateUser",
            POST,
            "/admin/v1/users",
            post(users::create),
            d::create_secret::<a::accounts::UserBody, a::accounts::UserView>("Creates a user with roles in projects"),
        ),
        op(
            "ListUsers",
            GET,
            "/admin/v1/users",
            get(users::list),
            d::list::<a::UserList>("Lists the users of all domains or of one", Some(("domain", "Id of a domain"))),
        ),
        op(
            "ShowUser",
            GET,
            "/admin/v1/users/{user_id}",
            get(users::show),
            d::show::<a::accounts::UserView>("Shows a user"),
        ),
        op(
            "UpdateUser",
            PATCH,
            "/admin/v1/users/{user_id}",
            patch(users::update),
            d::patch_secret::<a::accounts::UserBody, a::accounts::UserView>(
                "Changes a user: its name, password, roles, or whether it is enabled",
            ),
        ),
        op(
            "DeleteUser",
            DELETE,
            "/admin/v1/users/{user_id}",
            delete(users::remove),
            d::delete::<a::accounts::UserView>("Deletes a user with its keys and tokens"),
        ),
        op(
            "CreateAccessKey",
            POST,
            "/admin/v1/users/{user_id}/access-keys",
            post(keys::create),
            d::create_usual_secret::<a::accounts::AccessKeyBody, a::accounts::NewAccessKey>(
                "Creates an access key; its secret is shown this once",
            ),
        ),
        op(
            "ListAccessKeys",
            GET,
            "/admin/v1/users/{user_id}/access-keys",
            get(keys::list_of_user),
            d::list::<a::AccessKeyList>("Lists the access keys of a user, without secrets", None).refuses(&[404]),
        ),
        op(
            "ListAllAccessKeys",
            GET,
            "/admin/v1/access-keys",
            get(keys::list),
            d::list::<a::AccessKeyList>("Lists access keys, without secrets", Some(("user", "Id of a user"))),
        ),
        op(
            "ShowAccessKey",
            GET,
            "/admin/v1/access-keys/{access_key}",
            get(keys::show),
            d::show::<a::accounts::AccessKeyView>("Shows an access key, without secrets"),
        ),
        op(
            "UpdateAccessKey",
            PATCH,
            "/admin/v1/access-keys/{access_key}",
            patch(keys::update),
            d::patch::<a::accounts::AccessKeyPatch, a::accounts::AccessKeyView>("Describes an access key, or switches it on or off"),
        ),
        op(
            "DeleteAccessKey",
            DELETE,
            "/admin/v1/access-keys/{access_key}",
            delete(keys::remove),
            d::delete::<a::accounts::AccessKeyView>("Deletes an access key"),
        ),
    ]
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
            d::list::<a::WorkloadList>("Lists the workloads of the simulated fleet", Some(("pool", "Id of a pool"))),
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

fn scheduled_events() -> Vec<Operation> {
    vec![
        op(
            "CreateScheduledEvent",
            POST,
            "/admin/v1/{project_id}/scheduled-events",
            post(scheduled::create),
            d::create::<a::scheduled::AnnouncementBody, wire::scheduled::ScheduledEvent>("Announces work on a node"),
        ),
        op(
            "ListAllScheduledEvents",
            GET,
            "/admin/v1/{project_id}/scheduled-events",
            get(scheduled::list),
            d::list::<a::scheduled::ScheduledList>("Lists announced work of a project", None),
        ),
        op(
            "ShowScheduledEvent",
            GET,
            "/admin/v1/{project_id}/scheduled-events/{event_id}",
            get(scheduled::show),
            d::show::<wire::scheduled::ScheduledEvent>("Shows announced work"),
        ),
        op(
            "UpdateScheduledEvent",
            PATCH,
            "/admin/v1/{project_id}/scheduled-events/{event_id}",
            patch(scheduled::update),
            d::patch::<a::scheduled::ProgressBody, wire::scheduled::ScheduledEvent>("Tells how announced work gets on"),
        ),
        op(
            "DeleteScheduledEvent",
            DELETE,
            "/admin/v1/{project_id}/scheduled-events/{event_id}",
            delete(scheduled::remove),
            d::delete::<wire::scheduled::ScheduledEvent>("Withdraws announced work"),
        ),
    ]
}

fn registered() -> Vec<Operation> {
    vec![
        op(
            "CreateVirtualTemplate",
            POST,
            "/admin/v1/virtual-resource-templates",
            post(registry::virtual_templates::create),
            d::create::<wire::virtual_flavor::VirtualTemplateView, wire::virtual_flavor::VirtualTemplateView>(
                "Registers a virtual resource template",
            ),
        ),
        op(
            "ListVirtualTemplates",
            GET,
            "/admin/v1/virtual-resource-templates",
            get(registry::virtual_templates::list),
            d::list::<wire::virtual_flavor::VirtualTemplateList>("Lists every virtual resource template", None),
        ),
        op(
            "ShowVirtualTemplate",
            GET,
            "/admin/v1/virtual-resource-templates/{template_name}",
            get(registry::virtual_templates::show),
            d::show::<wire::virtual_flavor::VirtualTemplateView>("Shows a virtual resource template"),
        ),
        op(
            "DeleteVirtualTemplate",
            DELETE,
            "/admin/v1/virtual-resource-templates/{template_name}",
            delete(registry::virtual_templates::remove),
            d::delete::<wire::virtual_flavor::VirtualTemplateView>("Takes away a virtual resource template"),
        ),
        op(
            "CreatePeerSubnet",
            POST,
            "/admin/v1/peer-subnets",
            post(registry::peer_subnets::create),
            d::create::<a::outside::PeerSubnetView, a::outside::PeerSubnetView>("Registers a subnet that networks can be connected to"),
        ),
        op(
            "ListPeerSubnets",
            GET,
            "/admin/v1/peer-subnets",
            get(registry::peer_subnets::list),
            d::list::<a::outside::PeerSubnetList>("Lists every subnet that networks can be connected to", None),
        ),
        op(
            "ShowPeerSubnet",
            GET,
            "/admin/v1/peer-subnets/{vpc_id}/{subnet_id}",
            get(registry::peer_subnets::show),
            d::show::<a::outside::PeerSubnetView>("Shows a subnet that networks can be connected to"),
        ),
        op(
            "DeletePeerSubnet",
            DELETE,
            "/admin/v1/peer-subnets/{vpc_id}/{subnet_id}",
            delete(registry::peer_subnets::remove),
            d::delete::<a::outside::PeerSubnetView>("Takes away a subnet that networks can be connected to"),
        ),
        op(
            "CreateSfsTurbo",
            POST,
            "/admin/v1/sfs-turbo",
            post(registry::sfs_turbos::create),
            d::create::<a::outside::SfsTurboView, a::outside::SfsTurboView>("Registers a file system that networks can be connected to"),
        ),
        op(
            "ListSfsTurbos",
            GET,
            "/admin/v1/sfs-turbo",
            get(registry::sfs_turbos::list),
            d::list::<a::outside::SfsTurboList>("Lists every file system that networks can be connected to", None),
        ),
        op(
            "ShowSfsTurbo",
            GET,
            "/admin/v1/sfs-turbo/{sfs_id}",
            get(registry::sfs_turbos::show),
            d::show::<a::outside::SfsTurboView>("Shows a file system that networks can be connected to"),
        ),
        op(
            "DeleteSfsTurbo",
            DELETE,
            "/admin/v1/sfs-turbo/{sfs_id}",
            delete(registry::sfs_turbos::remove),
            d::delete::<a::outside::SfsTurboView>("Takes away a file system that networks can be connected to"),
        ),
        op(
            "ReplaceVirtualTemplate",
            PUT,
            "/admin/v1/virtual-resource-templates/{template_name}",
            put(registry::replace_template),
            d::create::<wire::virtual_flavor::VirtualTemplateView, wire::virtual_flavor::VirtualTemplateView>(
                "Replaces a virtual resource template",
            )
            .conditional()
            .refuses(&[404]),
        ),
    ]
}
