"""One task after the other on an idle node: each runs at once. The figures are printed.

Nothing is asserted of the times but that they are not absurd; `bench/latency.py` has the bars.
"""

from __future__ import annotations

import statistics
import time

from azure.batch import BatchClient
from azure.batch.models import BatchTaskState

from tests.e2e.things import (
    add,
    job_options,
    made_job,
    made_pool,
    pool_options,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

ROUNDS = 100
ABSURD_S = 5.0


def left(batch: BatchClient, job: str, task_id: str, states: set[BatchTaskState]) -> None:
    """Wait, polling fast, until the task is in none of these states."""
    eventually(
        lambda: batch.get_task(job, task_id).state not in states,
        ABSURD_S,
        f"{task_id} to leave {states}",
        every_s=0.001,
    )


def test_a_hundred_tasks_in_turn(batch: BatchClient) -> None:
    with (
        made_pool(batch, pool_options(unique("pool"))) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        recorded: list[float] = []
        observed: list[float] = []
        for number in range(ROUNDS):
            task_id = f"t{number}"
            began = time.monotonic()
            add(batch, job, task_options(task_id, "/bin/true"))
            left(batch, job, task_id, {BatchTaskState.ACTIVE})
            observed.append(time.monotonic() - began)
            left(batch, job, task_id, {BatchTaskState.ACTIVE, BatchTaskState.RUNNING})
            task = batch.get_task(job, task_id)
            assert task.execution_info is not None
            assert task.execution_info.start_time is not None
            recorded.append((task.execution_info.start_time - task.creation_time).total_seconds())

        assert batch.get_job_task_counts(job).task_counts.succeeded == ROUNDS
        assert min(recorded) >= 0
    for name, times in (("by the record", recorded), ("as seen by polling", observed)):
        p50 = statistics.median(times) * 1000
        p99 = statistics.quantiles(times, n=100)[98] * 1000
        print(f"\nadd to running {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
