"""A million tasks: added over HTTP, the server restarted, counted, paged and filtered.

First while all of them wait; then, after another restart, with half of them completed.
"""

from __future__ import annotations

from bench import reading
from bench.crowd import complete, crowd
from bench.reading import Crowd
from bench.report import Figure, Report
from bench.service import Bench

TASKS = 1_000_000
ROUNDS = 30


def run() -> Report:
    """Do it once. Raises Refused where a count is wrong."""
    with Bench.started() as bench:
        job = bench.job("no-such-pool")
        figures = [Figure(name="added", value=TASKS / crowd(bench, job, TASKS), unit="/s")]
        bench.service.restart()
        figures += _read(bench, Crowd(job, TASKS, 0))
        bench.service.terminate()
        complete(bench.database, job, TASKS // 2)
        bench.service.start()
        figures += _read(bench, Crowd(job, TASKS, TASKS // 2))
    return Report(f"{TASKS:,} tasks and a restart", figures)


def _read(bench: Bench, job: Crowd) -> list[Figure]:
    """What a client waits for after a restart, from the start on."""
    ready = Figure(
        name=f"{job.completed:,} completed: start to ready", value=bench.service.start_s, unit="s"
    )
    return [ready, *reading.measured(bench.service, job, ROUNDS)]
