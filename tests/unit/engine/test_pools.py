"""The life of pools and their nodes."""

from __future__ import annotations

import asyncio

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import Failure, NodeWork, PoolRecord, Removal
from penstock.domain.refusals import (
    NodeNotFound,
    OperationInvalidForCurrentState,
    PoolBeingDeleted,
    PoolBeingResized,
    PoolExists,
    PoolNotFound,
)
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolSpec, Resize, StartTask
from penstock.domain.states import AllocationState, NodeState, PoolState, TaskState
from penstock.messages import (
    DropNode,
    KillTask,
    MakeNode,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    StartTaskBegan,
    StartTaskEnded,
)
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


async def record(house: House, name: str = "pool") -> PoolRecord:
    pool = await house.pool_record(name)
    assert pool is not None
    return pool


async def add(house: House, nodes: int = 1, name: str = "pool", **spec: object) -> None:
    values = {"target_dedicated_nodes": nodes, **spec}
    await house.engine.add_pool(
        ACCOUNT,
        PoolSpec(id=name, vm_size="standard_d2_v3", **values),  # type: ignore[arg-type]
    )


def test_a_pool_grows_to_its_targets() -> None:
    async def scenario(house: House) -> None:
        await add(house, 2, target_low_priority_nodes=1)
        pool = await record(house)
        assert pool.allocation is AllocationState.RESIZING
        assert {node.state for node in await house.nodes()} == {NodeState.CREATING}
        await house.host.connect()
        assert len(house.host.told) > 3
        await house.host.settle()
        pool = await record(house)
        assert pool.allocation is AllocationState.STEADY
        assert (pool.dedicated_nodes, pool.low_priority_nodes) == (2, 1)
        nodes = await house.nodes()
        assert {node.state for node in nodes} == {NodeState.IDLE}
        assert sorted(node.id[-2:] for node in nodes) == ["_d", "_d", "_p"]

    play(scenario)


def test_a_pool_without_targets_is_steady_at_once() -> None:
    async def scenario(house: House) -> None:
        await add(house, 0)
        assert (await record(house)).allocation is AllocationState.STEADY
        with pytest.raises(PoolExists):
            await add(house, 0, name="POOL")

    play(scenario)


def test_nodes_go_through_their_start_task() -> None:
    async def scenario(house: House) -> None:
        await add(house, start_task=StartTask(command_line="setup", wait_for_success=True))
        await house.host.connect()
        (made,) = house.host.take(MakeNode)
        assert made.start_task is not None
        number, node_no = house.host.number, made.node_no
        await house.host.report(NodeHosted(report=number(), node_no=node_no, address="127.0.0.9"))
        assert (await house.nodes())[0].state is NodeState.STARTING
        await house.host.report(StartTaskBegan(report=number(), node_no=node_no, start_us=5))
        assert (await house.nodes())[0].state is NodeState.WAITING_FOR_START_TASK
        ended = StartTaskEnded(
            report=number(), node_no=node_no, start_us=5, end_us=6, exit_code=0, retry_count=1
        )
        await house.host.report(ended, NodeReady(report=number(), node_no=node_no))
        node = (await house.nodes())[0]
        assert (node.state, node.address) == (NodeState.IDLE, "127.0.0.9")
        assert node.start_task is not None
        assert (node.start_task.exit_code, node.start_task.retry_count) == (0, 1)

    play(scenario)


def test_a_failed_start_task_keeps_tasks_away() -> None:
    async def scenario(house: House) -> None:
        await add(house, start_task=StartTask(command_line="setup", wait_for_success=True))
        await house.host.connect()
        (made,) = house.host.take(MakeNode)
        number, node_no = house.host.number, made.node_no
        failure = Failure("usererror", "FailureExitCode", "bad")
        await house.host.report(
            NodeHosted(report=number(), node_no=node_no, address="127.0.0.9"),
            StartTaskBegan(report=number(), node_no=node_no, start_us=5),
            StartTaskEnded(
                report=number(), node_no=node_no, start_us=5, end_us=6, exit_code=1, failure=failure
            ),
        )
        assert (await house.nodes())[0].state is NodeState.START_TASK_FAILED
        assert (await record(house)).allocation is AllocationState.STEADY
        await house.job()
        await house.add("t")
        assert await house.runs() == {}

    play(scenario)


def test_a_pool_shrinks_by_its_idle_nodes_first() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=3, slots=1)
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=1), ANY)
        with pytest.raises(PoolBeingResized):
            await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=5), ANY)
        await house.host.settle()
        (node,) = await house.nodes()
        assert node.running_tasks == 1
        assert (await record(house)).allocation is AllocationState.STEADY

    play(scenario)


def test_a_leaving_node_gives_its_tasks_back() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=1)
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)
        assert (await house.task("t")).state is TaskState.RUNNING, "it may still run there"
        await house.host.settle()
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)
        assert await house.nodes() == []

    play(scenario)


def test_a_node_may_leave_when_its_tasks_are_done() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=1)
        await house.job()
        await house.add("t", "u")
        run = (await house.runs())["t"]
        (node,) = await house.nodes()
        removal = NodeRemoval(node_list=[node.id], node_deallocation_option="taskcompletion")
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        assert not house.host.take(DropNode)
        await house.host.end(run)
        assert (await house.task("t")).state is TaskState.COMPLETED
        await house.host.settle()
        assert await house.nodes() == []
        assert (await record(house)).spec.target_dedicated_nodes == 0
        assert (await house.task("u")).state is TaskState.ACTIVE

    play(scenario)


def test_removing_an_unknown_node_changes_nothing() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        (node,) = await house.nodes()
        removal = NodeRemoval(node_list=[node.id, "nobody"])
        with pytest.raises(NodeNotFound):
            await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        assert len(await house.nodes()) == 1

    play(scenario)


def test_a_resize_that_takes_too_long_says_so() -> None:
    async def scenario(house: House) -> None:
        await add(house, 2, resize_timeout=Duration.of_seconds(300))
        await house.pass_time(299)
        assert (await record(house)).allocation is AllocationState.RESIZING
        await house.pass_time(1)
        pool = await record(house)
        assert pool.allocation is AllocationState.STEADY
        assert [(error.code, error.message) for error in pool.resize_errors] == [
            (
                "AllocationTimedout",
                "Desired number of dedicated nodes could not be allocated as the resize timeout "
                "was reached",
            )
        ]
        assert pool.spec.target_dedicated_nodes == 2
        assert await house.nodes() == []

    play(scenario)


def test_a_resize_may_be_stopped() -> None:
    async def scenario(house: House) -> None:
        await add(house, 2)
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        pool = await record(house)
        assert pool.allocation is AllocationState.STEADY
        assert [error.code for error in pool.resize_errors] == ["ResizeStopped"]
        with pytest.raises(OperationInvalidForCurrentState):
            await house.engine.stop_resize(ACCOUNT, "pool", ANY)

    play(scenario)


def test_a_deleted_pool_is_there_until_its_nodes_are_gone() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        await house.runs()
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        assert (await record(house)).state is PoolState.DELETING
        with pytest.raises(PoolBeingDeleted):
            await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.host.settle()
        assert await house.pool_record() is None
        with pytest.raises(PoolNotFound):
            await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        assert (await house.task("t")).state is TaskState.ACTIVE
        await house.pool(nodes=1)
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_most_of_a_pool_changes_only_without_nodes() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        change = PoolPatch(task_slots_per_node=4)
        with pytest.raises(OperationInvalidForCurrentState):
            await house.engine.patch_pool(ACCOUNT, "pool", change, ANY)
        await house.engine.patch_pool(ACCOUNT, "pool", PoolPatch(metadata=[]), ANY)
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)
        await house.host.settle()
        await house.engine.patch_pool(ACCOUNT, "pool", change, ANY)
        assert (await record(house)).spec.task_slots_per_node == 4

    play(scenario)


def test_a_silent_host_loses_its_tasks_and_may_come_back() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        await house.host.cut()
        await house.pass_time(29)
        assert (await house.task("t")).state is TaskState.RUNNING, "it may well run on"
        await house.pass_time(2)
        (node,) = await house.nodes()
        assert (node.state, node.running_tasks) == (NodeState.UNKNOWN, 0)
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        await house.host.end(run)
        assert (await house.task("t")).state is not TaskState.COMPLETED, "an old attempt"
        await house.host.settle()
        assert (await house.runs())["t"].attempt == 2

    play(scenario)


def test_a_host_that_waits_to_be_greeted_is_not_silent() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        (node,) = await house.nodes()
        await house.host.cut()
        house.elapse(40)
        greeting = asyncio.create_task(house.host.connect([node.no], [(run.task_no, run.attempt)]))
        await asyncio.sleep(0)  # it has knocked, and its turn has not come
        assert house.engine._silent() == []
        await greeting
        assert (await house.task("t")).requeue_count == 0

    play(scenario)


def test_nothing_is_placed_on_a_host_that_is_away() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.host.cut()
        await house.add("t")
        assert (await house.task("t")).state is TaskState.ACTIVE
        (node,) = await house.nodes()
        await house.host.connect([node.no])
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_node_whose_host_died_while_leaving_is_gone() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.host.cut()
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.pass_time(31)
        assert await house.pool_record() is None

    play(scenario)


def test_a_broken_node_gives_its_tasks_back() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        await house.runs()
        (node,) = await house.nodes()
        error = Failure("servererror", "DiskFull", "no space")
        await house.host.report(
            NodeBroken(report=house.host.number(), node_no=node.no, error=error)
        )
        (node,) = await house.nodes()
        assert (node.state, node.errors) == (NodeState.UNUSABLE, (error,))
        assert (await house.task("t")).state is TaskState.ACTIVE

    play(scenario)


def test_after_a_crash_a_host_is_told_what_it_missed() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, slots=2)
        await house.job()
        await house.add("known", "unheard")
        runs = await house.runs()
        await house.crash()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(runs["known"].task_no, 1)])
        assert list(await house.runs()) == ["unheard"]
        await house.host.end(runs["known"])
        await house.host.end(runs["unheard"])
        for name in runs:
            task = await house.task(name)
            assert (task.state, task.requeue_count) == (TaskState.COMPLETED, 0)

    play(scenario)


def test_a_dropped_node_is_dropped_after_a_crash_too() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.crash()
        await house.host.connect()
        (dropped,) = house.host.take(DropNode)
        await house.host.report(NodeGone(report=house.host.number(), node_no=dropped.node_no))
        assert await house.pool_record() is None

    play(scenario)


def test_kill_is_repeated_to_a_host_that_comes_back() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)
        await house.crash()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        assert [kill.task_no for kill in house.host.take(KillTask)] == [run.task_no]

    play(scenario)


@pytest.mark.parametrize(("how", "then"), [("requeue", "active"), ("terminate", "completed")])
def test_what_runs_on_a_node_that_leaves_goes_the_way_that_was_asked_for(
    how: str, then: str
) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        resize = Resize(target_dedicated_nodes=0, node_deallocation_option=how)
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        await house.host.end(run, exit_code=None, lost=True)  # as a host says of dropped nodes
        await house.host.settle()
        task = await house.task("t")
        assert task.state.wire_name == then
        assert task.requeue_count == (how == "requeue")

    play(scenario)


def test_a_resize_that_takes_too_long_says_so_of_each_kind() -> None:
    async def scenario(house: House) -> None:
        await add(house, 1, target_low_priority_nodes=1)
        await house.advance(900)
        pool = await record(house)
        assert [error.code for error in pool.resize_errors] == ["AllocationTimedout"] * 2
        assert "low priority" in pool.resize_errors[1].message
        await house.host.connect()
        only = Resize(target_low_priority_nodes=0)
        await house.engine.resize_pool(ACCOUNT, "pool", only, ANY)
        await house.host.settle()
        assert (await record(house)).resize_errors == (), "the next resize begins without"
        assert [node.dedicated for node in await house.nodes()] == [True]

    play(scenario)


@pytest.mark.parametrize("how", ["requeue", "terminate", "taskcompletion", "retaineddata"])
def test_a_pool_shrinks_to_nothing(how: str) -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await house.job()
        retention = TaskConstraints(retention_time=Duration.of_seconds(60))
        await house.add("t", constraints=retention)
        run = (await house.runs())["t"]
        resize = Resize(target_dedicated_nodes=0, node_deallocation_option=how)
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        await house.engine.sweep()
        await house.host.settle()
        waits = how in ("taskcompletion", "retaineddata")
        assert len(await house.nodes()) == waits, "the idle one is gone"
        assert (await record(house)).allocation is (
            AllocationState.RESIZING if waits else AllocationState.STEADY
        )
        if waits:
            await house.host.end(run)
            await house.host.settle()
        if how == "retaineddata":
            await house.advance(2)
            await house.engine.sweep()
            await house.host.settle()
            assert len(await house.nodes()) == 1
            await house.advance(58)
            await house.engine.sweep()
            await house.host.settle()
        pool = await record(house)
        assert (await house.nodes(), pool.dedicated_nodes, pool.resize_errors) == ([], 0, ())
        assert pool.allocation is AllocationState.STEADY
        task = await house.task("t")
        assert (task.state is TaskState.ACTIVE, task.requeue_count) == (
            (True, 1) if how == "requeue" else (False, 0)
        )

    play(scenario)


def test_a_shrinking_pool_keeps_what_a_crash_left_waiting() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        retention = TaskConstraints(retention_time=Duration.of_seconds(60))
        await house.add("t", constraints=retention)
        await house.host.end((await house.runs())["t"])
        resize = Resize(target_dedicated_nodes=0, node_deallocation_option="retaineddata")
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        await house.crash()
        await house.host.connect([node.no for node in await house.nodes()])
        await house.host.settle()
        await house.engine.sweep()
        assert len(await house.nodes()) == 1
        await house.advance(61)
        await house.engine.sweep()
        await house.host.settle()
        assert await house.nodes() == []

    play(scenario)


def test_a_node_that_did_not_leave_in_time_stays() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        await house.job()
        await house.add("t", "u")
        run = (await house.runs())["t"]
        removal = NodeRemoval(
            node_list=[(await house.nodes())[0].id],
            node_deallocation_option="taskcompletion",
            resize_timeout=Duration.of_seconds(300),
        )
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await house.advance(299)
        assert (await record(house)).allocation is AllocationState.RESIZING
        await house.advance(1)
        pool = await record(house)
        assert [error.code for error in pool.resize_errors] == ["AllocationTimedout"]
        assert (pool.allocation, pool.dedicated_nodes) == (AllocationState.STEADY, 1)
        await house.host.end(run)
        assert [node.leaving for node in await house.nodes()] == [None]

    play(scenario)


def test_the_least_useful_nodes_go_first() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=6, slots=2)
        first = await house.nodes()
        gone, broken, offline, *_ = first
        await house.engine.work_on_node(
            ACCOUNT, "pool", gone.id, NodeWork.DEALLOCATE, Removal.REQUEUE
        )
        await house.host.report(
            NodeBroken(report=house.host.number(), node_no=broken.no, error=_full_disk())
        )
        await house.engine.disable_node(ACCOUNT, "pool", offline.id, Removal.REQUEUE)
        await house.host.settle()
        await house.job()
        await house.add("one", "two", "three")
        runs = await house.runs()
        await house.add("four")
        (more,) = (await house.runs()).values()
        manager = next(run for run in runs.values() if run.node_no != more.node_no)
        await house.engine._submit(
            lambda turn: turn.put_task(turn.state.given[manager.task_no], manager=True)
        )
        last = next(
            run.node_no
            for run in runs.values()
            if run.node_no not in (more.node_no, manager.node_no)
        )
        order = [gone.no, broken.no, offline.no, last, more.node_no, manager.node_no]
        for count in range(5, -1, -1):
            resize = Resize(target_dedicated_nodes=count)
            await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
            # What runs on nodes that leave is not placed anew, or the order would change.
            await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
            await house.host.settle()
            left = {node.no for node in await house.nodes()}
            assert left == set(order[6 - count :]), count

    play(scenario)


def _full_disk() -> Failure:
    return Failure("servererror", "DiskFull", "no space")


def test_a_stopped_resize_keeps_what_is_there() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1, target_low_priority_nodes=1)
        await house.job()
        await house.add("t", "u")
        house.host.obedient = False
        resize = Resize(
            target_dedicated_nodes=3,
            target_low_priority_nodes=0,
            node_deallocation_option="taskcompletion",
        )
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        assert len(await house.nodes()) == 4
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        pool = await record(house)
        assert pool.allocation is AllocationState.STOPPING
        house.host.obedient = True
        house.host.take(MakeNode)
        await house.host.settle()
        pool = await record(house)
        assert pool.allocation is AllocationState.STEADY
        assert [error.code for error in pool.resize_errors] == ["ResizeStopped"] * 2
        assert (pool.dedicated_nodes, pool.low_priority_nodes) == (1, 1)
        assert (pool.spec.target_dedicated_nodes, pool.spec.target_low_priority_nodes) == (3, 0)

    play(scenario)
