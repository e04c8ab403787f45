"""Every operation of the contract's index (README, section 11), which client must call it, and who called what.

`sdk` names the method of the vendor's client; operations that it does not have are called over plain signed HTTP, those of
the identity service by whoever signs in. `test_operations.py` compares this with the SDK and, at the end, with the calls.
"""

import dataclasses
import re
import types

from huaweicloudsdkmodelarts.v1 import ModelArtsClient

SDK, SIGNED, TERRAFORM, IDENTITY = "sdk", "signed", "terraform", "identity"
POOL = "/v2/P/pools/{pool_name}"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One row. `P` in the path stands for the project id. `open` operations take nothing that could be refused."""

    row: int
    method: str
    path: str
    name: str
    sdk: str | None = None
    client: str = SDK
    open: bool = False

    def matches(self, method, path):
        return method == self.method and _pattern(self.path).fullmatch(path) is not None


@dataclasses.dataclass(frozen=True)
class Call:
    client: str
    method: str
    path: str  # as sent, without the query
    status: int


def _pattern(path):
    segments = ["[^/]+" if segment == "P" or segment.startswith("{") else re.escape(segment) for segment in path.split("/")]
    return re.compile("/".join(segments))


def _sdk(row, method, path, name, sdk, **more):
    return Operation(row, method, path, name, sdk, **more)


def _plain(row, method, path, name, client=SIGNED, **more):
    return Operation(row, method, path, name, None, client, **more)


OPERATIONS = (
    _sdk(1, "POST", "/v2/P/pools", "CreatePool", "create_pool"),
    _sdk(2, "GET", "/v2/P/pools", "ListPools", "list_pools"),
    _sdk(3, "PATCH", POOL, "PatchPool", "patch_pool"),
    _sdk(4, "GET", POOL, "ShowPool", "show_pool"),
    _sdk(5, "DELETE", POOL, "DeletePool", "delete_pool"),
    _sdk(6, "GET", f"{POOL}/monitor", "ShowPoolMonitor", "show_pool_monitor"),
    _sdk(7, "GET", "/v2/P/statistics/pools", "ShowPoolStatistics", "show_pool_statistics", open=True),
    _plain(8, "POST", f"{POOL}/retry-scope", "RetryPoolScope"),
    _sdk(9, "POST", "/v1/P/networks", "CreateNetwork", "create_network"),
    _sdk(10, "GET", "/v1/P/networks", "ListNetworks", "list_networks"),
    _sdk(11, "GET", "/v1/P/networks/{network_name}", "ShowNetwork", "show_network"),
    _sdk(12, "PATCH", "/v1/P/networks/{network_name}", "PatchNetwork", "patch_network"),
    _sdk(13, "DELETE", "/v1/P/networks/{network_name}", "DeleteNetwork", "delete_network"),
    _sdk(14, "GET", "/v1/P/networks/{network_name}/network-ip-availabilities", "ShowNetworkAvailableIp", "show_network_available_ip"),
    _sdk(15, "GET", f"{POOL}/nodes", "ListPoolNodes", "list_pool_nodes"),
    _sdk(16, "GET", f"{POOL}/nodes/{{node_name}}", "ShowPoolNode", "show_pool_node"),
    _sdk(17, "POST", f"{POOL}/nodes/batch-delete", "BatchDeletePoolNodes", "batch_delete_pool_nodes"),
    _sdk(18, "POST", f"{POOL}/nodes/batch-lock", "BatchLockPoolNodes", "batch_lock_pool_nodes"),
    _sdk(19, "POST", f"{POOL}/nodes/batch-unlock", "BatchUnlockPoolNodes", "batch_unlock_pool_nodes"),
    _sdk(20, "POST", f"{POOL}/nodes/batch-update", "BatchUpdatePoolNodes", "batch_update_pool_nodes"),
    _sdk(21, "POST", f"{POOL}/nodes/batch-bind", "BatchBindPoolNodes", "batch_bind_pool_nodes"),
    _sdk(22, "POST", f"{POOL}/nodes/batch-drain", "BatchDrainPoolNodes", "batch_drain_pool_nodes"),
    _sdk(23, "POST", f"{POOL}/nodes/batch-migrate", "BatchMigratePoolNodes", "batch_migrate_pool_nodes"),
    _sdk(24, "POST", f"{POOL}/nodes/batch-reboot", "BatchRebootPoolNodes", "batch_reboot_pool_nodes"),
    _sdk(25, "POST", f"{POOL}/nodes/batch-reset", "BatchResetPoolNodes", "batch_reset_pool_nodes"),
    _sdk(26, "POST", f"{POOL}/nodes/batch-resize", "BatchResizePoolNodes", "batch_resize_pool_nodes"),
    _sdk(27, "POST", f"{POOL}/nodepools", "CreateNodePool", "create_node_pool"),
    _sdk(28, "GET", f"{POOL}/nodepools", "ListNodePools", "list_node_pools"),
    _sdk(29, "GET", f"{POOL}/nodepools/{{nodepool_name}}", "ShowNodePool", "show_node_pool"),
    _sdk(30, "PATCH", f"{POOL}/nodepools/{{nodepool_name}}", "PatchNodePool", "patch_node_pool"),
    _sdk(31, "DELETE", f"{POOL}/nodepools/{{nodepool_name}}", "DeleteNodePool", "delete_node_pool"),
    _sdk(32, "GET", f"{POOL}/nodepools/{{nodepool_name}}/nodes", "ListNodePoolNodes", "list_node_pool_nodes"),
    _sdk(33, "GET", f"{POOL}/node-config", "ShowPoolNodeConfig", "show_pool_node_config"),
    _sdk(34, "GET", f"{POOL}/node-config-template", "ShowPoolNodeConfigTemplate", "show_pool_node_config_template"),
    _sdk(35, "GET", "/v1/P/resourceflavors", "ListResourceFlavors", "list_resource_flavors"),
    _plain(36, "GET", "/v1/P/virtualresourceflavors", "ListVirtualresourceFlavors", open=True),
    _plain(37, "GET", "/v1/P/virtualresourcetemplates/{virtualresourcetemplate_name}", "ShowVirtualResourceTemplate"),
    _sdk(38, "GET", "/v1/P/nodeconfigtemplates/{nodeconfigtemplate_name}", "ShowNodeConfigTemplate", "show_node_config_template"),
    _sdk(39, "GET", "/v2/P/plugintemplates", "ListPluginTemplates", "list_plugin_templates"),
    _sdk(40, "GET", "/v1/P/plugintemplates/{plugintemplate_name}", "ShowPluginTemplate", "show_plugin_template"),
    _sdk(41, "POST", f"{POOL}/plugins", "CreatePlugin", "create_pool_plugin"),
    _sdk(42, "GET", f"{POOL}/plugins", "ListPlugins", "list_pool_plugins"),
    _plain(43, "GET", f"{POOL}/plugins/{{template_name}}", "ShowPlugin"),
    _plain(44, "PATCH", f"{POOL}/plugins/{{template_name}}", "PatchPlugin"),
    _plain(45, "DELETE", f"{POOL}/plugins/{{template_name}}", "DeletePlugin"),
    _sdk(46, "GET", "/v1/P/pools/tags", "ListPoolTags", "list_pool_tags"),
    _sdk(47, "GET", "/v1/P/pools/{pool_name}/tags", "ShowPoolTags", "show_pool_tags"),
    _plain(48, "POST", "/v1/P/pools/{pool_name}/tags", "UpdatePoolTags"),
    _sdk(49, "POST", "/v1/P/pools/{pool_name}/tags/create", "BatchCreatePoolTags", "batch_create_pool_tags"),
    _sdk(50, "DELETE", "/v1/P/pools/{pool_name}/tags/delete", "BatchDeletePoolTags", "batch_delete_pool_tags"),
    _plain(51, "POST", "/v1/P/pools/resource-instances/filter", "ListPoolsByTags"),
    _plain(52, "GET", "/v1/P/nodes/tags", "ListNodeTags"),
    _plain(53, "GET", "/v1/P/nodes/{node_name}/tags", "ShowNodeTags"),
    _plain(54, "POST", "/v1/P/nodes/{node_name}/tags", "UpdateNodeTags"),
    _sdk(55, "GET", "/v1/P/events", "ListEvents", "list_events"),
    _sdk(56, "GET", "/v1/P/scheduled-events", "ListScheduledEvents", "list_scheduled_events"),
    _sdk(57, "POST", "/v1/P/scheduled-events/{event_id}/accept", "AcceptScheduledEvent", "accept_scheduled_event"),
    _sdk(58, "GET", f"{POOL}/workloads", "ListWorkloads", "list_workloads"),
    _sdk(59, "GET", "/v2/P/statistics/pools/{pool_name}/workloads", "ShowWorkloadStatistics", "show_workload_statistics"),
    _sdk(60, "GET", "/v2/P/jobs", "ListJobs", "list_jobs"),
    _plain(61, "GET", "/v2/P/jobs/{job_id}", "ShowJob"),
    _sdk(62, "GET", "/v1/P/quotas", "ShowOsQuota", "show_os_quota", open=True),
    _sdk(63, "GET", "/v1/P/os-user-config", "ShowOsConfig", "show_os_config", open=True),
    _plain(64, "GET", "/v1/P/orders", "ListOrders"),
    _sdk(65, "GET", "/v1/P/orders/{order_name}", "ShowOrder", "show_order"),
    _sdk(66, "POST", "/v2/P/pools/{pool_name}/orderid", "CreateOrderId", "create_order_id"),
    _sdk(67, "GET", "/v2/P/metrics/runtime/pools", "ShowPoolRuntimeMetrics", "show_pool_runtime_metrics", open=True),
    _sdk(68, "POST", "/v1/P/workspaces", "CreateWorkspace", "create_workspace"),
    _sdk(68, "GET", "/v1/P/workspaces", "ListWorkspace", "list_workspace"),
    _sdk(68, "GET", "/v1/P/workspaces/{workspace_id}", "ShowWorkspace", "show_workspace"),
    _sdk(68, "PUT", "/v1/P/workspaces/{workspace_id}", "UpdateWorkspace", "update_workspace"),
    _sdk(68, "DELETE", "/v1/P/workspaces/{workspace_id}", "DeleteWorkspace", "delete_workspace"),
    _plain(69, "GET", "/", "versions", IDENTITY, open=True),
    _plain(69, "GET", "/v3", "version 3", IDENTITY, open=True),
    _plain(69, "POST", "/v3/auth/tokens", "login", IDENTITY),
    _plain(69, "GET", "/v3/projects", "projects", IDENTITY),
    _plain(69, "GET", "/v3/auth/projects", "own projects", IDENTITY),
    _plain(69, "GET", "/v3/auth/domains", "own domains", IDENTITY),
)

# Methods of the SDK for the same collections that the index does not have.
BESIDE_THE_INDEX = frozenset({"list_users", "validate_authorization", "show_workspace_quotas", "update_workspace_quotas"})

# What the Terraform provider asks for (clients.md, section 3), beside signing in.
TERRAFORM_REQUESTS = (
    ("POST", "/v1/P/networks"),
    ("GET", "/v1/P/networks"),
    ("GET", "/v1/P/networks/{name}"),
    ("PATCH", "/v1/P/networks/{name}"),
    ("DELETE", "/v1/P/networks/{name}"),
    ("POST", "/v2/P/pools"),
    ("GET", "/v2/P/pools"),
    ("GET", POOL),
    ("PATCH", POOL),
    ("DELETE", POOL),
    ("GET", "/v1/P/orders"),
    ("GET", "/v1/P/orders/{name}"),
    ("GET", f"{POOL}/nodes"),
    ("GET", f"{POOL}/nodepools/{{name}}/nodes"),
    ("GET", "/v1/P/resourceflavors"),
    ("GET", f"{POOL}/plugins"),
    ("GET", "/v2/P/plugintemplates"),
    ("GET", f"{POOL}/workloads"),
    ("GET", "/v1/P/workspaces"),
    ("GET", "/v1/P/workspaces/{id}"),
    ("POST", f"{POOL}/nodes/batch-delete"),
    ("POST", f"{POOL}/nodes/batch-lock"),
    ("POST", f"{POOL}/nodes/batch-unlock"),
    ("POST", f"{POOL}/nodes/batch-reboot"),
    ("POST", f"{POOL}/nodes/batch-reset"),
    ("POST", f"{POOL}/nodes/batch-migrate"),
    ("POST", f"{POOL}/nodes/batch-resize"),
    ("GET", "/v2/P/jobs/{job_id}"),
)


def operation_of(method, path):
    """The row of a request. A path of its own (`/pools/tags`) wins over one with a name in its place."""
    found = [operation for operation in OPERATIONS if operation.matches(method, path)]
    return min(found, key=lambda operation: operation.path.count("{"), default=None)


def in_a_collection_of_the_index(path):
    """Whether a path begins like one of the table, such as `/v2/P/pools`."""
    return path.split("/")[1:4] in [operation.path.split("/")[1:4] for operation in OPERATIONS]


def path_like(template, path):
    return _pattern(template).fullmatch(path) is not None


def sdk_methods():
    """Every method of the SDK's client as (name, HTTP method, path), asked of the client itself."""
    request = types.SimpleNamespace(attribute_map={})
    for name in dir(ModelArtsClient):
        found = re.fullmatch(r"_(\w+)_http_info", name)
        if found:
            info = getattr(ModelArtsClient, name)(request)
            yield found[1], info["method"], info["resource_path"].replace("/{project_id}/", "/P/")


# Who called what in this run; filled by support.RawHttp and by the hook of the SDK's HTTP client.
CALLS: list[Call] = []


def record(client, method, target, status):
    CALLS.append(Call(client, method, target.partition("?")[0], status))
