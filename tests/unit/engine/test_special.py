"""What jobs run on nodes before their tasks and after them, whatever ends in between."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.queries import Query
from penstock.domain.records import Failure, JobNodeRecord, NodeWork, Removal, SpecialRun
from penstock.domain.refusals import (
    InvalidPropertyValue,
    JobBeingTerminated,
    JobNotFound,
    TaskIdSameAsJobPreparationTask,
    TaskIdSameAsJobReleaseTask,
)
from penstock.domain.specs.common import NameValue, ResourceFile, TaskConstraints
from penstock.domain.specs.job import JobPatch, JobTemplate, PoolInfo
from penstock.domain.specs.pool import NodeRemoval, Resize
from penstock.domain.specs.schedule import JobScheduleSpec, Schedule
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.domain.states import JobState, NodeState, TaskState
from penstock.messages import (
    DropNode,
    Heartbeat,
    KillTask,
    MakeNode,
    NodeBroken,
    RemoveJob,
    RunTask,
    Welcome,
)
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, FakeHost, House, play

BEFORE, AFTER = "jobpreparation", "jobrelease"


def preparation(retries: int = 0, **more: Any) -> JobPreparationTask:
    constraints = TaskConstraints(max_task_retry_count=retries)
    return JobPreparationTask(command_line="before", constraints=constraints, **more)


RELEASE = JobReleaseTask(
    command_line="after", max_wall_clock_time=Duration.of_seconds(900), id=AFTER
)


async def with_both(house: House, name: str = "job", **more: Any) -> None:
    await house.job(
        name, **{"job_preparation_task": preparation(), "job_release_task": RELEASE} | more
    )


async def job_nodes(house: House, name: str = "job") -> list[JobNodeRecord]:
    job = await house.job_record(name)
    assert job is not None
    return list(await house.store.list_job_nodes(job.no, Query()))


async def prepared_run(house: House, name: str = "job") -> SpecialRun:
    """How the preparation of the only node went."""
    (job_node,) = await job_nodes(house, name)
    assert job_node.preparation is not None
    return job_node.preparation


async def released_run(house: House, name: str = "job") -> SpecialRun:
    (job_node,) = await job_nodes(house, name)
    assert job_node.release is not None
    return job_node.release


async def state(house: House, name: str = "job") -> JobState:
    job = await house.job_record(name)
    assert job is not None
    return job.state


async def states(house: House, *names: str) -> list[TaskState]:
    return [(await house.task(name)).state for name in names]


async def terminate(house: House, name: str = "job", *, force: bool = False) -> None:
    await house.engine.terminate_job(ACCOUNT, name, None, ANY, force=force)


async def delete(house: House, name: str = "job", *, force: bool = False) -> None:
    await house.engine.delete_job(ACCOUNT, name, ANY, force=force)


async def killed(house: House, run: RunTask) -> None:
    """The host ends a run as it was told to."""
    kills = [kill for kill in house.host.take(KillTask) if kill.task_no == run.task_no]
    assert [(kill.task_no, kill.attempt) for kill in kills] == [(run.task_no, run.attempt)]
    await house.host.end(run, exit_code=None, failure=KILLED, killed=True)


async def back(house: House, *runs: RunTask) -> Welcome:
    """The host connects again; it has these runs."""
    nodes = [node.no for node in await house.nodes()]
    await house.host.connect(nodes, [(run.task_no, run.attempt) for run in runs])
    return house.host.take(Welcome)[-1]


async def prepared_node(house: House, **more: Any) -> RunTask:
    """A pool of one node that is prepared for a job, and runs a task of it."""
    await house.pool()
    await with_both(house, **more)
    await house.add("t")
    await house.host.end((await house.runs())[BEFORE])
    return (await house.runs())["t"]


# --- preparation -----------------------------------------------------------------------------


def test_a_node_is_prepared_before_the_first_task_of_the_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await house.job(
            job_preparation_task=preparation(
                environment_settings=[NameValue(name="B", value="own")]
            ),
            common_environment_settings=[
                NameValue(name="A", value="1"),
                NameValue(name="B", value="common"),
            ],
        )
        await house.add("one", "two", "three")
        runs = await house.runs()
        assert list(runs) == [BEFORE], "once for a node, and nothing of the tasks"
        order = runs[BEFORE]
        assert (order.command_line, order.slots, order.preparation_id) == ("before", 0, None)
        assert order.environment == {"A": "1", "B": "own"}
        assert await states(house, "one", "two", "three") == [
            TaskState.PREPARING,
            TaskState.PREPARING,
            TaskState.ACTIVE,
        ]
        task = await house.task("one")
        assert (task.previous_state, task.start_us) == (TaskState.ACTIVE, None)
        assert task.node_id == (await house.nodes())[0].id
        job = await house.job_record()
        assert job is not None
        counts = (await house.store.counts(job.no)).tasks
        assert (counts.active, counts.running) == (1, 2), "preparing counts as running"
        (node,) = await house.nodes()
        assert (node.state, node.running_tasks, node.running_slots) == (NodeState.RUNNING, 2, 2)
        house.elapse(5)
        await house.host.end(order)
        runs = await house.runs()
        assert list(runs) == ["one", "two"]
        assert runs["one"].preparation_id == BEFORE
        task = await house.task("one")
        assert (task.state, task.previous_state) == (TaskState.RUNNING, TaskState.PREPARING)
        assert task.start_us == house.now_us
        await house.host.end(runs["one"])
        assert list(await house.runs()) == ["three"], "the node is prepared"
        run = await prepared_run(house)
        assert (run.running, run.exit_code, run.failure) == (False, 0, None)

    play(scenario)


def test_only_nodes_that_get_tasks_are_prepared() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=3, slots=1)
        await with_both(house)
        assert await house.told(BEFORE) == []
        await house.add("one", "two")
        assert len(await house.told(BEFORE)) == 2
        assert len(await job_nodes(house)) == 2

    play(scenario)


def test_each_job_prepares_for_itself() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await with_both(house, "a", job_preparation_task=preparation(id="mine"))
        await with_both(house, "b")
        await house.add("ta", job="a")
        await house.add("tb", job="b")
        runs = await house.runs()
        assert {run.job_id: name for name, run in runs.items()} == {"a": "mine", "b": BEFORE}
        await house.host.end(runs["mine"])
        runs = await house.runs()
        assert list(runs) == ["ta"]
        assert runs["ta"].preparation_id == "mine"
        assert (await house.task("tb", "b")).state is TaskState.PREPARING

    play(scenario)


def test_tasks_may_run_beside_the_preparation() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=preparation(wait_for_success=False))
        await house.add("t")
        runs = await house.runs()
        assert list(runs) == [BEFORE, "t"]
        await house.host.end(runs[BEFORE], exit_code=1)
        await house.add("u")
        assert list(await house.runs()) == ["u"], "though it failed"

    play(scenario)


def test_a_preparation_is_tried_as_often_as_its_constraint_says() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=preparation(retries=2))
        await house.add("t")
        for count in range(3):
            run = (await house.runs())[BEFORE]
            assert run.attempt == count + 1
            assert await states(house, "t") == [TaskState.PREPARING]
            house.elapse(1)
            await house.host.end(run, exit_code=1)
        assert await house.runs() == {}
        last = await prepared_run(house)
        assert (last.retry_count, last.last_retry_us) == (2, house.now_us - 1_000_000)
        assert (last.exit_code, last.running) == (1, False)
        assert last.failure is not None

    play(scenario)


def test_a_node_that_cannot_be_prepared_is_used_by_other_jobs_only() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await house.job("picky", job_preparation_task=preparation())
        await house.add("t", job="picky")
        (run,) = await house.told(BEFORE)
        await house.host.end(run, exit_code=1)
        (again,) = await house.told(BEFORE)
        assert again.node_no != run.node_no, "the task waits for another node"
        task = await house.task("t", "picky")
        assert (task.state, task.requeue_count) == (TaskState.PREPARING, 0)
        await house.host.end(again, exit_code=1)
        task = await house.task("t", "picky")
        assert (task.state, task.previous_state) == (TaskState.ACTIVE, TaskState.PREPARING)
        assert [node.state for node in await house.nodes()] == [NodeState.IDLE, NodeState.IDLE]
        assert await house.runs() == {}
        await house.crash()
        await back(house)
        assert await house.runs() == {}, "nor after a restart"
        await house.job("plain")
        await house.add("one", "two", job="plain")
        assert sorted(await house.runs()) == ["one", "two"]

    play(scenario)


def test_a_preparation_that_could_not_begin_is_not_tried_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=preparation(retries=5))
        await house.add("t")
        missing = Failure("usererror", "BlobNotFound", "no such file")
        await house.host.end((await house.runs())[BEFORE], exit_code=None, failure=missing)
        assert await house.runs() == {}
        assert await states(house, "t") == [TaskState.ACTIVE]
        assert (await prepared_run(house)).failure == missing

    play(scenario)


@pytest.mark.parametrize("what", ["terminate", "delete"])
def test_a_task_may_be_ended_while_its_node_is_prepared(what: str) -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await with_both(house)
        await house.add("t", "other")
        run = (await house.runs())[BEFORE]
        await getattr(house.engine, f"{what}_task")(ACCOUNT, "job", "t", ANY)
        assert not house.host.take(KillTask), "nothing of it runs"
        assert await states(house, "other") == [TaskState.PREPARING]
        if what == "terminate":
            task = await house.task("t")
            assert (task.state, task.exit_code) == (TaskState.COMPLETED, None)
            assert task.failure is not None
            assert task.failure.code == "TaskEnded"
        await house.host.end(run)
        assert list(await house.runs()) == ["other"]

    play(scenario)


@pytest.mark.parametrize(
    ("how", "then"), [("requeue", "active"), ("terminate", "completed"), ("wait", "preparing")]
)
def test_disabling_a_job_that_prepares(how: str, then: str) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        run = (await house.runs())[BEFORE]
        await house.engine.disable_job(ACCOUNT, "job", how, ANY)
        assert (await house.task("t")).state.wire_name == then
        assert (await house.task("t")).requeue_count == 0
        await house.host.end(run)
        if how == "wait":
            await house.host.end((await house.runs())["t"])
        assert await state(house) is JobState.DISABLED
        assert await house.told(AFTER) == []

    play(scenario)


@pytest.mark.parametrize(
    ("work", "rerun", "again"),
    [
        (NodeWork.REBOOT, None, True),
        (NodeWork.REBOOT, False, False),
        (NodeWork.REIMAGE, False, True),
    ],
)
def test_when_a_node_that_starts_anew_is_prepared_again(
    work: NodeWork, rerun: bool | None, again: bool
) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        prepare = preparation(rerun_on_node_reboot_after_success=rerun)
        await house.job(job_preparation_task=prepare)
        await house.add("t")
        await house.host.end((await house.runs())[BEFORE])
        await house.host.end((await house.runs())["t"])
        await boot(house, work)
        await house.crash()
        await back(house)
        await house.add("u")
        runs = await house.runs()
        assert list(runs) == ([BEFORE] if again else ["u"])
        if again:
            assert runs[BEFORE].attempt == 2
            await house.host.end(runs[BEFORE])
            assert list(await house.runs()) == ["u"]

    play(scenario)


@pytest.mark.parametrize("outcome", ["failed", "unfinished"])
def test_a_reboot_lets_a_preparation_without_success_run_again(outcome: str) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(
            house, job_preparation_task=preparation(rerun_on_node_reboot_after_success=False)
        )
        await house.add("t")
        run = (await house.runs())[BEFORE]
        if outcome == "failed":
            await house.host.end(run, exit_code=1)
        await boot(house, NodeWork.REBOOT)
        (again,) = await house.told(BEFORE)
        assert again.attempt == 2
        await house.host.end(run)  # a word of the boot before
        assert await states(house, "t") == [TaskState.PREPARING]
        await house.host.end(again)
        assert list(await house.runs()) == ["t"]

    play(scenario)


async def boot(house: House, work: NodeWork) -> None:
    """Start the only node anew; the host does as it is told."""
    (node,) = await house.nodes()
    await house.engine.work_on_node(ACCOUNT, "pool", node.id, work, Removal.REQUEUE)
    await house.engine._submit(lambda _turn: None)
    await house.host.settle()
    (node,) = await house.nodes()
    assert node.boot == 1
    assert node.state in (NodeState.IDLE, NodeState.RUNNING)


@pytest.mark.parametrize("work", [NodeWork.REBOOT, NodeWork.REIMAGE])
def test_what_a_node_ran_for_a_job_is_over_when_it_starts_anew(work: NodeWork) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=preparation(wait_for_success=False))
        await house.add("t")
        runs = await house.runs()
        await house.host.end(runs["t"])
        (node,) = await house.nodes()
        await house.engine.work_on_node(ACCOUNT, "pool", node.id, work, Removal.REQUEUE)
        run = await prepared_run(house)
        assert (run.running, run.failure and run.failure.code) == (False, "NodeLost")
        await house.host.cut()
        assert (await back(house)).attempts == (), "and is not sent to the new boot"
        assert not house.host.take(RunTask)

    play(scenario)


# --- the server and the host go away ---------------------------------------------------------


@pytest.mark.parametrize("knows", [True, False])
def test_a_preparation_outlives_the_server(knows: bool) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        run = (await house.runs())[BEFORE]
        await house.crash()
        welcome = await back(house, *([run] if knows else []))
        assert welcome.attempts == ((run.task_no, run.attempt),)
        assert [order.task_no for order in await house.told(BEFORE)] == (
            [] if knows else [run.task_no]
        )
        await house.host.report(Heartbeat(attempts=((run.task_no, run.attempt),)))
        assert not house.host.take(KillTask)
        await house.host.end(run)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_preparation_that_a_restarted_host_lost_runs_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        run = (await house.runs())[BEFORE]
        await house.host.cut()
        await back(house, run)
        await house.host.end(run, exit_code=None, lost=True)
        (again,) = await house.told(BEFORE)
        assert again.attempt == 2
        assert (await prepared_run(house)).retry_count == 0, "that costs no retry"
        await house.host.end(run)
        assert await states(house, "t") == [TaskState.PREPARING], "a late word of the lost one"
        await house.host.end(again)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_node_that_was_lost_while_it_was_prepared_is_prepared_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        run = (await house.runs())[BEFORE]
        await house.pass_time(31)
        assert await states(house, "t") == [TaskState.ACTIVE]
        lost = await prepared_run(house)
        assert (lost.running, lost.failure and lost.failure.code) == (False, "NodeLost")
        assert (await back(house, run)).attempts == ()
        await house.host.end(run, exit_code=None, lost=True)
        await house.host.settle()
        (again,) = await house.told(BEFORE)
        assert again.attempt == 2
        await house.host.end(again)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_node_that_leaves_while_it_is_prepared_stays_listed() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        assert len(await house.told(BEFORE)) == 1
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)
        await house.host.settle()
        assert await house.nodes() == []
        assert await states(house, "t") == [TaskState.ACTIVE]
        assert not (await prepared_run(house)).running
        await terminate(house)
        assert await state(house) is JobState.COMPLETED, "there is nothing to release"
        assert (await job_nodes(house))[0].release is None

    play(scenario)


def test_no_task_begins_on_a_node_that_leaves() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        run = (await house.runs())[BEFORE]
        (node,) = await house.nodes()
        await house.engine.remove_nodes(ACCOUNT, "pool", NodeRemoval(node_list=[node.id]), ANY)
        await house.host.end(run)  # before the host hears of it
        assert await house.runs() == {}
        assert await states(house, "t") == [TaskState.PREPARING]
        await house.host.settle()
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 0)

    play(scenario)


# --- release ---------------------------------------------------------------------------------


def test_a_node_is_released_when_the_job_ends() -> None:
    async def scenario(house: House) -> None:
        run = await prepared_node(house)
        await terminate(house)
        assert await house.told(AFTER) == [], "not while a task runs"
        await killed(house, run)
        (order,) = await house.told(AFTER)
        assert order.wall_clock_us == 900_000_000
        assert (order.command_line, order.preparation_id) == ("after", BEFORE)
        assert await state(house) is JobState.TERMINATING
        assert (await released_run(house)).running
        with pytest.raises(JobBeingTerminated):
            await house.add("u")
        await house.host.end(order, exit_code=9)
        assert await state(house) is JobState.COMPLETED, "whatever comes of it"
        over = await released_run(house)
        assert (over.running, over.exit_code, over.retry_count) == (False, 9, 0)
        assert await house.runs() == {}

    play(scenario)


def test_the_last_task_may_begin_the_release() -> None:
    async def scenario(house: House) -> None:
        run = await prepared_node(house)
        patch = JobPatch(on_all_tasks_complete="terminatejob")
        await house.engine.patch_job(ACCOUNT, "job", patch, ANY)
        await house.host.end(run)
        (order,) = await house.told(AFTER)
        await house.host.end(order)
        job = await house.job_record()
        assert job is not None
        assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "AllTasksComplete")

    play(scenario)


def test_nodes_that_were_not_prepared_are_not_released() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2)
        await with_both(house)
        await terminate(house)
        assert await state(house) is JobState.COMPLETED
        assert await house.told(AFTER) == []

    play(scenario)


def test_a_node_is_released_whose_preparation_failed() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house)
        await house.add("t")
        await house.host.end((await house.runs())[BEFORE], exit_code=1)
        await terminate(house)
        assert len(await house.told(AFTER)) == 1

    play(scenario)


@pytest.mark.parametrize("retries", [0, 3])
def test_a_preparation_that_runs_is_ended_before_the_release(retries: int) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_both(house, job_preparation_task=preparation(retries))
        await house.add("t")
        run = (await house.runs())[BEFORE]
        await terminate(house)
        assert await states(house, "t") == [TaskState.COMPLETED]
        assert await house.told(AFTER) == []
        assert (await prepared_run(house)).stopping
        await house.crash()
        await back(house, run)
        await killed(house, run)
        assert not (await prepared_run(house)).running
        (order,) = await house.told(AFTER)
        await house.host.end(order)
        assert await state(house) is JobState.COMPLETED

    play(scenario)


def test_a_preparation_that_fails_while_its_job_ends_is_not_tried_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=preparation(3, wait_for_success=False))
        await house.add("t")
        runs = await house.runs()
        await terminate(house)
        await house.host.end(runs[BEFORE], exit_code=1)
        assert await house.runs() == {}
        await killed(house, runs["t"])
        assert await state(house) is JobState.COMPLETED

    play(scenario)


@pytest.mark.parametrize("when", ["before the kill", "while it is released"])
def test_a_deleted_job_releases_its_nodes_before_its_directories_go(when: str) -> None:
    async def scenario(house: House) -> None:
        run = await prepared_node(house)
        if when == "before the kill":
            await delete(house)
            await killed(house, run)
        else:
            await terminate(house)
            await killed(house, run)
            await delete(house)
        (order,) = await house.told(AFTER)
        assert await state(house) is JobState.DELETING
        assert not house.host.take(RemoveJob)
        await house.host.end(order)
        assert await house.told(AFTER) == []
        assert house.host.told
        await house.host.settle()
        with pytest.raises(JobNotFound):
            await house.add("u")

    play(scenario)


def test_a_job_that_had_ended_is_deleted_without_another_release() -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await prepared_node(house))
        await terminate(house)
        (order,) = await house.told(AFTER)
        await house.host.end(order)
        await delete(house)
        assert await house.told(AFTER) == []
        assert len(house.host.take(RemoveJob)) == 1
        assert await state(house) is JobState.DELETING

    play(scenario)


@pytest.mark.parametrize("stage", ["prepares", "runs", "releases"])
@pytest.mark.parametrize("what", ["terminate", "delete"])
def test_force_waits_for_nothing(stage: str, what: str) -> None:
    async def scenario(house: House) -> None:
        if stage == "prepares":
            await house.pool()
            await with_both(house)
            await house.add("t")
            run = (await house.runs())[BEFORE]
        else:
            run = await prepared_node(house)
        if stage == "releases":
            await house.host.end(run)
            await terminate(house)
            (run,) = await house.told(AFTER)
            what_now = "delete"
        else:
            what_now = what
        await {"terminate": terminate, "delete": delete}[what_now](house, force=True)
        kills = [(kill.task_no, kill.attempt) for kill in house.host.take(KillTask)]
        assert (run.task_no, run.attempt) in kills
        if what_now == "delete":
            assert await house.job_record() is None
        else:
            assert await state(house) is JobState.COMPLETED
            assert not (await prepared_run(house)).running
        await house.host.end(run)
        assert await house.told(AFTER) == []
        await house.host.report(Heartbeat(attempts=((run.task_no, run.attempt),)))
        assert len(house.host.take(KillTask)) == 1, "it is stale"

    play(scenario)


@pytest.mark.parametrize("knows", [True, False])
def test_a_release_outlives_the_server(knows: bool) -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await prepared_node(house))
        await terminate(house)
        (order,) = await house.told(AFTER)
        await house.crash()
        assert await state(house) is JobState.TERMINATING
        welcome = await back(house, *([order] if knows else []))
        assert welcome.attempts == ((order.task_no, order.attempt),)
        assert len(await house.told(AFTER)) == (0 if knows else 1)
        await house.host.report(Heartbeat(attempts=((order.task_no, order.attempt),)))
        assert not house.host.take(KillTask)
        await house.host.end(order)
        assert await state(house) is JobState.COMPLETED

    play(scenario)


def test_a_release_that_a_restarted_host_lost_runs_again() -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await prepared_node(house))
        await terminate(house)
        (order,) = await house.told(AFTER)
        await house.host.cut()
        await back(house, order)
        await house.host.end(order, exit_code=None, lost=True)
        (again,) = await house.told(AFTER)
        assert (again.task_no, again.attempt) == (order.task_no, 2)
        await house.host.end(again)
        assert await state(house) is JobState.COMPLETED

    play(scenario)


@pytest.mark.parametrize("how", ["silent", "removed", "rebooted", "broken"])
def test_a_job_does_not_wait_for_a_release_that_cannot_end(how: str) -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await prepared_node(house))
        await terminate(house)
        (order,) = await house.told(AFTER)
        (node,) = await house.nodes()
        if how == "silent":
            await house.pass_time(31)
        elif how == "removed":
            removal = NodeRemoval(node_list=[node.id])
            await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
            await house.host.settle()
        elif how == "rebooted":
            await house.engine.work_on_node(
                ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.REQUEUE
            )
        else:
            broken = NodeBroken(report=house.host.number(), node_no=node.no, error=KILLED)
            await house.host.report(broken)
        assert await state(house) is JobState.COMPLETED
        over = await released_run(house)
        assert (over.running, over.failure and over.failure.code) == (False, "NodeLost")
        if how != "removed":
            await house.host.cut()
            assert (await back(house, order)).attempts == ()
            assert await house.told(AFTER) == []

    play(scenario)


def test_a_node_that_was_reimaged_has_nothing_to_release() -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await prepared_node(house))
        await boot(house, NodeWork.REIMAGE)
        await terminate(house)
        assert await house.told(AFTER) == []
        assert await state(house) is JobState.COMPLETED

    play(scenario)


def test_a_job_that_releases_its_nodes_is_still_there_for_others() -> None:
    """Another job with the same nodes goes on, and the first is over only when all are."""

    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await with_both(house)
        await house.add("one", "two")
        for run in await house.told(BEFORE):
            await house.host.end(run)
        for run in (await house.runs()).values():
            await house.host.end(run)
        await terminate(house)
        first, second = await house.told(AFTER)
        await house.job("other")
        await house.add("x", job="other")
        assert list(await house.runs()) == ["x"]
        await house.host.end(first)
        assert await state(house) is JobState.TERMINATING
        await house.host.end(second)
        assert await state(house) is JobState.COMPLETED

    play(scenario)


# --- rules -----------------------------------------------------------------------------------


def test_tasks_may_not_have_the_ids_of_special_tasks() -> None:
    async def scenario(house: House) -> None:
        await with_both(house, job_preparation_task=preparation(id="Before"))
        answers = await house.add("before", "JobRelease", "jobpreparation")
        assert isinstance(answers[0], TaskIdSameAsJobPreparationTask)
        assert isinstance(answers[1], TaskIdSameAsJobReleaseTask)
        assert answers[2].id == "jobpreparation"
        await house.job("plain")
        added = await house.add(BEFORE, AFTER, job="plain")
        assert [task.id for task in added] == [BEFORE, AFTER]

    play(scenario)


@pytest.mark.parametrize("part", ["job_manager_task", "job_preparation_task", "job_release_task"])
def test_files_of_a_linked_storage_need_one(part: str) -> None:
    files = [ResourceFile(auto_storage_container_name="input")]
    tasks: dict[str, Any] = {
        "job_manager_task": JobManagerTask(id="m", command_line="x", resource_files=files),
        "job_preparation_task": preparation(resource_files=files),
        "job_release_task": JobReleaseTask(command_line="x", resource_files=files),
    }

    async def scenario(house: House) -> None:
        with pytest.raises(InvalidPropertyValue):
            await house.job(**{part: tasks[part]})
        assert await house.job_record() is None
        template = JobTemplate(pool_info=PoolInfo(pool_id="pool"), **{part: tasks[part]})
        schedule = JobScheduleSpec(id="s", schedule=Schedule(), job_specification=template)
        with pytest.raises(InvalidPropertyValue) as raised:
            await house.engine.add_schedule(ACCOUNT, schedule)
        assert raised.value.values["PropertyName"].startswith("jobSpecification.")

    play(scenario)


def test_two_hosts_prepare_their_nodes_each() -> None:
    async def scenario(house: House) -> None:
        other = FakeHost(house.engine, "other")
        await house.host.connect()
        await other.connect()
        await house.pool(nodes=2, slots=1)
        await other.settle()
        await with_both(house)
        await house.add("one", "two")
        await house.engine._submit(lambda _turn: None)
        (mine,), (theirs,) = house.host.take(RunTask), other.take(RunTask)
        await other.end(theirs)
        assert [run.task_id for run in other.take(RunTask)] == ["two"]
        assert await states(house, "one", "two") == [TaskState.PREPARING, TaskState.RUNNING]
        await house.host.end(mine)
        assert [run.task_id for run in house.host.take(RunTask)] == ["one"]
        assert not house.host.take(MakeNode)
        assert not house.host.take(DropNode)

    play(scenario)
