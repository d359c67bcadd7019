"""How long reads take while a job has very many tasks: one, pages, filters, counts.

Half of the tasks are completed (`crowd` says how), one in a hundred failed with exit code 1 and
the last ten with 7, so that filters meet the common, the rare and what nothing has. All is asked
in turn, round by round, over one connection without other load; beside it stands the bare query
for the rows of a first page.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.crowd import EVERY_100TH, RARE, complete, crowd
from bench.report import Figure, Report
from bench.service import Bench, Refused
from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire

TASKS = 100_000
ROUNDS = 60
PAGE = 1000
MOST_P50_MS = 100.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """A job, how many tasks it has, and how many of these are completed."""

    job: str
    tasks: int
    completed: int


def run() -> Report:
    """Fill a job, and ask."""
    with Bench.started() as bench:
        job = bench.job("no-such-pool")
        crowd(bench, job, TASKS)
        bench.service.terminate()
        complete(bench.database, job, TASKS // 2)
        bench.service.start()
        figures = measured(bench.service, Crowd(job, TASKS, TASKS // 2), ROUNDS)
    return Report(f"reading, a job of {TASKS:,} tasks", figures)


def measured(service: Penstock, job: Crowd, rounds: int) -> list[Figure]:
    """Ask all in turn, round by round. Raises Refused where an answer is wrong."""
    with Wire.to(service.ready) as wire:
        asks = {**_asks(wire, job), **_filters(wire, job)}
        read = _bare(service.data / "store" / "penstock.db")
        times: dict[str, list[float]] = {name: [] for name in asks}
        floor = []
        for _ in range(rounds):
            floor.append(_timed(read))
            for name, ask in asks.items():
                times[name].append(_timed(ask))
    figures = _quantiles("bare SQLite, the rows of a first page", floor, None)
    for name, taken in times.items():
        figures += _quantiles(name, taken, MOST_P50_MS)
    return figures


def _timed(ask: Callable[[], None]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1e3


def _asks(wire: Wire, job: Crowd) -> dict[str, Callable[[], None]]:
    path = f"/jobs/{job.job}/tasks"
    middle = f"t{job.tasks // 2:07d}"

    def one() -> None:
        if wire.send("GET", f"{path}/{middle}").json()["id"] != middle:
            raise Refused("another task than was asked for")

    def counts() -> None:
        found = wire.send("GET", f"/jobs/{job.job}/taskcounts").json()["taskCounts"]
        if (found["active"], found["completed"]) != (job.tasks - job.completed, job.completed):
            raise Refused(f"wrong counts: {found}")

    first = wire.send("GET", path, query={"maxresults": "500"}).json()
    (token,) = parse_qs(urlsplit(first["odata.nextLink"]).query)["$skiptoken"]
    pages = {
        "first page of 1,000": {},
        "first page, $select=id,state": {"$select": "id,state"},
        "next page by skiptoken": {"$skiptoken": token},
    }
    return {
        "GET task": one,
        "task counts": counts,
        **{name: partial(_expect, wire, path, query, PAGE) for name, query in pages.items()},
    }


def _filters(wire: Wire, job: Crowd) -> dict[str, Callable[[], None]]:
    """Filters; those on how tasks ended only where some have."""
    path = f"/jobs/{job.job}/tasks"
    failed = job.completed // EVERY_100TH
    expected = {
        "state eq 'active'": min(PAGE, job.tasks - job.completed),
        "state eq 'running'": 0,
        "stateTransitionTime lt DateTime'2000-01-01T00:00:00Z'": 0,
    }
    ends = {
        "executionInfo/exitCode eq 1": min(PAGE, failed),
        "executionInfo/exitCode eq 7": min(RARE, job.completed),
        "executionInfo/exitCode eq 99": 0,
        "executionInfo/result eq 'failure'": min(PAGE, failed),
        "state eq 'completed' and executionInfo/exitCode ne 0": min(PAGE, failed),
        "executionInfo/endTime gt DateTime'2100-01-01T00:00:00Z'": 0,
    }
    return {
        f"{text}, {'all' if count == PAGE else count}": partial(
            _expect, wire, path, {"$filter": text}, count
        )
        for text, count in {**expected, **(ends if job.completed else {})}.items()
    }


def _expect(wire: Wire, path: str, query: Mapping[str, str], count: int) -> None:
    answer = wire.send("GET", path, query=query)
    if answer.status_code != 200:
        raise Refused(f"{answer.status_code} {answer.text[:500]}")
    found = len(answer.json()["value"])
    if found < count or (count <= RARE and found != count):
        raise Refused(f"{found} tasks for {query}, not {count}")


def _bare(database: Path) -> Callable[[], None]:
    """Read what a first page shows, and nothing else."""

    def read() -> None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as found:
            rows = found.execute(
                "SELECT t.*, s.spec FROM task t JOIN task_spec s USING (no)"
                " WHERE t.job_no = (SELECT max(job_no) FROM task) ORDER BY t.key LIMIT 1000"
            ).fetchall()
        if len(rows) != PAGE:
            raise Refused("the database has fewer rows than a page")

    return read


def _quantiles(name: str, times: Sequence[float], bar: float | None) -> list[Figure]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return [
        Figure(name=f"{name}, p50", value=cuts[49], unit="ms", bar=bar, less_is_better=True),
        Figure(name=f"{name}, p99", value=cuts[98], unit="ms"),
    ]
