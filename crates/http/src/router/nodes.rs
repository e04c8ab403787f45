//! Nodes, node pools and jobs in the list of operations.

use super::{Operation, op};
use crate::handlers::{jobs, nodepools, nodes};
use crate::openapi::docs::nodes as d;
use axum::http::Method;
use axum::routing::{delete, get, patch, post};
use wire::node_batch as b;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = nodes();
    all.extend(batches());
    all.extend(node_pools());
    all.extend(rest());
    all
}

fn nodes() -> Vec<Operation> {
    vec![
        op(
            "ListPoolNodes",
            GET,
            "/v2/{project_id}/pools/{pool_name}/nodes",
            get(nodes::list),
            d::list_nodes("Lists the nodes of a pool").watched(),
        ),
        op(
            "ShowPoolNode",
            GET,
            "/v2/{project_id}/pools/{pool_name}/nodes/{node_name}",
            get(nodes::show),
            d::show_node(),
        ),
    ]
}

fn batches() -> Vec<Operation> {
    vec![
        op(
            "BatchDeletePoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-delete",
            post(nodes::delete),
            d::batch::<b::DeleteBody>("Deletes nodes and lowers the counts of the pool"),
        ),
        op(
            "BatchLockPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-lock",
            post(nodes::lock),
            d::batch_answering::<b::LockBody, b::NodeResults>("Locks nodes against deletion"),
        ),
        op(
            "BatchUnlockPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-unlock",
            post(nodes::unlock),
            d::batch_answering::<b::LockBody, b::NodeResults>("Removes the deletion locks of nodes"),
        ),
        op(
            "BatchUpdatePoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-update",
            post(nodes::update),
            d::batch_answering::<b::UpdateBody, b::UpdateResults>("Makes spares of nodes, tags them or upgrades their drivers"),
        ),
        op(
            "BatchBindPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-bind",
            post(nodes::bind),
            d::batch::<b::BindBody>("Binds nodes to logical pools, or unbinds them"),
        ),
        op(
            "BatchDrainPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-drain",
            post(nodes::drain),
            d::batch::<b::NamesBody>("Evicts the jobs of nodes and lets no new ones come"),
        ),
        op(
            "BatchMigratePoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-migrate",
            post(nodes::migrate),
            d::batch_answering::<b::MigrateBody, b::JobId>("Moves nodes to another pool"),
        ),
        op(
            "BatchRebootPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-reboot",
            post(nodes::reboot),
            d::batch_answering::<b::NamesBody, b::RebootAnswer>("Reboots nodes"),
        ),
        op(
            "BatchResetPoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-reset",
            post(nodes::reset),
            d::batch_answering::<b::ResetBody, b::JobId>("Installs nodes anew"),
        ),
        op(
            "BatchResizePoolNodes",
            POST,
            "/v2/{project_id}/pools/{pool_name}/nodes/batch-resize",
            post(nodes::resize),
            d::batch_answering::<b::ResizeBody, b::ResizeAnswer>("Changes the size of supernodes"),
        ),
    ]
}

fn node_pools() -> Vec<Operation> {
    const ALL: &str = "/v2/{project_id}/pools/{pool_name}/nodepools";
    const ONE: &str = "/v2/{project_id}/pools/{pool_name}/nodepools/{nodepool_name}";
    vec![
        op("CreateNodePool", POST, ALL, post(nodepools::create), d::create_node_pool()),
        op("ListNodePools", GET, ALL, get(nodepools::list), d::list_node_pools()),
        op("ShowNodePool", GET, ONE, get(nodepools::show), d::show_node_pool()),
        op("PatchNodePool", PATCH, ONE, patch(nodepools::update), d::patch_node_pool()),
        op("DeleteNodePool", DELETE, ONE, delete(nodepools::remove), d::delete_node_pool()),
        op(
            "ListNodePoolNodes",
            GET,
            "/v2/{project_id}/pools/{pool_name}/nodepools/{nodepool_name}/nodes",
            get(nodepools::nodes),
            d::list_nodes("Lists the nodes of a node pool"),
        ),
    ]
}

fn rest() -> Vec<Operation> {
    vec![
        op(
            "ShowPoolNodeConfig",
            GET,
            "/v2/{project_id}/pools/{pool_name}/node-config",
            get(nodes::config),
            d::node_config(),
        ),
        op(
            "ShowPoolNodeConfigTemplate",
            GET,
            "/v2/{project_id}/pools/{pool_name}/node-config-template",
            get(nodes::config_template),
            d::node_config_template(),
        ),
        op(
            "ShowNodeConfigTemplate",
            GET,
            "/v1/{project_id}/nodeconfigtemplates/{nodeconfigtemplate_name}",
            get(nodes::flavor_config_template),
            d::flavor_config_template(),
        ),
        op("ListJobs", GET, "/v2/{project_id}/jobs", get(jobs::list), d::list_jobs()),
        op("ShowJob", GET, "/v2/{project_id}/jobs/{job_id}", get(jobs::show), d::show_job()),
    ]
}
