"""What becomes of tasks, whatever their nodes report and in whatever order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock.domain import changes as c
from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import Failure, TaskRecord
from penstock.domain.refusals import (
    InvalidPropertyValue,
    JobCompleted,
    JobNotFound,
    ServerBusy,
    TaskCompleted,
    TaskDependenciesNotSpecifiedOnJob,
    TaskExists,
    TaskNotCompleted,
    TaskNotFound,
    TaskSucceeded,
)
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobConstraints
from penstock.domain.specs.task import (
    Dependencies,
    ExitCodeMapping,
    ExitConditions,
    ExitOptions,
    TaskIdRange,
)
from penstock.domain.states import JobState, NodeState, TaskResult, TaskState
from penstock.messages import Confirm, KillTask, RemoveTask, RunTask, TaskEnded
from penstock.store.contract import Revision
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, House, play


def retries(count: int) -> TaskConstraints:
    return TaskConstraints(max_task_retry_count=count)


def test_a_task_runs_and_succeeds() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        (added,) = await house.add("t")
        assert isinstance(added, TaskRecord)
        runs = await house.runs()
        assert (await house.task("T")).state is TaskState.RUNNING
        assert (await house.nodes())[0].state is NodeState.RUNNING
        await house.host.end(runs["t"])
        task = await house.task("t")
        assert (task.state, task.result, task.exit_code) == (
            TaskState.COMPLETED,
            TaskResult.SUCCESS,
            0,
        )
        assert task.previous_state is TaskState.RUNNING
        node = (await house.nodes())[0]
        assert (node.state, node.tasks_run, node.running_tasks) == (NodeState.IDLE, 1, 0)
        recent = await house.store.recent_tasks([node.no])
        assert [task.task_id for task in recent[node.no]] == ["t"]
        assert house.host.take(Confirm)[-1].report == house.host.reports

    play(scenario)


def test_nodes_take_as_many_tasks_as_they_have_slots() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=2)
        await house.job()
        await house.add(*(f"t{n}" for n in range(6)))
        runs = await house.runs()
        assert len(runs) == 4
        await house.host.end(runs["t0"])
        assert list(await house.runs()) == ["t4"]

    play(scenario)


def test_ids_are_taken_in_any_case_and_each_task_is_answered_for_itself() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        answers = await house.add("a", "A", "b")
        assert isinstance(answers[1], TaskExists)
        assert [getattr(answer, "id", None) for answer in answers] == ["a", None, "b"]
        (again,) = await house.add("B")
        assert isinstance(again, TaskExists)
        job = await house.job_record()
        assert job is not None
        assert (await house.store.counts(job.no)).tasks.active == 2

    play(scenario)


def test_a_bad_exit_code_is_tried_again_as_often_as_allowed() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(constraints=JobConstraints(max_task_retry_count=2))
        await house.add("t")
        for attempt in (1, 2, 3):
            runs = await house.runs()
            assert runs["t"].attempt == attempt
            house.now_us += 10
            await house.host.end(runs["t"], exit_code=9)
        task = await house.task("t")
        assert (task.state, task.retry_count, task.exit_code) == (TaskState.COMPLETED, 2, 9)
        assert task.result is TaskResult.FAILURE
        assert task.last_retry_us == house.now_us - 10
        assert (await house.nodes())[0].tasks_run == 3

    play(scenario)


def test_new_constraints_without_a_retry_count_take_the_jobs() -> None:
    async def scenario(house: House) -> None:
        await house.job(constraints=JobConstraints(max_task_retry_count=2))
        await house.add("t", constraints=retries(5))
        for new, most in ((retries(0), 0), (TaskConstraints(), 2), (retries(-1), -1)):
            task = await house.engine.update_task(ACCOUNT, "job", "t", new, ANY)
            assert task.max_retries == most

    play(scenario)


def test_only_bad_exit_codes_are_tried_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t", constraints=retries(5))
        runs = await house.runs()
        missing = Failure("usererror", "BlobNotFound", "not there")
        await house.host.end(runs["t"], exit_code=None, failure=missing)
        task = await house.task("t")
        assert (task.state, task.retry_count, task.failure) == (TaskState.COMPLETED, 0, missing)

    play(scenario)


def test_late_and_repeated_reports_change_nothing() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("t", constraints=retries(1))
        first = (await house.runs())["t"]
        await house.host.end(first, exit_code=1)
        second = (await house.runs())["t"]
        await house.host.end(first, exit_code=0)
        assert (await house.task("t")).state is TaskState.RUNNING
        await house.host.end(second, exit_code=0)
        await house.host.end(second, exit_code=1)
        assert (await house.task("t")).exit_code == 0
        assert (await house.nodes())[0].tasks_run == 2

    play(scenario)


def test_a_range_of_ids_is_waited_for() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(uses_task_dependencies=True)
        wish = Dependencies(task_id_ranges=[TaskIdRange(start=1, end=3)])
        await house.add("merge", depends_on=wish)
        await house.add("1", "2")
        runs = await house.runs()
        assert sorted(runs) == ["1", "2"]
        await house.host.end(runs["1"])
        await house.host.end(runs["2"])
        assert await house.runs() == {}
        await house.add("03")
        await house.host.end((await house.runs())["03"])
        assert list(await house.runs()) == ["merge"]

    play(scenario)


def test_a_failed_parent_blocks_unless_its_exit_conditions_say_otherwise() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(uses_task_dependencies=True)
        lenient = ExitConditions(
            exit_codes=[
                ExitCodeMapping(code=3, exit_options=ExitOptions(dependency_action="satisfy"))
            ]
        )
        await house.add("strict")
        await house.add("lenient", exit_conditions=lenient)
        await house.add("blocked", depends_on=Dependencies(task_ids=["strict"]))
        await house.add("released", depends_on=Dependencies(task_ids=["LENIENT"]))
        runs = await house.runs()
        await house.host.end(runs["strict"], exit_code=3)
        await house.host.end(runs["lenient"], exit_code=3)
        assert list(await house.runs()) == ["released"]
        assert (await house.task("lenient")).result is TaskResult.FAILURE
        await house.engine.reactivate_task(ACCOUNT, "job", "strict", ANY)
        await house.host.end((await house.runs())["strict"])
        assert list(await house.runs()) == ["blocked"]

    play(scenario)


def test_a_task_that_ran_needs_its_dependencies_no_more() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(uses_task_dependencies=True)
        await house.add("parent")
        wish = Dependencies(task_ids=["parent"])
        await house.add("child", depends_on=wish, constraints=retries(1))
        await house.host.end((await house.runs())["parent"])
        child = (await house.runs())["child"]
        await house.engine.delete_task(ACCOUNT, "job", "parent", ANY)
        await house.host.settle()
        await house.host.end(child, exit_code=1)
        assert (await house.runs())["child"].attempt == 2
        await house.add("late", depends_on=wish)
        reasons = await house.engine.why(ACCOUNT, "job", "late")
        assert reasons[0].code == "DependencyMissing"

    play(scenario)


def test_a_task_that_runs_again_satisfies_nobody_until_it_has_ended() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(uses_task_dependencies=True)
        lenient = ExitConditions(default=ExitOptions(dependency_action="satisfy"))
        await house.add("parent", exit_conditions=lenient)
        await house.host.end((await house.runs())["parent"], exit_code=1)
        await house.engine.reactivate_task(ACCOUNT, "job", "parent", ANY)
        await house.add("child", depends_on=Dependencies(task_ids=["parent"]))
        runs = await house.runs()
        assert list(runs) == ["parent"]
        await house.host.end(runs["parent"])
        assert list(await house.runs()) == ["child"]

    play(scenario)


def test_the_end_of_one_releases_many_a_few_in_each_turn() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=50)
        await house.job(uses_task_dependencies=True)
        await house.add("first")
        runs = await house.runs()
        names = {f"after{number}" for number in range(40)}
        await house.add(*names, depends_on=Dependencies(task_ids=["first"]))
        commit, begun = house.store.commit, list[int]()

        async def counted(changes: Sequence[c.Change], expect: Revision, next_no: int) -> Revision:
            begun.append(
                sum(
                    isinstance(change, c.SetTask) and change.task.state is TaskState.RUNNING
                    for change in changes
                )
            )
            return await commit(changes, expect, next_no)

        house.store.commit = counted  # type: ignore[method-assign]
        await house.host.end(runs["first"])
        found = set(await house.runs())
        while sum(begun) < 40:
            found |= set(await house.runs())
        assert found == names
        assert max(begun) == 5, "an edge to look at and an edge that is met, each"

    play(scenario, released_in_turn=10)


def test_dependencies_survive_a_crash() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(uses_task_dependencies=True)
        await house.add("a", "b")
        await house.add("c", depends_on=Dependencies(task_ids=["a", "b"]))
        runs = await house.runs()
        await house.host.end(runs["a"])
        await house.crash()
        node = (await house.nodes())[0]
        await house.host.connect([node.no], [(runs["b"].task_no, 1)])
        assert await house.runs() == {}, "what the host knows is not sent again"
        await house.host.end(runs["b"])
        assert list(await house.runs()) == ["c"]

    play(scenario)


def test_a_task_that_waits_for_a_slot_is_not_blocked_again_by_a_crash() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(uses_task_dependencies=True)
        await house.add("parent")
        wish = Dependencies(task_ids=["parent"])
        await house.add("child", depends_on=wish)
        await house.host.end((await house.runs())["parent"])
        child = (await house.runs())["child"]
        await house.add("second", depends_on=wish)  # released, and there is no slot for it
        await house.engine.delete_task(ACCOUNT, "job", "parent", ANY)
        await house.host.settle()
        await house.add("late", depends_on=wish)
        await house.crash()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(child.task_no, child.attempt)])
        await house.host.end(child)
        runs = await house.runs()
        assert list(runs) == ["second"]
        await house.host.end(runs["second"])
        assert await house.runs() == {}
        reasons = await house.engine.why(ACCOUNT, "job", "late")
        assert reasons[0].code == "DependencyMissing"

    play(scenario)


def test_refusals_of_whole_calls() -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(JobNotFound):
            await house.add("t")
        await house.job()
        (answer,) = await house.add("t", depends_on=Dependencies(task_ids=["x"]))
        assert isinstance(answer, TaskDependenciesNotSpecifiedOnJob)
        acts = ExitConditions(default=ExitOptions(job_action="terminate"))
        (answer,) = await house.add("t", exit_conditions=acts)
        assert isinstance(answer, InvalidPropertyValue)
        with pytest.raises(TaskNotFound):
            await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)
        with pytest.raises(JobCompleted):
            await house.add("t")

    play(scenario)


def test_terminating_a_waiting_task_completes_it_at_once() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("t")
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        task = await house.task("t")
        assert task.state is TaskState.COMPLETED
        assert task.failure is not None
        assert task.failure.code == "TaskEnded"
        assert (task.exit_code, task.start_us) == (None, None)
        with pytest.raises(TaskCompleted):
            await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)

    play(scenario)


def test_a_running_task_is_terminated_when_its_node_says_so() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t", constraints=retries(3))
        await house.runs()
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        assert (await house.task("t")).state is TaskState.RUNNING, "it may still write its files"
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, exit_code=143, failure=KILLED, killed=True)
        task = await house.task("t")
        assert (task.state, task.exit_code, task.failure) == (TaskState.COMPLETED, 143, KILLED)
        assert task.retry_count == 0

    play(scenario)


def test_a_task_that_ended_before_its_kill_keeps_its_own_end() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        await house.host.end(run, exit_code=0)
        assert (await house.task("t")).result is TaskResult.SUCCESS

    play(scenario)


def test_a_deleted_task_is_gone_with_its_directory_and_its_id_is_free() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("done", "runs")
        runs = await house.runs()
        await house.host.end(runs["done"])
        await house.engine.delete_task(ACCOUNT, "job", "done", ANY)
        assert [order.task_id for order in house.host.take(RemoveTask)] == ["done"]
        await house.engine.delete_task(ACCOUNT, "job", "runs", ANY)
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)
        assert not house.store.tasks
        assert (await house.nodes())[0].running_tasks == 0
        await house.host.settle()
        await house.add("runs")
        assert list(await house.runs()) == ["runs"]

    play(scenario)


def test_only_failed_tasks_are_reactivated() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("good", "bad")
        with pytest.raises(TaskNotCompleted):
            await house.engine.reactivate_task(ACCOUNT, "job", "bad", ANY)
        runs = await house.runs()
        await house.host.end(runs["good"])
        await house.host.end(runs["bad"], exit_code=2)
        with pytest.raises(TaskSucceeded):
            await house.engine.reactivate_task(ACCOUNT, "job", "good", ANY)
        await house.engine.reactivate_task(ACCOUNT, "job", "bad", ANY)
        run = (await house.runs())["bad"]
        assert run.attempt == 2
        task = await house.task("bad")
        assert (task.retry_count, task.failure, task.result) == (0, None, None)

    play(scenario)


def test_a_lost_attempt_runs_again_and_is_counted() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.host.end((await house.runs())["t"], exit_code=None, lost=True)
        run = (await house.runs())["t"]
        assert run.attempt == 2
        await house.host.end(run)
        task = await house.task("t")
        assert (task.requeue_count, task.retry_count) == (1, 0)
        assert task.last_requeue_us is not None

    play(scenario)


def test_files_go_after_their_retention() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        short = TaskConstraints(retention_time=Duration.of_seconds(60), max_task_retry_count=0)
        await house.add("t", constraints=short)
        await house.host.end((await house.runs())["t"])
        due = (await house.task("t")).files_until_us
        assert due == house.now_us + 60_000_000
        house.now_us = due
        await house.engine.sweep()
        assert (await house.task("t")).files_gone
        assert [order.task_id for order in house.host.take(RemoveTask)] == ["t"]

    play(scenario)


def test_a_failing_task_may_end_its_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(on_task_failure="performexitoptionsjobaction")
        await house.add("bad", "other")
        runs = await house.runs()
        await house.host.end(runs["bad"], exit_code=1)
        job = await house.job_record()
        assert job is not None
        assert (job.state, job.terminate_reason) == (JobState.TERMINATING, "TaskFailed")
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, exit_code=137, failure=KILLED, killed=True)
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.COMPLETED

    play(scenario)


def test_a_commit_that_fails_leaves_no_trace() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        house.store.full = True
        with pytest.raises(ServerBusy):
            await house.add("t")
        house.store.full = False
        house.elapse(1)
        assert not house.host.take(RunTask), "nothing is sent that is not durable"
        (answer,) = await house.add("t")
        assert isinstance(answer, TaskRecord)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_report_that_could_not_be_saved_is_believed_when_it_comes_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        house.store.full = True
        with pytest.raises(ServerBusy):
            await house.host.end(run)
        assert not [c for c in house.host.take(Confirm) if c.report == house.host.reports]
        house.store.full = False
        house.elapse(1)
        with pytest.raises(ServerBusy):
            await house.host.end(run)  # not over this connection: it may have missed one before
        await house.host.cut()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        await house.host.end(run)
        assert (await house.task("t")).state is TaskState.COMPLETED

    play(scenario)


def test_a_running_task_told_twice_to_end_ends_once() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        report = TaskEnded(
            report=90, task_no=run.task_no, attempt=run.attempt, start_us=1, end_us=2, exit_code=0
        )
        await house.host.report(report, report)
        node = (await house.nodes())[0]
        assert (node.tasks_run, node.running_slots) == (1, 0)

    play(scenario)
