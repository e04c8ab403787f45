"""Logical pools through the vendor's SDK: parents, sums, and how they end."""

from sdk_calls import BAD, CPU4, CPU8, create, delete, gone, listed, logical, order_of, patch, refused, show, wait_for_phase
from support import fresh_name, wait_until


def sized(count, most=None):
    return [{"flavor": CPU8, "count": count, "maxCount": most or count}]


def test_a_sub_pool_names_its_parent_in_a_dict(sdk, api, ledger, new_pool):
    parent = new_pool()
    name = fresh_name("sub")
    child = ledger.pool(name)
    created = create(sdk, logical(name, parent))
    assert (created.status.parent, created.status.phase) in [(parent, "Waiting"), (parent, "Running")]
    assert created.to_json_object()["status"]["resources"] == {}
    assert show(sdk, parent).metadata.annotations.os_modelarts_pool_subpools_count == "1"
    children = api.get(f"/v2/{{p}}/pools?parent={parent}").expect(200)["items"]
    assert [item["metadata"]["name"] for item in children] == [child]
    with refused(400, BAD, "sub-pool"):
        delete(sdk, parent)
    delete(sdk, child)
    wait_until("the sub-pool is gone", lambda: gone(sdk, child))
    assert show(sdk, parent).metadata.annotations.os_modelarts_pool_subpools_count == "0"


def test_sub_pools_share_what_the_parent_has(sdk, operator, ledger, new_pool):
    parent = new_pool(resources=[{"flavor": CPU8, "count": 3}])

    def ask_for(resources):
        name = fresh_name("sub")
        ledger.pool(name)
        return create(sdk, logical(name, parent, resources))

    first = ask_for(sized(2, 3))
    for too_much in (sized(2), sized(1, 4), [{"flavor": CPU4, "count": 1}]):
        with refused(400, BAD):
            ask_for(too_much)
    assert show(sdk, parent).metadata.annotations.os_modelarts_pool_subpools_count == "1", "a waiting one counts too"
    operator.post(f"{{p}}/orders/{order_of(first)}/confirm", {})
    child = first.metadata.name
    shown = wait_for_phase(sdk, child)
    assert (shown.status.root, shown.status.parent, shown.spec.resources[0].max_count) == (parent, parent, 3)
    with refused(400, BAD):
        patch(sdk, parent, {"spec": {"resources": [{"flavor": CPU8, "count": 1}]}})
    assert patch(sdk, child, {"spec": {"resources": sized(3)}}).spec.resources[0].count == 3
    with refused(400, BAD):
        patch(sdk, child, {"spec": {"resources": sized(4)}})
    for wrong in ({"scope": ["Train", "Infer"]}, {"driver": {"gpuVersion": "440.33"}}):
        with refused(400, BAD, next(iter(wrong))):
            patch(sdk, child, {"spec": wrong})
    assert show(sdk, child).spec.resources[0].count == 3 and show(sdk, parent).spec.resources[0].count == 3


def test_a_pool_without_a_parent_waits_and_can_be_taken_back(sdk, ledger):
    """The published logical example, with its integer as an annotation."""
    name = fresh_name("logic")
    pool = ledger.pool(name)
    annotations = {"os.modelarts/description": "", "os.modelarts/billing.mode": 0, "os.modelarts/product.id": "xxx"}
    metadata = {"labels": {"os.modelarts/name": name}, "annotations": annotations}
    spec = {"type": "Logical", "scope": ["Train"], "resources": [{"flavor": "modelarts.vm.gpu.tnt004", "count": 2}]}
    created = create(sdk, {"kind": "Pool", "apiVersion": "v1", "metadata": metadata, "spec": spec}).to_json_object()
    assert (created["apiVersion"], created["status"]["phase"], created["status"]["resources"]) == ("v2", "Waiting", {})
    assert created["status"]["message"] == "waiting for administrator approval"
    kept = created["metadata"]["annotations"]
    assert (kept["os.modelarts/billing.mode"], kept["os.modelarts/product.id"]) == ("0", "xxx")
    assert pool in listed(sdk, status="creating") and pool not in listed(sdk, status="created")
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
