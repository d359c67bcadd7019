"""What users have done with nodes: reboot, reimage, deallocate, start, and their scheduling."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import Failure, NodeRecord, NodeWork, Removal
from penstock.domain.refusals import (
    NodeAlreadyInTargetSchedulingState,
    NodeBeingCreated,
    NodeBeingRebooted,
    NodeBeingReimaged,
    NodeBeingStarted,
    NodeNotFound,
    NodeStateUnusable,
    OperationInvalidForCurrentState,
    PoolNotFound,
    Refusal,
)
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolSpec, Resize, StartTask
from penstock.domain.states import NodeState, SchedulingState, TaskState
from penstock.messages import (
    DropNode,
    KillTask,
    MakeNode,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
)
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, House, play

REBOOT, REIMAGE, DEALLOCATE = NodeWork.REBOOT, NodeWork.REIMAGE, NodeWork.DEALLOCATE
REQUEUE, TERMINATE = Removal.REQUEUE, Removal.TERMINATE
COMPLETION, RETAINED = Removal.TASK_COMPLETION, Removal.RETAINED_DATA
BEGUN = {
    REBOOT: NodeState.REBOOTING,
    REIMAGE: NodeState.REIMAGING,
    DEALLOCATE: NodeState.DEALLOCATING,
}
FAILED = Failure("usererror", "FailureExitCode", "bad")


async def the_node(house: House) -> NodeRecord:
    (node,) = await house.nodes()
    return node


async def work(house: House, what: NodeWork, how: Removal = REQUEUE) -> NodeRecord:
    node = await the_node(house)
    return await house.engine.work_on_node(ACCOUNT, "pool", node.id, what, how)


async def disable(house: House, how: Removal = REQUEUE) -> None:
    await house.engine.disable_node(ACCOUNT, "pool", (await the_node(house)).id, how)


async def enable(house: House) -> None:
    await house.engine.enable_node(ACCOUNT, "pool", (await the_node(house)).id)


async def start(house: House) -> None:
    await house.engine.start_node(ACCOUNT, "pool", (await the_node(house)).id)


async def busy(house: House, name: str = "t", **spec: Any) -> RunTask:
    """A pool of one node that runs a task."""
    await house.pool(nodes=1, slots=1)
    await house.job()
    await house.add(name, **spec)
    return (await house.runs())[name]


async def killed(house: House, run: RunTask) -> None:
    """The host ends the task as it was told to."""
    (kill,) = house.host.take(KillTask)
    assert (kill.task_no, kill.attempt) == (run.task_no, run.attempt)
    await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)


async def turn_on(house: House) -> None:
    """Let what was decided be followed by a turn of scheduling."""
    await house.engine._submit(lambda _turn: None)


@pytest.mark.parametrize(("what", "wiped"), [(REBOOT, 0), (REIMAGE, 1)])
def test_an_idle_node_starts_anew(what: NodeWork, wiped: int) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        before = await the_node(house)
        house.elapse(10)
        assert (await work(house, what)).state is BEGUN[what]
        await turn_on(house)
        (made,) = house.host.take(MakeNode)
        assert (made.boot, made.wiped) == (1, wiped)
        number = house.host.number
        await house.host.report(NodeReady(report=number(), node_no=made.node_no))
        assert (await the_node(house)).state is BEGUN[what], "a report of the boot before"
        house.elapse(10)
        hosted = NodeHosted(report=number(), node_no=made.node_no, address="127.0.0.2", boot=1)
        await house.host.report(hosted)
        node = await the_node(house)
        assert node.state is NodeState.STARTING
        assert node.booted_us is not None
        assert before.booted_us is not None
        assert node.booted_us - before.booted_us == 20_000_000
        await house.host.report(NodeReady(report=number(), node_no=made.node_no, boot=1))
        assert (await the_node(house)).state is NodeState.IDLE

    play(scenario)


def test_what_is_said_of_an_older_boot_changes_nothing() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await work(house, REBOOT)
        no, number = (await the_node(house)).no, house.host.number
        again = NodeHosted(report=number(), node_no=no, address="127.0.0.2")
        await house.host.report(again)
        assert (await the_node(house)).state is NodeState.REBOOTING, "it has not begun"
        await killed(house, run)
        await house.host.report(
            NodeHosted(report=number(), node_no=no, address="127.0.0.9"),
            NodeBroken(report=number(), node_no=no, error=FAILED),
            StartTaskBegan(report=number(), node_no=no, start_us=5),
        )
        node = await the_node(house)
        assert (node.state, node.start_task) == (NodeState.REBOOTING, None)
        assert node.address == "127.0.0.2"

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE])
def test_the_start_task_runs_again(what: NodeWork) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, start_task=StartTask(command_line="one"))
        await house.engine.patch_pool(
            ACCOUNT, "pool", PoolPatch(start_task=StartTask(command_line="two")), ANY
        )
        assert (await the_node(house)).start_spec == StartTask(command_line="one")
        await work(house, what)
        await turn_on(house)
        (made,) = house.host.take(MakeNode)
        assert made.start_task is not None
        assert made.start_task.command_line == "two"
        number, no = house.host.number, made.node_no
        await house.host.report(
            NodeHosted(report=number(), node_no=no, address="127.0.0.2", boot=1),
            StartTaskBegan(report=number(), node_no=no, start_us=5, boot=1),
        )
        node = await the_node(house)
        assert node.state is NodeState.WAITING_FOR_START_TASK
        assert node.start_spec == StartTask(command_line="two")
        ended = StartTaskEnded(
            report=number(), node_no=no, start_us=5, end_us=6, exit_code=1, failure=FAILED, boot=1
        )
        await house.host.report(ended)
        assert (await the_node(house)).state is NodeState.START_TASK_FAILED
        with pytest.raises(OperationInvalidForCurrentState):
            await work(house, DEALLOCATE)
        await work(house, what)
        await turn_on(house)
        (made,) = house.host.take(MakeNode)
        assert made.boot == 2
        assert (await the_node(house)).start_task is None

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE, DEALLOCATE])
@pytest.mark.parametrize(("how", "then"), [(REQUEUE, "active"), (TERMINATE, "completed")])
def test_tasks_are_ended_for_it(what: NodeWork, how: Removal, then: str) -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        node = await work(house, what, how)
        assert node.state is BEGUN[what], "before the tasks have ended"
        await turn_on(house)
        assert house.host.take(MakeNode) == []
        assert house.host.take(DropNode) == []
        await killed(house, run)
        task = await house.task("t")
        assert task.state.wire_name == then
        assert task.requeue_count == (how is REQUEUE)
        node = await the_node(house)
        assert (node.state, node.wish, node.running_tasks) == (BEGUN[what], None, 0)
        dropped, made = house.host.take(DropNode), house.host.take(MakeNode)
        assert [order.node_no for order in dropped] == [node.no] * (what is DEALLOCATE)
        assert [order.node_no for order in made] == [node.no] * (what is not DEALLOCATE)
        assert await house.runs() == {}, "nothing is placed on a node that is not there"

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE, DEALLOCATE])
def test_it_may_wait_for_the_tasks(what: NodeWork) -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await house.add("u")
        assert (await work(house, what, COMPLETION)).state is NodeState.RUNNING
        assert house.host.take(KillTask) == []
        await house.host.end(run)
        assert (await the_node(house)).state is BEGUN[what]
        assert (await house.task("t")).requeue_count == 0
        await house.host.settle()
        ready = NodeState.DEALLOCATED if what is DEALLOCATE else NodeState.RUNNING
        await turn_on(house)
        assert (await the_node(house)).state is ready
        assert list(await house.runs()) == ([] if what is DEALLOCATE else ["u"])

    play(scenario)


def test_a_node_that_waits_for_its_tasks_takes_no_more() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=2)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        await work(house, REBOOT, COMPLETION)
        await house.add("u")
        assert await house.runs() == {}
        await house.host.end(run)
        await house.host.settle()
        assert list(await house.runs()) == ["u"]

    play(scenario)


def test_what_waits_for_tasks_may_be_hurried() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await work(house, DEALLOCATE, COMPLETION)
        assert (await work(house, REBOOT, REQUEUE)).state is NodeState.REBOOTING
        await killed(house, run)
        await house.host.settle()
        assert (await the_node(house)).boot == 1
        assert (await house.runs())["t"].attempt == 2

    play(scenario)


def test_it_waits_for_the_files_of_tasks() -> None:
    async def scenario(house: House) -> None:
        kept = TaskConstraints(retention_time=Duration.of_seconds(600))
        run = await busy(house, constraints=kept)
        await work(house, REBOOT, RETAINED)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.RUNNING
        await house.host.end(run)
        house.elapse(2)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.IDLE, "the files are kept for 600 s"
        house.elapse(590)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.IDLE
        house.elapse(10)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.REBOOTING
        await house.host.settle()
        assert (await the_node(house)).state is NodeState.IDLE

    play(scenario)


def test_it_does_not_wait_for_files_that_were_deleted() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house, constraints=TaskConstraints())  # kept for ever
        await house.host.end(run)
        await work(house, REBOOT, RETAINED)
        await house.engine.sweep()
        house.elapse(3600 * 24 * 365)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.IDLE
        await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        house.elapse(61)
        await house.engine.sweep()
        assert (await the_node(house)).state is NodeState.REBOOTING

    play(scenario)


def test_counters_outlive_a_reboot() -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await busy(house))
        await work(house, REBOOT)
        await turn_on(house)
        await house.host.settle()
        node = await the_node(house)
        assert (node.tasks_run, node.tasks_succeeded, node.boot) == (1, 1, 1)
        assert [line.task_id for line in (await house.store.recent_tasks([node.no]))[node.no]]

    play(scenario)


def test_a_node_may_be_deallocated_and_started() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        with pytest.raises(OperationInvalidForCurrentState):
            await start(house)
        await work(house, DEALLOCATE)
        with pytest.raises(OperationInvalidForCurrentState):
            await start(house)
        await house.host.settle()
        node = await the_node(house)
        assert (node.state, node.host, node.address) == (NodeState.DEALLOCATED, None, None)
        pool = await house.pool_record()
        assert pool is not None
        assert pool.dedicated_nodes == 1
        await start(house)
        assert (await the_node(house)).state is NodeState.STARTING
        await turn_on(house)
        (made,) = house.host.take(MakeNode)
        assert (made.boot, made.wiped) == (1, 1)
        number, no = house.host.number, made.node_no
        await house.host.report(
            NodeHosted(report=number(), node_no=no, address="127.0.0.7", boot=1),
            NodeReady(report=number(), node_no=no, boot=1),
        )
        node = await the_node(house)
        assert (node.state, node.address) == (NodeState.IDLE, "127.0.0.7")

    play(scenario)


def test_a_deallocated_node_holds_up_nobody() -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await busy(house))
        await work(house, DEALLOCATE)
        await house.host.settle()
        await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert await house.job_record() is None, "its directories are gone already"
        removal = NodeRemoval(node_list=[(await the_node(house)).id])
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        assert await house.nodes() == []

    play(scenario)


@pytest.mark.parametrize("what", [REIMAGE, DEALLOCATE])
def test_directories_that_a_node_was_to_remove_are_gone_with_it(what: NodeWork) -> None:
    async def scenario(house: House) -> None:
        await house.host.end(await busy(house))
        house.host.obedient = False
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert await house.job_record() is not None
        await work(house, what)
        if what is DEALLOCATE:
            assert await house.job_record() is not None
            no = (await the_node(house)).no
            await house.host.report(NodeGone(report=house.host.number(), node_no=no))
        assert await house.job_record() is None

    play(scenario)


# --- scheduling ------------------------------------------------------------------------------


def test_a_node_that_is_disabled_takes_no_tasks() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await disable(house)
        node = await the_node(house)
        assert (node.state, node.scheduling) == (NodeState.OFFLINE, SchedulingState.DISABLED)
        with pytest.raises(NodeAlreadyInTargetSchedulingState):
            await disable(house)
        await house.job()
        await house.add("t")
        assert await house.runs() == {}
        await enable(house)
        node = await the_node(house)
        assert (node.state, node.scheduling) == (NodeState.RUNNING, SchedulingState.ENABLED)
        assert list(await house.runs()) == ["t"]
        with pytest.raises(NodeAlreadyInTargetSchedulingState):
            await enable(house)

    play(scenario)


@pytest.mark.parametrize(
    ("how", "then"), [(REQUEUE, "active"), (TERMINATE, "completed"), (COMPLETION, "completed")]
)
def test_tasks_of_a_node_that_is_disabled(how: Removal, then: str) -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await disable(house, how)
        node = await the_node(house)
        assert (node.state, node.scheduling) == (NodeState.RUNNING, SchedulingState.DISABLED)
        if how is COMPLETION:
            assert house.host.take(KillTask) == []
            await house.host.end(run)
        else:
            await killed(house, run)
        task = await house.task("t")
        assert task.state.wire_name == then
        assert (task.failure is not None) == (how is TERMINATE)
        assert (await the_node(house)).state is NodeState.OFFLINE
        await enable(house)
        assert (await the_node(house)).state is not NodeState.OFFLINE

    play(scenario)


def test_a_task_that_was_sent_ahead_does_not_begin_on_a_disabled_node() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await house.host.end(run, length_us=1_000)  # so short ones are sent ahead
        await house.add("u", "v")
        runs = await house.runs()
        assert [name for name, sent in runs.items() if sent.ahead] == ["v"]
        await disable(house, TERMINATE)
        kills = {kill.task_no: kill for kill in house.host.take(KillTask)}
        for sent in runs.values():
            kill = kills[sent.task_no]
            await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)
        ended, waiting = await house.task("u"), await house.task("v")
        assert (ended.state, waiting.state) == (TaskState.COMPLETED, TaskState.ACTIVE)
        assert waiting.requeue_count == 0, "it never ran"
        assert (await the_node(house)).state is NodeState.OFFLINE

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE])
def test_a_disabled_node_stays_so_over_a_reboot(what: NodeWork) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await disable(house)
        await work(house, what)
        await turn_on(house)
        await house.host.settle()
        node = await the_node(house)
        assert (node.boot, node.state) == (1, NodeState.OFFLINE)

    play(scenario)


# --- refusals --------------------------------------------------------------------------------


async def _creating(house: House) -> None:
    await house.engine.add_pool(
        ACCOUNT, PoolSpec(id="pool", vm_size="standard_d2_v3", target_dedicated_nodes=1)
    )


async def _starting(house: House) -> None:
    await _creating(house)
    await house.host.connect()
    (made,) = house.host.take(MakeNode)
    number = house.host.number()
    await house.host.report(NodeHosted(report=number, node_no=made.node_no, address="127.0.0.2"))


async def _rebooting(house: House) -> None:
    await house.pool(nodes=1)
    await work(house, REBOOT)


async def _reimaging(house: House) -> None:
    await house.pool(nodes=1)
    await work(house, REIMAGE)


async def _unknown(house: House) -> None:
    await house.pool(nodes=1)
    await house.host.cut()
    await house.pass_time(31)


async def _unusable(house: House) -> None:
    await house.pool(nodes=1)
    broken = NodeBroken(
        report=house.host.number(), node_no=(await the_node(house)).no, error=FAILED
    )
    await house.host.report(broken)


async def _leaving(house: House) -> None:
    await house.pool(nodes=1)
    await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)


async def _deallocated(house: House) -> None:
    await house.pool(nodes=1)
    await work(house, DEALLOCATE)
    await house.host.settle()


@pytest.mark.parametrize(
    ("prepare", "refusal"),
    [
        (_creating, NodeBeingCreated),
        (_starting, NodeBeingStarted),
        (_rebooting, NodeBeingRebooted),
        (_reimaging, NodeBeingReimaged),
        (_unknown, NodeStateUnusable),
        (_unusable, NodeStateUnusable),
        (_leaving, OperationInvalidForCurrentState),
        (_deallocated, OperationInvalidForCurrentState),
    ],
)
@pytest.mark.parametrize("what", [REBOOT, DEALLOCATE, REIMAGE])
def test_nothing_is_done_with_a_node_that_cannot_take_it(
    prepare: Any, refusal: type[Refusal], what: NodeWork
) -> None:
    async def scenario(house: House) -> None:
        await prepare(house)
        before = await the_node(house)
        if (prepare, what) != (_unusable, REIMAGE):
            with pytest.raises(refusal):
                await work(house, what)
        if prepare is not _deallocated:
            with pytest.raises(refusal):
                await start(house)
        assert await the_node(house) == before

    play(scenario)


def test_what_is_not_there() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        with pytest.raises(PoolNotFound):
            await house.engine.start_node(ACCOUNT, "none", "none")
        with pytest.raises(NodeNotFound):
            await house.engine.enable_node(ACCOUNT, "pool", "none")

    play(scenario)


def test_a_node_that_is_to_leave_is_left_alone() -> None:
    async def scenario(house: House) -> None:
        await busy(house)
        resize = Resize(target_dedicated_nodes=0, node_deallocation_option="taskcompletion")
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        with pytest.raises(OperationInvalidForCurrentState):
            await work(house, REBOOT)

    play(scenario)


def test_an_unusable_node_may_be_reimaged() -> None:
    async def scenario(house: House) -> None:
        await _unusable(house)
        assert (await work(house, REIMAGE)).state is NodeState.REIMAGING
        await turn_on(house)
        await house.host.settle()
        node = await the_node(house)
        assert (node.state, node.errors) == (NodeState.IDLE, ())

    play(scenario)


# --- crashes and losses ----------------------------------------------------------------------


@pytest.mark.parametrize("what", [REBOOT, REIMAGE, DEALLOCATE])
@pytest.mark.parametrize("how", [REQUEUE, COMPLETION])
def test_a_server_that_crashes_before_the_tasks_have_ended_goes_on(
    what: NodeWork, how: Removal
) -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await work(house, what, how)
        await house.crash()
        await house.host.connect([(await the_node(house)).no], [(run.task_no, run.attempt)])
        (made,) = house.host.take(MakeNode)
        assert made.boot == 0, "its tasks have not ended"
        if how is REQUEUE:
            await killed(house, run)
        else:
            await house.host.end(run)
        assert (await the_node(house)).state is BEGUN[what]
        await house.host.settle()
        await turn_on(house)
        await house.host.settle()
        node = await the_node(house)
        assert node.wish is None
        if what is DEALLOCATE:
            assert (node.state, node.host) == (NodeState.DEALLOCATED, None)
        else:
            assert (node.state in (NodeState.IDLE, NodeState.RUNNING), node.boot) == (True, 1)

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE, DEALLOCATE])
def test_a_server_that_crashes_before_its_host_has_heard_tells_it_again(what: NodeWork) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await work(house, what)
        await house.crash()
        node = await the_node(house)
        assert node.state is BEGUN[what]
        await house.host.connect([node.no])
        if what is DEALLOCATE:
            assert len(house.host.take(DropNode)) == 1
            assert house.host.take(MakeNode) == []
            await house.host.report(NodeGone(report=house.host.number(), node_no=node.no))
            assert (await the_node(house)).state is NodeState.DEALLOCATED
        else:
            assert [made.boot for made in house.host.told if isinstance(made, MakeNode)] == [1]
            await house.host.settle()
            assert (await the_node(house)).state is NodeState.IDLE

    play(scenario)


@pytest.mark.parametrize("what", [REBOOT, REIMAGE, DEALLOCATE])
@pytest.mark.parametrize("how", [REQUEUE, COMPLETION])
def test_a_host_that_is_lost_meanwhile(what: NodeWork, how: Removal) -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await work(house, what, how)
        await house.host.cut()
        await house.pass_time(31)
        assert (await house.task("t")).state is TaskState.ACTIVE
        node = await the_node(house)
        if what is DEALLOCATE:
            assert (node.state, node.host) == (NodeState.DEALLOCATED, None)
        else:
            assert (node.state, node.boot, node.wish) == (NodeState.UNKNOWN, 1, None)
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        await house.host.settle()
        await turn_on(house)
        node = await the_node(house)
        if what is DEALLOCATE:
            assert node.state is NodeState.DEALLOCATED
            await start(house)
            await turn_on(house)
            await house.host.settle()
        assert (await house.runs())["t"].attempt == 2
        assert (await the_node(house)).state is NodeState.RUNNING

    play(scenario)


def test_a_node_that_was_started_finds_another_host_when_its_first_is_lost() -> None:
    async def scenario(house: House) -> None:
        await _deallocated(house)
        house.host.obedient = False
        await start(house)
        await turn_on(house)
        assert (await the_node(house)).host == "host"
        await house.host.cut()
        await house.pass_time(31)
        node = await the_node(house)
        assert (node.state, node.host) == (NodeState.STARTING, None)
        house.host.obedient = True
        house.host.told = []
        await house.host.connect()
        await house.host.settle()
        node = await the_node(house)
        assert (node.state, node.boot) == (NodeState.IDLE, 2)

    play(scenario)


def test_a_broken_node_is_not_rebooted_any_more() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house)
        await work(house, REBOOT)
        node = await the_node(house)
        number = house.host.number()
        await house.host.report(NodeBroken(report=number, node_no=node.no, error=FAILED))
        node = await the_node(house)
        assert (node.state, node.wish) == (NodeState.UNUSABLE, None)
        await house.host.end(run)  # late
        assert (await the_node(house)).state is NodeState.UNUSABLE

    play(scenario)


def test_a_node_that_was_to_keep_its_data_reboots_when_it_stays() -> None:
    async def scenario(house: House) -> None:
        run = await busy(house, constraints=TaskConstraints())
        await work(house, REBOOT)
        removal = NodeRemoval(
            node_list=[(await the_node(house)).id], node_deallocation_option="retaineddata"
        )
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await killed(house, run)
        assert (await the_node(house)).boot == 0
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        assert (await the_node(house)).boot == 1

    play(scenario)


def test_a_node_may_be_removed_while_it_reboots() -> None:
    async def scenario(house: House) -> None:
        await busy(house)
        await work(house, REBOOT)
        removal = NodeRemoval(
            node_list=[(await the_node(house)).id], node_deallocation_option="taskcompletion"
        )
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)
        node = await the_node(house)
        assert (node.state, node.boot) == (NodeState.REBOOTING, 1), "it stays after all"
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)
        await turn_on(house)
        await house.host.settle()
        assert await house.nodes() == []

    play(scenario)


def test_the_end_of_another_boot_is_not_that_of_the_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        house.host.obedient = False
        await work(house, DEALLOCATE)
        (dropped,) = house.host.take(DropNode)
        late = NodeGone(report=house.host.number(), node_no=dropped.node_no, boot=dropped.boot + 1)
        await house.host.report(late)
        assert (await the_node(house)).state is NodeState.DEALLOCATING
        gone = NodeGone(report=house.host.number(), node_no=dropped.node_no, boot=dropped.boot)
        await house.host.report(gone)
        assert (await the_node(house)).state is NodeState.DEALLOCATED

    play(scenario)
