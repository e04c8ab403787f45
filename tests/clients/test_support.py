"""The tests' own tools, without a server: a wrong signature or a blind comparison here would blame the server."""

import copy

import pytest

from operations import operation_of, path_like
from support import authorization, canonical_query
from terraform import MERGE_PATCH, USER_AGENT, encode_body, plan_differences
from terraform_data import NODE, unreadable

P = "6f5da086876d4cd084d36f8bd3346036"
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY")
DATE = {"x-sdk-date": "20241024T124243Z"}
SDK_HEADERS = {
    "content-type": "application/json",
    "host": "pools.example.test",
    "user-agent": "huaweicloud-usdk-python/3.0",
    "x-project-id": P,
}
SCALE = b'{"spec": {"resources": [{"flavor": "modelarts.vm.cpu.4ud", "count": 3}]}}'
POOL = f"/v2/{P}/pools/pool-ae01-{P}"
UNSIGNED = {**SDK_HEADERS, "content-type": MERGE_PATCH, "x-sdk-content-sha256": "UNSIGNED-PAYLOAD", **DATE}
VECTORS = [
    (
        "GET",
        f"/v2/{P}/pools?labelSelector=os.modelarts%2Fname%3Dpool%20a~1&workspaceId=0",
        {**SDK_HEADERS, **DATE},
        b"",
        "3f2a1a633ac15094ea62e2cd68f33c57d8bb8b59dca8bffbd02275f2338143de",
    ),
    (
        "PATCH",
        POOL,
        {**SDK_HEADERS, **DATE, "x-security-token": "TOK"},
        SCALE,
        "a0edc5c5b9e0868fede57cd3dcccd0f3852bd77f4db982b96072c02580138a53",
    ),
    ("PATCH", POOL, UNSIGNED, SCALE, "9819d859ede02c5ec36dc77dff98d0c4cbabda87565146b111fc0f231cc985e5"),
    (
        "GET",
        f"/v2/{P}/pools/a%2Fb%20c",
        {"content-type": "application/json", "host": "pools.example.test", **DATE},
        b"",
        "3de67eb3ff6ad7c4e75184a2f0296a0663653caf5efc10a1f1fafb17c70856a9",
    ),
]


@pytest.mark.parametrize(("method", "target", "signed", "body", "signature"), VECTORS)
def test_the_signature_is_the_one_of_the_contract(method, target, signed, body, signature):
    assert authorization(*KEYS, method, target, signed, body).endswith(f"Signature={signature}")


def test_the_signature_of_terraform_is_the_one_of_the_contract():
    peers = [{"peerSubnetId": "sub-1", "peerVpcId": "vpc-1"}]
    body = encode_body({"spec": {"connection": {"sfsTurboConnectionList": None, "peerConnectionList": peers}}})
    assert len(body) == 124
    signed = {"accept": "application/json", "content-type": MERGE_PATCH, "user-agent": USER_AGENT, "x-sdk-date": "20261121T023112Z"}
    value = authorization("AKTEST", "SKTEST", "PATCH", f"/v1/{P}/networks/net-demo-{P}", signed, body)
    expected = "74c6701dfe80d99310ba0d9d91db27f992026d5fd592367504e62dca3a340931"
    assert value == f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=accept;content-type;user-agent;x-sdk-date, Signature={expected}"


def test_odd_queries_have_a_canonical_form():
    assert canonical_query("?&a=b"[1:]) == "a=b"
    assert canonical_query("limit=500&labelSelector=os.modelarts/name=x+y") == "labelSelector=os.modelarts%2Fname%3Dx%20y&limit=500"
    assert canonical_query("flag") == "flag="


def pool():
    volumes = [{"volumeType": "SSD", "size": "200", "extendParams": {"volumeGroup": "vgpaas"}}]
    groups = [{"volumeGroup": "vgpaas"}]
    element = {"flavor": "a", "count": 1, "maxCount": 1, "tags": [{"key": "k", "value": "v"}], "extendParams": {"post_install": "eA=="}}
    resources = [{**element, "dataVolumes": volumes, "volumeGroupConfigs": groups}, {"flavor": "b", "count": 1, "maxCount": 1}]
    annotations = {"os.modelarts/description": ""}
    return {"metadata": {"annotations": annotations}, "spec": {"scope": ["Train"], "resources": resources}}


def changed(edit):
    other = copy.deepcopy(pool())
    edit(other, other["spec"]["resources"])
    return other


@pytest.mark.parametrize(
    "edit",
    [
        lambda _pool, elements: elements.reverse(),
        lambda _pool, elements: elements[1].update(tags=[{"key": "added", "value": ""}]),
        lambda _pool, elements: elements[0].pop("tags"),
        lambda _pool, elements: elements[0]["dataVolumes"][0]["extendParams"].update(billing="x"),
        lambda _pool, elements: elements[0].update(extendParams={"postInstall": "eA=="}),
        lambda _pool, elements: elements[0].update(maxCount="1"),
        lambda _pool, elements: elements[1].update(rootVolume={"volumeType": "SSD", "size": 100}),
        lambda pool, _elements: pool["metadata"]["annotations"].update({"os.modelarts/description": "given"}),
        lambda pool, _elements: pool["spec"].update(scope=["Train", "Infer"]),
    ],
)
def test_a_plan_notices_what_the_provider_notices(edit):
    assert plan_differences(pool(), changed(edit))


def test_a_plan_ignores_what_the_provider_ignores():
    def defaults(_pool, elements):
        elements[0]["dataVolumes"][0]["count"] = 1
        elements[0]["volumeGroupConfigs"][0]["types"] = ["volume"]
        elements[0].update(nodePool="a-default", azs=[{"az": "az-1", "count": 1}])

    assert plan_differences(pool(), changed(defaults)) == []


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", f"/v2/{P}/pools", "ListPools"),
        ("GET", POOL, "ShowPool"),
        ("GET", f"/v1/{P}/pools/tags", "ListPoolTags"),
        ("GET", f"/v1/{P}/pools/tags/tags", "ShowPoolTags"),
        ("GET", f"/v1/{P}/nodes/tags", "ListNodeTags"),
        ("DELETE", f"/v1/{P}/pools/any/tags/delete", "BatchDeletePoolTags"),
        ("GET", f"/v2/{P}/statistics/pools/any/workloads", "ShowWorkloadStatistics"),
        ("GET", "/v3", "version 3"),
    ],
)
def test_a_request_belongs_to_one_row_of_the_index(method, path, name):
    assert operation_of(method, path).name == name


def test_a_request_outside_the_index_belongs_to_no_row():
    for method, path in [("PUT", POOL), ("GET", f"/v2/{P}/services"), ("GET", f"{POOL}/nodes/any/more"), ("GET", f"/admin{POOL}")]:
        assert operation_of(method, path) is None
    assert path_like("/v2/P/jobs/{id}", f"/v2/{P}/jobs/1") and not path_like("/v2/P/jobs/{id}", f"/v2/{P}/jobs")


def test_what_a_data_source_cannot_read_is_found():
    node = {"metadata": {"name": "n", "labels": {"a": "1"}}, "status": {"plugins": []}}
    assert unreadable(node, NODE, ["metadata.labels"]) == []
    assert unreadable(node, NODE, ["status.phase"]) == ["status.phase is missing"]
    assert unreadable({**node, "status": {"plugins": {}}}, NODE) == ["status.plugins is not list: {}"]
    assert unreadable({"metadata": {"name": 7, "labels": {"a": 1}}}, NODE) == [
        "metadata.name is not str: 7", "metadata.labels[a] is not a string: 1",
    ]
