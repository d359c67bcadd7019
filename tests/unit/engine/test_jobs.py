"""The life of jobs."""

from __future__ import annotations

import pytest

from penstock.domain.conditions import ANY, Conditions
from penstock.domain.instants import Duration, etag_text
from penstock.domain.records import JobRecord
from penstock.domain.refusals import (
    ConditionNotMet,
    InvalidPropertyValue,
    JobBeingDeleted,
    JobBeingTerminated,
    JobCompleted,
    JobExists,
    JobNotFound,
    OperationInvalidForCurrentState,
)
from penstock.domain.specs.job import JobConstraints, JobPatch, JobSpec, PoolInfo
from penstock.domain.states import JobState, TaskState
from penstock.messages import KillTask, RemoveJob
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, House, play


async def state(house: House, name: str = "job") -> JobState:
    return (await record(house, name)).state


async def record(house: House, name: str = "job") -> JobRecord:
    job = await house.job_record(name)
    assert job is not None
    return job


async def end_killed(house: House) -> None:
    for kill in house.host.take(KillTask):
        await house.host.end(kill, exit_code=137, failure=KILLED, killed=True)


def test_ids_are_unique_whatever_their_case() -> None:
    async def scenario(house: House) -> None:
        await house.job("Job")
        with pytest.raises(JobExists):
            await house.job("jOB")
        await house.engine.delete_job(ACCOUNT, "JOB", ANY, force=False)
        assert await house.job_record("Job") is None
        with pytest.raises(JobNotFound):
            await house.engine.delete_job(ACCOUNT, "JOB", ANY, force=False)
        await house.job("jOB")

    play(scenario)


def test_a_job_waits_for_a_pool_that_comes_later() -> None:
    async def scenario(house: House) -> None:
        await house.job(pool="Later")
        await house.add("t")
        await house.pool(name="later")
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_higher_priority_first_and_equals_in_turn() -> None:
    async def scenario(house: House) -> None:
        for name, priority in (("low", 0), ("even", 0), ("high", 5)):
            await house.job(name, priority=priority)
            await house.add("1", "2", job=name)
        await house.pool(slots=1)
        order = []
        while runs := await house.runs():
            (run,) = runs.values()
            order.append(run.job_id)
            await house.host.end(run)
        assert order == ["high", "high", "low", "even", "low", "even"]

    play(scenario)


def test_max_parallel_tasks_caps_what_runs() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(max_parallel_tasks=1)
        await house.add("a", "b")
        runs = await house.runs()
        assert list(runs) == ["a"]
        await house.engine.patch_job(ACCOUNT, "job", JobPatch(max_parallel_tasks=-1), ANY)
        assert list(await house.runs()) == ["b"]

    play(scenario)


@pytest.mark.parametrize(("how", "then"), [("requeue", "active"), ("terminate", "completed")])
def test_disabling_stops_what_runs(how: str, then: str) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.disable_job(ACCOUNT, "job", how, ANY)
        assert await state(house) is JobState.DISABLING
        await end_killed(house)
        assert await state(house) is JobState.DISABLED
        task = await house.task("t")
        assert task.state.wire_name == then
        assert task.requeue_count == (how == "requeue")
        assert await house.runs() == {}
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        assert list(await house.runs()) == (["t"] if how == "requeue" else [])

    play(scenario)


def test_disabling_may_wait_for_what_runs() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("t", "u")
        run = (await house.runs())["t"]
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        assert not house.host.take(KillTask)
        await house.host.end(run)
        assert await state(house) is JobState.DISABLED
        assert (await house.task("u")).state is TaskState.ACTIVE

    play(scenario)


@pytest.mark.parametrize(("how", "then"), [("wait", "completed"), ("terminate", "disabled")])
def test_a_failure_counts_while_a_job_is_being_disabled(how: str, then: str) -> None:
    """But not that of tasks that were killed for it."""

    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(on_task_failure="performexitoptionsjobaction")
        await house.add("t")
        run = (await house.runs())["t"]
        await house.engine.disable_job(ACCOUNT, "job", how, ANY)
        await (house.host.end(run, 1) if how == "wait" else end_killed(house))
        job = await record(house)
        assert (job.state, job.terminate_reason) == (
            then,
            "TaskFailed" if how == "wait" else None,
        )

    play(scenario)


def test_terminating_kills_and_leaves_what_waits() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("runs", "waits")
        await house.runs()
        await house.engine.terminate_job(ACCOUNT, "job", "enough", ANY, force=False)
        assert await state(house) is JobState.TERMINATING
        with pytest.raises(JobBeingTerminated):
            await house.add("more")
        await end_killed(house)
        job = await record(house)
        assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "enough")
        assert job.end_us is not None
        assert (await house.task("waits")).state is TaskState.ACTIVE
        with pytest.raises(JobCompleted):
            await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)

    play(scenario)


def test_force_does_not_wait_for_nodes() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=True)
        assert await state(house) is JobState.COMPLETED
        assert len(house.host.take(KillTask)) == 1
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=True)
        assert await house.job_record() is None
        await house.host.settle()

    play(scenario)


def test_force_ends_what_was_begun_without_it() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.terminate_job(ACCOUNT, "job", "enough", ANY, force=False)
        with pytest.raises(JobBeingTerminated):
            await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)
        assert await state(house) is JobState.TERMINATING
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=True)
        job = await record(house)
        assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "enough")
        assert (await house.task("t")).state is TaskState.COMPLETED
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert await state(house) is JobState.DELETING
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=True)
        assert await house.job_record() is None
        assert len(house.host.take(RemoveJob)) == 2
        await house.host.settle()

    play(scenario)


def test_a_deleted_job_is_there_until_its_nodes_are_clean() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await house.job()
        await house.add("a", "b")
        await house.runs()
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        with pytest.raises(JobBeingDeleted):
            await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        await end_killed(house)
        assert await state(house) is JobState.DELETING
        assert {order.job_id for order in house.host.told if isinstance(order, RemoveJob)} == {
            "job"
        }
        await house.crash()
        await house.host.connect()
        await house.host.settle()
        assert await house.job_record() is None
        assert not house.store.tasks

    play(scenario)


def test_a_job_may_end_with_its_last_task() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        ends = JobPatch(on_all_tasks_complete="terminatejob")
        await house.engine.patch_job(ACCOUNT, "job", ends, ANY)
        assert await state(house) is JobState.ACTIVE
        await house.host.end(run)
        job = await record(house)
        assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "AllTasksComplete")
        await house.job("empty")
        await house.engine.patch_job(ACCOUNT, "empty", ends, ANY)
        assert await state(house, "empty") is JobState.COMPLETED

    play(scenario)


def test_ending_with_the_last_task_cannot_be_taken_back() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("t")
        ends = JobPatch(on_all_tasks_complete="terminatejob")
        await house.engine.patch_job(ACCOUNT, "job", ends, ANY)
        with pytest.raises(InvalidPropertyValue):
            await house.engine.replace_job(
                ACCOUNT, "job", JobPatch(pool_info=PoolInfo(pool_id="pool")), ANY
            )

    play(scenario)


def test_a_wall_clock_limit_ends_a_job() -> None:
    async def scenario(house: House) -> None:
        limit = JobConstraints(max_wall_clock_time=Duration.of_seconds(60))
        await house.job(constraints=limit)
        await house.pass_time(59)
        assert await state(house) is JobState.ACTIVE
        await house.pass_time(1)
        job = await record(house)
        assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "MaxWallClockTimeExpiry")

    play(scenario)


def test_patch_merges_and_put_replaces() -> None:
    async def scenario(house: House) -> None:
        await house.job(priority=7, max_parallel_tasks=3)
        before = await record(house)
        await house.engine.patch_job(ACCOUNT, "job", JobPatch(priority=9), ANY)
        job = await record(house)
        assert (job.spec.priority, job.spec.max_parallel_tasks) == (9, 3)
        assert job.modified_us > before.modified_us
        new = JobPatch(pool_info=PoolInfo(pool_id="pool"))
        await house.engine.replace_job(ACCOUNT, "job", new, ANY)
        job = await record(house)
        assert (job.spec.priority, job.spec.max_parallel_tasks) == (0, -1)

    play(scenario)


def test_the_pool_of_a_job_changes_only_while_it_is_disabled() -> None:
    async def scenario(house: House) -> None:
        await house.job(pool="none")
        await house.add("t")
        await house.pool(name="other")
        move = JobPatch(pool_info=PoolInfo(pool_id="other"))
        with pytest.raises(OperationInvalidForCurrentState):
            await house.engine.patch_job(ACCOUNT, "job", move, ANY)
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        await house.engine.patch_job(ACCOUNT, "job", move, ANY)
        assert await house.runs() == {}
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_job_that_moved_leaves_nothing_in_its_old_pool() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.pool(name="other")
        await house.job()
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        move = JobPatch(pool_info=PoolInfo(pool_id="other"))
        await house.engine.patch_job(ACCOUNT, "job", move, ANY)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        nodes = {node.no for name in ("pool", "other") for node in await house.nodes(name)}
        assert {order.node_no for order in house.host.take(RemoveJob)} == nodes

    play(scenario)


def test_conditions_are_checked_before_anything_changes() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        stale = Conditions(if_match=(etag_text((await record(house)).modified_us - 1),))
        with pytest.raises(ConditionNotMet):
            await house.engine.delete_job(ACCOUNT, "job", stale, force=False)
        assert await state(house) is JobState.ACTIVE
        fresh = Conditions(if_match=(etag_text((await record(house)).modified_us),))
        await house.engine.delete_job(ACCOUNT, "job", fresh, force=False)

    play(scenario)


def test_accounts_do_not_see_each_other() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.engine.add_job("another", JobSpec(id="job", pool_info=PoolInfo(pool_id="pool")))
        await house.engine.delete_job("another", "job", ANY, force=False)
        assert await house.job_record() is not None

    play(scenario)
