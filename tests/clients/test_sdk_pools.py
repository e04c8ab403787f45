"""Pools through the vendor's SDK: create, list, show, patch (sent as application/json), nodes, orders, delete."""

import json

import pytest
from huaweicloudsdkmodelarts.v1 import (
    CreatePoolRequestBody,
    ListPoolNodesRequest,
    PoolAnnotationsCreation,
    PoolDriver,
    PoolLabelsCreation,
    PoolMetadataCreation,
    PoolMetadataUpdate,
    PoolMetadataUpdateAnnotations,
    PoolResourceFlavor,
    PoolSpecCreation,
    PoolSpecCreationNetwork,
    PoolSpecUpdate,
    PoolSpecUpdateResources,
    PoolUpdateRequest,
    ShowOrderRequest,
)

from sdk_calls import (
    CPU4, CPU8, GPU, create, dedicated, delete, gone, listed, node_names, order_of, patch, refused, show, wait_for_nodes, wait_for_phase,
)
from support import fresh_name, wait_until

DESCRIPTION = "os.modelarts/description"

# The published create example as it is printed, with its comma before a closing brace.
PUBLISHED = """{
  "kind": "Pool", "apiVersion": "v2",
  "metadata": {
    "annotations": {"os.modelarts/description": ""},
    "labels": {"os.modelarts/name": "%(name)s", "os.modelarts/workspace.id": "0"}
  },
  "spec": {
    "type": "Dedicate", "scope": ["Train"],
    "network": {"name": "%(network)s"},
    "resources": [{"count": 1, "flavor": "modelarts.vm.cpu.8ud",}]
  }
}"""


@pytest.fixture(scope="module")
def standing_pool(sdk, settings, module_ledger):
    """One running pool, its job type enabled, for tests that change nothing in it."""
    name = fresh_name("pool")
    pool = module_ledger.pool(name)
    create(sdk, dedicated(name, settings.demo_network))
    wait_for_phase(sdk, pool)
    wait_until("Train is enabled", lambda: [entry.state for entry in show(sdk, pool).status.scope] == ["Enabled"])
    return pool


# Create


def test_a_pool_made_of_the_sdks_own_models_comes_up(sdk, settings, ledger):
    name = fresh_name("pool")
    ledger.pool(name)
    body = CreatePoolRequestBody(
        api_version="v2",
        kind="Pool",
        metadata=PoolMetadataCreation(
            labels=PoolLabelsCreation(os_modelarts_name=name, os_modelarts_node_prefix="worker"),
            annotations=PoolAnnotationsCreation(os_modelarts_description="made by the SDK", os_modelarts_billing_mode="0"),
        ),
        spec=PoolSpecCreation(
            type="Dedicate",
            scope=["Train", "Infer"],
            resources=[PoolResourceFlavor(flavor=CPU8, count=1, max_count=1)],
            network=PoolSpecCreationNetwork(name=settings.demo_network),
        ),
    )
    created = create(sdk, body)
    assert created.status_code == 200
    assert created.metadata.name == f"{name}-{settings.project_id}"
    assert created.metadata.creation_timestamp.endswith("Z")
    labels, annotations = created.metadata.labels, created.metadata.annotations
    assert labels.os_modelarts_workspace_id == "0" and labels.os_modelarts_pool_biz == "private"
    assert labels.os_modelarts_tenant_project_id == settings.project_id
    assert labels.os_modelarts_resource_id.startswith(f"maos-{name}-")
    assert labels.os_modelarts_order_name.startswith(f"order.{name}-")
    assert annotations.os_modelarts_tenant_domain_name == settings.domain
    assert json.loads(annotations.os_modelarts_flavor_resource_ids)[CPU8].startswith("maos.vm.cpu.8ud.")
    assert created.spec.control_mode == 0 and created.status.phase in ("Creating", "Running")

    running = wait_for_phase(sdk, created.metadata.name)
    assert running.status.root == created.metadata.name
    assert (running.spec.resources[0].count, running.spec.resources[0].max_count) == (1, 1)
    assert [name.split("-")[0] for name in node_names(sdk, created.metadata.name)] == ["worker"]


def test_the_published_example_is_accepted_as_printed(sdk, settings, ledger):
    name = fresh_name("pool")
    pool = ledger.pool(name)
    created = create(sdk, PUBLISHED % {"name": name, "network": settings.demo_network})
    assert created.metadata.name == pool
    wait_for_phase(sdk, pool)


def test_zones_given_as_a_dict_are_kept_and_used(sdk, settings, api, ledger):
    flavors = api.get("/v1/{p}/resourceflavors").expect(200)["items"]
    zones = next(flavor["status"]["phase"] for flavor in flavors if flavor["metadata"]["name"] == CPU8)
    zone = next(name for name, phase in sorted(zones.items()) if phase == "normal")
    name = fresh_name("pool")
    pool = ledger.pool(name)
    azs = [{"az": zone, "count": 1}]
    created = create(sdk, dedicated(name, settings.demo_network, [{"flavor": CPU8, "count": 1, "azs": azs}]))
    assert created.to_json_object()["spec"]["resources"][0]["azs"] == azs
    assert wait_for_nodes(sdk, pool, 1)["status"]["resources"]["available"][0]["azs"] == azs


def test_a_gpu_pool_gets_a_driver_that_ends_up_running(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": GPU, "count": 1}])

    def installed():
        shown = show(sdk, pool)
        return shown if shown.status.driver and shown.status.driver.gpu.state == "Running" else None

    shown = wait_until("the driver is Running", installed)
    assert shown.spec.driver.gpu_version and shown.status.driver.gpu.version == shown.spec.driver.gpu_version


def test_a_name_in_use_is_a_conflict(sdk, settings, standing_pool):
    name = standing_pool.removesuffix(f"-{settings.project_id}")
    with refused(409, "ModelArts.50015000", "already exists"):
        create(sdk, dedicated(name, settings.demo_network))


@pytest.mark.parametrize(
    ("members", "fragment"),
    [
        ({"network": None}, "spec.network"),
        ({"type": "Dedicated"}, "spec.type"),
        ({"scope": []}, "spec.scope"),
        ({"resources": [{"flavor": CPU8, "count": 2, "maxCount": 3}]}, "maxCount"),
        ({"resources": [{"flavor": CPU8, "count": 0}]}, "count"),
        ({"resources": [{"flavor": "modelarts.vm.no.such", "count": 1}]}, "modelarts.vm.no.such"),
        ({"driver": PoolDriver(gpu_version="440.33")}, "driver"),
        ({"parent": "pool-nobody"}, "spec.parent"),
    ],
)
def test_an_invalid_pool_is_refused_with_the_place_of_the_mistake(sdk, settings, ledger, members, fragment):
    name = fresh_name("bad")
    ledger.pool(name)
    with refused(400, "ModelArts.50004000", "Bad request", fragment):
        create(sdk, dedicated(name, settings.demo_network, **members))


def test_an_unknown_workspace_is_refused(sdk, settings, ledger):
    name = fresh_name("bad")
    ledger.pool(name)
    body = dedicated(name, settings.demo_network)
    body["metadata"]["labels"]["os.modelarts/workspace.id"] = "0" * 31 + "9"
    with refused(400, "ModelArts.0102", "workspace"):
        create(sdk, body)


# Read


def test_a_pool_is_listed_where_its_filters_fit(sdk, settings, standing_pool):
    name = standing_pool.removesuffix(f"-{settings.project_id}")
    own = f"os.modelarts/name={name}"
    assert listed(sdk, label_selector=own) == [standing_pool]
    assert listed(sdk, label_selector=own, status="created", workspace_id="0") == [standing_pool]
    assert listed(sdk, label_selector=own, status="creating") == []
    assert listed(sdk, label_selector=own, workspace_id="0" * 31 + "9") == []
    assert listed(sdk, label_selector=f"os.modelarts/name in ({name},other),!no.such/label") == [standing_pool]
    assert standing_pool in listed(sdk)


def test_a_wrong_filter_is_refused(sdk):
    with refused(400, "ModelArts.50004000"):
        listed(sdk, status="bogus")
    with refused(400, "ModelArts.50004000"):
        listed(sdk, label_selector="os.modelarts/name in (a")


def test_an_unknown_pool_is_not_found_whatever_is_asked(sdk, settings):
    unknown = f"{fresh_name('none')}-{settings.project_id}"
    for call in (show, delete, node_names):
        with refused(404, "ModelArts.50015001", "pool not found"):
            call(sdk, unknown)
    with refused(404, "ModelArts.50015001", "pool not found"):
        patch(sdk, unknown, {"spec": {"scope": "broken"}})
    with refused(404, "ModelArts.50015001"):
        show(sdk, "a/b c")
    with refused(404, "ModelArts.50005101"):
        sdk.show_order(ShowOrderRequest(order_name="order.none-bcdfg"))


def test_the_order_of_a_create_names_the_pool_and_its_nodes(sdk, standing_pool):
    order = order_of(show(sdk, standing_pool))

    def finished():
        items = sdk.show_order(ShowOrderRequest(order_name=order)).items
        return items if all(item.status == "succeed" for item in items) else None

    items = wait_until("every item of the order has succeeded", finished)
    by_action = {item.action: item for item in items}
    assert by_action["createPool"].resource_name == standing_pool
    made = [item.resource_name for item in items if item.action == "createNode"]
    assert sorted(made) == sorted(node_names(sdk, standing_pool))
    assert int(by_action["createPool"].begin_timestamp) > 1_600_000_000_000


# Patch


def test_scaling_out_makes_an_order_and_keeps_the_nodes_there_are(sdk, api, new_pool):
    pool = new_pool()
    before, nodes = show(sdk, pool), node_names(sdk, pool)
    body = PoolUpdateRequest(spec=PoolSpecUpdate(resources=[PoolSpecUpdateResources(flavor=CPU8, count=3)]))
    patched = patch(sdk, pool, body)
    assert patched.status_code == 200 and patched.status.phase == "Running"
    assert patched.spec.resources[0].count == 3
    assert order_of(patched) != order_of(before)
    groups = patched.to_json_object()["status"]["resources"]
    assert {group: [element["count"] for element in groups[group]] for group in groups} == {"available": [1], "creating": [2]}
    wait_for_nodes(sdk, pool, 3)
    assert set(nodes) < set(node_names(sdk, pool))

    pages, token = [], None
    while True:
        page = sdk.list_pool_nodes(ListPoolNodesRequest(pool_name=pool, limit=2, _continue=token))
        pages.append([node.metadata.name for node in page.items])
        token = page.metadata._continue
        if not token:
            break
        assert page.metadata.remaining_item_count == 1
    assert [len(page) for page in pages] == [2, 1] and len({name for page in pages for name in page}) == 3

    def orders():
        return api.get(f"/v1/{{p}}/orders?involvedName={pool}").expect(200)["items"]

    wait_until("the order has succeeded", lambda: orders()[0]["phase"] == "successed")
    newest = orders()[0]
    assert (newest["orderName"], newest["operation"]) == (order_of(patched), "modify")
    assert [(element["flavor"], element["count"]) for element in newest["resultCount"]] == [(CPU8, 3)]

    shrunk = patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 1}]}})
    assert order_of(shrunk) != order_of(patched)
    wait_for_nodes(sdk, pool, 1)


def test_a_description_is_set_kept_and_removed_without_an_order(sdk, new_pool):
    pool = new_pool()
    order = order_of(show(sdk, pool))
    annotations = PoolMetadataUpdateAnnotations(os_modelarts_description="nightly training, 100% a.b")
    patched = patch(sdk, pool, PoolUpdateRequest(metadata=PoolMetadataUpdate(annotations=annotations)))
    assert patched.metadata.annotations.os_modelarts_description == "nightly training, 100% a.b"
    assert patch(sdk, pool, {}).metadata.annotations.os_modelarts_description == "nightly training, 100% a.b"
    with refused(400, "ModelArts.50004000", DESCRIPTION):
        patch(sdk, pool, {"metadata": {"annotations": {DESCRIPTION: "a<b"}}})
    removed = patch(sdk, pool, {"metadata": {"annotations": {DESCRIPTION: None}}})
    assert removed.metadata.annotations.os_modelarts_description == ""
    assert order_of(removed) == order


def test_a_driver_is_changed_on_every_node(sdk, new_pool):
    pool = new_pool(resources=[{"flavor": GPU, "count": 2}])

    def state():
        driver = show(sdk, pool).status.driver
        return (driver.gpu.state, driver.gpu.version) if driver else None

    installed = wait_until("the driver is Running", lambda: state() if state() and state()[0] == "Running" else None)[1]
    wanted = PoolDriver(gpu_version="440.33", update_strategy="force")
    patched = patch(sdk, pool, PoolUpdateRequest(spec=PoolSpecUpdate(driver=wanted)))
    assert patched.spec.driver.gpu_version == "440.33" != installed and patched.status.phase == "Running"
    wait_until("the driver is changed", lambda: state() == ("Running", "440.33"))
    nodes = sdk.list_pool_nodes(ListPoolNodesRequest(pool_name=pool)).to_json_object()["items"]
    assert [node["status"]["driver"] for node in nodes] == [{"phase": "Running", "version": "440.33"}] * 2
    for wrong in (PoolDriver(gpu_version="0.0"), PoolDriver(npu_version="C82")):
        with refused(400, "ModelArts.50004000", "driver"):
            patch(sdk, pool, PoolUpdateRequest(spec=PoolSpecUpdate(driver=wrong)))


def test_a_pool_is_shared_and_restricted_by_bits(sdk, operator, new_pool):
    pool = new_pool()
    key = "os.modelarts/sharing"
    shared = patch(sdk, pool, {"metadata": {"labels": {key: "shared"}}})
    assert shared.to_json_object()["metadata"]["labels"][key] == "shared"
    assert patch(sdk, pool, {"metadata": {"labels": {key: None}}}).to_json_object()["metadata"]["labels"][key] == "unshared"
    with refused(400, "ModelArts.50004000", key):
        patch(sdk, pool, {"metadata": {"labels": {key: "borrowed"}}})

    def restrict(bits):
        operator.call("PUT", f"{{p}}/pools/{pool}/control-mode", {"controlMode": bits}).expect(200)

    grow = {"spec": {"resources": [{"flavor": CPU8, "count": 2}]}}
    for bits in (2, 9, 24):
        restrict(bits)
        with refused(400, "ModelArts.50004000", f"pool {pool} is restricted"):
            patch(sdk, pool, grow)
        described = patch(sdk, pool, {"metadata": {"annotations": {DESCRIPTION: f"bits {bits}"}}})
        assert (described.spec.control_mode, described.metadata.annotations.os_modelarts_description) == (bits, f"bits {bits}")
    with refused(400, "ModelArts.50004000", "restricted"):
        delete(sdk, pool)
    restrict(0)
    assert patch(sdk, pool, grow).spec.resources[0].count == 2


def test_a_job_type_is_added_and_removed(sdk, new_pool):
    pool = new_pool()

    def state(job_type):
        return {entry.scope_type: entry.state for entry in show(sdk, pool).status.scope}.get(job_type)

    wait_until("Train is enabled", lambda: state("Train") == "Enabled")
    patched = patch(sdk, pool, {"spec": {"scope": ["Train", "Notebook"]}})
    assert sorted(patched.spec.scope) == ["Notebook", "Train"]
    wait_until("Notebook is enabled", lambda: state("Notebook") == "Enabled")
    assert patch(sdk, pool, {"spec": {"scope": ["Train"]}}).spec.scope == ["Train"]
    wait_until("Notebook is disabled", lambda: state("Notebook") == "Disabled")
    assert state("Train") == "Enabled"


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"scope": []}},
        {"spec": {"resources": None}},
        {"spec": {"resources": [{"flavor": CPU8, "count": 0}]}},
        {"spec": {"resources": [{"flavor": CPU4, "count": 1}]}},
        {"spec": {"type": "Logical"}},
        {"spec": {"driver": {"gpuVersion": "440.33"}}},
        {"metadata": {"labels": {"os.modelarts/name": "another"}}},
        "[]",
        "null",
        '{"spec": ',
    ],
)
def test_a_patch_that_cannot_be_is_refused_and_changes_nothing(sdk, standing_pool, body):
    before = show(sdk, standing_pool).to_json_object()
    with refused(400, "ModelArts.50004000"):
        patch(sdk, standing_pool, body)
    after = show(sdk, standing_pool).to_json_object()
    assert (after["metadata"], after["spec"]) == (before["metadata"], before["spec"])


def test_what_was_read_can_be_sent_back(sdk, standing_pool):
    read = show(sdk, standing_pool).to_json_object()
    written = patch(sdk, standing_pool, read).to_json_object()
    assert (written["metadata"], written["spec"]) == (read["metadata"], read["spec"])


# Delete


def test_a_deleted_pool_says_so_and_is_gone_in_the_end(sdk, new_pool):
    pool = new_pool()
    deleted = delete(sdk, pool)
    assert deleted.status_code == 200 and deleted.metadata.name == pool
    assert deleted.metadata.deletion_timestamp.endswith("Z")
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    assert pool not in listed(sdk)
    with refused(404, "ModelArts.50015001"):
        delete(sdk, pool)
