//! The part of the list that is about what goes with pools: plug-ins, tags, events, virtual flavors, monitoring.

use super::{Operation, op};
use crate::handlers::{catalogue, events, monitor, networks, orders, plugins, tags};
use crate::openapi::docs::around as d;
use axum::http::Method;
use axum::routing::{delete, get, patch, post};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = all_plugins();
    all.extend(all_tags());
    all.extend(all_events());
    all.extend(the_rest());
    all
}

fn all_plugins() -> Vec<Operation> {
    vec![
        op(
            "ListPluginTemplates",
            GET,
            "/v2/{project_id}/plugintemplates",
            get(plugins::templates),
            d::list_plugin_templates().refuses(&[404]),
        ),
        op(
            "ShowPluginTemplate",
            GET,
            "/v1/{project_id}/plugintemplates/{plugintemplate_name}",
            get(plugins::template),
            d::show_plugin_template(),
        ),
        op(
            "CreatePlugin",
            POST,
            "/v2/{project_id}/pools/{pool_name}/plugins",
            post(plugins::create),
            d::create_plugin(),
        ),
        op(
            "ListPlugins",
            GET,
            "/v2/{project_id}/pools/{pool_name}/plugins",
            get(plugins::list),
            d::list_plugins(),
        ),
        op(
            "ShowPlugin",
            GET,
            "/v2/{project_id}/pools/{pool_name}/plugins/{template_name}",
            get(plugins::show),
            d::show_plugin(),
        ),
        op(
            "PatchPlugin",
            PATCH,
            "/v2/{project_id}/pools/{pool_name}/plugins/{template_name}",
            patch(plugins::update),
            d::patch_plugin(),
        ),
        op(
            "DeletePlugin",
            DELETE,
            "/v2/{project_id}/pools/{pool_name}/plugins/{template_name}",
            delete(plugins::remove),
            d::delete_plugin(),
        ),
    ]
}

fn all_tags() -> Vec<Operation> {
    vec![
        op(
            "ListPoolTags",
            GET,
            "/v1/{project_id}/pools/tags",
            get(tags::of_pools),
            d::list_pool_tags(),
        ),
        op(
            "ShowPoolTags",
            GET,
            "/v1/{project_id}/pools/{pool_name}/tags",
            get(tags::of_pool),
            d::show_pool_tags(),
        ),
        op(
            "UpdatePoolTags",
            POST,
            "/v1/{project_id}/pools/{pool_name}/tags",
            post(tags::change_pool),
            d::update_pool_tags(),
        ),
        op(
            "BatchCreatePoolTags",
            POST,
            "/v1/{project_id}/pools/{pool_name}/tags/create",
            post(tags::add_to_pool),
            d::create_pool_tags(),
        ),
        op(
            "BatchDeletePoolTags",
            DELETE,
            "/v1/{project_id}/pools/{pool_name}/tags/delete",
            delete(tags::take_from_pool),
            d::delete_pool_tags(),
        ),
        op(
            "ListPoolsByTags",
            POST,
            "/v1/{project_id}/pools/resource-instances/filter",
            post(tags::search),
            d::search_pools(),
        ),
        op(
            "ListPoolsByTagsAlias",
            POST,
            "/v1/{project_id}/modelarts-pool/resource-instances/filter",
            post(tags::search),
            d::search_pools(),
        ),
        op(
            "ListNodeTags",
            GET,
            "/v1/{project_id}/nodes/tags",
            get(tags::of_nodes),
            d::list_node_tags().refuses(&[404]),
        ),
        op(
            "ShowNodeTags",
            GET,
            "/v1/{project_id}/nodes/{node_name}/tags",
            get(tags::of_node),
            d::show_node_tags(),
        ),
        op(
            "UpdateNodeTags",
            POST,
            "/v1/{project_id}/nodes/{node_name}/tags",
            post(tags::change_node),
            d::update_node_tags(),
        ),
    ]
}

fn all_events() -> Vec<Operation> {
    vec![
        op("ListEvents", GET, "/v1/{project_id}/events", get(events::list), d::list_events()),
        op(
            "ListScheduledEvents",
            GET,
            "/v1/{project_id}/scheduled-events",
            get(events::scheduled),
            d::list_scheduled(),
        ),
        op(
            "AcceptScheduledEvent",
            POST,
            "/v1/{project_id}/scheduled-events/{event_id}/accept",
            post(events::accept),
            d::accept_scheduled(),
        ),
    ]
}

fn the_rest() -> Vec<Operation> {
    vec![
        op(
            "ShowNetworkAvailableIp",
            GET,
            "/v1/{project_id}/networks/{network_name}/network-ip-availabilities",
            get(networks::addresses),
            d::network_addresses(),
        ),
        op(
            "ListVirtualresourceFlavors",
            GET,
            "/v1/{project_id}/virtualresourceflavors",
            get(catalogue::virtual_flavors),
            d::list_virtual_flavors(),
        ),
        op(
            "ShowVirtualResourceTemplate",
            GET,
            "/v1/{project_id}/virtualresourcetemplates/{virtualresourcetemplate_name}",
            get(catalogue::virtual_template),
            d::show_virtual_template(),
        ),
        op(
            "ShowPoolMonitor",
            GET,
            "/v2/{project_id}/pools/{pool_name}/monitor",
            get(monitor::show),
            d::show_monitor(),
        ),
        op(
            "ShowPoolRuntimeMetrics",
            GET,
            "/v2/{project_id}/metrics/runtime/pools",
            get(monitor::runtime),
            d::runtime_metrics(),
        ),
        op(
            "CreateOrderId",
            POST,
            "/v2/{project_id}/pools/{pool_name}/orderid",
            post(orders::create_id),
            d::create_order_id(),
        ),
    ]
}
