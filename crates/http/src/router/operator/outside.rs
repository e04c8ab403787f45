//! What is announced and registered of the world around: work on machines, virtual templates, what networks connect to.

use super::{DELETE, GET, Operation, PATCH, POST, PUT, a, d, op};
use crate::handlers::admin::{registry, scheduled};
use axum::routing::{delete, get, patch, post, put};

pub(super) fn scheduled_events() -> Vec<Operation> {
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

pub(super) fn registered() -> Vec<Operation> {
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
