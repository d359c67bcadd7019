"""What stores keep of usage: totals, meters and spans; every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.metering import (
    INTERVAL_US,
    Cores,
    Lifetime,
    Meter,
    PoolUsage,
    Resources,
    Sample,
)
from penstock.domain.queries import Both, Compare, Filter, StartsWith, UsageQuery
from penstock.domain.records import ScheduleRecord
from penstock.domain.specs.job import JobTemplate, PoolInfo
from penstock.domain.specs.schedule import JobScheduleSpec, Schedule
from penstock.domain.states import ScheduleState, TaskState
from penstock.domain.usage import Totals, Usage
from penstock.store.contract import Store
from tests.records import ACCOUNT, NOW_US, a_job, a_pool, a_task
from tests.store.test_contract import Backend, put

USED = Usage(1, 2, 3, 4, 5, 6, 7, 8)
TOTALS = Totals(USED, succeeded=9, failed=10, retries=11, changed_us=12)
SAMPLE = Sample(12.5, 1 << 40, 1 << 41, 1, 2, 3, 4, 5, 6)
SCHEDULE = ScheduleRecord(
    no=8,
    account=ACCOUNT,
    spec=JobScheduleSpec(
        id="nightly",
        schedule=Schedule(),
        job_specification=JobTemplate(pool_info=PoolInfo(pool_id="pool")),
    ),
    state=ScheduleState.ACTIVE,
    state_us=NOW_US,
    created_us=NOW_US,
    modified_us=NOW_US,
)
RESOURCES = Resources().sampled(SAMPLE, 10_000, NOW_US)


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return Backend(None if request.param == "memory" else tmp_path / "store.db")


def a_meter(no: int = 1, name: str = "Pool", account: str = ACCOUNT, **new: Any) -> Meter:
    values: dict[str, Any] = {
        "pool_no": no,
        "account": account,
        "pool_id": name,
        "vm_size": "standard_d2_v3",
        "since_us": NOW_US,
        "cores": Cores(4, 2),
        "dedicated_s": 2.5,
        "interval_s": 0.5,
        "resources": RESOURCES,
    }
    return Meter(**values | new)


def span(start: int, length: int = 1, name: str = "Pool", no: int = 1, **new: Any) -> PoolUsage:
    """From the `start`-th interval on, through `length` of them."""
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "pool_no": no,
        "pool_id": name,
        "vm_size": "standard_d2_v3",
        "start_us": start * INTERVAL_US,
        "end_us": (start + length) * INTERVAL_US,
        "core_s": 1e13,
    }
    return PoolUsage(**values | new)


def test_the_usage_of_a_task_comes_back(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        fresh, used = a_task(no=4), a_task(no=5, name="used", usage=USED)
        await put(store, c.PutJob(a_job()), c.AddTask(fresh, b"{}"), c.AddTask(used, b"{}"))
        more = replace(fresh, usage=USED + USED, state=TaskState.RUNNING, node_no=2)
        await put(store, c.SetTask(more, fresh.state))
        store = await backend.reopen()
        assert await store.tasks_by_no([4, 5]) == {4: (more, b"{}"), 5: (used, b"{}")}
        assert list((await store.load()).given) == [more]

    backend.use(scenario)


def test_totals_go_with_what_they_are_of(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        job = a_job()
        await put(store, c.PutJob(job), c.PutSchedule(SCHEDULE))
        assert await store.totals([job.no, 8]) == {}
        await put(store, c.SetTotals(job.no, Totals()), c.SetTotals(8, TOTALS))
        await put(store, c.SetTotals(job.no, TOTALS))
        store = await backend.reopen()
        both = {job.no: TOTALS, 8: TOTALS}
        assert await store.totals([job.no, 8, 99]) == both
        assert (await store.load()).totals == both
        await put(store, c.DropJob(job.no, 0))
        assert await store.totals([job.no, 8]) == {8: TOTALS}
        await put(store, c.DropSchedule(8))
        assert (await store.load()).totals == {}

    backend.use(scenario)


def test_what_an_account_has_used_comes_back(backend: Backend) -> None:
    mine = Lifetime(since_us=NOW_US, jobs=TOTALS, dedicated_s=1e13, resources=RESOURCES)

    async def scenario(store: Store) -> None:
        await put(store, c.SetLifetime(ACCOUNT, Lifetime(since_us=NOW_US, jobs=Totals())))
        await put(store, c.SetLifetime(ACCOUNT, mine))
        store = await backend.reopen()
        assert await store.lifetime(ACCOUNT) == mine
        assert await store.lifetime("other") is None
        assert (await store.load()).lifetimes == {ACCOUNT: mine}

    backend.use(scenario)


def test_meters_of_pools(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        first, second = a_meter(1), a_meter(2, "Second")
        theirs = a_meter(3, account="other")
        await put(store, c.PutPool(a_pool()), *(c.PutMeter(m) for m in (first, second, theirs)))
        changed = replace(first, cores=Cores(), dedicated_s=3.0)
        await put(store, c.PutMeter(changed))
        store = await backend.reopen()
        assert await store.meters([1, 2, 9]) == {1: changed, 2: second}
        assert list(await store.meters_of(ACCOUNT)) == [changed, second]
        assert list(await store.meters_of(ACCOUNT, StartsWith("poolId", "SEC"))) == [second]
        await put(store, c.DropMeter(1))
        assert (await store.load()).meters == {2: second, 3: theirs}

    backend.use(scenario)


def test_spans_are_listed_by_pool_and_time(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        early, long, late = span(10), span(11, 5), span(16)
        other, again = span(11, name="aPool", no=5), span(16, name="pOOL", no=7)
        theirs = span(11, no=9, account="other")
        for each in (late, again, long, other, early, theirs):
            await put(store, c.AddPoolUsage(each))
        store = await backend.reopen()

        async def found(first: int = 0, last: int = 99, **query: Any) -> list[PoolUsage]:
            times = {"from_us": first * INTERVAL_US, "until_us": last * INTERVAL_US}
            return list(await store.pool_usage(ACCOUNT, UsageQuery(**times | query)))

        assert await found() == [other, early, long, late, again]
        assert await found(12, 15) == [long], "it reaches into the range"
        assert await found(11, 12) == [other, long], "what ends as the range begins does not"
        assert await found(limit=2) == [other, early]
        after: dict[str, Any] = {"after_key": "pool", "after_no": 1}
        assert await found(**after, after_us=11 * INTERVAL_US) == [long, late, again]
        assert await found(**after, after_us=13 * INTERVAL_US) == [long, late, again]
        assert await found(**after, after_us=17 * INTERVAL_US) == [again]
        wanted: Filter = Compare("poolId", "eq", "POOL")
        assert await found(filter=wanted) == [early, long, late, again]
        wanted = Both(Compare("poolId", "lt", "b"), StartsWith("poolId", "A"))
        assert await found(filter=wanted) == [other]

        whole = replace(late, core_s=3.0)
        await put(store, c.AddPoolUsage(whole))
        assert await found(16, 17) == [whole, again]
        await put(store, c.TrimPoolUsage(16 * INTERVAL_US))
        assert await found() == [whole, again]

    backend.use(scenario)
