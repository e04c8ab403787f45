"""Monitoring and statistics of pools through the vendor's SDK."""

import time

import pytest

from sdk_calls import BAD, GPU, NO_POOL, ask, create, delete, gone, logical, nowhere, order_of, refused
from support import fresh_name, wait_until

METRICS = [
    "cpuUsage", "memUsedRate", "gpuUtil", "gpuMemUsage", "npuUtil", "npuMemUsage", "diskAvailableCapacity", "diskCapacity", "diskUsedRate",
]


def monitor(sdk, pool, **query):
    return {series.metric.metric_name: series for series in ask(sdk.show_pool_monitor, pool_name=pool, **query).metrics}


@pytest.fixture(scope="module")
def pool(module_pool):
    return module_pool(resources=[{"flavor": GPU, "count": 1}])


def test_an_hour_is_shown_in_minutes(sdk, pool):
    found = monitor(sdk, pool)
    assert list(found) == METRICS
    clusters = {series.metric.dimensions[0].value for series in found.values()}
    assert len(clusters) == 1 and {series.metric.dimensions[0].name for series in found.values()} == {"clusterId"}
    assert {series.metric.namespace for series in found.values()} == {"PAAS.AGGR"}
    units = {name: {point.unit for point in series.data_points} for name, series in found.items()}
    assert units["cpuUsage"] == {"Percent"} and units["diskCapacity"] == {"Megabytes"} and units["npuUtil"] == {""}
    for name, series in found.items():
        points = series.data_points
        stamps = [point.timestamp for point in points]
        assert len(points) == 60 and {later - earlier for earlier, later in zip(stamps, stamps[1:])} == {60_000}
        assert all([statistic.statistic for statistic in point.statistics] == ["maximum"] for point in points)
        first = points[0].statistics[0].value
        assert first == -1, f"{name}: the pool was not there an hour ago"
    assert abs(time.time() * 1000 - found["cpuUsage"].data_points[-1].timestamp) < 180_000


@pytest.mark.parametrize("statistic", ["maximum", "minimum", "sum", "average", "sampleCount"])
def test_every_statistic_and_period_is_answered(sdk, pool, statistic):
    series = monitor(sdk, pool, time_range="-1.-1.10", statistics=statistic, period="300")["cpuUsage"]
    assert len(series.data_points) == 2
    assert {entry.statistic for point in series.data_points for entry in point.statistics} == {statistic}


def test_a_range_may_begin_or_end_somewhere(sdk, pool):
    begin = (int(time.time()) // 60 - 30) * 60_000

    def stamps(time_range):
        return [point.timestamp for point in monitor(sdk, pool, time_range=time_range)["cpuUsage"].data_points]

    whole = stamps(f"{begin}.-1.10")
    assert len(whole) == 10 and begin <= whole[0] and whole[-1] <= begin + 600_000
    assert stamps(f"-1.{begin + 600_000}.10") == stamps(f"{begin}.{begin + 600_000}.10") == whole


@pytest.mark.parametrize(
    ("query", "fragment"),
    [
        ({"time_range": "x"}, "time_range"),
        ({"time_range": "-1.-1.0"}, "time_range"),
        ({"time_range": "20.10.5"}, "time_range"),
        ({"time_range": "-1.-1.1441"}, ""),
        ({"statistics": "median"}, "statistics"),
        ({"period": "10"}, "period"),
    ],
)
def test_a_wrong_question_is_refused(sdk, pool, query, fragment):
    with refused(400, BAD, fragment):
        monitor(sdk, pool, **query)


def test_an_unknown_pool_is_not_monitored(sdk, settings):
    with refused(404, NO_POOL):
        monitor(sdk, nowhere(settings))


def test_statistics_count_pools_by_what_has_become_of_them(sdk, operator, ledger, pool):
    def counted():
        answer = ask(sdk.show_pool_statistics).to_json_object()
        assert answer["operationTime"].endswith(" +0000 UTC")
        return answer["statistics"]["status"]

    before = counted()
    assert set(before) == {"created", "creating", "deleting", "failed", "pending"} and before["created"] >= 1
    name = fresh_name("sub")
    child = ledger.pool(name)
    order = order_of(create(sdk, logical(name, pool, [{"flavor": GPU, "count": 1}])))
    assert counted() == {**before, "pending": before["pending"] + 1}
    operator.post(f"{{p}}/orders/{order}/confirm", {})
    wait_until("it is created", lambda: counted() == {**before, "created": before["created"] + 1})
    delete(sdk, child)
    wait_until("it is gone", lambda: gone(sdk, child))
    assert counted() == before
    elsewhere = ask(sdk.show_pool_statistics, workspace_id="0" * 31 + "9").statistics.status
    assert (elsewhere.created, elsewhere.creating, elsewhere.failed, elsewhere.pending) == (0, 0, 0, 0)
