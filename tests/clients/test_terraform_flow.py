"""The life of a network and of a pool as the Terraform provider drives them, and its three ways to sign in."""

import base64
import copy

import pytest

from support import RawHttp, fresh_name, wait_until
from terraform import (
    CPU4, CPU8, GPU, MERGE_PATCH, UNDERLYING, AccessKeySession, TokenSession, cpu_resource, encode_body, order_name, plan_differences,
    pool_body,
)

SCRIPT = base64.b64encode(b"#!/bin/sh\ntrue\n").decode()


def disk_resource():
    """A second element whose every member comes back in the plan: data volumes, a volume group, the alias `post_install`."""
    return {
        "count": 1,
        "flavor": CPU4,
        "extendParams": {"dockerBaseSize": "50", "post_install": SCRIPT},
        "rootVolume": {"size": "150", "volumeType": "GPSSD"},
        "dataVolumes": [{"volumeType": "SSD", "size": "200", "extendParams": {"volumeGroup": "vgpaas"}}],
        "volumeGroupConfigs": [{"volumeGroup": "vgpaas", "dockerThinPool": 90, "lvmConfig": {"lvType": "linear"}}],
        "tags": [{"key": "team", "value": "b"}, {"key": "cost", "value": "7"}],
    }


def update_body(shown, counts=None, annotations=None):
    """One PATCH with all resources as read back, `maxCount` included and therefore stale when a count changes."""
    resources = copy.deepcopy(shown["spec"]["resources"])
    for resource in resources:
        resource["count"] = (counts or {}).get(resource["flavor"], resource["count"])
    metadata = {"annotations": annotations} if annotations else {}
    return {"metadata": metadata, "spec": {"resources": resources, "scope": sorted(shown["spec"]["scope"])}}


def counts_of(pool):
    return {resource["flavor"]: (resource["count"], resource["maxCount"]) for resource in pool["spec"]["resources"]}


# Signing in


def test_start_up_with_an_access_key_finds_the_project_and_the_domain(settings):
    session = AccessKeySession(settings, project_id=None)
    projects = session.send("GET", "/v3/projects", [("name", settings.project_name)], content_type=None).expect(200)["projects"]
    assert [project["id"] for project in projects] == [settings.project_id]
    domains = session.send("GET", "/v3/auth/domains", content_type=None).expect(200)["domains"]
    assert settings.domain in [domain["name"] for domain in domains] and all(domain["id"] for domain in domains)
    unknown = session.send("GET", "/v3/projects", [("name", "no-such-region-1")]).expect(200)
    assert unknown["projects"] == []


def log_in(settings, identity, scope):
    body = encode_body({"auth": {"identity": identity, "scope": scope}})
    headers = {"content-type": "application/json", "accept": "application/json"}
    reply = RawHttp(settings.url).send("POST", "/v3/auth/tokens", headers, body)
    token = reply.expect(201)["token"]
    assert token["expires_at"] and token["catalog"], "gives up: no expiry or no catalog"
    return reply.headers["x-subject-token"]


def scopes(settings):
    project = {"project": {"name": settings.project_name, "domain": {"name": settings.domain}}}
    return project, {"domain": {"name": settings.domain}}


@pytest.fixture
def project_token(settings):
    user = {"name": settings.user, "password": settings.password, "domain": {"name": settings.domain}}
    return log_in(settings, {"methods": ["password"], "password": {"user": user}}, scopes(settings)[0])


def test_start_up_with_a_password_logs_in_twice(settings, project_token):
    user = {"name": settings.user, "password": settings.password, "domain": {"name": settings.domain}}
    domain_token = log_in(settings, {"methods": ["password"], "password": {"user": user}}, scopes(settings)[1])
    users = TokenSession(settings, domain_token).send("GET", f"/v3/users?name={settings.user}")
    assert users.status < 500, "the user query may fail, but not break the server"
    TokenSession(settings, project_token).send("GET", f"/v2/{settings.project_id}/pools").expect(200)


def test_start_up_with_a_token_exchanges_it_for_both_scopes(settings, project_token):
    identity = {"methods": ["token"], "token": {"id": project_token}}
    exchanged = [log_in(settings, identity, scope) for scope in scopes(settings)]
    TokenSession(settings, exchanged[0]).send("GET", f"/v1/{settings.project_id}/networks?limit=500").expect(200)
    refused = TokenSession(settings, exchanged[1]).send("GET", f"/v1/{settings.project_id}/networks?limit=500")
    refused.expect_error(401, "ModelArts.50001000")


def test_token_mode_sends_its_queries_unencoded(settings, project_token):
    session = TokenSession(settings, project_token)
    prefix = f"/v1/{settings.project_id}"
    found = session.send("GET", f"{prefix}/networks?limit=500&labelSelector=os.modelarts/name=network-21e1").expect(200)
    assert [item["metadata"]["name"] for item in found["items"]] == [settings.demo_network]
    assert not found["metadata"].get("continue"), "the provider would fetch pages for ever"
    nothing = session.send("GET", f"{prefix}/networks?limit=500&labelSelector=os.modelarts/name=x").expect(200)
    assert nothing["items"] == []
    everything = session.send("GET", f"{prefix}/networks?&limit=500").expect(200)["items"]
    assert settings.demo_network in [item["metadata"]["name"] for item in everything]
    flavors = session.send("GET", f"{prefix}/resourceflavors?labelSelector=os.modelarts/scope").expect(200)
    assert {CPU8, CPU4, GPU} <= {item["metadata"]["name"] for item in flavors["items"]}
    templates = session.send("GET", f"/v2/{settings.project_id}/plugintemplates?&templateName=volcano").expect(200)
    assert [item["metadata"]["name"] for item in templates["items"]] == ["volcano"]
    bogus = session.send("GET", f"/v2/{settings.project_id}/pools?&status=bogus")
    bogus.expect_error(400, "ModelArts.50004000", "status")


# What the signature does and does not cover


def test_neither_the_host_nor_the_project_header_is_covered_by_the_signature(settings):
    path = f"/v2/{settings.project_id}/pools"
    AccessKeySession(settings, host="pools.another.example").send("GET", path).expect(200)
    AccessKeySession(settings, project_id=None).send("GET", path).expect(200)
    AccessKeySession(settings, project_id="0" * 32).send("GET", path).expect_error(403, "ModelArts.0210")


@pytest.mark.parametrize(
    "change", [{"secret_key": "wrong"}, {"access_key": "AKNOBODY"}, {"date": "20241024T124243Z"}, {"date": "yesterday"}]
)
def test_a_wrong_key_or_date_is_refused(settings, change):
    AccessKeySession(settings, **change).send("GET", f"/v2/{settings.project_id}/pools").expect_error(401, "ModelArts.50001000")


@pytest.mark.parametrize("query", ["labelSelector=os.modelarts%2Fname%3Dx+y&limit=1", "&limit=1", "limit"])
def test_odd_queries_are_signed_as_they_are_parsed(settings, api, query):
    reply = api.get(f"/v1/{{p}}/networks?{query}")
    assert reply.status in (200, 400), f"the signature was not recognised: {reply.status} {reply.body!r}"


# Networks


@pytest.mark.parametrize("cidr", ["10.168.0.0/16", "172.16.0.0/12", "192.168.20.0/24"])
def test_a_network_is_created_read_back_and_deleted(terraform, ledger, cidr):
    display_name = fresh_name("net")
    identity = ledger.network(display_name)
    name = terraform.create_network({"os.modelarts/name": display_name}, cidr)
    assert name == identity
    network = terraform.wait_for_network(name)
    labels = network["metadata"]["labels"]
    assert (labels["os.modelarts/name"], labels["os.modelarts/workspace.id"]) == (display_name, "0")
    assert network["spec"]["cidr"] == cidr
    terraform.delete_network(name)


def test_a_network_keeps_its_peers_in_the_given_order_until_they_are_removed(terraform, ledger):
    display_name = fresh_name("net")
    ledger.network(display_name)
    labels = {"os.modelarts/name": display_name, "os.modelarts/workspace.id": "0"}
    name = terraform.create_network(labels, "10.168.0.0/16")
    terraform.wait_for_network(name)
    peers = [{"peerSubnetId": "sub-2", "peerVpcId": "vpc-2"}, {"peerSubnetId": "sub-1", "peerVpcId": "vpc-1"}]
    connected = terraform.connect_network(name, peers, [])
    shown = connected["spec"]["connection"]["peerConnectionList"]
    assert [(peer["peerVpcId"], peer["peerSubnetId"]) for peer in shown] == [("vpc-2", "sub-2"), ("vpc-1", "sub-1")]
    emptied = terraform.connect_network(name, [], [])
    assert not emptied["spec"]["connection"].get("peerConnectionList")
    terraform.delete_network(name)


def test_a_network_waits_for_exactly_its_file_systems(terraform, undo, ledger):
    turbos = [{"name": f"data-{number}", "sfsId": fresh_name("sfs")} for number in (2, 1)]
    for turbo in turbos:
        undo.make("sfs-turbo", {"id": turbo["sfsId"], "address": "10.1.0.9"}, f"sfs-turbo/{turbo['sfsId']}")
    display_name = fresh_name("net")
    ledger.network(display_name)
    name = terraform.create_network({"os.modelarts/name": display_name}, "192.168.20.0/24")
    terraform.wait_for_network(name)
    peers = [{"peerSubnetId": "sub-1", "peerVpcId": "vpc-1"}]
    connection = terraform.connect_network(name, peers, turbos)["spec"]["connection"]
    shown = [(turbo["name"], turbo["sfsId"]) for turbo in connection["sfsTurboConnectionList"]]
    assert shown == [(turbo["name"], turbo["sfsId"]) for turbo in turbos], "in the given order"
    fewer = terraform.connect_network(name, [], turbos[:1])
    assert [turbo["sfsId"] for turbo in fewer["spec"]["connection"]["sfsTurboConnectionList"]] == [turbos[0]["sfsId"]]
    assert not fewer["spec"]["connection"].get("peerConnectionList")
    assert terraform.connect_network(name, [], [])["status"]["connectionStatus"].get("sfsTurboStatus", []) == []
    terraform.delete_network(name)


def test_the_networks_data_source_reads_until_the_last_page(settings, terraform, ledger):
    names = set()
    for _ in range(3):
        display_name = fresh_name("net")
        ledger.network(display_name)
        labels = {"os.modelarts/name": display_name, "ct/page": "yes"}
        names.add(terraform.create_network(labels, "192.168.20.0/24"))
    seen, token = [], None
    for _ in range(5):
        query = [("limit", 2), ("labelSelector", "ct/page=yes"), *([("continue", token)] if token else [])]
        page = terraform.session.send("GET", f"/v1/{settings.project_id}/networks", query).expect(200)
        seen += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token or not page["items"]:
            break
    assert not token and sorted(seen) == sorted(names)


# Pools


def create_two_flavor_pool(settings, terraform, ledger):
    display_name = fresh_name("pool")
    ledger.pool(display_name)
    sent = pool_body(display_name, settings.demo_network, [cpu_resource(), disk_resource()])
    sent["metadata"]["annotations"] = {"os.modelarts/description": "made by a plan"}
    return sent, terraform.create_pool(sent)


def test_a_created_pool_reads_back_without_a_difference(settings, terraform, ledger):
    sent, shown = create_two_flavor_pool(settings, terraform, ledger)
    assert plan_differences(sent, shown) == []
    assert shown["metadata"]["labels"]["os.modelarts/workspace.id"] == "0"
    assert shown["metadata"]["labels"]["os.modelarts/resource.id"]
    assert shown["metadata"]["annotations"]["os.modelarts/billing.mode"] == "0"
    pool = shown["metadata"]["name"]
    server_ids = [node["metadata"]["labels"][UNDERLYING] for node in terraform.list_nodes(pool)]
    assert len(server_ids) == 2 and len(set(server_ids)) == 2 and all(server_ids)
    terraform.delete_pool(pool)


def test_every_member_of_an_element_reads_back(settings, terraform, super_flavor, ledger):
    display_name = fresh_name("pool")
    ledger.pool(display_name)
    zoned = cpu_resource(labels={"tier": "x"}, azs=[{"az": "az-1", "count": 1}], os={"name": "Ubuntu 22.04"}, nodePool="workers")
    stepped = {"count": 2, "flavor": super_flavor, "creatingStep": {"step": 2, "type": "hyperinstance"}}
    driven = {"count": 1, "flavor": GPU, "driver": {"version": "440.33"}}
    sent = pool_body(display_name, settings.demo_network, [zoned, stepped, driven])
    shown = terraform.create_pool(sent)
    assert plan_differences(sent, shown) == []
    first, third = shown["spec"]["resources"][0], shown["spec"]["resources"][2]
    assert (first["azs"], first["nodePool"], third["driver"]) == (zoned["azs"], "workers", driven["driver"])
    nodes = {node["spec"]["flavor"]: node for node in terraform.list_nodes(shown["metadata"]["name"])}
    assert (nodes[CPU8]["status"]["az"], nodes[CPU8]["spec"]["os"]["name"]) == ("az-1", "Ubuntu 22.04")
    assert nodes[CPU8]["status"]["os"]["name"] == "Ubuntu 22.04"
    assert nodes[GPU]["status"]["driver"] == {"phase": "Running", "version": "440.33"}
    again = terraform.patch_pool(shown["metadata"]["name"], update_body(shown))
    assert order_name(again) == order_name(shown), "echoes change nothing"


def test_an_update_changes_the_description_without_an_order_and_counts_with_one(settings, terraform, ledger):
    sent, shown = create_two_flavor_pool(settings, terraform, ledger)
    pool, first_order = shown["metadata"]["name"], order_name(shown)

    described = terraform.patch_pool(pool, update_body(shown, annotations={"os.modelarts/description": "changed"}))
    assert described["metadata"]["annotations"]["os.modelarts/description"] == "changed"
    assert order_name(described) == first_order, "a description needs no order"

    larger = update_body(shown, counts={CPU8: 2})
    assert [resource["maxCount"] for resource in larger["spec"]["resources"]] == [1, 1]
    grown = terraform.patch_pool(pool, larger)
    assert counts_of(grown) == {CPU8: (2, 2), CPU4: (1, 1)}, "a stale maxCount is informative"
    second_order = order_name(grown)
    assert second_order != first_order
    made = terraform.follow_order(pool, second_order)
    assert len([node for node in terraform.list_nodes(pool) if node["metadata"]["name"] in made]) == 1
    assert len(terraform.list_nodes(pool)) == 3

    sent["spec"]["resources"][0]["count"] = 2
    sent["metadata"]["annotations"]["os.modelarts/description"] = "changed"
    read = terraform.show_pool(pool)
    assert plan_differences(sent, read) == []

    shrunk = terraform.patch_pool(pool, update_body(read, counts={CPU8: 1}))
    assert counts_of(shrunk) == {CPU8: (1, 1), CPU4: (1, 1)}
    assert order_name(shrunk) not in (first_order, second_order)
    terraform.follow_order(pool, order_name(shrunk))
    wait_until("the removed node has left the list", lambda: len(terraform.list_nodes(pool)) == 2)

    again = terraform.patch_pool(pool, update_body(terraform.show_pool(pool)))
    assert order_name(again) == order_name(shrunk), "an update that changes nothing needs no order"
    assert len(terraform.list_orders(pool)) == 3
    terraform.delete_pool(pool)


def test_removing_one_of_two_elements_is_an_order_too(settings, terraform, ledger):
    sent, shown = create_two_flavor_pool(settings, terraform, ledger)
    pool = shown["metadata"]["name"]
    body = update_body(shown)
    del body["spec"]["resources"][0]
    patched = terraform.patch_pool(pool, body)
    assert counts_of(patched) == {CPU4: (1, 1)} and order_name(patched) != order_name(shown)
    terraform.follow_order(pool, order_name(patched))
    wait_until("one node is left", lambda: [node["spec"]["flavor"] for node in terraform.list_nodes(pool)] == [CPU4])
    del sent["spec"]["resources"][0]
    assert plan_differences(sent, terraform.show_pool(pool)) == []


def test_the_driver_of_a_gpu_pool_is_final_when_the_provider_stops_waiting(settings, terraform, ledger):
    display_name = fresh_name("gpu")
    ledger.pool(display_name)
    sent = pool_body(display_name, settings.demo_network, [{"count": 1, "flavor": GPU}])
    shown = terraform.create_pool(sent)
    assert plan_differences(sent, shown) == []
    phases = [node["status"]["driver"]["phase"] for node in terraform.list_nodes(shown["metadata"]["name"])]
    assert phases == ["Running"]


def test_the_pools_data_source_filters_by_status_and_workspace(settings, terraform, ledger):
    display_name = fresh_name("pool")
    pool = ledger.pool(display_name)
    terraform.create_pool(pool_body(display_name, settings.demo_network, [cpu_resource()]))
    path = f"/v2/{settings.project_id}/pools"

    def listed(query):
        items = terraform.session.send("GET", path, query).expect(200)["items"]
        return [item["metadata"]["name"] for item in items if item["metadata"]["name"] == pool]

    assert listed([("status", "created"), ("workspaceId", "0")]) == [pool]
    assert listed([("status", "creating"), ("workspaceId", "0")]) == []
    assert listed([]) == [pool]


def test_what_is_gone_or_wrong_is_told_by_the_status(settings, terraform, ledger):
    unknown = f"/v2/{settings.project_id}/pools/{fresh_name('pool')}-{settings.project_id}"
    terraform.session.send("GET", unknown).expect_error(404, "ModelArts.50015001", "not found")
    terraform.session.send("DELETE", unknown).expect_error(404, "ModelArts.50015001")
    terraform.session.send("PATCH", unknown, body={"metadata": {}}, content_type=MERGE_PATCH).expect_error(404, "ModelArts.50015001")
    network = f"/v1/{settings.project_id}/networks/{fresh_name('net')}-{settings.project_id}"
    terraform.session.send("GET", network).expect_error(404, "ModelArts.50025001")
    display_name = fresh_name("pool")
    ledger.pool(display_name)
    both_ways = pool_body(display_name, settings.demo_network, [cpu_resource(flavor="modelarts.vm.no.such")])
    refused = terraform.session.send("POST", f"/v2/{settings.project_id}/pools", body=both_ways)
    refused.expect_error(400, "ModelArts.50004000", "modelarts.vm.no.such")
