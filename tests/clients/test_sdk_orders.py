"""Orders, their details and ids: plain lists over signed HTTP, the rest through the vendor's SDK."""

import re
import time

import pytest
from huaweicloudsdkmodelarts.v1 import CreateOrderRequestBody

from sdk_calls import (
    BAD, CPU8, NO_POOL, NOT_FOUND, ask, counts_of, create, dedicated, delete, gone, logical, node_names, nowhere, order_of, patch, refused,
    show, wait_for_nodes, wait_for_phase,
)
from support import fresh_name, wait_until

BILLING = "os.modelarts/billing.mode"
TERMS = {BILLING: "1", "os.modelarts/period.num": "3", "os.modelarts/period.type": "2"}


@pytest.fixture
def orders(api):
    def find(name, query=""):
        answer = api.get(f"/v1/{{p}}/orders?involvedName={name}{query}").expect(200)
        assert answer["count"] >= len(answer["items"])
        return answer["items"]

    return find


def wait_for_order(orders, pool, name, phase="successed"):
    def ended():
        found = [order for order in orders(pool) if order["orderName"] == name]
        return found[0] if found and found[0]["phase"] == phase else None

    return wait_until(f"order {name} is {phase}", ended)


def issue(sdk, pool, **query):
    return ask(sdk.create_order_id, name=pool, **query).id


def sizes(counts):
    return [(element["flavor"], element["count"]) for element in counts]


# Orders and their details


def test_every_change_of_a_pool_is_an_order(sdk, settings, orders, new_pool):
    pool = new_pool()
    name = pool.removesuffix(f"-{settings.project_id}")
    made = wait_for_order(orders, pool, order_of(show(sdk, pool)))
    assert (made["operation"], made["resourceName"], made["resourceDisplayName"]) == ("apply", pool, name)
    assert (made["initCount"], sizes(made["specCount"]), sizes(made["resultCount"])) == ([], [(CPU8, 1)], [(CPU8, 1)])
    assert made["result"] == "successed" and made["workspaceId"] == "0" and made["orderId"].startswith("CS")
    assert 0 < made["creationTimestamp"] <= made["beginTimestamp"] <= made["endTimestamp"]

    grown = wait_for_order(orders, pool, order_of(patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 3}]}})))
    assert (grown["operation"], sizes(grown["initCount"]), sizes(grown["resultCount"])) == ("modify", [(CPU8, 1)], [(CPU8, 3)])
    detail = ask(sdk.show_order, order_name=grown["orderName"])
    assert detail.count == len(detail.items) == 2
    assert {(item.action, item.status) for item in detail.items} == {("createNode", "succeed")}
    assert {item.resource_name for item in detail.items} < set(node_names(sdk, pool))
    assert all(isinstance(item.begin_timestamp, str) and item.begin_timestamp <= item.update_timestamp for item in detail.items)

    assert [order["orderName"] for order in orders(name)] == [grown["orderName"], made["orderName"]], "newest first, by either name"
    delete(sdk, pool)
    wait_until("the pool is gone", lambda: gone(sdk, pool))
    last = orders(pool)[0]
    assert (last["operation"], last["phase"], sizes(last["initCount"])) == ("delete", "successed", [(CPU8, 3)]), "orders outlive the pool"
    assert "deletePool" in {item.action for item in ask(sdk.show_order, order_name=last["orderName"]).items}


def test_orders_are_filtered_and_paged(sdk, api, orders, new_pool):
    pool = new_pool()
    wait_for_order(orders, pool, order_of(show(sdk, pool)))
    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 2}]}})
    wait_for_order(orders, pool, order_of(show(sdk, pool)))
    both = [order["orderName"] for order in orders(pool)]

    def names(query):
        return [order["orderName"] for order in orders(pool, query)]

    now = int(time.time() * 1000)
    assert len(both) == 2 and names("&limit=0") == names("&resource=pools") == names("&workspaceId=0") == both
    assert names("&limit=1&offset=1") == both[1:] and names("&offset=500") == []
    assert names("&phase=successed") == names("&result=successed") == both and names("&phase=failed") == []
    assert names(f"&since={now - 3_600_000}&until={now + 60_000}") == both and names(f"&since={now + 60_000}") == []
    for wrong in ("phase=lost", "limit=-1", "offset=-1", "since=x", "resource=networks"):
        api.get(f"/v1/{{p}}/orders?{wrong}").expect_error(400, BAD, wrong.partition("=")[0])
    assert orders("no-such-pool") == []
    with refused(404, NOT_FOUND, "Order order.none-bcdfg not found."):
        ask(sdk.show_order, order_name="order.none-bcdfg")


def test_a_logical_pool_waits_until_its_order_is_decided(sdk, operator, ledger, orders, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    pending = {}
    for decision in ("confirm", "reject"):
        name = fresh_name("sub")
        ledger.pool(name)
        created = create(sdk, logical(name, pool))
        assert created.status.phase == "Waiting"
        pending[decision] = (created.metadata.name, order_of(created))
        assert orders(name)[0]["phase"] == "pending"
    for decision, (_, order) in pending.items():
        body = {"reason": "no room for it"} if decision == "reject" else {}
        operator.post(f"{{p}}/orders/{order}/{decision}", body)
    child, order = pending["confirm"]
    wait_for_phase(sdk, child)
    wait_for_order(orders, child, order)
    child, order = pending["reject"]
    wait_for_phase(sdk, child, "CreationFailed")
    assert "no room for it" in wait_for_order(orders, child, order, "failed")["failReason"]
    assert show(sdk, pool).metadata.annotations.os_modelarts_pool_subpools_count == "1"


def prepaid_pool(settings, name):
    body = dedicated(name, settings.demo_network)
    body["metadata"]["annotations"] = dict(TERMS)
    return body


def test_a_prepaid_pool_tells_its_terms(sdk, settings, ledger, orders):
    name = fresh_name("paid")
    pool = ledger.pool(name)
    created = create(sdk, prepaid_pool(settings, name))
    assert created.metadata.annotations.os_modelarts_billing_mode == "1"
    wait_for_phase(sdk, pool)
    order = wait_for_order(orders, pool, order_of(created))
    assert (order["billingMode"], order["periodNum"], order["periodType"]) == ("1", "3", "2")
    wrong = prepaid_pool(settings, fresh_name("paid"))
    del wrong["metadata"]["annotations"]["os.modelarts/period.num"]
    with refused(400, BAD, "os.modelarts/period.num"):
        create(sdk, wrong)


def test_a_console_lets_a_prepaid_pool_wait_for_its_payment(sdk, api, settings, operator, ledger, orders):
    name = fresh_name("paid")
    pool = ledger.pool(name)
    made = api.call("POST", "/v2/{p}/pools", prepaid_pool(settings, name), extra={"request-type": "console"}).expect(200)
    assert (made["status"]["phase"], made["status"]["message"]) == ("Waiting", "waiting for the order to be paid")
    assert made["metadata"]["labels"]["os.modelarts/create-from"] == "console"
    order = orders(pool)[0]
    assert (order["phase"], order["beginTimestamp"], order["endTimestamp"]) == ("pending", 0, 0)
    assert node_names(sdk, pool) == []
    operator.post(f"{{p}}/orders/{order['orderName']}/confirm", {})
    wait_for_phase(sdk, pool)
    wait_for_order(orders, pool, order["orderName"])
    assert len(node_names(sdk, pool)) == 1


# Order ids


def prepaid(order_id):
    """A dict, since the SDK's model of a patch knows the order id alone."""
    annotations = {**TERMS, "os.modelarts/order.id": order_id}
    return {"metadata": {"annotations": annotations}}


def test_an_order_id_makes_a_pool_prepaid(sdk, orders, new_pool):
    pool = new_pool()
    order_id = issue(sdk, pool, body=CreateOrderRequestBody(action_type="toPeriod"))
    assert re.fullmatch(r"CS\d{10}[0-9A-Z]{7}", order_id)
    assert issue(sdk, pool, action_type="toPeriod", workspace_id="0") == order_id, "it has not been used yet"
    before = show(sdk, pool)
    assert before.metadata.annotations.os_modelarts_billing_mode == "0"
    switched = patch(sdk, pool, prepaid(order_id))
    annotations = show(sdk, pool).metadata.annotations
    assert (annotations.os_modelarts_billing_mode, annotations.os_modelarts_order_id) == ("1", order_id)
    assert (annotations.os_modelarts_period_num, annotations.os_modelarts_period_type) == ("3", "2")
    assert order_of(switched) != order_of(before)
    newest = orders(pool)[0]
    assert (newest["orderName"], newest["orderId"], newest["phase"]) == (order_of(switched), order_id, "successed")
    assert [item.action for item in ask(sdk.show_order, order_name=order_of(switched)).items] == ["toPeriodic"]
    with refused(400, BAD, "already"):
        issue(sdk, pool)


def test_an_order_id_is_not_for_every_purpose_or_pool(sdk, settings, operator, new_pool):
    pool = new_pool()
    with refused(400, BAD, "actionType"):
        issue(sdk, pool, action_type="renew")
    with refused(400, BAD):
        patch(sdk, pool, prepaid("CS2304191748WNW2R"))
    order_id = issue(sdk, pool)
    operator.call("PUT", f"{{p}}/pools/{pool}/control-mode", {"controlMode": 1}).expect(200)
    with refused(400, BAD, "restricted"):
        issue(sdk, pool)
    with refused(400, BAD, "restricted"):
        patch(sdk, pool, prepaid(order_id))
    assert show(sdk, pool).metadata.annotations.os_modelarts_billing_mode == "0"
    nothing = nowhere(settings)
    with refused(404, NO_POOL, f"Pool {nothing} not found."):
        issue(sdk, nothing)


def test_billing_of_new_nodes_needs_new_nodes(sdk, new_pool):
    pool = new_pool()
    with refused(400, BAD):
        patch(sdk, pool, {"metadata": {"annotations": TERMS}})
    old = node_names(sdk, pool)
    patch(sdk, pool, {"metadata": {"annotations": TERMS}, "spec": {"resources": [{"flavor": CPU8, "count": 2}]}})
    wait_for_nodes(sdk, pool, 2)
    assert counts_of(sdk, pool) == [(CPU8, 2)]
    assert show(sdk, pool).metadata.annotations.os_modelarts_billing_mode == "0"
    nodes = ask(sdk.list_pool_nodes, pool_name=pool).to_json_object()["items"]
    modes = {item["metadata"]["name"]: item["metadata"]["annotations"].get(BILLING, "0") for item in nodes}
    assert {modes[name] for name in old} == {"0"} and sorted(modes.values()) == ["0", "1"]
