"""Quotas, the installation's configuration, and workspaces through the vendor's SDK."""

import pytest
from huaweicloudsdkmodelarts.v1 import (
    CreateWorkspaceReq,
    CreateWorkspaceRequest,
    DeleteWorkspaceRequest,
    ListWorkspaceRequest,
    ShowOsConfigRequest,
    ShowOsQuotaRequest,
    ShowWorkspaceRequest,
    UpdateWorkspaceReq,
    UpdateWorkspaceRequest,
)

from sdk_calls import BAD, ask, create, dedicated, delete, gone, listed, patch, refused, show
from support import fresh_name, wait_until

# Quotas and configuration


def used_quota(sdk, kind):
    quotas = {entry.type: entry for entry in sdk.show_os_quota(ShowOsQuotaRequest()).quotas.resources}
    return int(quotas[kind].used), int(quotas[kind].quota)


def test_quotas_count_pools_networks_and_nodes(sdk, new_pool, ledger):
    pools, pool_quota = used_quota(sdk, "pool")
    networks, network_quota = used_quota(sdk, "network")
    nodes, node_quota = used_quota(sdk, "node")
    assert 0 <= pools < pool_quota and 1 <= networks < network_quota and node_quota == -1
    pool = new_pool(resources=[{"flavor": "modelarts.vm.cpu.8ud", "count": 2}])
    name = fresh_name("net")
    ledger.network(name)
    body = {"apiVersion": "v1", "kind": "Network", "metadata": {"labels": {"os.modelarts/name": name}}, "spec": {"cidr": "10.0.0.0/16"}}
    ask(sdk.create_network, body=body)
    assert used_quota(sdk, "pool") == (pools + 1, pool_quota)
    assert used_quota(sdk, "network") == (networks + 1, network_quota)
    assert used_quota(sdk, "node") == (nodes + 2, node_quota)
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    assert used_quota(sdk, "pool")[0] == pools and used_quota(sdk, "node")[0] == nodes


@pytest.fixture
def limited(operator):
    """Sets limits of the project until the end of the test."""

    def limit(**quota):
        operator.call("PATCH", "projects/{p}", {"quota": quota}).expect(200)

    yield limit
    limit(pools=None, networks=None)


def test_a_quota_that_is_used_up_refuses_more(sdk, settings, ledger, limited, new_pool):
    new_pool()
    limited(pools=used_quota(sdk, "pool")[0], networks=used_quota(sdk, "network")[0])
    assert used_quota(sdk, "pool")[0] == used_quota(sdk, "pool")[1]
    name = fresh_name("more")
    ledger.pool(name)
    with refused(400, "ModelArts.0118", "The expected pool exceeds the quota limit."):
        create(sdk, dedicated(name, settings.demo_network))
    body = {"apiVersion": "v1", "kind": "Network", "metadata": {"labels": {"os.modelarts/name": name}}, "spec": {"cidr": "10.0.0.0/16"}}
    ledger.network(name)
    with refused(400, "ModelArts.0118", "network"):
        ask(sdk.create_network, body=body)
    assert f"{name}-{settings.project_id}" not in listed(sdk)


def test_the_configuration_names_presets_and_quotas(sdk):
    config = sdk.show_os_config(ShowOsConfigRequest())
    assert config.network_cidrs and all("/" in cidr for cidr in config.network_cidrs)
    assert config.pool_quota == used_quota(sdk, "pool")[1]
    assert config.network_quota == used_quota(sdk, "network")[1]
    whole = config.to_json_object()
    assert whole["maxPoolFlavors"] == 10 and whole["poolHighAvailable"] is whole["pooHighAvailable"]
    assert "cce.s2.xlarge" in whole["clusterFlavorSpecs"] and {"SSD", "GPSSD", "SAS"} <= set(whole["volumeTypes"])
    needed = {entry["scope"]: entry["plugins"] for entry in whole["poolScopePlugins"]}
    assert needed["Train"] == ["volcano"] and set(needed) == {"Train", "Infer", "Notebook"}


def test_a_change_of_the_configuration_is_seen_and_obeyed(sdk, settings, operator, ledger):
    operator.call("PATCH", "os-config", {"licenseScopeType": "single"}).expect(200)
    try:
        assert ask(sdk.show_os_config).to_json_object()["licenseScopeType"] == "single"
        name = fresh_name("pool")
        ledger.pool(name)
        with refused(400, BAD, "spec.scope"):
            create(sdk, dedicated(name, settings.demo_network, scope=["Train", "Infer"]))
    finally:
        operator.call("PATCH", "os-config", {"licenseScopeType": None}).expect(200)
    assert ask(sdk.show_os_config).to_json_object()["licenseScopeType"] == "multi"


# Workspaces


def test_a_workspace_lives_from_create_to_delete(sdk, settings, ledger):
    name = fresh_name("ws")
    body = CreateWorkspaceReq(name=name, description="lab", auth_type="PUBLIC")
    workspace = sdk.create_workspace(CreateWorkspaceRequest(body=body)).id
    ledger.workspace(workspace)
    shown = sdk.show_workspace(ShowWorkspaceRequest(workspace_id=workspace))
    assert (shown.name, shown.auth_type, shown.status) == (name, "PUBLIC", "NORMAL")
    found = sdk.list_workspace(ListWorkspaceRequest(name=name, filter_accessible=True))
    assert [entry.id for entry in found.workspaces] == [workspace] and found.total_count == 1
    change = UpdateWorkspaceReq(description="changed")
    assert sdk.update_workspace(UpdateWorkspaceRequest(workspace_id=workspace, body=change)).workspace_id == workspace
    assert sdk.show_workspace(ShowWorkspaceRequest(workspace_id=workspace)).description == "changed"

    pool_name = fresh_name("pool")
    pool = ledger.pool(pool_name)
    inside = dedicated(pool_name, settings.demo_network)
    inside["metadata"]["labels"]["os.modelarts/workspace.id"] = workspace
    assert create(sdk, inside).metadata.labels.os_modelarts_workspace_id == workspace
    with refused(400, BAD):
        sdk.delete_workspace(DeleteWorkspaceRequest(workspace_id=workspace))
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    assert sdk.delete_workspace(DeleteWorkspaceRequest(workspace_id=workspace)).workspace_id == workspace
    with refused(400, "ModelArts.7005", workspace):
        sdk.show_workspace(ShowWorkspaceRequest(workspace_id=workspace))


def test_the_default_workspace_is_there_and_cannot_be_changed(sdk):
    listed = sdk.list_workspace(ListWorkspaceRequest(limit=100))
    assert "0" in [entry.id for entry in listed.workspaces] and listed.count == len(listed.workspaces)
    assert sdk.show_workspace(ShowWorkspaceRequest(workspace_id="0")).auth_type == "PUBLIC"
    with refused(400, "ModelArts.3566", "default workspace"):
        sdk.delete_workspace(DeleteWorkspaceRequest(workspace_id="0"))
    with refused(400, "ModelArts.3566", "default workspace"):
        sdk.update_workspace(UpdateWorkspaceRequest(workspace_id="0", body=UpdateWorkspaceReq(description="mine")))


@pytest.fixture
def workspace(sdk, ledger):
    """Makes workspaces; gives the id."""

    def make(**members):
        made = ask(sdk.create_workspace, body=CreateWorkspaceReq(**{"name": fresh_name("ws"), **members})).id
        ledger.workspace(made)
        return made

    return make


def test_workspaces_are_sorted_and_paged(sdk, workspace):
    prefix = fresh_name("page")
    made = [workspace(name=f"{prefix}-{letter}") for letter in "bca"]

    def ids(**query):
        found = ask(sdk.list_workspace, name=prefix, **query)
        assert found.total_count == 3 and found.count == len(found.workspaces)
        return [entry.id for entry in found.workspaces]

    by_name = [made[2], made[0], made[1]]
    assert ids(sort_by="name", order="asc") == by_name and ids(sort_by="name", order="desc") == by_name[::-1]
    assert ids(sort_by="name", order="asc", limit=1, offset=1) == [made[0]]
    for wrong in ({"sort_by": "owner"}, {"order": "up"}, {"limit": -1}, {"offset": -1}):
        with refused(400, BAD, next(iter(wrong))):
            ids(**wrong)


@pytest.mark.parametrize(
    "members", [{"name": "abc"}, {"name": "default"}, {"name": "a" * 65}, {"description": "d" * 257}, {"auth_type": "OPEN"}, {"name": None}]
)
def test_an_invalid_workspace_is_refused(sdk, members):
    before = ask(sdk.list_workspace).total_count
    with refused(400, BAD, next(iter(members))):
        ask(sdk.create_workspace, body={"name": fresh_name("ws"), **members})
    assert ask(sdk.list_workspace).total_count == before


def test_an_unknown_workspace_is_named(sdk):
    unknown = "0" * 31 + "9"
    calls = (
        lambda: ask(sdk.show_workspace, workspace_id=unknown),
        lambda: ask(sdk.update_workspace, workspace_id=unknown, body=UpdateWorkspaceReq(description="x")),
        lambda: ask(sdk.delete_workspace, workspace_id=unknown),
    )
    for call in calls:
        with refused(400, "ModelArts.7005", f"workspace:{unknown} not existed"):
            call()


def test_a_pool_moves_to_another_workspace_alone(sdk, workspace, new_pool):
    pool, target = new_pool(), workspace()
    labels = {"os.modelarts/workspace.id": target}
    with refused(400, BAD, "os.modelarts/workspace.id"):
        patch(sdk, pool, {"metadata": {"labels": labels, "annotations": {"os.modelarts/description": "moved"}}})
    assert pool in listed(sdk) and listed(sdk, workspace_id=target) == []
    moved = patch(sdk, pool, {"metadata": {"labels": labels}})
    assert moved.metadata.labels.os_modelarts_workspace_id == target
    assert pool not in listed(sdk) and listed(sdk, workspace_id=target) == [pool]
    with refused(400, BAD):
        ask(sdk.delete_workspace, workspace_id=target)
    patch(sdk, pool, {"metadata": {"labels": {"os.modelarts/workspace.id": "0"}}})
    assert show(sdk, pool).metadata.labels.os_modelarts_workspace_id == "0" and pool in listed(sdk)
