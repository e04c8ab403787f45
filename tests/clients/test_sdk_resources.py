"""Networks, flavors, nodes, quotas, configuration and workspaces through the vendor's SDK."""

import pytest
from huaweicloudsdkmodelarts.v1 import (
    CreateNetworkRequest,
    CreateWorkspaceReq,
    CreateWorkspaceRequest,
    DeleteNetworkRequest,
    DeleteWorkspaceRequest,
    ListNetworksRequest,
    ListPoolNodesRequest,
    ListResourceFlavorsRequest,
    ListWorkspaceRequest,
    NetworkConnection,
    NetworkCreationRequest,
    NetworkMetadataAnnotations,
    NetworkMetadataCreation,
    NetworkMetadataLabels,
    NetworkMetadataUpdate,
    NetworkSpec,
    NetworkSpecUpdate,
    NetworkUpdateRequest,
    PatchNetworkRequest,
    PeerConnectionItem,
    ShowNetworkRequest,
    ShowOsConfigRequest,
    ShowOsQuotaRequest,
    ShowWorkspaceRequest,
    UpdateWorkspaceReq,
    UpdateWorkspaceRequest,
)

from sdk_calls import CPU4, CPU8, GPU, create, dedicated, delete, gone, refused, wait_for_phase
from support import fresh_name, wait_until

CIDR = "192.168.128.0/17"


def network_body(name, cidr=CIDR):
    labels = NetworkMetadataLabels(os_modelarts_name=name, os_modelarts_workspace_id="0")
    return NetworkCreationRequest(
        api_version="v1", kind="Network", metadata=NetworkMetadataCreation(labels=labels), spec=NetworkSpec(cidr=cidr)
    )


def create_network(sdk, name, cidr=CIDR):
    return sdk.create_network(CreateNetworkRequest(body=network_body(name, cidr)))


def show_network(sdk, network):
    return sdk.show_network(ShowNetworkRequest(network_name=network))


def patch_network(sdk, network, body):
    return sdk.patch_network(PatchNetworkRequest(network_name=network, body=body))


@pytest.fixture
def active_network(sdk, ledger):
    name = fresh_name("net")
    network = ledger.network(name)
    create_network(sdk, name)
    wait_until("the network is Active", lambda: show_network(sdk, network).status.phase == "Active")
    return network


# Networks


def test_a_network_is_created_listed_and_deleted(sdk, settings, ledger):
    name = fresh_name("net")
    network = ledger.network(name)
    created = create_network(sdk, name)
    assert created.status_code == 200 and created.metadata.name == network
    assert created.status.phase in ("", "Creating", "Active")
    wait_until("the network is Active", lambda: show_network(sdk, network).status.phase == "Active")
    shown = show_network(sdk, network).to_json_object()
    assert shown["spec"]["cidr"] == CIDR and shown["status"]["subnets"][0]["networkId"]
    found = sdk.list_networks(ListNetworksRequest(label_selector=f"os.modelarts/name={name}"))
    assert [item.metadata.name for item in found.items] == [network]
    everything = sdk.list_networks(ListNetworksRequest()).items
    assert {network, settings.demo_network} <= {item.metadata.name for item in everything}

    deleted = sdk.delete_network(DeleteNetworkRequest(network_name=network))
    assert deleted.to_json_object()["metadata"]["deletionTimestamp"]

    def missing():
        listed = sdk.list_networks(ListNetworksRequest(label_selector=f"os.modelarts/name={name}")).items
        return listed == []

    wait_until("the network has left the list", missing)
    with refused(404, "ModelArts.50025001", "Network not exist."):
        show_network(sdk, network)


def test_a_network_patch_merges_annotations_and_replaces_lists(sdk, active_network):
    note = NetworkMetadataAnnotations(os_modelarts_description="lab")
    described = patch_network(sdk, active_network, NetworkUpdateRequest(metadata=NetworkMetadataUpdate(annotations=note)))
    assert described.metadata.annotations.os_modelarts_description == "lab"
    peer = PeerConnectionItem(peer_vpc_id="vpc-1", peer_subnet_id="sub-1", default_gate_way=False)
    spec = NetworkSpecUpdate(connection=NetworkConnection(peer_connection_list=[peer]))
    connected = patch_network(sdk, active_network, NetworkUpdateRequest(spec=spec))
    assert [item.peer_vpc_id for item in connected.spec.connection.peer_connection_list] == ["vpc-1"]
    assert connected.metadata.annotations.os_modelarts_description == "lab"
    emptied = patch_network(sdk, active_network, {"spec": {"connection": {"peerConnectionList": None}}})
    assert not emptied.spec.connection.peer_connection_list


def test_an_invalid_network_is_refused(sdk, active_network, ledger):
    name = fresh_name("net")
    ledger.network(name)
    for cidr in ("8.8.8.0/24", "10.0.0.1/16", "192.168.0.0/8", "nonsense"):
        with refused(400, "ModelArts.50004000", "spec.cidr"):
            create_network(sdk, name, cidr)
    with refused(400, "ModelArts.50004000", "os.modelarts/name"):
        create_network(sdk, "UPPER")
    with refused(400, "ModelArts.50004000", "spec.cidr"):
        patch_network(sdk, active_network, {"spec": {"cidr": "10.0.0.0/16"}})


def test_a_network_name_in_use_and_a_network_in_use_are_conflicts(sdk, settings, active_network, ledger):
    with refused(409, "ModelArts.50025000", "already exists"):
        create_network(sdk, active_network.removesuffix(f"-{settings.project_id}"))
    name = fresh_name("pool")
    pool = ledger.pool(name)
    create(sdk, dedicated(name, active_network))
    with refused(409, "ModelArts.50025002", "Network is in use."):
        sdk.delete_network(DeleteNetworkRequest(network_name=active_network))
    wait_for_phase(sdk, pool)
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    assert sdk.delete_network(DeleteNetworkRequest(network_name=active_network)).status_code == 200


# Flavors


def test_flavors_carry_what_the_models_read(sdk):
    flavors = {item.metadata.name: item for item in sdk.list_resource_flavors(ListResourceFlavorsRequest()).items}
    assert {CPU8, CPU4, GPU, "modelarts.vm.gpu.tnt004"} <= set(flavors)
    small = flavors[CPU8]
    assert (small.spec.type, small.spec.cpu_arch) == ("Dedicate", "x86")
    assert int(small.spec.cpu) > 0 and small.spec.memory
    assert 0 in small.spec.billing_modes
    assert "Train" in small.metadata.labels.os_modelarts_scope.split(".")
    assert small.status.phase and set(small.status.phase.values()) <= {"normal", "soldout"}
    assert int(flavors[GPU].spec.gpu.size) > 0
    assert any(item.spec.npu and int(item.spec.npu.size) > 0 for item in flavors.values()), "no Ascend flavor"


def test_flavors_are_paged_by_continue(sdk):
    every = [item.metadata.name for item in sdk.list_resource_flavors(ListResourceFlavorsRequest()).items]
    seen, token = [], None
    for _ in every:
        page = sdk.list_resource_flavors(ListResourceFlavorsRequest(limit=2, _continue=token))
        assert len(page.items) <= 2
        seen += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert not token and seen == every == sorted(every)
    with refused(400, "ModelArts.50004000"):
        sdk.list_resource_flavors(ListResourceFlavorsRequest(_continue="not a token"))


# Quotas and configuration


def used_quota(sdk, kind):
    quotas = {entry.type: entry for entry in sdk.show_os_quota(ShowOsQuotaRequest()).quotas.resources}
    return int(quotas[kind].used), int(quotas[kind].quota)


def test_quotas_count_pools_and_networks(sdk, active_network, ledger):
    pools, pool_quota = used_quota(sdk, "pool")
    networks, network_quota = used_quota(sdk, "network")
    assert 0 <= pools < pool_quota and 2 <= networks <= network_quota
    name = fresh_name("pool")
    ledger.pool(name)
    create(sdk, dedicated(name, active_network))
    assert used_quota(sdk, "pool") == (pools + 1, pool_quota)


def test_the_configuration_names_presets_and_quotas(sdk):
    config = sdk.show_os_config(ShowOsConfigRequest())
    assert config.network_cidrs and all("/" in cidr for cidr in config.network_cidrs)
    assert config.pool_quota == used_quota(sdk, "pool")[1]
    assert config.network_quota == used_quota(sdk, "network")[1]
    assert config.to_json_object()["maxPoolFlavors"] == 10


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
    with refused(400, "ModelArts.50004000"):
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
