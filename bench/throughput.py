"""How many trivial tasks a second go through the whole service, against the machine's floor.

From the first add to the last task completed, over HTTP, with everything on disk; interleaved
with the C loop and with a bare Python loop, so that all three meet the same machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from bench.floor import Loop, scratch
from bench.report import Figure, Report, median_of
from bench.service import Bench, Refused, collections
from tests.e2e.waiting import eventually

TASKS = 2000
SLOTS = 2
ROUNDS = 5
LEAST_OF_FLOOR = 0.2
LONGEST_S = 300.0


def run() -> Report:
    """Measure all three, round by round."""
    floor: list[float] = []
    python: list[float] = []
    penstock: list[float] = []
    with scratch() as root, Bench.started() as bench:
        in_c, in_python = Loop.in_c(root), Loop.in_python()
        pool = bench.pool(1, SLOTS)
        _rate(bench, pool, TASKS // 10)  # the first tasks find cold caches
        phases: Sequence[tuple[list[float], Callable[[], float]]] = (
            (floor, lambda: in_c.rate(TASKS)),
            (python, lambda: in_python.rate(TASKS)),
            (penstock, lambda: _rate(bench, pool, TASKS)),
        )
        for _ in range(ROUNDS):
            for rates, measure in phases:
                os.sync()  # what the one before left to write is not this one's burden
                rates.append(measure())
    ratios = [ours / least for ours, least in zip(penstock, floor, strict=True)]
    return Report(
        f"{TASKS} tasks, one node of {SLOTS} slots",
        [
            median_of("C loop, the floor", floor, "/s"),
            median_of("bare os.posix_spawn loop", python, "/s"),
            median_of("Penstock", penstock, "/s"),
            median_of("Penstock of the floor", ratios, "", bar=LEAST_OF_FLOOR),
            Figure(name="per task", value=1000 / sorted(penstock)[ROUNDS // 2], unit="ms"),
        ],
    )


def _rate(bench: Bench, pool: str, tasks: int) -> float:
    """Tasks per second of one job; raises Refused unless all succeeded."""
    job = bench.job(pool)
    bodies = collections(tasks)
    counts: dict[str, int] = {}

    def done() -> bool:
        counts.update(bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"])
        return counts["completed"] == tasks

    began = time.perf_counter()
    for body in bodies:
        bench.call("POST", f"/jobs/{job}/addtaskcollection", body)
    eventually(done, LONGEST_S, f"{tasks} completed tasks", every_s=0.02, seen=counts.copy)
    took_s = time.perf_counter() - began
    if counts["succeeded"] != tasks:
        raise Refused(f"not all succeeded: {counts}")
    bench.remove(job)
    return tasks / took_s
