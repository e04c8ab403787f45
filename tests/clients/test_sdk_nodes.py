"""Nodes through the vendor's SDK: lists, locks, deletion, updates, draining, and what is refused of each."""

import json

import pytest
from huaweicloudsdkmodelarts.v1 import (
    BatchDrainPoolNodesReq,
    BatchLockPoolNodesRequestBody,
    BatchUpdatePoolNodesRequestBody,
    NodeDriver,
    NodesDeletionRequest,
    NodeTag,
    ShowOrderRequest,
)

from sdk_calls import (
    BAD, CPU4, CPU8, GPU, NO_POOL, NOT_FOUND, ask, counts_of, node_names, nowhere, order_of, patch, refused, show, show_node,
    wait_for_nodes,
)
from support import wait_until

LOCK, TAGS, DRAIN = "os.modelarts.node/lock.action", "os.modelarts/tms.tags", "os.modelarts.node/drain"


def lock(sdk, pool, names, actions=("delete",)):
    body = BatchLockPoolNodesRequestBody(node_names=names, actions=list(actions))
    return [(node.name, node.status) for node in ask(sdk.batch_lock_pool_nodes, pool_name=pool, body=body).nodes]


def unlock(sdk, pool, names, actions=("delete",)):
    body = BatchLockPoolNodesRequestBody(node_names=names, actions=list(actions))
    return [(node.name, node.status) for node in ask(sdk.batch_unlock_pool_nodes, pool_name=pool, body=body).nodes]


def delete_nodes(sdk, pool, names):
    return ask(sdk.batch_delete_pool_nodes, pool_name=pool, body=NodesDeletionRequest(delete_node_names=names))


def update(sdk, pool, names, action, **members):
    body = BatchUpdatePoolNodesRequestBody(node_names=names, action=action, **members)
    return ask(sdk.batch_update_pool_nodes, pool_name=pool, body=body)


def drain(sdk, pool, names):
    return ask(sdk.batch_drain_pool_nodes, pool_name=pool, body=BatchDrainPoolNodesReq(node_names=names))


def annotation(sdk, pool, node, key):
    return show_node(sdk, pool, node)["metadata"]["annotations"].get(key, "")


# Read


def test_nodes_carry_what_the_models_read(sdk, settings, new_pool):
    pool = new_pool(resources=[{"flavor": CPU4, "count": 2}])
    listed = ask(sdk.list_pool_nodes, pool_name=pool)
    assert (listed.kind, len(listed.items)) == ("NodeList", 2)
    for node, whole in zip(listed.items, listed.to_json_object()["items"]):
        assert node.metadata.name.startswith("os-node-created-")
        assert (node.spec.flavor, node.status.phase) == (CPU4, "Available")
        assert node.status.az and node.status.private_ip
        assert node.status.resources.cpu != "0" and node.status.available_resources.memory
        assert node.metadata.labels.os_modelarts_node_cluster == pool
        assert node.metadata.labels.os_modelarts_node_nodepool == f"{CPU4}-default"
        assert node.metadata.labels.os_modelarts_tenant_project_id == settings.project_id
        assert show_node(sdk, pool, node.metadata.name) == whole


def test_a_node_is_found_in_its_own_pool_only(sdk, settings, new_pool):
    pool, other = new_pool(), new_pool()
    node = node_names(sdk, pool)[0]
    with refused(404, NOT_FOUND, f"Node {node} not found."):
        show_node(sdk, other, node)
    with refused(404, NOT_FOUND, "Node os-node-none not found."):
        show_node(sdk, pool, "os-node-none")
    with refused(404, NO_POOL, "pool not found"):
        show_node(sdk, nowhere(settings), node)


def test_a_page_of_nodes_cannot_be_negative_or_begin_anywhere(sdk, new_pool):
    pool = new_pool()
    with refused(400, BAD, "limit"):
        ask(sdk.list_pool_nodes, pool_name=pool, limit=-1)
    with refused(400, BAD, "continue"):
        ask(sdk.list_pool_nodes, pool_name=pool, _continue="not a token")
    assert len(ask(sdk.list_pool_nodes, pool_name=pool, limit=0).items) == 1, "0 stands for the maximum"


# Locks and deletion


def test_a_locked_node_is_kept_until_it_is_unlocked(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 3}])
    first, second, third = node_names(sdk, pool)
    outcome = [(first, "success"), ("os-node-none", "failed")]
    assert lock(sdk, pool, [first, "os-node-none"]) == outcome
    assert lock(sdk, pool, [first, "os-node-none"]) == outcome, "it is idempotent"
    assert annotation(sdk, pool, first, LOCK) == "delete" and annotation(sdk, pool, second, LOCK) == ""
    with refused(400, BAD, "locked", first):
        delete_nodes(sdk, pool, [first, second])
    assert len(node_names(sdk, pool)) == 3, "all or nothing"

    assert lock(sdk, pool, [second]) == [(second, "success")]
    with refused(400, BAD, "locked"):
        patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 1}]}})
    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 2}]}})
    wait_for_nodes(sdk, pool, 2)
    assert sorted(node_names(sdk, pool)) == sorted([first, second]), f"{third} was the only one to go"

    assert unlock(sdk, pool, [first, "os-node-none"]) == outcome
    assert annotation(sdk, pool, first, LOCK) == ""
    delete_nodes(sdk, pool, [first])
    wait_for_nodes(sdk, pool, 1)
    assert node_names(sdk, pool) == [second]


def test_locks_know_one_action(sdk, new_pool):
    pool = new_pool()
    names = node_names(sdk, pool)
    for change in (lock, unlock):
        with refused(400, BAD, "actions"):
            change(sdk, pool, names, actions=["reboot"])
        with refused(400, BAD, "actions"):
            change(sdk, pool, names, actions=[])
    assert annotation(sdk, pool, names[0], LOCK) == ""


def test_deleted_nodes_lower_the_count_and_make_an_order(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 3}, {"flavor": CPU4, "count": 1}])
    before = order_of(show(sdk, pool))
    big = [node.metadata.name for node in ask(sdk.list_pool_nodes, pool_name=pool).items if node.spec.flavor == CPU8]
    assert delete_nodes(sdk, pool, big[:2]).status_code == 200
    assert counts_of(sdk, pool) == [(CPU8, 1), (CPU4, 1)]
    shown = wait_for_nodes(sdk, pool, 2)
    assert shown["spec"]["resources"][0]["maxCount"] == 1
    assert set(node_names(sdk, pool)).isdisjoint(big[:2])
    order = order_of(show(sdk, pool))
    assert order != before
    items = sdk.show_order(ShowOrderRequest(order_name=order)).items
    assert sorted((item.resource_name, item.action, item.status) for item in items) == [
        (name, "deleteNode", "succeed") for name in sorted(big[:2])
    ]
    with refused(404, NOT_FOUND, big[0]):
        delete_nodes(sdk, pool, [big[0]])


def test_a_deletion_is_all_or_nothing_and_leaves_a_node(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    names = node_names(sdk, pool)
    with refused(400, BAD, "at least one node must remain"):
        delete_nodes(sdk, pool, names)
    with refused(404, NOT_FOUND, "Node os-node-none not found."):
        delete_nodes(sdk, pool, [names[0], "os-node-none"])
    assert node_names(sdk, pool) == names and counts_of(sdk, pool) == [(CPU8, 2)]


# Updates


def test_a_spare_is_marked_and_closed_to_workloads(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    spare, other = node_names(sdk, pool)
    answer = update(sdk, pool, [spare, "os-node-none"], "openHaRedundant", ha_redundant_effect="NoExecute")
    assert (answer.success_node_names, answer.fail_node_names) == ([spare], ["os-node-none"])
    marked = show_node(sdk, pool, spare)
    assert marked["metadata"]["labels"]["os.modelarts.node/ha.redundant.enabled"] == "true"
    assert [taint["effect"] for taint in marked["status"]["taints"]] == ["NoExecute"]
    assert "taints" not in show_node(sdk, pool, other)["status"]
    update(sdk, pool, [spare], "closeHaRedundant")
    assert "taints" not in show_node(sdk, pool, spare)["status"]


def test_tags_are_put_on_nodes_and_taken_off(sdk, api, new_pool):
    pool = new_pool()
    names = node_names(sdk, pool)
    tags = [NodeTag(key="team", value="a"), NodeTag(key="rack", value="7")]
    assert update(sdk, pool, names, "createTags", tags=tags).success_node_names == names
    assert json.loads(annotation(sdk, pool, names[0], TAGS)) == [{"key": "team", "value": "a"}, {"key": "rack", "value": "7"}]
    update(sdk, pool, names, "deleteTags", tags=[NodeTag(key="team", value="a")])
    left = api.get(f"/v1/{{p}}/nodes/{names[0]}/tags").expect(200)["tags"]
    assert [(tag["key"], tag["value"]) for tag in left] == [("rack", "7")]
    with refused(400, BAD, "tags"):
        update(sdk, pool, names, "createTags")


def test_a_driver_is_changed_on_one_node(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": GPU, "count": 2}])
    one, other = node_names(sdk, pool)

    def driver(node):
        return show_node(sdk, pool, node)["status"]["driver"]

    wait_until("the drivers run", lambda: all(driver(node)["phase"] == "Running" for node in (one, other)))
    update(sdk, pool, [one], "updateDriver", driver=NodeDriver(version="440.33", update_strategy="force"))
    wait_until("the driver is there", lambda: driver(one) == {"phase": "Running", "version": "440.33"})
    assert driver(other)["version"] != "440.33"
    with refused(400, BAD, "0.0"):
        update(sdk, pool, [one], "updateDriver", driver=NodeDriver(version="0.0"))
    with refused(400, BAD, "action"):
        update(sdk, pool, [one], "explode")
    assert driver(one) == {"phase": "Running", "version": "440.33"}


# Draining


def test_a_drained_node_loses_its_workload_to_another(sdk, operator, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    job = {"type": "train", "flavor": CPU8, "nodes": 1, "owner": "ada", "retries": 3}
    wait_until("Train is enabled", lambda: show(sdk, pool).status.scope[0].state == "Enabled")
    workload = operator.post(f"{{p}}/pools/{pool}/workloads", job)["id"]

    def hosts():
        seen = operator.get(f"workloads/{workload}")
        return seen["hosts"] if seen["status"] == "Running" else None

    before = wait_until("the workload runs", hosts)
    drain(sdk, pool, before)
    wait_until("the node is drained", lambda: "Drained" in annotation(sdk, pool, before[0], DRAIN))
    assert [taint["effect"] for taint in show_node(sdk, pool, before[0])["status"]["taints"]] == ["NoSchedule"]
    wait_until("the workload runs elsewhere", lambda: (hosts() or before) != before)


def test_draining_takes_ten_nodes_that_exist(sdk, new_pool):
    pool = new_pool()
    with refused(400, BAD, "nodeNames"):
        drain(sdk, pool, [f"n{number}" for number in range(11)])
    with refused(404, NOT_FOUND, "os-node-none"):
        drain(sdk, pool, [*node_names(sdk, pool), "os-node-none"])
    assert annotation(sdk, pool, node_names(sdk, pool)[0], DRAIN) == "", "all or nothing"


# What every action refuses

ROLLING = {"strategy": "RollingByNumber", "maxUnavailable": 1}
END = {"flavor": CPU8, "creatingStep": {"type": "hyperinstance", "step": 2}}
BODIES = {
    "delete": ("deleteNodeNames", {}),
    "lock": ("nodeNames", {"actions": ["delete"]}),
    "unlock": ("nodeNames", {"actions": ["delete"]}),
    "update": ("nodeNames", {"action": "closeHaRedundant"}),
    "bind": ("nodes", {}),
    "drain": ("nodeNames", {}),
    "migrate": ("migrateNodeNames", {"fromClusterName": "a", "toClusterName": "b", "resourceSpec": {"flavor": CPU8}}),
    "reboot": ("nodeNames", {}),
    "reset": ("nodeNames", {"rollingConfig": ROLLING}),
    "resize": ("nodes", {"source": END, "target": END}),
}


@pytest.fixture(scope="module")
def standing_pool(module_pool):
    return module_pool()


@pytest.mark.parametrize("action", BODIES)
def test_an_action_needs_nodes_and_a_pool_that_exists(sdk, settings, standing_pool, action):
    field, rest = BODIES[action]
    method = getattr(sdk, f"batch_{action}_pool_nodes")
    before = show(sdk, standing_pool).to_json_object()
    for wrong in ([], ["a", "a"], "a", [7], None):
        with refused(400, BAD, field):
            ask(method, pool_name=standing_pool, body={**rest, field: wrong})
    with refused(404, NO_POOL, "pool not found"):
        ask(method, pool_name=nowhere(settings), body={**rest, field: ["a"]})
    assert show(sdk, standing_pool).to_json_object()["spec"] == before["spec"]


@pytest.mark.parametrize("action", sorted(set(BODIES) - {"lock", "unlock"}))
def test_a_frozen_pool_refuses_all_but_locks(sdk, operator, new_pool, action):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    names = node_names(sdk, pool)[:1]
    field, rest = BODIES[action]
    objects = {"bind": [{"name": names[0], "quotaName": ""}], "resize": [{"batchUID": "x"}]}
    body = {**rest, field: objects.get(action, names)}
    if action == "migrate":
        body.update(fromClusterName=pool, toClusterName=new_pool())
    operator.call("PUT", f"{{p}}/pools/{pool}/control-mode", {"controlMode": 8}).expect(200)
    with refused(400, BAD, "restricted"):
        ask(getattr(sdk, f"batch_{action}_pool_nodes"), pool_name=pool, body=body)
    assert lock(sdk, pool, names) == [(names[0], "success")] and unlock(sdk, pool, names) == [(names[0], "success")]
    assert show(sdk, pool).spec.control_mode == 8
