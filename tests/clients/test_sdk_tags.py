"""Tags of pools through the vendor's SDK; those of nodes, and the search by tags, over plain signed HTTP."""

import json

import pytest
from huaweicloudsdkmodelarts.v1 import CreateTagRequest, DeleteTagItem, DeleteTagRequest, Tag

from sdk_calls import BAD, NO_POOL, NOT_FOUND, ask, create, dedicated, node_names, nowhere, order_of, refused, show, show_node
from support import fresh_name

ANNOTATION = "os.modelarts/tms.tags"


def pairs(tags):
    """Keys and values of tags that are about one object; the SDK reads the value from `values`."""
    return [(tag.key, tag.values) for tag in tags]


def add(sdk, pool, **tags):
    body = CreateTagRequest(tags=[Tag(key=key, value=value) for key, value in tags.items()])
    return pairs(ask(sdk.batch_create_pool_tags, pool_name=pool, body=body).tags)


def remove(sdk, pool, *tags):
    body = DeleteTagRequest(tags=[DeleteTagItem(key=key, value=value) for key, value in tags])
    return pairs(ask(sdk.batch_delete_pool_tags, pool_name=pool, body=body).tags)


def read(sdk, pool):
    return pairs(ask(sdk.show_pool_tags, pool_name=pool).tags)


def annotated(sdk, pool):
    text = show(sdk, pool).to_json_object()["metadata"]["annotations"].get(ANNOTATION, "[]")
    return [(tag["key"], [tag["value"]]) for tag in json.loads(text)]


@pytest.fixture
def tagged_pool(sdk, settings, ledger):
    """Makes a pool that has tags from the beginning."""

    def make(**tags):
        name = fresh_name("pool")
        body = dedicated(name, settings.demo_network)
        text = json.dumps([{"key": key, "value": value} for key, value in tags.items()])
        body["metadata"]["annotations"] = {ANNOTATION: text}
        ledger.pool(name)
        return create(sdk, body).metadata.name

    return make


def test_tags_are_added_overwritten_and_removed_without_an_order(sdk, tagged_pool):
    pool = tagged_pool(dev="dev1")
    order = order_of(show(sdk, pool))
    assert read(sdk, pool) == [("dev", ["dev1"])]
    assert add(sdk, pool, dev="dev2", team="a", rack="") == [("dev", ["dev2"]), ("team", ["a"]), ("rack", [""])]
    assert annotated(sdk, pool) == read(sdk, pool), "the annotation is kept in step"
    assert remove(sdk, pool, ("dev", "dev1")) == read(sdk, pool) and len(read(sdk, pool)) == 3, "the value does not match"
    assert remove(sdk, pool, ("dev", "dev2"), ("team", None)) == [("rack", [""])]
    assert annotated(sdk, pool) == read(sdk, pool) == [("rack", [""])]
    assert order_of(show(sdk, pool)) == order


def test_one_call_can_create_delete_and_reset(sdk, api, tagged_pool):
    pool = tagged_pool(dev="dev1")

    def act(action, **tags):
        body = {"action": action, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        answer = api.call("POST", f"/v1/{{p}}/pools/{pool}/tags", body).expect(200)["tags"]
        assert all(tag["values"] == [tag["value"]] for tag in answer)
        assert [(tag["key"], tag["values"]) for tag in answer] == read(sdk, pool) == annotated(sdk, pool)
        return {tag["key"]: tag["value"] for tag in answer}

    assert act("create", dev="dev2", team="a") == {"dev": "dev2", "team": "a"}
    assert act("delete", dev="dev1") == {"dev": "dev2", "team": "a"}
    assert act("delete", dev="dev2") == {"team": "a"}
    assert act("reset", rack="7") == {"rack": "7"}
    assert act("reset") == {}


def test_the_tags_of_all_pools_are_united_and_paged_by_key(sdk, tagged_pool):
    key = fresh_name("key")
    tagged_pool(**{key: "0.2", f"{key}-b": "x"})
    other = tagged_pool(**{key: "0.1"})

    def union(**query):
        return {tag.key: tag.values for tag in ask(sdk.list_pool_tags, **query).tags}

    everything = union()
    assert everything[key] == ["0.1", "0.2"] and everything[f"{key}-b"] == ["x"]
    assert list(everything) == sorted(everything)
    assert union(limit=1, offset=list(everything).index(key)) == {key: ["0.1", "0.2"]}
    remove(sdk, other, (key, None))
    assert union()[key] == ["0.2"]
    for wrong in ({"limit": 0}, {"offset": -1}):
        with refused(400, BAD, next(iter(wrong))):
            union(**wrong)


def test_pools_are_found_by_tags_and_by_name(settings, api, tagged_pool):
    key = fresh_name("key")
    one, two = tagged_pool(**{key: "prod-eu", f"{key}-t": "a"}), tagged_pool(**{key: "prod-us"})

    def find(body, query=""):
        body = {"tags": [], **body}
        found = api.call("POST", f"/v1/{{p}}/pools/resource-instances/filter{query}", body).expect(200)
        assert api.call("POST", f"/v1/{{p}}/modelarts-pool/resource-instances/filter{query}", body).expect(200) == found
        return found

    def found(*tags, matches=()):
        answer = find({"tags": [{"key": name, "values": values} for name, values in tags], "matches": list(matches)})
        assert answer["total_count"] == len(answer["resources"])
        return {resource["resource_id"] for resource in answer["resources"]}

    assert found((key, [])) == {one, two}
    assert found((key, ["*-eu"])) == {one}
    assert found((key, ["none", "prod-us"])) == {two}
    assert found((key, ["prod-us"]), (f"{key}-t", ["a"])) == set()
    name = one.removesuffix(f"-{settings.project_id}")
    assert found(matches=[{"key": "resource_name", "value": name.upper()[1:]}]) == {one}
    page = find({"tags": [{"key": key, "values": []}]}, "?limit=1&offset=1")
    assert page["total_count"] == 2 and len(page["resources"]) == 1
    shown = find({"tags": [{"key": f"{key}-t", "values": ["a"]}]})["resources"][0]
    assert (shown["resource_id"], shown["resource_name"], shown["resource_detail"]) == (one, name, None)
    assert {tag["key"]: tag["value"] for tag in shown["tags"]} == {key: "prod-eu", f"{key}-t": "a"}
    for wrong in ({"limit": 0}, {"tags": {}}, {"matches": [{"key": "name", "value": "x"}]}):
        api.call("POST", "/v1/{p}/pools/resource-instances/filter", wrong).expect_error(400, BAD)


def test_tags_of_nodes_come_from_the_element_and_are_changed_alone(sdk, api, new_pool):
    pool = new_pool(resources=[{"flavor": "modelarts.vm.cpu.8ud", "count": 2, "tags": [{"key": "rack", "value": "7"}]}])
    node, other = node_names(sdk, pool)
    path = f"/v1/{{p}}/nodes/{node}/tags"

    def tags(where):
        return {tag["key"]: tag["values"] for tag in api.get(where).expect(200)["tags"]}

    assert tags(path) == {"rack": ["7"]}
    api.call("POST", path, {"action": "create", "tags": [{"key": "owner", "value": "ada"}]}).expect(200)
    assert tags(path) == {"rack": ["7"], "owner": ["ada"]}
    assert tags(f"/v1/{{p}}/nodes/{other}/tags") == {"rack": ["7"]}
    kept = json.loads(show_node(sdk, pool, node)["metadata"]["annotations"][ANNOTATION])
    assert kept == [{"key": "rack", "value": "7"}, {"key": "owner", "value": "ada"}]
    assert tags(f"/v1/{{p}}/nodes/tags?pool={pool}") == {"owner": ["ada"], "rack": ["7"]}
    assert {"owner", "rack"} <= set(tags("/v1/{p}/nodes/tags"))
    api.call("POST", path, {"action": "delete", "tags": [{"key": "owner", "value": "ada"}]}).expect(200)
    assert tags(f"/v1/{{p}}/nodes/tags?pool={pool}") == {"rack": ["7"]}


WRONG_TAGS = {
    "a key that is too long": [{"key": "k" * 129, "value": ""}],
    "an empty key": [{"key": "", "value": ""}],
    "a value that is too long": [{"key": "k", "value": "v" * 256}],
    "a system key": [{"key": "_sys_k", "value": ""}],
    "a character that is not allowed": [{"key": "a<b", "value": ""}],
    "a space at the end": [{"key": "k ", "value": ""}],
    "more than twenty": [{"key": f"k{number}", "value": ""} for number in range(21)],
    "none": [],
    "no list": {},
}


@pytest.mark.parametrize("tags", WRONG_TAGS.values(), ids=WRONG_TAGS)
def test_wrong_tags_are_refused_on_every_way(sdk, api, standing_pool, tags):
    node = node_names(sdk, standing_pool)[0]
    with refused(400, BAD):
        ask(sdk.batch_create_pool_tags, pool_name=standing_pool, body={"tags": tags})
    for path in (f"pools/{standing_pool}", f"nodes/{node}"):
        api.call("POST", f"/v1/{{p}}/{path}/tags", {"action": "create", "tags": tags}).expect_error(400, BAD)
    assert read(sdk, standing_pool) == []


def test_wrong_deletions_and_actions_are_refused(sdk, api, standing_pool):
    for wrong in ([], [{"value": "a"}], {}):
        with refused(400, BAD):
            ask(sdk.batch_delete_pool_tags, pool_name=standing_pool, body={"tags": wrong})
    node = node_names(sdk, standing_pool)[0]
    for path in (f"pools/{standing_pool}", f"nodes/{node}"):
        for action in ("rename", None):
            body = {"action": action, "tags": [{"key": "k", "value": ""}]}
            api.call("POST", f"/v1/{{p}}/{path}/tags", body).expect_error(400, BAD, "action")


def test_tags_of_what_does_not_exist_are_not_found(sdk, api, settings):
    pool = nowhere(settings)
    for call in (lambda: read(sdk, pool), lambda: add(sdk, pool, a="b"), lambda: remove(sdk, pool, ("a", None))):
        with refused(404, NO_POOL):
            call()
    body = {"action": "create", "tags": [{"key": "k", "value": ""}]}
    api.call("POST", f"/v1/{{p}}/pools/{pool}/tags", body).expect_error(404, NO_POOL)
    api.get(f"/v1/{{p}}/nodes/tags?pool={pool}").expect_error(404, NO_POOL)
    api.get("/v1/{p}/nodes/os-node-none/tags").expect_error(404, NOT_FOUND, "Node os-node-none not found.")
    api.call("POST", "/v1/{p}/nodes/os-node-none/tags", body).expect_error(404, NOT_FOUND)


@pytest.fixture(scope="module")
def standing_pool(module_pool):
    return module_pool()
