//! What goes with pools: plug-ins, tags, events, virtual flavors, monitoring.

use super::{answers, boolean, dry_run, integer, text};
use crate::openapi::Documentation;
use wire::event as e;
use wire::plugin as p;
use wire::scheduled as s;
use wire::tag as t;

pub(crate) fn list_plugin_templates() -> Documentation {
    answers::<wire::list::PluginTemplateList>("plug-ins", "Lists the plug-in templates").query([
        text("templateName", "Only the template of this name"),
        text("poolName", "Only what can be installed in this pool"),
    ])
}

pub(crate) fn show_plugin_template() -> Documentation {
    answers::<p::ShownTemplate>("plug-ins", "Shows a plug-in template")
}

pub(crate) fn create_plugin() -> Documentation {
    answers::<p::Plugin>("plug-ins", "Installs a plug-in in a pool")
        .takes::<p::Plugin>()
        .change()
}

pub(crate) fn list_plugins() -> Documentation {
    answers::<wire::list::PluginList>("plug-ins", "Lists the plug-ins of a pool")
}

pub(crate) fn show_plugin() -> Documentation {
    answers::<p::Plugin>("plug-ins", "Shows a plug-in")
        .conditional()
        .query([boolean("detail", "With what it consists of")])
}

pub(crate) fn patch_plugin() -> Documentation {
    answers::<p::PatchedPlugin>("plug-ins", "Changes version or parameters of a plug-in").patch::<p::PatchedPlugin>()
}

pub(crate) fn delete_plugin() -> Documentation {
    answers::<p::Plugin>("plug-ins", "Removes a plug-in from a pool")
        .query([dry_run()])
        .conditional()
}

fn keys() -> [crate::openapi::Parameter; 2] {
    [
        integer("limit", "Keys of a page, default 200"),
        integer("offset", "Keys to leave out"),
    ]
}

pub(crate) fn list_pool_tags() -> Documentation {
    answers::<t::TagUnion>("tags", "Lists the tags of all pools").query(keys())
}

pub(crate) fn show_pool_tags() -> Documentation {
    answers::<t::Tags>("tags", "Lists the tags of a pool").conditional()
}

pub(crate) fn update_pool_tags() -> Documentation {
    answers::<t::Tags>("tags", "Adds, removes or replaces tags of a pool")
        .takes::<t::TagAction>()
        .change()
        .conditional()
}

pub(crate) fn create_pool_tags() -> Documentation {
    answers::<t::Tags>("tags", "Adds tags to a pool")
        .takes::<t::TagPairs>()
        .change()
        .conditional()
}

pub(crate) fn delete_pool_tags() -> Documentation {
    answers::<t::Tags>("tags", "Removes tags from a pool")
        .takes::<t::TagPairs>()
        .query([dry_run()])
        .conditional()
}

pub(crate) fn search_pools() -> Documentation {
    answers::<t::FoundResources>("tags", "Finds pools by tags and names")
        .takes::<t::TagSearch>()
        .query([
            integer("limit", "Pools of a page, at most 1000"),
            integer("offset", "Pools to leave out"),
        ])
}

pub(crate) fn list_node_tags() -> Documentation {
    answers::<t::TagUnion>("tags", "Lists the tags of all nodes")
        .query([text("pool", "Only nodes of this pool")])
        .query(keys())
}

pub(crate) fn show_node_tags() -> Documentation {
    answers::<t::Tags>("tags", "Lists the tags of a node").conditional()
}

pub(crate) fn update_node_tags() -> Documentation {
    answers::<t::Tags>("tags", "Adds, removes or replaces tags of a node")
        .takes::<t::TagAction>()
        .change()
        .conditional()
}

pub(crate) fn list_events() -> Documentation {
    answers::<e::EventList>("events", "Lists the events of a pool")
        .query([
            required("resource", "pools"),
            required("name", "Id of the pool"),
            text("type", "Normal or Warning"),
            integer("since", "Seconds or milliseconds; compared with lastTimestamp"),
            integer("until", "Seconds or milliseconds; compared with lastTimestamp"),
            boolean("ascend", "Oldest first"),
            integer("limit", "Events of a page, at most 500"),
            integer("offset", "Events to leave out"),
            text("continue", "metadata.continue of the page before; wins over offset"),
        ])
        .watched()
}

fn required(name: &'static str, description: &'static str) -> crate::openapi::Parameter {
    crate::openapi::Parameter {
        is_required: true,
        ..text(name, description)
    }
}

pub(crate) fn list_scheduled() -> Documentation {
    answers::<s::ScheduledEventList>("events", "Lists work that is announced for nodes").query([
        text("workspaceId", "Only pools of this workspace"),
        text("state", "Only in this state; may be repeated"),
        text("type", "Only of this type; may be repeated"),
        text("id", "Only this event"),
        text("nodeName", "Only this node"),
        text("poolName", "Only this pool, by id or display name"),
        text("publishStartTime", "RFC 3339"),
        text("publishEndTime", "RFC 3339"),
        integer("limit", "Events of a page, 1 to 100"),
        integer("offset", "Events to leave out"),
    ])
}

pub(crate) fn accept_scheduled() -> Documentation {
    answers::<s::ScheduledEvent>("events", "Agrees to announced work")
        .takes::<s::AcceptBody>()
        .change()
        .conditional()
}

pub(crate) fn network_addresses() -> Documentation {
    answers::<wire::network::IpAvailabilities>("networks", "Shows how many addresses of a subnet are in use")
        .query([required("network_id", "networkId of one of status.subnets")])
}

pub(crate) fn list_virtual_flavors() -> Documentation {
    answers::<wire::virtual_flavor::VirtualFlavorList>("flavors", "Lists the flavors for parts of machines")
}

pub(crate) fn show_virtual_template() -> Documentation {
    answers::<wire::virtual_flavor::VirtualResourceTemplate>("flavors", "Shows how accelerators can be cut")
}

pub(crate) fn show_monitor() -> Documentation {
    answers::<wire::monitor::PoolMonitor>("pools", "Shows what a pool used").query([
        text(
            "time_range",
            "start.end.minutes in milliseconds, -1 for open ends; default -1.-1.60",
        ),
        text("statistics", "maximum (default), minimum, sum, average or sampleCount"),
        text("period", "Seconds of one point: 60 (default), 300, 900 or 3600"),
    ])
}

pub(crate) fn runtime_metrics() -> Documentation {
    answers::<wire::monitor::PoolMetricsList>("pools", "Shows what pools have and what of it is in use")
}

pub(crate) fn create_order_id() -> Documentation {
    answers::<wire::order::OrderId>("orders", "Gives an id for the order that makes a pool a prepaid one")
        .takes::<wire::order::OrderIdRequest>()
        .query([text("actionType", "toPeriod")])
        .change()
}
