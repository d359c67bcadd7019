"""Very many tasks: added over HTTP, and completed without anybody who runs them.

Completing a million tasks through node hosts takes many minutes, and a host that runs nothing
has no exit codes to offer. So tasks are completed as a server would write it, but by the store
alone, on the database of a server that is stopped: what is read afterwards is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from msgspec.structs import replace

from bench.service import COLLECTION, Bench, Refused, pour
from penstock.domain import changes as c
from penstock.domain.records import Counts, Failure, TaskRecord
from penstock.domain.states import TaskResult, TaskState
from penstock.store.sqlite import SqliteStore
from tests.e2e.harness import Ready

ACCOUNT = "devbatchaccount1"
CONNECTIONS = 4
IN_COMMIT = 10_000
LENGTH_US = 5_000_000
EVERY_100TH = 100
RARE_CODE = 7
RARE = 10
"""So many tasks, the last ones, end with the rare exit code."""

FAILED = Failure("usererror", "FailureExitCode", "The task exited with an exit code that failed it")


def crowd(bench: Bench, job: str, count: int) -> float:
    """Add tasks to a job; give the seconds that it took. Raises Refused where one is missing."""
    took_s = pour(bench, job, _bodies(count), CONNECTIONS)
    counts = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
    if counts["active"] != count:
        raise Refused(f"not all were added: {counts}")
    return took_s


def _bodies(count: int) -> Iterator[dict[str, Any]]:
    for first in range(0, count, COLLECTION):
        numbers = range(first, min(count, first + COLLECTION))
        yield {"value": [{"id": f"t{n:07d}", "commandLine": "/bin/true"} for n in numbers]}


def server_bytes(ready: Ready) -> int:
    """The resident memory of the server's process."""
    return int(psutil.Process(ready.pid).memory_info().rss)


def complete(database: Path, job: str, count: int) -> Counts:
    """Complete the first `count` waiting tasks of a job, on the database of a stopped server.

    Every hundredth fails with exit code 1, the last ten with 7. Gives the job's new counts.
    """
    return asyncio.run(_complete(database, job, count))


async def _complete(database: Path, job_id: str, count: int) -> Counts:
    store = SqliteStore.open(database)
    try:
        saved = await store.load()
        revision = saved.revision
        job = await store.job(ACCOUNT, job_id)
        if job is None:
            raise Refused(f"there is no job {job_id!r}")
        numbers = [task.no for task in saved.waiting if task.job_no == job.no][:count]
        failed = 0
        for first in range(0, count, IN_COMMIT):
            changes: list[c.Change] = []
            found = await store.tasks_by_no(numbers[first : first + IN_COMMIT])
            for place, (task, _) in enumerate(found.values(), first):
                code = _code(place, count)
                failed += code != 0
                changes.append(c.SetTask(_ended(task, code, place), TaskState.ACTIVE))
            revision = await store.commit(changes, revision, saved.next_no)
        before = saved.counts[job.no].tasks
        counts = replace(
            before, active=before.active - count, succeeded=count - failed, failed=failed
        )
        await store.commit([c.SetCounts(job.no, counts, counts)], revision, saved.next_no)
        return counts
    finally:
        await store.close()


def _code(place: int, count: int) -> int:
    if place >= count - RARE:
        return RARE_CODE
    return 0 if place % EVERY_100TH else 1


def _ended(task: TaskRecord, code: int, place: int) -> TaskRecord:
    """The record of a task that ran after those before it."""
    start_us = task.created_us + LENGTH_US + place * 100
    return replace(
        task,
        state=TaskState.COMPLETED,
        state_us=start_us + LENGTH_US,
        previous_state=TaskState.RUNNING,
        previous_state_us=start_us,
        attempt=1,
        start_us=start_us,
        end_us=start_us + LENGTH_US,
        exit_code=code,
        result=TaskResult.FAILURE if code else TaskResult.SUCCESS,
        failure=FAILED if code else None,
        pool_id="pool",
        node_id="tvm-1",
        satisfies=not code,
    )
