"""Events of a pool, and events that an operator schedules for nodes and a user accepts."""

from datetime import datetime, timedelta, timezone

import pytest
from huaweicloudsdkmodelarts.v1 import EventUpdate, RedeployConfig

from sdk_calls import BAD, CPU8, NO_POOL, NOT_FOUND, ask, node_names, nowhere, patch, refused, show_node, wait_for_nodes
from support import wait_until

CHANGED = "Pool resources status changed, available/abnormal/creating/deleting count from"


def events(sdk, pool, **query):
    return ask(sdk.list_events, resource="pools", name=pool, **query)


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# Events


def test_events_tell_of_phases_and_of_nodes(sdk, new_pool):
    pool = new_pool()

    def seen():
        return {event.message: event for event in events(sdk, pool).items}

    begun = wait_until("the pool has begun to run", lambda: seen().get("Pool status changed, from Creating to Running."))
    assert (begun.kind, begun.reason, begun.type, begun.count) == ("Event", "PoolStatusChange", "Normal", 1)
    assert begun.first_timestamp == begun.last_timestamp and begun.last_timestamp.endswith("Z")
    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 2}]}})
    wait_for_nodes(sdk, pool, 2)

    def grown():
        counts = [event for message, event in seen().items() if message.startswith(CHANGED) and " to 2/0/0/0, timestamp: " in message]
        return counts[0] if counts else None

    counted = wait_until("the second node is counted", grown)
    assert (counted.reason, counted.type) == ("PoolResourcesStatusChange", "Normal")


def test_a_broken_machine_is_a_warning(sdk, undo, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    node = node_names(sdk, pool)[0]
    machine = show_node(sdk, pool, node)["metadata"]["labels"]["os.modelarts.node/underlying.instance.id"]
    assert events(sdk, pool, type="Warning").items == []
    undo.make(f"machines/{machine}/faults", {"kind": "faulty", "reason": "a fan is loud"}, f"machines/{machine}/faults")
    wait_until("the node is Abnormal", lambda: show_node(sdk, pool, node)["status"]["phase"] == "Abnormal")
    assert "a fan is loud" in show_node(sdk, pool, node)["status"]["message"]
    warnings = wait_until("there is a warning", lambda: events(sdk, pool, type="Warning").items)
    assert {event.type for event in warnings} == {"Warning"}
    assert warnings[0].reason == "PoolResourcesStatusChange" and " to 1/1/0/0, timestamp: " in warnings[0].message
    assert {event.type for event in events(sdk, pool, type="Normal").items} == {"Normal"}


def test_events_are_paged_by_token_and_by_offset(sdk, api, new_pool):
    pool = new_pool()
    patch(sdk, pool, {"spec": {"resources": [{"flavor": CPU8, "count": 2}]}})
    wait_for_nodes(sdk, pool, 2)
    wait_until("the last count is told", lambda: any(" to 2/0/0/0" in event.message for event in events(sdk, pool).items))
    path = f"/v1/{{p}}/events?resource=pools&name={pool}"
    whole = api.get(path).expect(200)
    messages = [event["message"] for event in whole["items"]]
    assert whole["total"] == len(messages) > 1 and whole["metadata"] == {}
    seen, token = [], None
    for _ in messages:
        page = events(sdk, pool, limit=1, _continue=token)
        seen += [event.message for event in page.items]
        token = page.metadata._continue
    assert seen == messages and not token
    by_offset = [api.get(f"{path}&limit=1&offset={at}").expect(200)["items"][0]["message"] for at in range(len(messages))]
    assert by_offset == messages
    oldest_first = [event["message"] for event in api.get(f"{path}&ascend=true").expect(200)["items"]]
    assert oldest_first == messages[::-1]
    now = int(datetime.now(timezone.utc).timestamp())
    assert len(events(sdk, pool, since=now - 600, until=(now + 600) * 1000).items) == len(messages), "seconds or milliseconds"
    assert events(sdk, pool, since=now + 600).items == events(sdk, pool, until=now - 600).items == []


def test_a_wrong_question_about_events_is_refused(sdk, settings, standing_pool):
    for wrong in ({"type": "Bad"}, {"limit": -1}, {"since": "x"}, {"_continue": "!"}):
        with refused(400, BAD):
            events(sdk, standing_pool, **wrong)
    with refused(400, BAD, "resource"):
        ask(sdk.list_events, resource="pool", name=standing_pool)
    with refused(400, BAD, "name"):
        ask(sdk.list_events, resource="pools")
    pool = nowhere(settings)
    with refused(404, NO_POOL, f"Pool {pool} not found."):
        events(sdk, pool)


# Scheduled events


@pytest.fixture
def announce(operator, undo):
    """An operator announces work on a node; gives the id of the event."""

    def make(node, **more):
        body = {"nodeName": node, "catalog": "hardware", "type": "node_redeploy", "description": "a fan is loud", **more}
        event = undo.make("{p}/scheduled-events", body)["id"]
        undo.also([f"{{p}}/scheduled-events/{event}"])
        return event

    return make


def scheduled(sdk, **query):
    listed = ask(sdk.list_scheduled_events, **query)
    assert listed.count >= len(listed.events)
    return listed.events


def accept(sdk, event, **members):
    return ask(sdk.accept_scheduled_event, event_id=event, body=EventUpdate(**members))


def test_an_announced_event_is_accepted_and_carried_out(sdk, operator, announce, new_pool):
    pool = new_pool()
    node = node_names(sdk, pool)[0]
    event = announce(node, redeployType=["SOFT", "HARD"])
    found = scheduled(sdk, id=event)[0]
    assert (found.state, found.type, found.catalog, found.instance_type) == ("inquiring", "node_redeploy", "hardware", "standard")
    assert (found.node_name, found.pool_name, found.description) == (node, pool, "a fan is loud")
    assert pool.startswith(found.pool_display_name) and sorted(found.redeploy_type) == ["HARD", "SOFT"]
    assert found.publish_time.endswith("Z") and found.instance_id and found.under_lying_instance_id
    assert found.start_time is None

    redeploy = RedeployConfig(type="SOFT", auto_flow="true")
    accepted = accept(sdk, event, redeploy_config=redeploy)
    assert (accepted.id, accepted.state) == (event, "executing") and accepted.start_time
    assert scheduled(sdk, id=event)[0].state == "executing"
    with refused(400, BAD, "executing"):
        accept(sdk, event, redeploy_config=redeploy)
    progress = {"state": "completed", "jobProgress": "3/3", "probeMsg": "quiet"}
    operator.call("PATCH", f"{{p}}/scheduled-events/{event}", progress).expect(200)
    done = scheduled(sdk, id=event)[0]
    assert (done.state, done.job_progress, done.probe_msg) == ("completed", "3/3", "quiet") and done.finish_time


def test_consent_may_name_a_time_to_come(sdk, announce, new_pool):
    event = announce(node_names(sdk, new_pool())[0])
    now = datetime.now(timezone.utc)
    for wrong in (stamp(now - timedelta(hours=1)), "tomorrow"):
        with refused(400, BAD, "notBefore"):
            accept(sdk, event, not_before=wrong)
    with refused(400, BAD, "redeployConfig.type"):
        accept(sdk, event, redeploy_config=RedeployConfig(type="GENTLE"))
    assert scheduled(sdk, id=event)[0].state == "inquiring"
    later = stamp(now + timedelta(hours=2))
    accepted = accept(sdk, event, not_before=later)
    assert (accepted.state, accepted.not_before) == ("scheduled", later)
    with refused(404, NOT_FOUND):
        accept(sdk, "no-such-event")


def test_scheduled_events_are_filtered_and_paged(sdk, announce, new_pool):
    pool = new_pool(resources=[{"flavor": CPU8, "count": 2}])
    first, second = node_names(sdk, pool)
    old = announce(first, type="node_reboot", catalog="software")
    new = announce(second)
    hour_ago, hour_to_come = (stamp(datetime.now(timezone.utc) + timedelta(hours=hours)) for hours in (-1, 1))

    def ids(**query):
        return {event.id for event in scheduled(sdk, pool_name=pool, **query)}

    both = {old, new}
    assert ids() == ids(workspace_id="0") == both
    assert ids(state=["inquiring", "failed"]) == both and ids(state=["failed"]) == set()
    assert ids(type=["node_reboot"]) == {old} and ids(type=["node_reboot", "node_redeploy"]) == both
    assert ids(node_name=second) == {new} and ids(id=old) == {old}
    assert ids(publish_start_time=hour_ago, publish_end_time=hour_to_come) == both
    assert ids(publish_end_time=hour_ago) == ids(publish_start_time=hour_to_come) == set()
    pages = [ids(limit=1, offset=offset) for offset in range(3)]
    assert [len(page) for page in pages] == [1, 1, 0] and set.union(*pages) == both
    assert ask(sdk.list_scheduled_events, pool_name=pool, limit=1).count == 2
    assert scheduled(sdk, pool_name="other") == []
    for wrong in ({"limit": 0}, {"offset": -1}, {"state": ["done"]}, {"type": ["x"]}, {"publish_end_time": "1"}):
        with refused(400, BAD):
            scheduled(sdk, **wrong)


@pytest.fixture(scope="module")
def standing_pool(module_pool):
    return module_pool()
