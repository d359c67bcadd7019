"""How many tasks a second can be added, durably: over one, four and sixteen connections, and
through the official SDK's own helper for many tasks.

An answer means that the tasks are on disk. Beside them stands a bare loop over SQLite that
writes the same rows with one commit per hundred; many connections may pass it where the disk is
slow, for what waits together shares a commit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from azure.batch.models import BatchTaskCreateOptions

from bench.report import Figure, Report, median_of
from bench.rows import Rows
from bench.service import Bench, Refused, collections, pour

TASKS = 20_000 if os.environ.get("BENCH_QUICK") else 100_000
ROUNDS = 5
CONNECTIONS = (1, 4, 16)
SDK_THREADS = 4
LEAST_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was measured of one way to add."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of the server, for each task
    client_cpu_us: list[float] = field(default_factory=list)


def run() -> Report:
    """Measure each way, round by round, with jobs on a pool that is not there."""
    floor: list[float] = []
    rounds = {count: Rounds() for count in CONNECTIONS}
    sdk = Rounds()
    with Bench.started() as bench:
        rows = _rows(bench)
        for _ in range(ROUNDS):
            os.sync()
            floor.append(rows.rate())
            for count, round_ in rounds.items():
                _measure(bench, round_, _over_http(bench, count))
            _measure(bench, sdk, _through_sdk(bench))
    return Report(f"adding {TASKS:,} tasks by the hundred", _figures(floor, rounds, sdk))


def _figures(floor: list[float], rounds: Mapping[int, Rounds], sdk: Rounds) -> list[Figure]:
    figures = [median_of("bare SQLite loop, the same rows", floor, "/s")]
    ways = {f"{count} connections": round_ for count, round_ in rounds.items()}
    for name, round_ in {**ways, f"SDK, {SDK_THREADS} threads": sdk}.items():
        bar = None if round_ is sdk else LEAST_PER_S
        figures.append(median_of(name, round_.per_s, "/s", bar=bar))
        shares = [ours / least for ours, least in zip(round_.per_s, floor, strict=True)]
        figures.append(median_of(f"{name}, of the loop", shares, ""))
        figures.append(median_of(f"{name}, server CPU per task", round_.cpu_us, "us"))
        figures.append(median_of(f"{name}, client CPU per task", round_.client_cpu_us, "us"))
    return figures


def _over_http(bench: Bench, connections: int) -> Callable[[str], float]:
    bodies = collections(TASKS)
    return lambda job: pour(bench, job, bodies, connections)


def _through_sdk(bench: Bench) -> Callable[[str], float]:
    client = bench.service.client()
    tasks = [
        BatchTaskCreateOptions(id=f"t{number:06d}", command_line="/bin/true")
        for number in range(TASKS)
    ]

    def add(job: str) -> float:
        began = time.perf_counter()
        client.create_tasks(job, tasks, max_concurrency=SDK_THREADS)
        return time.perf_counter() - began

    return add


def _measure(bench: Bench, into: Rounds, add: Callable[[str], float]) -> None:
    """Add to a job of its own. Raises Refused where a task is missing."""
    job = bench.job("no-such-pool")
    os.sync()
    cpu_s, client_s = bench.cpu_s(), time.process_time()
    into.per_s.append(TASKS / add(job))
    into.cpu_us.append((bench.cpu_s() - cpu_s) / TASKS * 1e6)
    into.client_cpu_us.append((time.process_time() - client_s) / TASKS * 1e6)
    counts = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
    if counts["active"] != TASKS:
        raise Refused(f"not all were added: {counts}")
    bench.remove(job)


def _rows(bench: Bench) -> Rows:
    """The rows that the loop writes; adding them warms the server too."""
    job = bench.job("no-such-pool")
    pour(bench, job, collections(TASKS), CONNECTIONS[0])
    rows = Rows.of(bench.database, TASKS)
    bench.remove(job)
    return rows
