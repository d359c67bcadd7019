"""Statistics: with ``$expand=stats`` of tasks, jobs, schedules and pools, else of accounts.

All that a kind of statistics has is always there, for clients demand it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from penstock.domain.instants import Duration, instant_text
from penstock.domain.metering import Lifetime, Meter, Resources
from penstock.domain.records import JobRecord, PoolRecord, ScheduleRecord, TaskRecord
from penstock.domain.refusals import InvalidQueryParameterValue
from penstock.domain.states import TaskState
from penstock.domain.usage import NOTHING, Totals, Usage
from penstock.wire.answers import Answer, Document, one
from penstock.wire.request import Request

_TICKS_PER_US: Final = 10
_TICKS_PER_SECOND: Final = 10_000_000
_GIB: Final = 1 << 30

WorkT = TypeVar("WorkT", JobRecord, ScheduleRecord)


def wants_stats(request: Request) -> bool:
    """Whether statistics are to be shown: ``$select`` names them, or ``$expand`` does and nothing
    is selected. Refuses an ``$expand`` of anything else."""
    text = request.query.get("$expand", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if any(name.lower() != "stats" for name in names):
        raise InvalidQueryParameterValue(
            QueryParameterName="$expand",
            QueryParameterValue=text[:256],
            Reason="only stats can be expanded",
        )
    shown = [name.strip() for name in request.query.get("$select", "").split(",") if name.strip()]
    return "stats" in shown or (bool(names) and not shown)


# --- what is shown with its statistics -----------------------------------------------------------


async def with_totals(
    request: Request, page: Sequence[WorkT], show: Callable[[WorkT], Document], *, stats: bool
) -> Callable[[WorkT], Document]:
    """How jobs or schedules are shown, with their statistics where these are wanted."""
    if not stats:
        return show
    totals = await request.service.store.totals([each.no for each in page])

    def shown(each: WorkT) -> Document:
        document = show(each)
        found = totals.get(each.no, Totals())
        document["stats"] = _work_stats(_place(document), each.created_us, found)
        return document

    return shown


async def with_meters(
    request: Request,
    page: Sequence[PoolRecord],
    show: Callable[[PoolRecord], Document],
    *,
    stats: bool,
) -> Callable[[PoolRecord], Document]:
    """How pools are shown, likewise."""
    if not stats:
        return show
    meters = await request.service.store.meters([pool.no for pool in page])
    now_us = request.service.clock.now_us()

    def shown(pool: PoolRecord) -> Document:
        document = show(pool)
        document["stats"] = _pool_stats(
            _place(document), pool.created_us, now_us, meters.get(pool.no)
        )
        return document

    return shown


def with_usage(
    request: Request, show: Callable[[TaskRecord, bytes], Document], *, stats: bool
) -> Callable[[TaskRecord, bytes], Document]:
    """How tasks are shown, likewise; of one that waits or runs, what is known so far."""
    if not stats:
        return show
    now_us = request.service.clock.now_us()

    def shown(task: TaskRecord, spec: bytes) -> Document:
        document = show(task, spec)
        document["stats"] = _task_stats(_place(document), task, now_us)
        return document

    return shown


# --- accounts ------------------------------------------------------------------------------------


async def lifetime_of_jobs(request: Request) -> Answer:
    """GET /lifetimejobstats: of all jobs that the account ever had."""
    found = await _lifetime(request)
    stats = _work_stats(request.base + request.path, found.since_us, found.jobs)
    return one(request, "jobstats", stats)


async def lifetime_of_pools(request: Request) -> Answer:
    """GET /lifetimepoolstats: of all pools that the account ever had."""
    found, now_us = await _lifetime(request), request.service.clock.now_us()
    core_s, resources = found.dedicated_s, found.resources
    for meter in await request.service.store.meters_of(request.account):
        core_s += meter.at(now_us)[0].dedicated_s
        resources += meter.resources
    stats = _machine_stats(request.base + request.path, found.since_us, now_us, core_s, resources)
    return one(request, "poolstats", stats)


async def _lifetime(request: Request) -> Lifetime:
    found = await request.service.store.lifetime(request.account)
    return found or Lifetime(since_us=request.service.clock.now_us(), jobs=Totals())


# --- documents -----------------------------------------------------------------------------------


def _place(document: Document) -> str:
    """The URL of the statistics of what is shown."""
    return f"{document['url']}?$expand=stats"


def _range(url: str, start_us: int, last_us: int) -> Document:
    """What all statistics begin with."""
    return {
        "url": url,
        "startTime": instant_text(start_us),
        "lastUpdateTime": instant_text(max(start_us, last_us)),
    }


def _usage(used: Usage) -> Document:
    return {
        "userCPUTime": _length(used.user_us),
        "kernelCPUTime": _length(used.kernel_us),
        "wallClockTime": _length(used.wall_us),
        "readIOps": str(used.reads),
        "writeIOps": str(used.writes),
        "readIOGiB": used.read_bytes / _GIB,
        "writeIOGiB": used.written_bytes / _GIB,
        "waitTime": _length(used.wait_us),
    }


def _work_stats(url: str, start_us: int, totals: Totals) -> Document:
    return {
        **_range(url, start_us, totals.changed_us),
        **_usage(totals.usage),
        "numSucceededTasks": str(totals.succeeded),
        "numFailedTasks": str(totals.failed),
        "numTaskRetries": str(totals.retries),
    }


def _task_stats(url: str, task: TaskRecord, now_us: int) -> Document:
    used, last_us = task.usage or NOTHING, now_us
    if task.state is TaskState.COMPLETED:
        last_us = task.end_us or task.state_us
    elif task.state is TaskState.RUNNING and task.start_us is not None:
        used += Usage(wall_us=max(0, now_us - task.start_us), wait_us=task.waited_us)
    else:
        used += Usage(wait_us=max(0, now_us - task.state_us))
    return {**_range(url, task.created_us, last_us), **_usage(used)}


def _pool_stats(url: str, created_us: int, now_us: int, meter: Meter | None) -> Document:
    if meter is None:
        return _machine_stats(url, created_us, now_us, 0.0, Resources())
    read, _ = meter.at(now_us)
    return _machine_stats(url, created_us, now_us, read.dedicated_s, read.resources)


def _machine_stats(
    url: str, start_us: int, now_us: int, dedicated_s: float, resources: Resources
) -> Document:
    last_us = now_us if resources.changed_us is None else max(now_us, resources.changed_us)
    found = _range(url, start_us, last_us)
    core_time = Duration(round(dedicated_s * _TICKS_PER_SECOND))
    usage = {**_range(url, start_us, now_us), "dedicatedCoreTime": str(core_time)}
    del usage["url"]
    return {**found, "usageStats": usage, "resourceStats": _resource_stats(start_us, resources)}


def _resource_stats(start_us: int, found: Resources) -> Document:
    since_us = start_us if found.since_us is None else found.since_us
    changed_us = since_us if found.changed_us is None else found.changed_us
    weight = found.weight or 1
    return {
        "startTime": instant_text(since_us),
        "lastUpdateTime": instant_text(changed_us),
        "avgCPUPercentage": found.cpu / weight,
        "avgMemoryGiB": found.memory / weight / _GIB,
        "peakMemoryGiB": found.most_memory / _GIB,
        "avgDiskGiB": found.disk / weight / _GIB,
        "peakDiskGiB": found.most_disk / _GIB,
        "diskReadIOps": str(found.disk_reads),
        "diskWriteIOps": str(found.disk_writes),
        "diskReadGiB": found.disk_read_bytes / _GIB,
        "diskWriteGiB": found.disk_written_bytes / _GIB,
        "networkReadGiB": found.received_bytes / _GIB,
        "networkWriteGiB": found.sent_bytes / _GIB,
    }


def _length(us: int) -> str:
    return str(Duration(us * _TICKS_PER_US))
