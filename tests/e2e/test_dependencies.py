"""Tasks that wait for others run in the right order, by the record of what ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchTask,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
)

from tests.e2e.things import all_completed, job_options, made_job, task_options, unique

MIDDLE = 300
CHAIN = 60
WITHIN_S = 60.0


@pytest.fixture
def job(batch: BatchClient, pool: str) -> Iterator[str]:
    """A job whose tasks may depend on each other."""
    options = job_options(unique("order"), pool)
    options.uses_task_dependencies = True
    with made_job(batch, options) as job_id:
        yield job_id


def after(task_id: str, *task_ids: str, upto: int = 0) -> BatchTaskCreateOptions:
    """A task that waits for others by id, and for those from 1 to `upto`."""
    task = task_options(task_id, "/bin/true")
    spans = [BatchTaskIdRange(start=1, end=upto)] if upto else None
    task.depends_on = BatchTaskDependencies(task_ids=list(task_ids), task_id_ranges=spans)
    return task


def times(tasks: Mapping[str, BatchTask]) -> dict[str, tuple[datetime, datetime]]:
    """Start and end of each; all have succeeded."""
    found = {}
    for task_id, task in tasks.items():
        info = task.execution_info
        assert info is not None
        assert info.exit_code == 0
        assert info.start_time is not None
        assert info.end_time is not None
        found[task_id] = (info.start_time, info.end_time)
    return found


def test_a_diamond(batch: BatchClient, job: str) -> None:
    middle = [str(number) for number in range(1, MIDDLE + 1)]
    added = [after("last", upto=MIDDLE), *(after(task_id, "first") for task_id in middle)]
    batch.create_tasks(job, [*added, task_options("first", "/bin/true")])
    ran = times(all_completed(batch, job, MIDDLE + 2, WITHIN_S))
    assert min(ran[task_id][0] for task_id in middle) >= ran["first"][1]
    assert ran["last"][0] >= max(ran[task_id][1] for task_id in middle)


def test_a_chain(batch: BatchClient, job: str) -> None:
    links = [str(number) for number in range(CHAIN)]
    added = [after(task_id, before) for before, task_id in pairwise(links)]
    batch.create_tasks(job, [*reversed(added), task_options("0", "/bin/true")])
    ran = times(all_completed(batch, job, CHAIN, WITHIN_S))
    for before, task_id in pairwise(links):
        assert ran[task_id][0] >= ran[before][1], (before, task_id)
