"""Actions on nodes that take their time or need two pools: reboot, reset, bind, migrate, resize, and their jobs."""

import pytest
from huaweicloudsdkmodelarts.v1 import (
    BatchBindPoolNodesReq,
    BatchRebootPoolNodesRequestBody,
    BatchResizeRequestBody,
    BindNodeItem,
    MigrateResourceSpec,
    NodeBatchMigrationRequest,
    NodeResizeParams,
    ResetNodesRequest,
    ResetNodesRequestNodeConfig,
    ResetNodesRequestRollingConfig,
    ResizeNodeInfo,
)

from sdk_calls import (
    BAD, CPU8, GPU, NOT_FOUND, ask, counts_of, create, logical, node_names, order_of, refused, show, show_node, wait_for_job,
    wait_for_nodes,
)
from support import fresh_name, wait_until

MACHINE = "os.modelarts.node/underlying.instance.id"
BATCH = "os.modelarts.node/batch.uid"


def reboot(sdk, pool, names):
    """The SDK's model has `nodeNames` only; the id of the job is in the raw answer."""
    answer = ask(sdk.batch_reboot_pool_nodes, pool_name=pool, body=BatchRebootPoolNodesRequestBody(node_names=names))
    assert answer.node_names == names
    return answer.raw_content


def newest_job(sdk, pool, kind):
    jobs = ask(sdk.list_jobs, type=kind, resource="pools", name=pool)
    assert jobs.count >= len(jobs.items) > 0
    return jobs.items[0]


# Reboot, reset and their jobs


def test_a_reboot_is_a_job_that_is_listed_and_ends(sdk, api, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    names = node_names(sdk, pool)
    reboot(sdk, pool, names[:1])
    job = wait_for_job(api, newest_job(sdk, pool, "reboot-node").job_id)
    assert (job["phase"], job["type"]) == ("Success", "reboot-node")
    listed = newest_job(sdk, pool, "reboot-node")
    assert (listed.phase, listed.job_id, listed.end_timestamp) == ("Success", job["jobId"], job["endTimestamp"])
    assert listed.end_timestamp >= listed.start_timestamp > 1_600_000_000_000
    assert names[0] in listed.involved_objects and names[1] not in listed.involved_objects
    assert {show_node(sdk, pool, name)["status"]["phase"] for name in names} == {"Available"}
    with refused(404, NOT_FOUND, "os-node-none"):
        reboot(sdk, pool, [*names, "os-node-none"])
    assert ask(sdk.list_jobs, type="reboot-node", name=pool).count == 1, "nothing was begun"


def test_a_machine_that_does_not_come_up_fails_the_job(sdk, api, undo, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    name = node_names(sdk, pool)[0]
    machine = show_node(sdk, pool, name)["metadata"]["labels"][MACHINE]
    undo.make(f"machines/{machine}/faults", {"kind": "neverBoots"}, f"machines/{machine}/faults")
    reboot(sdk, pool, [name])
    job = wait_for_job(api, newest_job(sdk, pool, "reboot-node").job_id)
    assert job["phase"] == "Failed" and job["message"]
    wait_until("the node is Abnormal", lambda: show_node(sdk, pool, name)["status"]["phase"] == "Abnormal")


def test_jobs_are_filtered_and_paged(sdk, api, new_pool):
    pool = new_pool()
    for _ in range(2):
        reboot(sdk, pool, node_names(sdk, pool))
        wait_for_job(api, newest_job(sdk, pool, "reboot-node").job_id)
    everything = ask(sdk.list_jobs, name=pool).items
    assert len(everything) == 2 and everything[0].start_timestamp >= everything[1].start_timestamp
    page = ask(sdk.list_jobs, name=pool, limit=1, offset=1)
    assert [job.job_id for job in page.items] == [everything[1].job_id]
    assert ask(sdk.list_jobs, name=pool, type="reset-nodes").count == 0
    assert ask(sdk.list_jobs, name=pool, since=1, until=2).items == []
    for wrong in ({"type": "dance"}, {"limit": -1}, {"offset": -1}, {"resource": "networks"}):
        with refused(400, BAD, next(iter(wrong))):
            ask(sdk.list_jobs, **wrong)
    api.get("/v2/{p}/jobs/none").expect_error(404, NOT_FOUND, "Job none not found.")


def reset(sdk, pool, names, strategy="RollingByNumber", most=1, **config):
    rolling = ResetNodesRequestRollingConfig(strategy=strategy, max_unavailable=most)
    body = ResetNodesRequest(node_names=names, rolling_config=rolling, node_config=ResetNodesRequestNodeConfig(**config))
    return ask(sdk.batch_reset_pool_nodes, pool_name=pool, body=body).job_id


def test_a_reset_installs_what_was_asked_for(sdk, api, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    names = node_names(sdk, pool)
    job = wait_for_job(api, reset(sdk, pool, names, os="Ubuntu 22.04", runtime="containerd"))
    assert (job["phase"], job["type"]) == ("Success", "reset-nodes")
    for name in names:
        node = ask(sdk.show_pool_node, pool_name=pool, node_name=name)
        assert (node.spec.os.name, node.spec.extend_params.runtime, node.status.phase) == ("Ubuntu 22.04", "containerd", "Available")


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"strategy": "Sometimes"}, "rollingConfig.strategy"),
        ({"strategy": "RollingByPercent", "most": 101}, "rollingConfig.maxUnavailable"),
        ({"most": 0}, "rollingConfig.maxUnavailable"),
        ({"runtime": "rkt"}, "nodeConfig.runtime"),
    ],
)
def test_a_wrong_reset_is_refused(sdk, new_pool, change, fragment):
    pool = new_pool()
    with refused(400, BAD, fragment):
        reset(sdk, pool, node_names(sdk, pool), **change)
    assert ask(sdk.list_jobs, name=pool).count == 0


# Binding


def test_bound_nodes_are_those_of_the_sub_pool(sdk, operator, ledger, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    bound, free = node_names(sdk, pool)
    name = fresh_name("sub")
    quota = ledger.pool(name)
    order = order_of(create(sdk, logical(name, pool)))
    operator.post(f"{{p}}/orders/{order}/confirm", {})
    wait_until("the sub-pool runs", lambda: show(sdk, quota).status.phase == "Running")

    def bind(node, quota_name, drain=False):
        body = BatchBindPoolNodesReq(nodes=[BindNodeItem(name=node, quota_name=quota_name)], drain=drain)
        return ask(sdk.batch_bind_pool_nodes, pool_name=pool, body=body)

    assert node_names(sdk, quota) == []
    bind(bound, quota, drain=True)
    assert node_names(sdk, quota) == [bound]
    labels = ask(sdk.show_pool_node, pool_name=pool, node_name=bound).metadata.labels
    assert labels.os_modelarts_node_elastic_quota == quota
    with refused(400, BAD, f"the quota of node {bound} does not change"):
        bind(bound, quota)
    with refused(400, BAD, "quotaName"):
        bind(free, "pool-nowhere")
    with refused(404, NOT_FOUND, "os-node-none"):
        bind("os-node-none", quota)
    assert node_names(sdk, quota) == [bound]
    bind(bound, "")
    assert node_names(sdk, quota) == []


# Migration


def migrate(sdk, names, source, target, flavor=CPU8):
    spec = MigrateResourceSpec(flavor=flavor)
    body = NodeBatchMigrationRequest(migrate_node_names=names, from_cluster_name=source, to_cluster_name=target, resource_spec=spec)
    return ask(sdk.batch_migrate_pool_nodes, pool_name=source, body=body).job_id


def test_a_node_moves_to_another_pool_with_its_machine(sdk, api, new_pool):
    source, target = new_pool(resources=[{"flavor": CPU8, "count": 3}]), new_pool()
    moving = node_names(sdk, source)[0]
    machine = show_node(sdk, source, moving)["metadata"]["labels"][MACHINE]
    job = wait_for_job(api, migrate(sdk, [moving], source, target))
    assert (job["phase"], job["type"]) == ("Success", "migrate-nodes")
    assert (counts_of(sdk, source), counts_of(sdk, target)) == ([(CPU8, 2)], [(CPU8, 2)])
    wait_for_nodes(sdk, source, 2)
    wait_for_nodes(sdk, target, 2)
    moved = show_node(sdk, target, moving)["metadata"]["labels"]
    assert (moved[MACHINE], moved["os.modelarts.node/cluster"]) == (machine, target)
    with refused(404, NOT_FOUND):
        show_node(sdk, source, moving)


def test_a_migration_that_cannot_be_moves_nothing(sdk, new_pool):
    source, target = new_pool(resources=[{"flavor": CPU8, "count": 2}]), new_pool()
    names = node_names(sdk, source)
    with refused(400, BAD, "toClusterName"):
        migrate(sdk, names[:1], source, source)
    with refused(400, BAD, "toClusterName"):
        migrate(sdk, names[:1], source, "pool-x")
    with refused(400, BAD, "at least one node must remain"):
        migrate(sdk, names, source, target)
    with refused(400, BAD, "resourceSpec.flavor"):
        migrate(sdk, names[:1], source, target, flavor=GPU)
    with refused(404, NOT_FOUND, "os-node-none"):
        migrate(sdk, ["os-node-none"], source, target)
    ask(sdk.batch_lock_pool_nodes, pool_name=source, body={"nodeNames": names[:1], "actions": ["delete"]})
    with refused(400, BAD, "locked"):
        migrate(sdk, names[:1], source, target)
    assert sorted(node_names(sdk, source)) == sorted(names) and len(node_names(sdk, target)) == 1


# Supernodes


def batches(sdk, pool):
    """The nodes of every supernode."""
    found = {}
    for name in node_names(sdk, pool):
        found.setdefault(show_node(sdk, pool, name)["metadata"]["labels"][BATCH], set()).add(name)
    return found


def test_supernodes_are_resized_by_an_order(sdk, super_flavor, new_pool):
    step = {"type": "hyperinstance", "step": 2}
    pool = new_pool(resources=[{"flavor": super_flavor, "count": 4, "creatingStep": step}])
    before = batches(sdk, pool)
    assert [len(nodes) for nodes in before.values()] == [2, 2]

    def resize(uids, source, target):
        ends = [NodeResizeParams(flavor=super_flavor, creating_step={**step, "step": number}) for number in (source, target)]
        body = BatchResizeRequestBody(nodes=[ResizeNodeInfo(batch_uid=uid) for uid in uids], source=ends[0], target=ends[1])
        return ask(sdk.batch_resize_pool_nodes, pool_name=pool, body=body)

    with refused(400, BAD, "every batch"):
        resize(list(before)[:1], 2, 4)
    with refused(400, BAD, "batchUID"):
        resize(["x"], 2, 4)
    with refused(400, BAD, "2 at a time"):
        ask(sdk.batch_delete_pool_nodes, pool_name=pool, body={"deleteNodeNames": node_names(sdk, pool)[:1]})
    assert batches(sdk, pool) == before
    resize(list(before), 2, 4)
    wait_for_nodes(sdk, pool, 8)
    after = batches(sdk, pool)
    assert [len(nodes) for nodes in after.values()] == [4, 4]
    assert all(nodes < after[uid] for uid, nodes in before.items()), "a supernode keeps its nodes"
    assert counts_of(sdk, pool) == [(super_flavor, 8)]


def test_only_supernodes_are_resized(sdk, new_pool):
    pool = new_pool()
    end = {"flavor": CPU8, "creatingStep": {"type": "rack", "step": 2}}
    with refused(400, BAD, "only support hyperinstance scale currently"):
        ask(sdk.batch_resize_pool_nodes, pool_name=pool, body={"nodes": [{"batchUID": "x"}], "source": end, "target": end})
    assert counts_of(sdk, pool) == [(CPU8, 1)]
