"""The job manager: a task like any other, but that it comes first and may end its job."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.queries import Query
from penstock.domain.records import NodeWork, Removal
from penstock.domain.refusals import TaskExists
from penstock.domain.specs.common import NameValue, TaskConstraints
from penstock.domain.specs.job import JobPatch
from penstock.domain.specs.pool import Resize
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.domain.specs.task import AffinityInfo, Dependencies
from penstock.domain.states import JobState, TaskResult, TaskState
from penstock.messages import Heartbeat, KillTask, RunTask
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, FakeHost, House, play


def manager(**more: Any) -> JobManagerTask:
    constraints = TaskConstraints(max_task_retry_count=more.pop("retries", 0))
    return JobManagerTask(id="Boss", command_line="manage", constraints=constraints, **more)


async def with_manager(house: House, name: str = "job", **more: Any) -> None:
    of_job = {key: more.pop(key) for key in list(more) if key.startswith(("job_", "on_", "uses_"))}
    await house.job(name, job_manager_task=manager(**more), **of_job)


async def ended(house: House, name: str = "job") -> tuple[JobState, str | None]:
    job = await house.job_record(name)
    assert job is not None
    return job.state, job.terminate_reason


async def kill_all(house: House) -> None:
    for kill in house.host.take(KillTask):
        await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)


def test_a_manager_is_a_task_of_its_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_manager(
            house,
            job_preparation_task=None,
            environment_settings=[NameValue(name="A", value="1")],
        )
        (answer,) = await house.add("bOSS")
        assert isinstance(answer, TaskExists)
        job = await house.job_record()
        assert job is not None
        listed = await house.store.list_tasks(job.no, Query())
        assert [task.id for task, _ in listed] == ["Boss"]
        assert job.manager_no == listed[0][0].no
        assert (await house.store.counts(job.no)).tasks.running == 1
        run = (await house.runs())["Boss"]
        assert (run.command_line, run.environment) == ("manage", {"A": "1"})

    play(scenario)


@pytest.mark.parametrize("exit_code", [0, 3])
@pytest.mark.parametrize("kill", [None, True, False])
def test_its_end_ends_its_job_unless_that_is_not_wanted(kill: bool | None, exit_code: int) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await with_manager(house, kill_job_on_completion=kill)
        await house.add("running", "waiting")
        runs = await house.runs()
        assert list(runs) == ["Boss", "running"]
        await house.host.end(runs["Boss"], exit_code)
        if kill is False:
            assert await ended(house) == (JobState.ACTIVE, None)
            assert list(await house.runs()) == ["waiting"]
            return
        assert await ended(house) == (JobState.TERMINATING, "JMComplete")
        await kill_all(house)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")
        assert (await house.task("running")).result is TaskResult.FAILURE
        assert (await house.task("waiting")).state is TaskState.ACTIVE
        result = TaskResult.FAILURE if exit_code else TaskResult.SUCCESS
        assert (await house.task("Boss")).result is result

    play(scenario)


def test_it_ends_its_job_only_when_its_tries_are_used_up() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await with_manager(house, retries=1)
        await house.add("t")
        await house.host.end((await house.runs())["Boss"], 1)
        assert await ended(house) == (JobState.ACTIVE, None)
        await house.host.end((await house.runs())["Boss"], 1)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


@pytest.mark.parametrize("stage", ["waiting", "running"])
def test_a_user_who_ends_it_ends_its_job(stage: str) -> None:
    async def scenario(house: House) -> None:
        if stage == "running":
            await house.pool()
        await with_manager(house)
        assert len(await house.runs()) == (stage == "running")
        await house.engine.terminate_task(ACCOUNT, "job", "boss", ANY)
        await kill_all(house)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


def test_its_job_goes_on_when_it_is_deleted() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await with_manager(house)
        await house.add("t")
        assert list(await house.runs()) == ["Boss"]
        await house.engine.delete_task(ACCOUNT, "job", "Boss", ANY)
        await kill_all(house)
        assert list(await house.runs()) == ["t"]
        assert await ended(house) == (JobState.ACTIVE, None)

    play(scenario)


def test_it_begins_before_the_other_tasks_of_its_job() -> None:
    async def scenario(house: House) -> None:
        await with_manager(house, kill_job_on_completion=False)
        await house.add("one", "two")
        await house.pool(nodes=1, slots=2)
        assert list(await house.runs()) == ["Boss"], "alone on its node"

    play(scenario)


@pytest.mark.parametrize("exclusive", [True, False])
def test_whether_others_run_beside_it(exclusive: bool) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=3)
        await with_manager(house, run_exclusive=exclusive)
        await house.job("other")
        await house.add("x", job="other")
        await house.add("t")
        assert sorted(await house.runs()) == (["Boss"] if exclusive else ["Boss", "t", "x"])
        await house.crash()
        await house.host.connect([node.no for node in await house.nodes()])
        assert sorted(await house.runs()) == (["Boss"] if exclusive else ["Boss", "t", "x"])

    play(scenario)


def test_a_node_is_whole_again_after_it() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=3)
        await with_manager(house, kill_job_on_completion=False)
        await house.add("one", "two", "three")
        run = (await house.runs())["Boss"]
        await house.host.end(run)
        assert len(await house.runs()) == 3
        (node,) = await house.nodes()
        assert (node.running_tasks, node.running_slots) == (3, 3)

    play(scenario)


def test_it_may_want_a_node_that_nobody_takes_away() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=0, target_low_priority_nodes=1, slots=1)
        await with_manager(house, allow_low_priority_node=False)
        assert await house.runs() == {}
        both = Resize(target_dedicated_nodes=1, target_low_priority_nodes=1)
        await house.engine.resize_pool(ACCOUNT, "pool", both, ANY)
        await house.host.settle()
        assert list(await house.runs()) == ["Boss"]
        (used,) = [node for node in await house.nodes() if node.running_tasks]
        assert used.dedicated

    play(scenario)


def test_one_that_restarts_displaces_another_task() -> None:
    async def scenario(house: House) -> None:
        other = FakeHost(house.engine, "other")
        await house.host.connect()
        await other.connect()
        await house.pool(nodes=2, slots=1)
        await other.settle()
        await with_manager(house)
        await house.add("t")
        await house.engine._submit(lambda _turn: None)
        hosts = (house.host, other)
        runs = {run.task_id: (host, run) for host in hosts for run in host.take(RunTask)}
        assert sorted(runs) == ["Boss", "t"]
        has_manager, _ = runs["Boss"]
        alive, displaced = runs["t"]
        house.elapse(20)
        await alive.report(Heartbeat(attempts=((displaced.task_no, displaced.attempt),)))
        await house.pass_time(11)
        assert not alive.take(RunTask)
        (kill,) = alive.take(KillTask)
        assert kill.task_no == displaced.task_no
        await alive.end(kill, exit_code=None, failure=KILLED, killed=True)
        await house.engine._submit(lambda _turn: None)
        (again,) = alive.take(RunTask)
        assert (again.task_id, again.attempt) == ("Boss", 2)
        assert has_manager is not alive
        assert (await house.task("t")).requeue_count == 1

    play(scenario)


def test_a_node_that_is_held_for_one_no_more_is_used_at_once() -> None:
    """What lacks least is held for it first; then tasks make room elsewhere, where they may."""

    async def scenario(house: House) -> None:
        other = FakeHost(house.engine, "other")
        await house.host.connect()
        await other.connect()
        await house.pool(nodes=4, slots=2)
        await other.settle()
        await with_manager(house)
        await house.engine._submit(lambda _turn: None)
        dead, alive = house.host, other
        if not dead.take(RunTask):
            dead, alive = alive, dead
        nodes = await house.nodes()
        one, two = (node.id for node in nodes if node.host == alive.name)
        (lost,) = (node.id for node in nodes if node.host == dead.name and not node.running_tasks)

        async def on(node: str, *names: str, job: str) -> None:
            near = AffinityInfo(affinity_id=f"TVM:{node}")
            await house.add(*names, job=job, affinity_info=near)

        await house.job("urgent", priority=5)
        await house.job("plain")
        await on(one, "stays", job="urgent")
        await on(two, "a", "b", job="plain")
        await on(lost, "x", job="plain")
        await house.engine._submit(lambda _turn: None)
        begun = {run.task_id: run for run in alive.take(RunTask)}
        assert sorted(begun) == ["a", "b", "stays"]
        assert [run.task_id for run in dead.take(RunTask)] == ["x"]
        house.elapse(20)
        beats = tuple((run.task_no, run.attempt) for run in begun.values())
        await alive.report(Heartbeat(attempts=beats))
        await house.pass_time(11)
        killed = {kill.task_no for kill in alive.take(KillTask)}
        assert killed == {begun["a"].task_no, begun["b"].task_no}
        assert [run.task_id for run in alive.take(RunTask)] == ["x"]
        assert (await house.task("x", "plain")).node_id == one

    play(scenario)


def test_disabling_treats_it_like_any_task() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await with_manager(house)
        assert list(await house.runs()) == ["Boss"]
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        await kill_all(house)
        assert (await house.task("Boss")).state is TaskState.ACTIVE
        assert (await ended(house))[0] is JobState.DISABLED
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        await house.engine._submit(lambda _turn: None)
        assert list(await house.runs()) == ["Boss"]
        await house.engine.disable_job(ACCOUNT, "job", "terminate", ANY)
        await kill_all(house)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


def test_it_counts_among_all_tasks() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await with_manager(house, kill_job_on_completion=False, run_exclusive=False)
        await house.engine.patch_job(
            ACCOUNT, "job", JobPatch(on_all_tasks_complete="terminatejob"), ANY
        )
        await house.add("t")
        runs = await house.runs()
        await house.host.end(runs["t"])
        assert await ended(house) == (JobState.ACTIVE, None)
        await house.host.end(runs["Boss"])
        assert await ended(house) == (JobState.COMPLETED, "AllTasksComplete")

    play(scenario)


def test_a_job_whose_only_task_it_is_does_not_end_at_once() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_manager(house, on_all_tasks_complete="terminatejob")
        assert await ended(house) == (JobState.ACTIVE, None)

    play(scenario)


def test_tasks_may_depend_on_it() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await with_manager(
            house, kill_job_on_completion=False, run_exclusive=False, uses_task_dependencies=True
        )
        await house.add("t", depends_on=Dependencies(task_ids=["Boss"]))
        runs = await house.runs()
        assert list(runs) == ["Boss"]
        await house.host.end(runs["Boss"])
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_its_node_is_prepared_and_released_like_any() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_manager(
            house,
            job_preparation_task=JobPreparationTask(command_line="before"),
            job_release_task=JobReleaseTask(command_line="after"),
        )
        runs = await house.runs()
        assert list(runs) == ["jobpreparation"]
        await house.host.end(runs["jobpreparation"])
        runs = await house.runs()
        assert list(runs) == ["Boss"]
        await house.host.end(runs["Boss"])
        runs = await house.runs()
        assert list(runs) == ["jobrelease"]
        assert await ended(house) == (JobState.TERMINATING, "JMComplete")
        await house.host.end(runs["jobrelease"])
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


def test_its_end_while_its_job_is_disabled_ends_the_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_manager(house)
        run = (await house.runs())["Boss"]
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        await house.host.end(run)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


def test_a_manager_outlives_the_server() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await with_manager(house)
        run = (await house.runs())["Boss"]
        await house.crash()
        await house.host.connect(
            [node.no for node in await house.nodes()], [(run.task_no, run.attempt)]
        )
        assert await house.runs() == {}
        await house.host.end(run)
        assert await ended(house) == (JobState.COMPLETED, "JMComplete")

    play(scenario)


def test_a_manager_whose_node_starts_anew_runs_again_before_the_others() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await with_manager(house)
        await house.add("t")
        assert list(await house.runs()) == ["Boss"]
        (node,) = await house.nodes()
        await house.engine.work_on_node(ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.REQUEUE)
        await kill_all(house)
        await house.engine._submit(lambda _turn: None)
        await house.host.settle()
        runs = await house.runs()
        assert [(name, run.attempt) for name, run in runs.items()] == [("Boss", 2)]

    play(scenario)
