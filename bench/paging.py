"""How long a page takes while tasks run: all of a job, page by page, again and again.

The job's tasks are real processes on real nodes, one in ten of which fails, and both of the
machine's cores are busy with them. Every walk is checked: each task once, and those that failed
as many as at least had failed before. Beside it stand the same pages when all is over.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from bench.report import Figure, Report, progress
from bench.service import Bench, Refused, pour
from tests.e2e.waiting import eventually

TASKS: Final = 100_000
PAGE: Final = "1000"
NODES: Final = 4
SLOTS: Final = 4
WALKS: Final = 4
MOST_P50_MS: Final = 60.0
FAILED: Final = "state eq 'completed' and executionInfo/exitCode ne 0"


def run() -> Report:
    """Fill a job, let it run, and page through it meanwhile."""
    with Bench.started() as bench:
        pool, job = bench.pool(NODES, SLOTS), bench.job("no-such-pool")
        pour(bench, job, _bodies(), 4)
        _move(bench, job, pool)
        times: dict[str | None, list[float]] = {None: [], FAILED: []}
        for number in range(1, WALKS + 1):
            failed = _completed(bench, job, "failed")
            if not _everything(_walk(bench, job, None, times)):
                raise Refused("a walk of all tasks missed some")
            if len(_walk(bench, job, FAILED, times)) < failed:
                raise Refused("a walk of failed tasks missed some")
            progress(f"walk {number} of {WALKS}")
        completed = _completed(bench, job, "completed")
        if not 0 < completed < TASKS:
            raise Refused(f"the tasks did not run meanwhile: {completed} completed")
        bench.call("POST", f"/jobs/{job}/terminate", expect=202)
        quiet: dict[str | None, list[float]] = {None: []}
        _walk(bench, job, None, quiet)
    return Report(
        f"paging, a job of {TASKS:,} tasks while they run ({completed:,} had)",
        [
            *_figures("a page of all", times[None], MOST_P50_MS),
            *_figures("a page of those that failed", times[FAILED], MOST_P50_MS),
            *_figures("a page of all, the job terminated", quiet[None], None),
        ],
    )


def _bodies() -> Iterator[dict[str, Any]]:
    for first in range(0, TASKS, 100):
        yield {
            "value": [
                {"id": f"t{n:06d}", "commandLine": "/bin/true" if n % 10 else "/bin/false"}
                for n in range(first, first + 100)
            ]
        }


def _move(bench: Bench, job: str, pool: str) -> None:
    """Let the job run in a pool."""
    bench.call("POST", f"/jobs/{job}/disable", {"disableTasks": "requeue"}, 202)
    eventually(
        lambda: bench.call("GET", f"/jobs/{job}")["state"] == "disabled", 10, "a disabled job"
    )
    bench.call("PATCH", f"/jobs/{job}", {"poolInfo": {"poolId": pool}})
    bench.call("POST", f"/jobs/{job}/enable", expect=202)


def _completed(bench: Bench, job: str, which: str) -> int:
    return int(bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"][which])


def _everything(found: list[str]) -> bool:
    return found == [f"t{n:06d}" for n in range(TASKS)]


def _walk(
    bench: Bench, job: str, wanted: str | None, times: dict[str | None, list[float]]
) -> list[str]:
    """The ids of all pages; raises Refused where one comes twice."""
    query = {"maxresults": PAGE} if wanted is None else {"maxresults": PAGE, "$filter": wanted}
    found: list[str] = []
    while True:
        began = time.perf_counter()
        answer = bench.wire.send("GET", f"/jobs/{job}/tasks", query=query)
        times[wanted].append((time.perf_counter() - began) * 1e3)
        page = json.loads(answer.content)
        found += [task["id"] for task in page["value"]]
        if "odata.nextLink" not in page:
            break
        (token,) = parse_qs(urlsplit(page["odata.nextLink"]).query)["$skiptoken"]
        query = {**query, "$skiptoken": token}
    if len(set(found)) != len(found):
        raise Refused("a task came twice")
    return found


def _figures(name: str, times: list[float], bar: float | None) -> list[Figure]:
    return [
        Figure(
            name=f"{name}, p50",
            value=statistics.median(times),
            unit="ms",
            bar=bar,
            less_is_better=True,
        ),
        Figure(name=f"{name}, the slowest of {len(times)}", value=max(times), unit="ms"),
    ]
