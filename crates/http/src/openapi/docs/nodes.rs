//! What the document says of nodes, node pools and jobs.

use super::{Documentation, answers, dry_run, integer, paging, text};
use utoipa::ToSchema;

pub(crate) fn list_nodes(summary: &'static str) -> Documentation {
    answers::<wire::list::NodeList>("nodes", summary).query(paging()).conditional()
}

pub(crate) fn show_node() -> Documentation {
    answers::<wire::node::Node>("nodes", "Shows a node").conditional()
}

/// A batch action that answers with an empty object.
pub(crate) fn batch<B: ToSchema>(summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag: "nodes",
        ..Documentation::default()
    }
    .takes::<B>()
    .change()
    .conditional()
}

pub(crate) fn batch_answering<B: ToSchema, A: ToSchema>(summary: &'static str) -> Documentation {
    answers::<A>("nodes", summary).takes::<B>().change().conditional()
}

pub(crate) fn create_node_pool() -> Documentation {
    answers::<wire::nodepool::NodePool>("node pools", "Adds a node pool to a pool")
        .takes::<wire::nodepool::NodePool>()
        .change()
        .conditional()
        .console()
}

pub(crate) fn list_node_pools() -> Documentation {
    answers::<wire::nodepool::NodePoolList>("node pools", "Lists the node pools of a pool").conditional()
}

pub(crate) fn show_node_pool() -> Documentation {
    answers::<wire::nodepool::NodePool>("node pools", "Shows a node pool").conditional()
}

pub(crate) fn patch_node_pool() -> Documentation {
    answers::<wire::nodepool::NodePool>("node pools", "Changes a node pool")
        .patch::<wire::nodepool::NodePool>()
        .console()
}

pub(crate) fn delete_node_pool() -> Documentation {
    answers::<wire::nodepool::NodePool>("node pools", "Removes a node pool with its nodes")
        .query([dry_run()])
        .conditional()
        .refuses(&[409])
}

pub(crate) fn node_config() -> Documentation {
    answers::<wire::node_config::NodeConfig>("nodes", "Shows the settings of a pool's nodes").conditional()
}

pub(crate) fn node_config_template() -> Documentation {
    answers::<wire::node_config::NodeConfigTemplate>("nodes", "Shows what can be set on a pool's nodes").conditional()
}

pub(crate) fn flavor_config_template() -> Documentation {
    answers::<wire::node_config::FlavorNodeConfigTemplate>("flavors", "Shows what the nodes of a flavor are made with")
}

pub(crate) fn list_jobs() -> Documentation {
    answers::<wire::job::JobList>("jobs", "Lists jobs, newest first").query([
        text("type", "replace-node, reboot-node, reset-nodes or migrate-nodes"),
        integer("limit", "Items, at most 500; default 100"),
        integer("offset", "Items to leave out"),
        integer("since", "Milliseconds or seconds since the epoch; default 30 days ago"),
        integer("until", "Milliseconds or seconds since the epoch; default now"),
        text("resource", "pools"),
        text("name", "Id of a pool"),
    ])
}

pub(crate) fn show_job() -> Documentation {
    answers::<wire::job::Job>("jobs", "Shows a job")
}
