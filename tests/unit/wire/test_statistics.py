"""Statistics and usage metrics as clients ask for them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.metering import INTERVAL_US, Cores, Meter, PoolUsage
from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskState
from penstock.domain.usage import Usage
from tests.wire.edge import ACCOUNT, Edge
from tests.wire.fakes import NOON_US

SECOND_US = 1_000_000
MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
LISTS = ("/pools", "/jobs", "/jobs/Job/tasks", "/jobschedules", "/jobschedules/S/jobs")
THINGS = ("/pools/Pool", "/jobs/Job", "/jobs/Job/tasks/T", "/jobschedules/S")


@pytest.fixture(scope="module")
def edge() -> Edge:
    edge = Edge()
    pool = {"id": "Pool", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}
    job: dict[str, Any] = {"poolInfo": {"poolId": "Pool"}}
    schedule = {"id": "S", "schedule": {}, "jobSpecification": job}
    for path, body in (
        ("/pools", {**pool, "targetDedicatedNodes": 1}),
        ("/jobs", {"id": "Job", **job}),
        ("/jobs/Job/tasks", {"id": "T", "commandLine": "true"}),
        ("/jobschedules", schedule),
    ):
        assert edge.ask("POST", path, body).status_code == 201
    return edge


def keep(edge: Edge, *changes: c.Change) -> None:
    asyncio.run(edge.service._keep(*changes))


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --- $expand -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*LISTS, *THINGS])
def test_stats_are_there_where_they_are_asked_for_and_selected(edge: Edge, path: str) -> None:
    def found(query: str) -> list[dict[str, Any]]:
        answer = edge.ask("GET", f"{path}?{query}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return body["value"] if path in LISTS else [body]

    for query in ("", "$expand=stats&$select=id", "$expand="):
        assert all("stats" not in each for each in found(query)), query
    for query in (
        "$expand=stats",
        "$select=id,stats",
        "$expand=stats&$select=id,stats",
        "%24expand=Stats",
    ):
        assert all(each["stats"]["url"].startswith("http://") for each in found(query)), query
    assert found("$expand=stats")


@pytest.mark.parametrize("path", [*LISTS, *THINGS, "/pools/none"])
def test_nothing_else_can_be_expanded(edge: Edge, path: str) -> None:
    answer = edge.ask("GET", f"{path}?$expand=stats,nodes")
    assert told(answer) == (400, "InvalidQueryParameterValue")


def test_a_thing_that_used_nothing_has_all_members(edge: Edge) -> None:
    stats = edge.ask("GET", "/jobs/Job?$expand=stats").json()["stats"]
    job = edge.ask("GET", "/jobs/Job").json()
    assert stats.pop("url") == f"{job['url']}?$expand=stats"
    assert stats.pop("startTime") == stats.pop("lastUpdateTime") == job["creationTime"]
    lengths = ("userCPUTime", "kernelCPUTime", "wallClockTime", "waitTime")
    numbers = ("readIOps", "writeIOps", "numSucceededTasks", "numFailedTasks", "numTaskRetries")
    assert stats == {
        **dict.fromkeys(lengths, "PT0S"),
        **dict.fromkeys(numbers, "0"),
        **dict.fromkeys(("readIOGiB", "writeIOGiB"), 0.0),
    }
    pool = edge.ask("GET", "/pools/Pool?$expand=stats").json()["stats"]
    assert pool["usageStats"]["dedicatedCoreTime"] == "PT0S"
    assert len(pool["resourceStats"]) == 13


def test_what_is_known_so_far(edge: Edge) -> None:
    service = edge.service
    job, (task, spec) = asyncio.run(found_task(edge))

    def shown() -> tuple[str, str, str]:
        stats = edge.ask("GET", f"/jobs/{job}/tasks/T?$expand=stats").json()["stats"]
        return stats["waitTime"], stats["wallClockTime"], stats["lastUpdateTime"]

    begun_us, service.now_us = service.now_us, task.state_us + 5 * SECOND_US
    assert shown()[:2] == ("PT5S", "PT0S")
    at_us = service.now_us
    runs = replace(
        task,
        state=TaskState.RUNNING,
        state_us=at_us,
        previous_state_us=at_us - SECOND_US,
        start_us=at_us,
    )
    keep(edge, c.SetTask(runs, task.state))
    service.now_us = at_us + 90 * SECOND_US
    wait, wall, _ = shown()
    assert (wait, wall) == ("PT1S", "PT1M30S")
    used = Usage(wall_us=7 * SECOND_US, wait_us=SECOND_US)
    over = replace(runs, state=TaskState.COMPLETED, end_us=at_us + 7 * SECOND_US, usage=used)
    keep(edge, c.SetTask(over, runs.state))
    first = shown()
    service.now_us += SECOND_US
    assert shown() == first, "it grows no more"
    assert first[:2] == ("PT1S", "PT7S")
    keep(edge, c.SetTask(task, over.state))
    service.now_us = begun_us
    assert spec


async def found_task(edge: Edge) -> tuple[str, tuple[TaskRecord, bytes]]:
    job = await edge.service.store.job(ACCOUNT, "Job")
    assert job is not None
    found = await edge.service.store.task(job.no, "T")
    assert found is not None
    return job.id, found


# --- usage metrics -------------------------------------------------------------------------------


def at(interval: int) -> str:
    """When an interval begins, counted from noon."""
    minutes = 12 * 60 + 30 * interval
    return f"2024-01-01T{minutes // 60:02}:{minutes % 60:02}:00Z"


@pytest.fixture
def used() -> Edge:
    """A pool that is gone, with what it used before noon, and two that are there since eleven."""
    edge = Edge()
    gone = PoolUsage(
        account=ACCOUNT,
        pool_no=900,
        pool_id="Gone",
        vm_size="standard_a1",
        start_us=NOON_US - 6 * INTERVAL_US,
        end_us=NOON_US - 2 * INTERVAL_US,
        core_s=4 * 1800.0,
    )
    keep(edge, c.AddPoolUsage(gone))
    for no, name in ((901, "here"), (902, "there")):
        meter = Meter(
            pool_no=no,
            account=ACCOUNT,
            pool_id=name,
            vm_size="standard_d2s_v3",
            since_us=NOON_US - 2 * INTERVAL_US,
            cores=Cores(2, 1),
        )
        keep(edge, c.PutMeter(meter))
    theirs = replace(gone, account="another", pool_no=903, pool_id="theirs")
    keep(edge, c.AddPoolUsage(theirs))
    edge.service.now_us = NOON_US + 600 * SECOND_US
    return edge


Rows = list[tuple[str, str, float]]


def rows(edge: Edge, query: str) -> Rows:
    """All pages: pool, start in hours and minutes, core hours."""
    target, found = f"/poolusagemetrics?{query}", []
    while target:
        answer = edge.ask("GET", target, version=None if "api-version" in target else "2025-06-01")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += [(e["poolId"], e["startTime"][11:16], e["totalCoreHours"]) for e in body["value"]]
        following = body.get("odata.nextLink", "")
        target = re.sub(r"^http://batch.test:10600", "", following)
    return found


def test_without_times_it_is_the_interval_under_way(used: Edge) -> None:
    assert rows(used, "") == [("here", "12:00", 0.5), ("there", "12:00", 0.5)]


WHOLE: Rows = [
    *(("Gone", start, 0.5) for start in ("09:00", "09:30", "10:00", "10:30")),
    *(
        (name, start, hours)
        for name in ("here", "there")
        for start, hours in (("11:00", 1.5), ("11:30", 1.5), ("12:00", 0.5))
    ),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_every_interval_is_on_one_page(used: Edge, size: int) -> None:
    assert rows(used, f"starttime={at(-9)}&maxresults={size}") == WHOLE


def test_a_range_takes_the_intervals_that_it_touches(used: Edge) -> None:
    assert rows(used, f"StartTime={at(-3)}&endTime={at(-1)}") == [
        ("Gone", "10:30", 0.5),
        ("here", "11:00", 1.5),
        ("there", "11:00", 1.5),
    ]
    middle = "starttime=2024-01-01T10:40:00Z&endtime=2024-01-01T11:10:00%2B00:00"
    assert [row[:2] for row in rows(used, middle)] == [
        ("Gone", "10:30"),
        ("here", "11:00"),
        ("there", "11:00"),
    ]
    assert rows(used, f"starttime={at(-9)}&endtime={at(-8)}") == []
    assert [row[:2] for row in rows(used, f"endtime={at(-2)}")] == [("Gone", "10:30")]


def test_pools_are_chosen_by_id(used: Edge) -> None:
    def pools(wanted: str) -> set[str]:
        return {row[0] for row in rows(used, f"starttime={at(-9)}&$filter={wanted}")}

    assert pools("poolId eq 'HERE'".replace(" ", "%20")) == {"here"}
    assert pools("startswith(poolId,'g')") == {"Gone"}
    assert pools("poolId gt 'gone' and poolId le 'here'".replace(" ", "%20")) == {"here"}
    answer = used.ask("GET", "/poolusagemetrics?$filter=poolId%20ne%20'a'")
    assert told(answer) == (400, "InvalidQueryParameterValue")


@pytest.mark.parametrize(
    "query",
    [
        "starttime=yesterday",
        "endtime=12",
        f"starttime={at(0)}&endtime={at(-1)}",
        "starttime=2024-01-01T12:11:00Z",
        "starttime=9999-13-01T00:00:00Z",
        "$skiptoken=bm8",
        "$skiptoken=YS8xL3g",
        "$skiptoken=YS85OTk5OTk5OTk5OTk5OTk5OTk5OTk5LzE",
        "maxresults=x",
        "$filter=vmSize%20eq%20'a'",
    ],
)
def test_what_cannot_be_meant_is_refused(used: Edge, query: str) -> None:
    answer = used.ask("GET", f"/poolusagemetrics?{query}")
    assert told(answer) == (400, "InvalidQueryParameterValue")


def test_times_at_the_ends_of_the_calendar_are_understood(used: Edge) -> None:
    wide = "starttime=0001-01-01T00:00:00Z&endtime=9999-12-31T23:59:59Z"
    assert rows(used, wide) == WHOLE


def test_lifetimes_begin_with_nothing() -> None:
    edge = Edge()
    for path in ("/lifetimepoolstats", "/lifetimejobstats"):
        answer = edge.ask("GET", path, version="2022-10-01.16.0")
        assert answer.status_code == 200
        assert answer.json()["startTime"] == answer.json()["lastUpdateTime"]
        assert told(edge.ask("GET", path)) == (404, "ResourceNotFound")
