"""Job schedules and auto pools through the SDK, with real commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchAllTasksCompleteMode,
    BatchAutoPoolSpecification,
    BatchJobCreateOptions,
    BatchJobSchedule,
    BatchJobScheduleConfiguration,
    BatchJobScheduleCreateOptions,
    BatchJobScheduleState,
    BatchJobScheduleUpdateOptions,
    BatchJobSpecification,
    BatchJobState,
    BatchJobUpdateOptions,
    BatchMetadataItem,
    BatchPoolInfo,
    BatchPoolLifetimeOption,
    BatchPoolSpecification,
)
from azure.batch.models._models import BatchJobTerminateOptions
from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError

from tests.e2e.things import (
    add,
    completed,
    delete_job,
    job_options,
    made_job,
    pool_exists,
    pool_options,
    refusal,
    shell,
    stdout,
    task_file,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

HOUR = timedelta(hours=1)
END_S = 30.0
_WHY = BatchJobTerminateOptions(termination_reason="done")  # the SDK cannot send none


def auto_pool(lifetime: BatchPoolLifetimeOption, *, keep: bool = False) -> BatchPoolInfo:
    """A pool of one node that is made when it is needed."""
    like = pool_options("none")
    return BatchPoolInfo(
        auto_pool_specification=BatchAutoPoolSpecification(
            auto_pool_id_prefix="auto",
            pool_lifetime_option=lifetime,
            keep_alive=keep,
            pool=BatchPoolSpecification(
                vm_size=like.vm_size,
                virtual_machine_configuration=like.virtual_machine_configuration,
                target_dedicated_nodes=1,
            ),
        )
    )


def schedule_options(
    pool: BatchPoolInfo, *, ends: bool = False, **times: Any
) -> BatchJobScheduleCreateOptions:
    """A schedule of a job each hour; a job that `ends` does so at once, having no tasks."""
    times = {"recurrence_interval": HOUR, **times}
    complete = BatchAllTasksCompleteMode.TERMINATE_JOB if ends else None
    return BatchJobScheduleCreateOptions(
        id=unique("schedule"),
        schedule=BatchJobScheduleConfiguration(**times),
        job_specification=BatchJobSpecification(pool_info=pool, all_tasks_complete_mode=complete),
    )


def schedule_exists(client: BatchClient, schedule_id: str) -> bool:
    """Whether the schedule is found; the SDK's own question raises where it is not."""
    try:
        return client.job_schedule_exists(schedule_id)
    except ResourceNotFoundError:
        return False


@contextmanager
def made_schedule(client: BatchClient, options: BatchJobScheduleCreateOptions) -> Iterator[str]:
    """A schedule, deleted with all its jobs at the end."""
    client.create_job_schedule(options)
    try:
        yield options.id
    finally:
        client.begin_delete_job_schedule(options.id, polling_interval=1).wait()
        assert not schedule_exists(client, options.id)


def test_a_job_of_a_schedule_runs_tasks_as_any_other(batch: BatchClient, pool: str) -> None:
    with made_schedule(batch, schedule_options(BatchPoolInfo(pool_id=pool))) as schedule:
        (job,) = batch.list_jobs_from_schedule(schedule)
        assert job.id == f"{schedule}:job-1"
        assert job.id in {each.id for each in batch.list_jobs()}
        add(batch, job.id, task_options("t", shell("pwd; echo $AZ_BATCH_JOB_ID")))
        done = completed(batch, job.id, "t")

        assert done.node_info is not None
        assert done.node_info.task_root_directory == f"workitems/{schedule}/job-1/t"
        directory, name = stdout(batch, job.id, "t").split()
        assert directory.endswith(f"workitems/{schedule}/job-1/t/wd")
        assert name == job.id
        assert task_file(batch, job.id, "t", "stderr.txt") == b""

        wanted = BatchJobUpdateOptions(
            all_tasks_complete_mode=BatchAllTasksCompleteMode.TERMINATE_JOB
        )
        batch.update_job(job.id, wanted)
        ended = batch.get_job(job.id)
        assert ended.state == BatchJobState.COMPLETED
        assert batch.get_job_schedule(schedule).state == BatchJobScheduleState.ACTIVE
    with pytest.raises(ResourceNotFoundError):
        batch.get_job(f"{schedule}:job-1")


def test_the_life_of_a_schedule(batch: BatchClient) -> None:
    options = schedule_options(BatchPoolInfo(pool_id="none"), ends=True)
    with made_schedule(batch, options) as name:
        assert schedule_exists(batch, name)
        made = batch.get_job_schedule(name)
        assert made.state == BatchJobScheduleState.ACTIVE
        assert made.previous_state is None
        run = made.execution_info
        assert run.recent_job is not None
        assert run.recent_job.id == f"{name}:job-1"
        assert run.next_run_time == made.creation_time + HOUR
        assert batch.get_job(f"{name}:job-1").state == BatchJobState.COMPLETED

        same = MatchConditions.IfNotModified
        batch.disable_job_schedule(name, etag=made.etag, match_condition=same)
        stale = refusal(
            lambda: batch.enable_job_schedule(name, etag=made.etag, match_condition=same)
        )
        assert stale == (412, "ConditionNotMet")
        disabled = batch.get_job_schedule(name)
        assert disabled.state == BatchJobScheduleState.DISABLED
        assert disabled.previous_state == BatchJobScheduleState.ACTIVE
        again = refusal(lambda: batch.disable_job_schedule(name))
        assert again == (409, "JobScheduleDisabled")
        batch.enable_job_schedule(name)

        metadata = [BatchMetadataItem(name="a", value="b")]
        batch.update_job_schedule(name, BatchJobScheduleUpdateOptions(metadata=metadata))
        changed = batch.get_job_schedule(name)
        assert changed.metadata == metadata
        assert changed.schedule is not None
        assert changed.schedule.recurrence_interval == HOUR
        replaced = BatchJobSchedule(
            schedule=BatchJobScheduleConfiguration(start_window=HOUR, recurrence_interval=2 * HOUR),
            job_specification=changed.job_specification,
        )
        batch.replace_job_schedule(name, replaced)
        changed = batch.get_job_schedule(name)
        assert changed.metadata == []
        assert changed.execution_info.next_run_time == made.creation_time + 2 * HOUR

        batch.begin_terminate_job_schedule(name, polling_interval=1).wait()
        over = batch.get_job_schedule(name)
        assert over.state == BatchJobScheduleState.COMPLETED
        assert over.execution_info.end_time is not None
        assert over.execution_info.next_run_time is None
        late = refusal(lambda: batch.enable_job_schedule(name))
        assert late == (409, "JobScheduleCompleted")
        found = batch.list_job_schedules(filter=f"state eq 'completed' and id eq '{name}'")
        assert [each.id for each in found] == [name]


def test_terminating_a_schedule_ends_its_job(batch: BatchClient) -> None:
    with made_schedule(batch, schedule_options(BatchPoolInfo(pool_id="none"))) as name:
        batch.begin_terminate_job_schedule(name, polling_interval=1, force=True).wait()
        job = batch.get_job(f"{name}:job-1")
        assert job.execution_info is not None
        assert job.execution_info.termination_reason == "TerminateJobSchedule"


def test_a_schedule_begins_when_it_is_told_to(batch: BatchClient) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    options = schedule_options(
        BatchPoolInfo(pool_id="none"),
        ends=True,
        do_not_run_until=soon,
        recurrence_interval=None,
        start_window=HOUR,
    )
    with made_schedule(batch, options) as name:
        before = batch.get_job_schedule(name)
        assert before.execution_info.recent_job is None
        assert before.execution_info.next_run_time == soon

        def over() -> bool:
            return batch.get_job_schedule(name).state == BatchJobScheduleState.COMPLETED

        eventually(over, END_S, "the end of a schedule of one job")
        (job,) = batch.list_jobs_from_schedule(name)
        assert job.creation_time >= soon


def test_what_a_schedule_refuses(batch: BatchClient) -> None:
    options = schedule_options(BatchPoolInfo(pool_id="none"))
    with made_schedule(batch, options) as name:
        twice = refusal(lambda: batch.create_job_schedule(options))
        assert twice == (409, "JobScheduleExists")
        job = refusal(lambda: batch.create_job(job_options(name, "none")))
        assert job == (409, "JobScheduleWithSameIdExists")
    with made_job(batch, job_options(unique("job"), "none")) as taken:
        options.id = taken
        same = refusal(lambda: batch.create_job_schedule(options))
        assert same == (409, "JobWithSameIdExists")
    short = schedule_options(BatchPoolInfo(pool_id="none"), start_window=timedelta(seconds=59))
    assert refusal(lambda: batch.create_job_schedule(short)) == (400, "InvalidPropertyValue")
    none = unique("none")
    missing = refusal(lambda: batch.disable_job_schedule(none))
    assert missing == (404, "JobScheduleNotFound")
    assert not schedule_exists(batch, none)


def test_a_job_has_its_pool_made_for_it(batch: BatchClient) -> None:
    options = BatchJobCreateOptions(
        id=unique("auto"), pool_info=auto_pool(BatchPoolLifetimeOption.JOB)
    )
    batch.create_job(options)
    try:
        job = batch.get_job(options.id)
        assert job.execution_info is not None
        pool_id = job.execution_info.pool_id
        assert pool_id is not None
        assert pool_id.startswith("auto_")
        add(batch, options.id, task_options("t", "/bin/true"))
        done = completed(batch, options.id, "t", END_S)
        assert done.node_info is not None
        assert done.node_info.pool_id == pool_id
        batch.begin_terminate_job(options.id, _WHY, polling_interval=1).wait()
        eventually(lambda: not pool_exists(batch, pool_id), END_S, "the end of an auto pool")
    finally:
        delete_job(batch, options.id)


def test_jobs_of_a_schedule_share_a_pool(batch: BatchClient) -> None:
    shared = auto_pool(BatchPoolLifetimeOption.JOB_SCHEDULE)
    with made_schedule(batch, schedule_options(shared)) as name:
        job = batch.get_job(f"{name}:job-1")
        assert job.execution_info is not None
        pool_id = job.execution_info.pool_id
        assert pool_id is not None
        add(batch, job.id, task_options("t", "/bin/true"))
        completed(batch, job.id, "t", END_S)
        batch.begin_terminate_job(job.id, _WHY, polling_interval=1).wait()
        assert pool_exists(batch, pool_id), "it is there for the next job"
    eventually(lambda: not pool_exists(batch, pool_id), END_S, "the end of a shared pool")
    alone = BatchJobCreateOptions(id=unique("auto"), pool_info=shared)
    assert refusal(lambda: batch.create_job(alone)) == (400, "InvalidPropertyValue")
