"""Many tasks through the SDK: added in collections, listed, filtered, counted, depended on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
    BatchTaskState,
    CreateTasksError,
)

from tests.e2e.things import (
    add,
    all_completed,
    completed,
    in_state,
    job_options,
    made_job,
    run,
    shell,
    task_options,
    unique,
)

MANY = 2500


@pytest.fixture(scope="module")
def crowd(batch: BatchClient) -> Iterator[str]:
    """A job of many tasks that wait for a pool."""
    with made_job(batch, job_options(unique("crowd"), unique("no-such-pool"))) as job:
        tasks = [task_options(f"t{n:05d}", "/bin/true") for n in range(MANY)]
        result = batch.create_tasks(job, tasks, max_concurrency=3)
        assert len(result.result_values or []) == MANY
        yield job


def test_all_are_listed_page_by_page(batch: BatchClient, crowd: str) -> None:
    pages = [[task.id for task in page] for page in batch.list_tasks(crowd).by_page()]

    assert [task for page in pages for task in page] == [f"t{n:05d}" for n in range(MANY)]
    assert max(map(len, pages)) <= 1000
    assert batch.get_job_task_counts(crowd).task_counts.active == MANY


def test_a_list_is_filtered_and_cut(batch: BatchClient, crowd: str) -> None:
    wanted = "startswith(id,'t0001') and state eq 'active'"
    tasks = list(batch.list_tasks(crowd, filter=wanted, select=["id", "state"], max_results=3))

    assert [task.id for task in tasks] == [f"t{n:05d}" for n in range(10, 20)]
    assert all("commandLine" not in task for task in tasks), "only what was selected"


def test_tasks_that_exist_are_added_once(batch: BatchClient, crowd: str) -> None:
    again = [task_options(f"t{n:05d}", "/bin/true") for n in range(150)]

    batch.create_tasks(crowd, again)  # the SDK takes TaskExists for success

    assert batch.get_job_task_counts(crowd).task_counts.active == MANY


def test_a_collection_that_is_too_large_is_halved_by_the_sdk(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("large"), unique("no-such-pool"))) as job:
        line = "/bin/echo " + "x" * 25_000
        batch.create_tasks(job, [task_options(f"t{n}", line) for n in range(100)])

        assert batch.get_job_task_counts(job).task_counts.active == 100


def test_a_bad_task_in_a_collection_is_told_apart(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("mixed"), unique("no-such-pool"))) as job:
        tasks = [task_options("good", "/bin/true"), task_options("bad id", "/bin/true")]
        with pytest.raises(CreateTasksError) as told:
            batch.create_tasks(job, tasks)

        (failed,) = told.value.failure_tasks
        assert failed.task_id == "bad id"
        assert failed.error is not None
        assert failed.error.code == "InvalidPropertyValue"
        assert [task.id for task in batch.list_tasks(job)] == ["good"]


def depending(task_id: str, *ids: str, first: int = 0, last: int = -1) -> BatchTaskCreateOptions:
    """A task that waits for others."""
    task = task_options(task_id, "/bin/true")
    ranges = [BatchTaskIdRange(start=first, end=last)] if last >= first else None
    task.depends_on = BatchTaskDependencies(task_ids=list(ids), task_id_ranges=ranges)
    return task


def test_dependencies_hold_tasks_back_until_they_are_met(batch: BatchClient, pool: str) -> None:
    options = job_options(unique("chain"), pool)
    options.uses_task_dependencies = True
    with made_job(batch, options) as job:
        # The dependents come first: what they wait for need not exist yet.
        add(batch, job, depending("last", "middle", first=1, last=3), depending("middle", "2"))
        add(batch, job, depending("never", "fails"), task_options("fails", shell("exit 1")))
        completed(batch, job, "fails")
        add(batch, job, *(task_options(text, "/bin/true") for text in ("1", "02")))
        completed(batch, job, "02")
        assert in_state(batch, job, "middle", BatchTaskState.ACTIVE), "02 is not 2 by its id"
        assert in_state(batch, job, "last", BatchTaskState.ACTIVE)
        add(batch, job, task_options("3", "/bin/true"), task_options("2", "/bin/true"))
        tasks = [completed(batch, job, text) for text in ("2", "middle", "last")]

        ends = [task.execution_info.end_time for task in tasks if task.execution_info]
        starts = [task.execution_info.start_time for task in tasks if task.execution_info]
        assert all(
            end is not None and start is not None and end <= start
            for end, start in zip(ends, starts[1:], strict=False)
        )
        assert in_state(batch, job, "never", BatchTaskState.ACTIVE).execution_info is not None
        counts = batch.get_job_task_counts(job).task_counts
        assert (counts.active, counts.succeeded, counts.failed) == (1, 6, 1)


def test_a_deleted_task_can_be_added_again(batch: BatchClient, job: str) -> None:
    run(batch, job, [task_options("t", shell("exit 1"))])

    batch.delete_task(job, "t")
    assert list(batch.list_tasks(job)) == []
    assert batch.get_job_task_counts(job).task_counts.completed == 0
    add(batch, job, task_options("t", "/bin/true"))

    again = all_completed(batch, job, 1, 10)["t"]
    assert again.execution_info is not None
    assert again.execution_info.exit_code == 0


def test_the_defaults_are_told(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("job"), unique("no-such-pool"))) as job:
        add(batch, job, task_options("t", "/bin/true"))
        task = batch.get_task(job, "t").as_dict()

    assert task["constraints"] == {
        "maxWallClockTime": "P10675199DT2H48M5.4775807S",
        "retentionTime": "P7D",
        "maxTaskRetryCount": 0,
    }
    assert task["userIdentity"] == {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
    assert task["requiredSlots"] == 1
    assert task["executionInfo"] == {"retryCount": 0, "requeueCount": 0}
    assert "previousState" not in task
    assert "nodeInfo" not in task
