"""Tasks that are sent to a node before it has slots for them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.refusals import Refusal
from penstock.domain.specs.pool import NodeRemoval
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask
from penstock.domain.states import JobState, NodeState, TaskResult, TaskState
from penstock.messages import KillTask, ReturnTask, RunTask, TaskBegan, TaskEnded
from penstock.scheduler.ahead import MOST_PER_SLOT
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, House, play

SHORT_US = 1_000


async def quick_pool(house: House, nodes: int = 1) -> None:
    """A pool of one slot a node, known to be quick."""
    await house.pool(nodes=nodes, slots=1)
    await house.job("warm")
    await house.add(*(f"w{n}" for n in range(nodes)), job="warm")
    for run in (await house.runs()).values():
        await house.host.end(run, length_us=SHORT_US)


async def sent_ahead(house: House, *names: str) -> dict[str, RunTask]:
    """Fill the only slot with a task, and have the others sent ahead."""
    await quick_pool(house)
    await house.job()
    await house.add("first", *names)
    runs = await house.runs()
    assert {name: run.ahead for name, run in runs.items()} == {
        "first": False,
        **dict.fromkeys(names, True),
    }
    return runs


async def begin(house: House, run: RunTask) -> None:
    await house.host.report(
        TaskBegan(
            report=house.host.number(),
            task_no=run.task_no,
            attempt=run.attempt,
            start_us=house.now_us,
        )
    )


async def give_back(house: House) -> None:
    """Answer what was called back, as a host does that has not begun it."""
    for order in house.host.take(ReturnTask):
        await house.host.report(
            TaskEnded(
                report=house.host.number(),
                task_no=order.task_no,
                attempt=order.attempt,
                start_us=house.now_us,
                end_us=house.now_us,
                returned=True,
            )
        )


def test_what_is_sent_ahead_is_active_until_it_begins() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        task = await house.task("next")
        assert (task.state, task.start_us, task.node_id) == (TaskState.ACTIVE, None, None)
        (reason,) = await house.engine.why(ACCOUNT, "job", "next")
        assert reason.code == "NextOnNode"
        await house.host.end(runs["first"], length_us=SHORT_US)
        house.now_us += 5
        await begin(house, runs["next"])
        task = await house.task("next")
        assert (task.state, task.start_us) == (TaskState.RUNNING, house.now_us)
        assert task.node_id is not None
        await house.host.end(runs["next"], length_us=SHORT_US)
        task = await house.task("next")
        assert (task.state, task.result) == (TaskState.COMPLETED, TaskResult.SUCCESS)
        (node,) = await house.nodes()
        assert (node.state, node.tasks_run, node.running_slots) == (NodeState.IDLE, 3, 0)

    play(scenario)


def test_the_record_never_has_more_running_than_slots() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next", "last")
        for name, following in (("first", "next"), ("next", "last")):
            await house.host.end(runs[name], length_us=SHORT_US)
            await begin(house, runs[following])
            (node,) = await house.nodes()
            assert node.running_slots == 1

    play(scenario)


def test_long_tasks_are_not_sent_ahead() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("a", "b", "c")
        runs = await house.runs()
        assert list(runs) == ["a"]
        await house.host.end(runs["a"], length_us=60_000_000)
        assert list(await house.runs()) == ["b"]

    play(scenario)


def test_what_waits_too_long_goes_to_a_node_that_is_free() -> None:
    async def scenario(house: House) -> None:
        await quick_pool(house, nodes=2)
        await house.job()
        await house.add("stuck", "quick", "next")
        runs = await house.runs()
        assert runs["next"].ahead
        # The node of "next" is the one whose task goes on; the other one falls idle.
        other = "quick" if runs["next"].node_no == runs["stuck"].node_no else "stuck"
        await house.host.end(runs[other], length_us=SHORT_US)
        assert not house.host.take(ReturnTask), "it may well begin in a moment"
        await house.pass_time(1)
        await give_back(house)
        again = (await house.runs())["next"]
        assert (again.ahead, again.attempt) == (False, 2)
        assert again.node_no == runs[other].node_no
        task = await house.task("next")
        assert (task.state, task.requeue_count) == (TaskState.RUNNING, 0)

    play(scenario)


def test_what_waits_too_long_gives_way_to_a_job_of_more_weight() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, *(f"n{number}" for number in range(MOST_PER_SLOT)))
        await house.job("urgent", priority=9)
        await house.add("u", job="urgent")
        assert await house.runs() == {}
        await house.pass_time(1)
        await give_back(house)
        sent = await house.runs()
        assert sent["u"].ahead
        await house.host.end(runs["first"], length_us=SHORT_US)
        await begin(house, sent["u"])
        await house.host.end(sent["u"], length_us=SHORT_US)

    play(scenario)


def test_disabling_a_job_takes_back_what_has_not_begun() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        await give_back(house)
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.DISABLING
        await house.host.end(runs["first"], length_us=SHORT_US)
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.DISABLED
        task = await house.task("next")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 0)

    play(scenario)


def test_terminating_a_job_leaves_active_what_has_not_begun() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next", "began")
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)
        kills = {kill.task_no: kill for kill in house.host.take(KillTask)}
        assert kills.keys() == {run.task_no for run in runs.values()}
        await house.host.end(kills[runs["first"].task_no], 137, KILLED, killed=True)
        await begin(house, runs["began"])  # it was quicker than the order to stop it
        await house.host.end(kills[runs["began"].task_no], 137, KILLED, killed=True)
        await house.host.end(kills[runs["next"].task_no], None, KILLED, killed=True)
        states = {name: (await house.task(name)).state for name in runs}
        assert states == {
            "first": TaskState.COMPLETED,
            "began": TaskState.COMPLETED,
            "next": TaskState.ACTIVE,
        }
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.COMPLETED

    play(scenario)


def test_a_user_may_end_or_delete_what_has_not_begun() -> None:
    async def scenario(house: House) -> None:
        await sent_ahead(house, "ended", "gone")
        await house.engine.terminate_task(ACCOUNT, "job", "ended", ANY)
        await house.engine.delete_task(ACCOUNT, "job", "gone", ANY)
        for kill in house.host.take(KillTask):
            await house.host.end(kill, None, KILLED, killed=True)
        task = await house.task("ended")
        assert (task.state, task.start_us) == (TaskState.COMPLETED, None)
        assert "gone" not in {task.id for task in house.store.tasks.values()}
        (node,) = await house.nodes()
        assert node.running_tasks == 1
        await house.host.settle()

    play(scenario)


def test_a_leaving_node_gives_back_what_has_not_begun() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        (node,) = await house.nodes()
        removal = NodeRemoval(node_list=[node.id], node_deallocation_option="taskcompletion")
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await give_back(house)
        await house.host.end(runs["first"], length_us=SHORT_US)
        await house.host.settle()
        assert await house.nodes() == []
        assert (await house.task("next")).requeue_count == 0

    play(scenario)


def test_after_a_crash_it_is_still_ahead() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "known", "unheard")
        await house.crash()
        (node,) = await house.nodes()
        known = [(runs[name].task_no, runs[name].attempt) for name in ("first", "known")]
        await house.host.connect([node.no], known)
        again = await house.runs()
        assert {name: run.ahead for name, run in again.items()} == {"unheard": True}
        assert again["unheard"].attempt == runs["unheard"].attempt
        for name, following in (("first", "known"), ("known", "unheard")):
            await house.host.end(runs[name], length_us=SHORT_US)
            await begin(house, runs[following])
        await house.host.end(runs["unheard"], length_us=SHORT_US)
        assert (await house.task("unheard")).result is TaskResult.SUCCESS

    play(scenario)


def test_what_a_lost_host_may_have_begun_by_itself_is_counted() -> None:
    async def scenario(house: House) -> None:
        await sent_ahead(house, "next")
        await house.host.cut()
        await house.pass_time(31)
        first, following = await house.task("first"), await house.task("next")
        assert (first.state, first.requeue_count) == (TaskState.ACTIVE, 1)
        assert (following.state, following.requeue_count) == (TaskState.ACTIVE, 1)

    play(scenario)


def test_what_is_given_back_after_it_began_has_not_ended_well() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        await house.host.end(runs["first"], length_us=SHORT_US)
        await begin(house, runs["next"])
        await house.host.report(
            TaskEnded(
                report=house.host.number(),
                task_no=runs["next"].task_no,
                attempt=runs["next"].attempt,
                start_us=house.now_us,
                end_us=house.now_us,
                returned=True,
            )
        )
        again = (await house.runs())["next"]
        task = await house.task("next")
        assert (again.attempt, task.result, task.requeue_count) == (2, None, 1)

    play(scenario)


def test_most_parallel_tasks_count_what_is_ahead() -> None:
    async def scenario(house: House) -> None:
        await quick_pool(house)
        await house.job(max_parallel_tasks=1)
        answers = await house.add("a", "b")
        assert not [answer for answer in answers if isinstance(answer, Refusal)]
        assert list(await house.runs()) == ["a"]

    play(scenario)


def test_a_host_that_forgot_everything_is_told_first_what_has_the_slots() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        await house.crash()
        node_no = runs["next"].node_no
        given = house.engine._state.node_given[node_no]
        # As it stands where what was sent ahead is older than what runs.
        house.engine._state.node_given[node_no] = dict(reversed(given.items()))
        await house.host.connect([node_no])
        assert [run.ahead for run in house.host.take(RunTask)] == [False, True]
        house.engine._state.node_given[node_no] = given

    play(scenario)


@pytest.mark.parametrize(
    "spec",
    [
        {"job_preparation_task": JobPreparationTask(command_line="prepare")},
        {"job_manager_task": JobManagerTask(id="m", command_line="manage", run_exclusive=True)},
    ],
)
def test_nothing_goes_ahead_to_where_it_would_begin_too_early(spec: dict[str, Any]) -> None:
    """A task has slots there of which the host does not know."""

    async def scenario(house: House) -> None:
        await quick_pool(house)
        await house.job("other", priority=5, **spec)
        if "job_manager_task" not in spec:
            await house.add("m", job="other")
        (first,) = house.host.take(RunTask)
        await house.job()
        await house.add("t")
        assert house.host.take(RunTask) == []
        del first

    play(scenario)
