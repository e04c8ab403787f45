//! The whole API in one list: each operation's method, path, name and handler. Routing, metrics and the OpenAPI document
//! are all made from it. Nodes, node pools and jobs have a file of their
//! own, and so has the operator's part of the list.

mod around;
mod nodes;
mod operator;

use crate::app::App;
use crate::error::ApiError;
use crate::handlers::{catalogue, health, iam, networks, orders, pools, workloads, workspaces};
use crate::openapi::Documentation;
use crate::pipeline::{self, Access, Route};
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use std::collections::BTreeMap;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// One operation of the API.
pub(crate) struct Operation {
    pub id: &'static str,
    pub method: Method,
    pub path: &'static str,
    /// Answers without a sign-in.
    pub is_open: bool,
    pub handler: MethodRouter<App>,
    pub documentation: Documentation,
}

fn op(id: &'static str, method: Method, path: &'static str, handler: MethodRouter<App>, documentation: Documentation) -> Operation {
    Operation {
        id,
        method,
        path,
        is_open: false,
        handler,
        documentation,
    }
}

fn open(id: &'static str, method: Method, path: &'static str, handler: MethodRouter<App>, documentation: Documentation) -> Operation {
    Operation {
        is_open: true,
        ..op(id, method, path, handler, documentation)
    }
}

/// Every operation there is.
pub(crate) fn operations() -> Vec<Operation> {
    use crate::openapi::docs as d;
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    let mut all = vec![
        op("CreatePool", POST, "/v2/{project_id}/pools", post(pools::create), d::create_pool()),
        op("ListPools", GET, "/v2/{project_id}/pools", get(pools::list), d::list_pools()),
        op(
            "ShowPool",
            GET,
            "/v2/{project_id}/pools/{pool_name}",
            get(pools::show),
            d::show_pool(),
        ),
        op(
            "PatchPool",
            PATCH,
            "/v2/{project_id}/pools/{pool_name}",
            patch(pools::update),
            d::patch_pool(),
        ),
        op(
            "DeletePool",
            DELETE,
            "/v2/{project_id}/pools/{pool_name}",
            delete(pools::remove),
            d::delete_pool(),
        ),
        op(
            "ShowPoolStatistics",
            GET,
            "/v2/{project_id}/statistics/pools",
            get(pools::statistics),
            d::pool_statistics(),
        ),
        op(
            "RetryPoolScope",
            POST,
            "/v2/{project_id}/pools/{pool_name}/retry-scope",
            post(pools::retry_scope),
            d::retry_scope(),
        ),
        op(
            "CreateNetwork",
            POST,
            "/v1/{project_id}/networks",
            post(networks::create),
            d::create_network(),
        ),
        op(
            "ListNetworks",
            GET,
            "/v1/{project_id}/networks",
            get(networks::list),
            d::list_networks(),
        ),
        op(
            "ShowNetwork",
            GET,
            "/v1/{project_id}/networks/{network_name}",
            get(networks::show),
            d::show_network(),
        ),
        op(
            "PatchNetwork",
            PATCH,
            "/v1/{project_id}/networks/{network_name}",
            patch(networks::update),
            d::patch_network(),
        ),
        op(
            "DeleteNetwork",
            DELETE,
            "/v1/{project_id}/networks/{network_name}",
            delete(networks::remove),
            d::delete_network(),
        ),
        op(
            "ListResourceFlavors",
            GET,
            "/v1/{project_id}/resourceflavors",
            get(catalogue::flavors),
            d::list_flavors(),
        ),
        op("ShowOsQuota", GET, "/v1/{project_id}/quotas", get(catalogue::quotas), d::quotas()),
        op(
            "ShowOsConfig",
            GET,
            "/v1/{project_id}/os-user-config",
            get(catalogue::os_config),
            d::os_config(),
        ),
        op(
            "ListWorkloads",
            GET,
            "/v2/{project_id}/pools/{pool_name}/workloads",
            get(workloads::list),
            d::list_workloads(),
        ),
        op(
            "ShowWorkloadStatistics",
            GET,
            "/v2/{project_id}/statistics/pools/{pool_name}/workloads",
            get(workloads::statistics),
            d::workload_statistics(),
        ),
        op("ListOrders", GET, "/v1/{project_id}/orders", get(orders::list), d::list_orders()),
        op(
            "ShowOrder",
            GET,
            "/v1/{project_id}/orders/{order_name}",
            get(orders::show),
            d::show_order(),
        ),
        op(
            "CreateWorkspace",
            POST,
            "/v1/{project_id}/workspaces",
            post(workspaces::create),
            d::create_workspace(),
        ),
        op(
            "ListWorkspaces",
            GET,
            "/v1/{project_id}/workspaces",
            get(workspaces::list),
            d::list_workspaces(),
        ),
        op(
            "ShowWorkspace",
            GET,
            "/v1/{project_id}/workspaces/{workspace_id}",
            get(workspaces::show),
            d::show_workspace(),
        ),
        op(
            "UpdateWorkspace",
            PUT,
            "/v1/{project_id}/workspaces/{workspace_id}",
            put(workspaces::update),
            d::update_workspace(),
        ),
        op(
            "DeleteWorkspace",
            DELETE,
            "/v1/{project_id}/workspaces/{workspace_id}",
            delete(workspaces::remove),
            d::delete_workspace(),
        ),
        open("ListVersions", GET, "/", get(iam::versions), d::iam("API versions")),
        open(
            "ShowIdentityVersion",
            GET,
            "/v3",
            get(iam::version),
            d::iam("Version of the identity API"),
        ),
        open(
            "ShowIdentityVersionSlash",
            GET,
            "/v3/",
            get(iam::version),
            d::iam("Version of the identity API"),
        ),
        open(
            "CreateToken",
            POST,
            "/v3/auth/tokens",
            post(iam::create_token),
            d::iam_created("Logs in: the token is in header X-Subject-Token"),
        ),
        op(
            "ListProjects",
            GET,
            "/v3/projects",
            get(iam::projects),
            d::iam("Projects of the caller"),
        ),
        op(
            "ListAuthProjects",
            GET,
            "/v3/auth/projects",
            get(iam::projects),
            d::iam("Projects that the caller can be scoped to"),
        ),
        op(
            "ListAuthDomains",
            GET,
            "/v3/auth/domains",
            get(iam::domains),
            d::iam("Domains that the caller can be scoped to"),
        ),
        open("ShowHealth", GET, "/healthz", get(health::live), d::plain("The process runs")),
        open(
            "ShowReadiness",
            GET,
            "/readyz",
            get(health::ready),
            d::plain("Requests may be sent here"),
        ),
        op(
            "ShowMetrics",
            GET,
            "/metrics",
            get(health::metrics),
            d::media("Metrics in the form of Prometheus", health::METRICS_TYPE),
        ),
        op(
            "ShowOpenApi",
            GET,
            "/openapi.json",
            get(health::openapi),
            d::media("This document", "application/json"),
        ),
    ];
    all.extend(around::operations());
    all.extend(nodes::operations());
    all.extend(operator::operations());
    all
}

/// The router of the whole API.
pub fn router(app: App) -> Router {
    let mut routes: BTreeMap<&'static str, MethodRouter<App>> = BTreeMap::new();
    let mut methods: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    for operation in operations() {
        let route = route(&operation);
        let access = access(&operation);
        let own = app.clone();
        let handler = operation
            .handler
            .layer(from_fn(move |request: Request, next: axum::middleware::Next| {
                pipeline::enter(route, own.clone(), access, request, next)
            }));
        methods.entry(operation.path).or_default().push(method_name(&operation.method));
        let merged = match routes.remove(operation.path) {
            Some(known) => known.merge(handler),
            None => handler,
        };
        routes.insert(operation.path, merged);
    }
    let mut router = Router::new();
    for (path, handler) in routes {
        let allow: Arc<str> = methods.get(path).map(|methods| methods.join(", ")).unwrap_or_default().into();
        router = router.route(path, handler.fallback(move || async move { ApiError::method_not_allowed(&allow) }));
    }
    router
        .fallback(|| async { ApiError::route_not_found() })
        .layer(CatchPanicLayer::custom(|_panic| {
            axum::response::IntoResponse::into_response(ApiError::internal("a handler panicked"))
        }))
        .layer(from_fn_with_state(app.clone(), pipeline::observe))
        .with_state(app)
}

/// What is there to be looked at with a method that else changes something.
const READ_BY_POST: [&str; 2] = ["ListPoolsByTags", "ListPoolsByTagsAlias"];

fn route(operation: &Operation) -> Route {
    let is_read = operation.method == Method::GET || READ_BY_POST.contains(&operation.id);
    Route {
        id: operation.id,
        is_change: !is_read,
        project_at: operation.path.split('/').position(|segment| segment == "{project_id}"),
    }
}

fn access(operation: &Operation) -> Access {
    match operation.id {
        "ShowHealth" | "ShowReadiness" => Access::Probe,
        _ if operation.is_open => Access::Anybody,
        _ => Access::Caller,
    }
}

fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        _ => "DELETE",
    }
}
