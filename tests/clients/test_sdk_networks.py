"""Networks and their addresses through the vendor's SDK."""

import pytest
from huaweicloudsdkmodelarts.v1 import (
    CreateNetworkRequest,
    DeleteNetworkRequest,
    ListNetworksRequest,
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
)

from sdk_calls import BAD, CPU8, NOT_FOUND, ask, create, dedicated, delete, gone, node_names, patch, refused, wait_for_nodes, wait_for_phase
from support import fresh_name, wait_until

NO_NETWORK = "ModelArts.50025001"
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
    with refused(404, NO_NETWORK, "Network not exist."):
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
        with refused(400, BAD, "spec.cidr"):
            create_network(sdk, name, cidr)
    with refused(400, BAD, "os.modelarts/name"):
        create_network(sdk, "UPPER")
    with refused(400, BAD, "spec.cidr"):
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


def test_networks_are_paged_and_a_wrong_question_is_refused(sdk, ledger):
    made = set()
    for _ in range(2):
        name = fresh_name("net")
        made.add(ledger.network(name))
        create_network(sdk, name)
    seen, token = [], None
    for _ in range(20):
        page = sdk.list_networks(ListNetworksRequest(limit=1, _continue=token))
        seen += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert not token and made < set(seen) and len(seen) == len(set(seen))
    for wrong in ({"limit": -1}, {"_continue": "not a token"}, {"label_selector": "a in (b"}):
        with refused(400, BAD):
            sdk.list_networks(ListNetworksRequest(**wrong))


def test_an_unknown_network_is_not_found(sdk, settings):
    network = f"no-such-network-{settings.project_id}"
    with refused(404, NO_NETWORK, "Network not exist."):
        patch_network(sdk, network, {"spec": "broken"})
    with refused(404, NO_NETWORK, "Network not exist."):
        ask(sdk.delete_network, network_name=network)
    with refused(404, NO_NETWORK, "Network not exist."):
        ask(sdk.show_network_available_ip, network_name=network, network_id="x")


def test_connections_tell_how_they_are(sdk, undo, active_network):
    """What the operator has registered becomes active, anything else abnormal."""
    vpc, turbo = fresh_name("vpc"), fresh_name("sfs")
    peer = {"vpcId": vpc, "subnetId": "sub-1", "cidr": "10.1.0.0/16"}
    undo.make("peer-subnets", peer, f"peer-subnets/{vpc}/sub-1")
    undo.make("sfs-turbo", {"id": turbo, "address": "10.1.0.9"}, f"sfs-turbo/{turbo}")
    peers = [{"peerVpcId": vpc, "peerSubnetId": "sub-1"}, {"peerVpcId": "vpc-none", "peerSubnetId": "sub-1"}]
    turbos = [{"name": "data", "sfsId": turbo}]
    patch_network(sdk, active_network, {"spec": {"connection": {"peerConnectionList": peers, "sfsTurboConnectionList": turbos}}})

    def settled():
        status = show_network(sdk, active_network).to_json_object()["status"]["connectionStatus"]
        phases = {entry["peerVpcId"]: entry["phase"] for entry in status.get("peerConnectionStatus", [])}
        shares = {entry["sfsId"]: entry["status"] for entry in status.get("sfsTurboStatus", [])}
        return phases == {vpc: "Active", "vpc-none": "Abnormal"} and shares == {turbo: "Active"}

    wait_until("the connections are settled", settled)
    patch_network(sdk, active_network, {"spec": {"connection": {"peerConnectionList": [], "sfsTurboConnectionList": None}}})

    def emptied():
        status = show_network(sdk, active_network).to_json_object()["status"]["connectionStatus"]
        return not status.get("peerConnectionStatus") and not status.get("sfsTurboStatus")

    wait_until("the connections are gone", emptied)


def test_a_peer_inside_the_network_is_refused(sdk, undo, active_network):
    vpc = fresh_name("vpc")
    undo.make("peer-subnets", {"vpcId": vpc, "subnetId": "sub-1", "cidr": "192.168.200.0/24"}, f"peer-subnets/{vpc}/sub-1")
    peers = [{"peerVpcId": vpc, "peerSubnetId": "sub-1"}]
    with refused(400, BAD, "peerConnectionList"):
        patch_network(sdk, active_network, {"spec": {"connection": {"peerConnectionList": peers}}})
    assert show_network(sdk, active_network).to_json_object()["spec"]["connection"] == {}


def test_nodes_use_addresses_of_their_network(sdk, active_network, ledger):
    subnet = show_network(sdk, active_network).to_json_object()["status"]["subnets"][0]["networkId"]

    def addresses():
        shown = ask(sdk.show_network_available_ip, network_name=active_network, network_id=subnet)
        assert shown.network_id == subnet
        (one,) = shown.subnet_ip_availability
        assert (one.cidr, one.ip_version, one.total_ips) == (CIDR, 4, 2**15 - 6)
        return one.used_ips

    before = addresses()
    name = fresh_name("pool")
    pool = ledger.pool(name)
    create(sdk, dedicated(name, active_network))
    wait_for_phase(sdk, pool)
    one = addresses()
    assert one > before
    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 3}]}})
    wait_for_nodes(sdk, pool, 3)
    assert addresses() == one + 2 and len(node_names(sdk, pool)) == 3
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    assert addresses() == before
    with refused(400, BAD, "network_id"):
        ask(sdk.show_network_available_ip, network_name=active_network)
    with refused(404, NOT_FOUND, "Subnet no-such-subnet not found."):
        ask(sdk.show_network_available_ip, network_name=active_network, network_id="no-such-subnet")
