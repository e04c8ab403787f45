"""What runs and waits in a pool: workloads, their statistics, and real-time metrics. An operator submits the workloads."""

import pytest

from sdk_calls import BAD, CPU8, GPU, NO_POOL, ask, create, delete, gone, logical, nowhere, order_of, refused, show
from support import fresh_name, wait_until


@pytest.fixture
def submit(operator):
    """Submits a workload as soon as the fleet knows the pool; gives it as the operator sees it."""

    def make(pool, kind="train", **members):
        body = {"type": kind, "flavor": CPU8, "nodes": 1, "owner": "ada", **members}

        def taken():
            reply = operator.call("POST", f"{{p}}/pools/{pool}/workloads", body)
            return None if reply.status == 503 else reply.expect(200)

        return wait_until("the workload is taken", taken)

    return make


@pytest.fixture
def busy_pool(sdk, new_pool):
    """Makes a pool with these job types enabled."""

    def make(count=2, scope=("Train",)):
        pool = new_pool(resources=[{"flavor": CPU8, "count": count}], scope=list(scope))
        wait_until("the job types are enabled", lambda: {entry.state for entry in show(sdk, pool).status.scope} == {"Enabled"})
        return pool

    return make


def workloads(sdk, pool, **query):
    return ask(sdk.list_workloads, pool_name=pool, **query)


def uids(sdk, pool, **query):
    return [item.uid for item in workloads(sdk, pool, **query).items]


def statistics(sdk, pool):
    found = ask(sdk.show_workload_statistics, pool_name=pool).statistics
    return found.total, {item.type: (item.total, item.status.running, item.status.queue) for item in found.items}


def test_workloads_are_shown_with_where_they_run(sdk, operator, submit, busy_pool):
    pool = busy_pool()
    assert statistics(sdk, pool) == (0, {})
    running, waiting = submit(pool, nodes=2), submit(pool)
    listed = workloads(sdk, pool)
    assert (listed.kind, listed.api_version, listed.to_json_object()["total"]) == ("WorkloadList", "v1", 2)
    found = {item.uid: item for item in listed.items}
    one, two = found[running["id"]], found[waiting["id"]]
    assert (one.kind, one.type, one.namespace, one.flavor, one.user_name) == ("Workload", "train", pool, CPU8, "ada")
    assert (one.status, two.status, two.pending_position, two.host_ips) == ("Running", "Queue", 1, "")
    addresses = {node.status.private_ip for node in ask(sdk.list_pool_nodes, pool_name=pool).items}
    assert set(one.host_ips.split(",")) == {node.host_ip for node in one.nodes} == addresses
    assert one.resource_requirement.cpu.endswith(" Cores") and one.resource_requirement.memory.endswith(" GiB")
    assert one.pending_position == -1 and one.create_time > 1_600_000_000_000 and "Kind=Job" in one.gvk
    assert statistics(sdk, pool) == (2, {"train": (2, 1, 1)})
    operator.call("DELETE", f"workloads/{running['id']}").expect(200)
    wait_until("the second one runs", lambda: statistics(sdk, pool)[1]["train"][1:] == (1, 0))
    assert {item.uid: item.status for item in workloads(sdk, pool).items}[waiting["id"]] == "Running"


def test_workloads_are_filtered_sorted_and_paged(sdk, submit, busy_pool):
    pool = busy_pool(count=3, scope=["Train", "Infer"])
    made = [submit(pool, kind)["id"] for kind in ("train", "infer", "train", "train")]
    everything = uids(sdk, pool, sort="create_time", ascend=True)
    assert sorted(everything) == sorted(made)
    assert uids(sdk, pool, sort="create_time", ascend=False) == everything[::-1] == uids(sdk, pool)
    assert uids(sdk, pool, sort="create_time", ascend=True, limit=2, offset="1") == everything[1:3]
    assert uids(sdk, pool, offset="9") == [] and len(uids(sdk, pool, limit=0)) == 4
    assert uids(sdk, pool, type="infer") == [made[1]] and uids(sdk, pool, type="notebook") == []
    assert uids(sdk, pool, status="Queue") == [made[3]] and len(uids(sdk, pool, status="Running")) == 3
    hosts = {item.uid: item.host_ips for item in workloads(sdk, pool).items}
    assert uids(sdk, pool, hostip=[hosts[made[0]]]) == [made[0]]
    assert set(uids(sdk, pool, hostip=[hosts[made[0]], hosts[made[1]]], limit=1)) == set(made[:2])
    assert statistics(sdk, pool)[1] == {"train": (3, 2, 1), "infer": (1, 1, 0)}


def test_a_wrong_question_about_workloads_is_refused(sdk, settings, new_pool):
    pool = new_pool()
    wrong = ({"type": "game"}, {"status": "Lost"}, {"sort": "name"}, {"offset": "-1"}, {"offset": "2147483648"}, {"limit": -1})
    for query in wrong:
        with refused(400, BAD, next(iter(query))):
            workloads(sdk, pool, **query)
    nothing = nowhere(settings)
    for call in (uids, statistics):
        with refused(404, NO_POOL, f"Pool {nothing} not found."):
            call(sdk, nothing)


def test_workloads_hold_a_job_type_and_end_with_the_pool(sdk, operator, submit, busy_pool):
    pool = busy_pool(scope=["Train", "Infer"])
    workload = submit(pool, "infer")["id"]
    sdk_scope = {"spec": {"scope": ["Train"]}}
    ask(sdk.patch_pool, pool_name=pool, body=sdk_scope)

    def infer():
        return {entry.scope_type: entry.state for entry in show(sdk, pool).status.scope}["Infer"]

    wait_until("Infer is being disabled", lambda: infer() == "Disabling")
    assert statistics(sdk, pool)[1]["infer"][1] == 1, "nothing is killed"
    refusal = operator.call("POST", f"{{p}}/pools/{pool}/workloads", {"type": "infer", "flavor": CPU8})
    refusal.expect_error(400, BAD, "Infer")
    operator.call("DELETE", f"workloads/{workload}").expect(200)
    wait_until("Infer is disabled", lambda: infer() == "Disabled")

    last = submit(pool)["id"]
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    left = operator.call("GET", f"workloads/{last}")
    assert left.status == 404 or left.json()["status"] == "Terminated"


# Real-time metrics


def metrics(sdk):
    listed = ask(sdk.show_pool_runtime_metrics)
    assert (listed.kind, listed.api_version) == ("PoolMetricsList", "v2")
    return {item["metadata"]["name"]: item for item in listed.to_json_object()["items"]}


def test_metrics_tell_what_pools_have_and_use(sdk, operator, submit, ledger, busy_pool):
    pool = busy_pool()
    item = metrics(sdk)[pool]
    assert item["metadata"]["labels"]["os.modelarts/name"] == show(sdk, pool).metadata.labels.os_modelarts_name
    capacity, allocated = item["table"]["capacity"], item["table"]["allocated"]
    assert (capacity["value"], capacity["window"]) == ({"cpu": "16", "memory": "64Gi"}, "1m")
    assert capacity["maxValue"] == capacity["value"] and capacity["timestamp"].endswith("Z")
    assert allocated["value"]["cpu"] == "0"
    workload = submit(pool)["id"]

    def used():
        return metrics(sdk)[pool]["table"]["allocated"]["value"]

    wait_until("the workload is counted", lambda: used()["cpu"] == "7920m")
    nodes = ask(sdk.list_pool_nodes, pool_name=pool).items
    assert sorted(node.status.available_resources.cpu for node in nodes) == ["0", "7920m"]
    operator.call("DELETE", f"workloads/{workload}").expect(200)
    wait_until("nothing is used", lambda: used()["cpu"] == "0")

    name = fresh_name("sub")
    child = ledger.pool(name)
    order = order_of(create(sdk, logical(name, pool, [{"flavor": CPU8, "count": 1, "maxCount": 2}])))
    assert child not in metrics(sdk), "it waits for approval"
    operator.post(f"{{p}}/orders/{order}/confirm", {})
    capacity = metrics(sdk)[child]["table"]["capacity"]
    assert (capacity["value"]["cpu"], capacity["maxValue"]["cpu"]) == ("8", "16")
    delete(sdk, child)
    wait_until("the sub-pool is gone", lambda: gone(sdk, child))
    assert child not in metrics(sdk)


def test_metrics_name_accelerators_by_their_model(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": GPU, "count": 2}])
    value = metrics(sdk)[pool]["table"]["capacity"]["value"]
    assert value == {"cpu": "16", "memory": "64Gi", "nvidia-t4": "2"}
    assert all(isinstance(quantity, str) for quantity in value.values())
