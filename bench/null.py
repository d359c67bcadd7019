"""What a task costs the server alone: node hosts that answer at once, and 1, 10 or 1,000 nodes.

From the first add to the last task completed in the record, over HTTP in collections of 100.
Each number of nodes has a server of its own, so that what one has to carry is not felt by the
others; they are measured in turn, and stand idle meanwhile. Beside them stands the bare loop
that writes each task three times, as the server does: added, given to a node, completed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.report import Figure, Report, median_of
from bench.rows import Rows
from bench.service import Bench, Refused, collections, pour
from tests.e2e.waiting import eventually

TASKS = 40_000 if os.environ.get("BENCH_QUICK") else 200_000
NODES = (1, 10, 1000)
SLOTS = 4
ROUNDS = 5
CONNECTIONS = 4  # so that the server, and not the wait for one answer, sets the pace
MOVES = 2
MOST_GROWTH = 1.5  # of the cost of a task, from 10 nodes to 1,000
LONGEST_S = 600.0
ASK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was measured with one number of nodes."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of the server, for each task


def run() -> Report:
    """Measure each number of nodes, round by round."""
    floor: list[float] = []
    rounds = {nodes: Rounds() for nodes in NODES}
    with ExitStack() as stack:
        benches = {nodes: stack.enter_context(Bench.with_null_hosts()) for nodes in NODES}
        pools = {nodes: bench.pool(nodes, SLOTS) for nodes, bench in benches.items()}
        for nodes, bench in benches.items():
            _measure(bench, pools[nodes], TASKS // 10, Rounds())  # finds cold caches
        rows = _rows(benches[NODES[0]])
        for _ in range(ROUNDS):
            os.sync()
            floor.append(rows.rate(MOVES))
            for nodes, bench in benches.items():
                os.sync()
                _measure(bench, pools[nodes], TASKS, rounds[nodes])
    return Report(f"{TASKS:,} tasks, nodes that run nothing", _figures(floor, rounds))


def _figures(floor: list[float], rounds: Mapping[int, Rounds]) -> list[Figure]:
    figures = [median_of("bare SQLite loop, the same rows", floor, "/s")]
    for nodes, round_ in rounds.items():
        figures.append(median_of(f"{_named(nodes)}, completed", round_.per_s, "/s"))
        shares = [ours / least for ours, least in zip(round_.per_s, floor, strict=True)]
        figures.append(median_of(f"{_named(nodes)}, of the loop", shares, ""))
        figures.append(median_of(f"{_named(nodes)}, server CPU per task", round_.cpu_us, "us"))
    growths = [most / few for most, few in zip(rounds[1000].cpu_us, rounds[10].cpu_us, strict=True)]
    figures.append(
        Figure(
            name="cost of a task, 1,000 nodes to 10",
            value=statistics.median(growths),
            unit="",
            spread=(min(growths), max(growths)),
            bar=MOST_GROWTH,
            less_is_better=True,
        )
    )
    return figures


def _named(nodes: int) -> str:
    return f"{nodes:,} node{'s' if nodes > 1 else ''}"


def _measure(bench: Bench, pool: str, tasks: int, into: Rounds) -> None:
    """Send one job through; raises Refused unless all of it succeeded."""
    job = bench.job(pool)
    bodies = collections(tasks)
    counts: dict[str, int] = {}

    def done() -> bool:
        counts.update(bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"])
        return counts["completed"] == tasks

    cpu_s, began = bench.cpu_s(), time.perf_counter()
    pour(bench, job, bodies, CONNECTIONS)
    eventually(done, LONGEST_S, f"{tasks} completed", every_s=ASK_EVERY_S, seen=counts.copy)
    into.per_s.append(tasks / (time.perf_counter() - began))
    into.cpu_us.append((bench.cpu_s() - cpu_s) / tasks * 1e6)
    if counts["succeeded"] != tasks:
        raise Refused(f"not all succeeded: {counts}")
    bench.remove(job)


def _rows(bench: Bench) -> Rows:
    """The rows that the loop writes: what a job that nobody runs leaves on disk."""
    job = bench.job("no-such-pool")
    pour(bench, job, collections(TASKS), CONNECTIONS)
    rows = Rows.of(bench.database, TASKS)
    bench.remove(job)
    return rows
