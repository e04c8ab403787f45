"""Node pools and the configuration of nodes through the vendor's SDK."""

import pytest
from huaweicloudsdkmodelarts.v1 import (
    CreateNodePoolMetaVO,
    CreateNodePoolRequestBody,
    NodePoolSpec,
    PatchNodePoolRequestBody,
    PoolResource,
    UserTags,
)

from sdk_calls import (
    BAD, CPU4, CPU8, NO_POOL, NOT_FOUND, ask, node_names, nowhere, order_of, patch, refused, show, wait_for_nodes,
)

EXISTS = "ModelArts.50005100"
DEFAULT = f"{CPU8}-default"


def make(sdk, pool, name, **resources):
    spec = NodePoolSpec(resources=PoolResource(**resources))
    body = CreateNodePoolRequestBody(api_version="v2", kind="NodePool", metadata=CreateNodePoolMetaVO(name=name), spec=spec)
    return ask(sdk.create_node_pool, pool_name=pool, body=body)


def change(sdk, pool, name, **resources):
    body = PatchNodePoolRequestBody(spec=NodePoolSpec(resources=PoolResource(**resources)))
    return ask(sdk.patch_node_pool, pool_name=pool, nodepool_name=name, body=body)


def shown(sdk, pool, name):
    return ask(sdk.show_node_pool, pool_name=pool, nodepool_name=name)


def members(sdk, pool, name, **query):
    return [node.metadata.name for node in ask(sdk.list_node_pool_nodes, pool_name=pool, nodepool_name=name, **query).items]


def remove(sdk, pool, name):
    return ask(sdk.delete_node_pool, pool_name=pool, nodepool_name=name)


def elements(sdk, pool):
    """(flavor, node pool, count) of every element of the pool itself."""
    resources = show(sdk, pool).to_json_object()["spec"]["resources"]
    return [(element["flavor"], element.get("nodePool", ""), element["count"]) for element in resources]


# Read


def test_every_element_of_a_pool_is_a_node_pool(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}, {"flavor": CPU4, "count": 1, "nodePool": "small"}])
    listed = ask(sdk.list_node_pools, pool_name=pool)
    assert (listed.kind, listed.api_version) == ("NodePoolList", "v2")
    found = {item.metadata.name: (item.spec.resources.flavor, item.spec.resources.count) for item in listed.items}
    assert found == {DEFAULT: (CPU8, 2), "small": (CPU4, 1)}
    one = shown(sdk, pool, "small")
    assert (one.kind, one.metadata.name, one.spec.resources.max_count) == ("NodePool", "small", 1)
    assert [element["count"] for element in one.to_json_object()["status"]["resources"]["available"]] == [1]
    by_pool = [set(members(sdk, pool, name)) for name in found]
    assert [len(names) for names in by_pool] == [2, 1] and set.union(*by_pool) == set(node_names(sdk, pool))
    page = ask(sdk.list_node_pool_nodes, pool_name=pool, nodepool_name=DEFAULT, limit=1)
    assert page.metadata.remaining_item_count == 1
    rest = members(sdk, pool, DEFAULT, limit=1, _continue=page.metadata._continue)
    assert {page.items[0].metadata.name, *rest} == by_pool[list(found).index(DEFAULT)]


def test_an_unknown_node_pool_or_pool_is_not_found(sdk, settings, new_pool):
    pool = new_pool()
    for call in (shown, members, remove):
        with refused(404, NOT_FOUND, "NodePool none not found.", "invalid nodepool name"):
            call(sdk, pool, "none")
        with refused(404, NO_POOL, "pool not found"):
            call(sdk, nowhere(settings), DEFAULT)
    with refused(404, NOT_FOUND, "invalid nodepool name"):
        change(sdk, pool, "none", flavor=CPU8, count=1)
    with refused(404, NO_POOL):
        ask(sdk.list_node_pools, pool_name=nowhere(settings))
    with refused(404, NO_POOL):
        make(sdk, nowhere(settings), "workers", flavor=CPU8, count=1)


# Change


def test_a_node_pool_lives_from_create_to_delete(sdk, new_pool):
    pool = new_pool()
    orders = [order_of(show(sdk, pool))]
    made = make(sdk, pool, "workers", flavor=CPU8, count=2, tags=[UserTags(key="team", value="a")], labels={"tier": "x"})
    assert (made.metadata.name, made.spec.resources.count) == ("workers", 2)
    orders.append(order_of(show(sdk, pool)))
    wait_for_nodes(sdk, pool, 3)
    assert elements(sdk, pool) == [(CPU8, "", 1), (CPU8, "workers", 2)]
    read = shown(sdk, pool, "workers").spec.resources
    assert ([(tag.key, tag.value) for tag in read.tags], read.labels) == ([("team", "a")], {"tier": "x"})

    changed = change(sdk, pool, "workers", flavor=CPU8, count=3, max_count=2)
    assert (changed.spec.resources.count, changed.spec.resources.max_count) == (3, 3), "maxCount is informative"
    orders.append(order_of(show(sdk, pool)))
    wait_for_nodes(sdk, pool, 4)
    assert len(members(sdk, pool, "workers")) == 3

    labelled = change(sdk, pool, "workers", flavor=CPU8, count=3, labels={"tier": "y"})
    assert labelled.spec.resources.labels == {"tier": "y"}
    orders.append(order_of(show(sdk, pool)))
    change(sdk, pool, "workers", flavor=CPU8, count=3, labels={"tier": "y"})
    assert order_of(show(sdk, pool)) == orders[-1], "nothing has changed"

    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 1}, {"flavor": CPU8, "nodePool": "workers", "count": 1}]}})
    assert shown(sdk, pool, "workers").spec.resources.count == 1, "it is the same data"
    orders.append(order_of(show(sdk, pool)))
    wait_for_nodes(sdk, pool, 2)

    last = remove(sdk, pool, "workers").to_json_object()
    assert (last["metadata"]["name"], last["spec"]["resources"]["count"]) == ("workers", 1)
    orders.append(order_of(show(sdk, pool)))
    wait_for_nodes(sdk, pool, 1)
    assert elements(sdk, pool) == [(CPU8, "", 1)] and len(set(orders)) == 6
    with refused(404, NOT_FOUND, "workers"):
        remove(sdk, pool, "workers")


@pytest.mark.parametrize(
    ("name", "resources", "fragment"),
    [
        ("x", {"count": 1}, "metadata.name"),
        ("Workers", {"count": 1}, "metadata.name"),
        ("other-default", {"count": 1}, "metadata.name"),
        ("workers", {"count": 0}, "spec.resources.count"),
        ("workers", {"count": 1, "max_count": 2}, "spec.resources.maxCount"),
        ("workers", {"count": 1, "node_pool": "others"}, "spec.resources.nodePool"),
        ("workers", {"count": 1, "flavor": "none"}, "spec.resources.flavor"),
        ("workers", {"count": 2000}, CPU8),
    ],
)
def test_an_invalid_node_pool_is_refused(sdk, standing_pool, name, resources, fragment):
    with refused(400, BAD, fragment):
        make(sdk, standing_pool, name, **{"flavor": CPU8, **resources})
    assert elements(sdk, standing_pool) == [(CPU8, "", 1)]


def test_a_name_in_use_is_a_conflict(sdk, standing_pool):
    with refused(409, EXISTS, f"NodePool {DEFAULT} already exists."):
        make(sdk, standing_pool, DEFAULT, flavor=CPU8, count=1)


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ({"spec": {"resources": {"flavor": CPU4}}}, "spec.resources.flavor cannot be modified"),
        ({"spec": {"resources": {"count": -1}}}, "spec.resources.count"),
        ({"spec": {"resources": {"count": 0}}}, "at least one node"),
        ({"spec": {"resources": []}}, "spec.resources"),
        ({}, "spec.resources is required"),
        ({"metadata": {"annotations": {"os.modelarts/billing.mode": "1"}}, "spec": {"resources": {"count": 1}}}, "Bad request"),
    ],
)
def test_a_change_that_cannot_be_is_refused(sdk, standing_pool, body, fragment):
    with refused(400, BAD, fragment):
        ask(sdk.patch_node_pool, pool_name=standing_pool, nodepool_name=DEFAULT, body=body)
    assert elements(sdk, standing_pool) == [(CPU8, "", 1)]


def test_the_last_node_pool_and_locked_nodes_stay(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 1}, {"flavor": CPU8, "count": 1, "nodePool": "workers"}])
    body = {"nodeNames": members(sdk, pool, "workers"), "actions": ["delete"]}
    ask(sdk.batch_lock_pool_nodes, pool_name=pool, body=body)
    with refused(400, BAD, "locked"):
        remove(sdk, pool, "workers")
    ask(sdk.batch_unlock_pool_nodes, pool_name=pool, body=body)
    remove(sdk, pool, "workers")
    with refused(400, BAD, "last node pool"):
        remove(sdk, pool, DEFAULT)
    assert elements(sdk, pool) == [(CPU8, "", 1)]


# Configuration


@pytest.fixture(scope="module")
def standing_pool(module_pool):
    return module_pool()


def test_the_configuration_of_nodes_is_shown(sdk, settings, standing_pool):
    config = ask(sdk.show_pool_node_config, pool_name=standing_pool)
    assert (config.kind, config.metadata.name, config.status.phase) == ("NodeConfig", "node-config", "Running")
    modes = {name: setting["mode"] for name, setting in config.spec.configs.items()}
    assert modes == {"cpu_manager": "none", "drop_cache": "disable", "transparent_hugepage": "madvise"}
    template = ask(sdk.show_pool_node_config_template, pool_name=standing_pool)
    assert (template.kind, template.metadata.name) == ("NodeConfigTemplate", "node-config-template")
    assert template.spec.templates[0].configs == config.spec.configs
    for method in (sdk.show_pool_node_config, sdk.show_pool_node_config_template):
        with refused(404, NO_POOL, "pool not found"):
            ask(method, pool_name=nowhere(settings))
