"""Low-priority nodes that are taken away, and come back."""

from __future__ import annotations

from random import Random

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.records import NodeRecord, NodeWork, Removal
from penstock.domain.refusals import (
    NodeBeingCreated,
    NodeStateUnusable,
    OperationInvalidForCurrentState,
    OperationNotValidOnNode,
)
from penstock.domain.specs.pool import PoolPatch, PoolSpec, Resize, StartTask
from penstock.domain.states import NodeState, TaskState
from penstock.engine.preemption import _hits
from penstock.engine.settings import Quotas
from penstock.messages import DropNode, KillTask, MakeNode, NodeGone
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


async def the_node(house: House) -> NodeRecord:
    (node,) = await house.nodes()
    return node


async def low_priority(house: House, nodes: int = 1) -> None:
    """A pool of idle low-priority nodes."""
    await house.pool(nodes=0, slots=1, target_low_priority_nodes=nodes)


async def preempt(house: House) -> NodeRecord:
    node = await the_node(house)
    return await house.engine.preempt_node(ACCOUNT, "pool", node.id)


def test_a_preempted_node_gives_its_tasks_back_and_returns() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        before = await the_node(house)
        assert (await preempt(house)).state is NodeState.PREEMPTED
        with pytest.raises(OperationInvalidForCurrentState):
            await preempt(house)
        assert (await house.task("t")).state is TaskState.RUNNING, "it may still run there"
        await house.host.end(run, exit_code=None, lost=True)  # as a host says of dropped nodes
        await house.host.settle()
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)
        node = await the_node(house)
        assert (node.state, node.host, node.id) == (NodeState.PREEMPTED, None, before.id)
        pool = await house.pool_record()
        assert pool is not None
        assert pool.low_priority_nodes == 1
        await house.advance(59)
        assert (await the_node(house)).state is NodeState.PREEMPTED
        await house.advance(1)
        node = await the_node(house)
        assert (node.state, node.host) == (NodeState.CREATING, "host")
        (made,) = [order for order in house.host.told if isinstance(order, MakeNode)]
        assert (made.boot, made.wiped) == (1, 1)
        await house.host.settle()
        assert list(await house.runs()) == ["t"]
        node = await the_node(house)
        assert (node.state, node.back_us) == (NodeState.RUNNING, None)

    play(scenario)


def test_a_node_does_not_return_before_it_has_left() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await preempt(house)
        assert not house.engine._something_due()
        await house.advance(60)
        assert (await the_node(house)).state is NodeState.PREEMPTED
        await house.host.settle()
        assert house.engine._something_due()
        await house.advance(0)
        assert (await the_node(house)).state is NodeState.CREATING

    play(scenario)


def test_the_start_task_runs_again() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        task = StartTask(command_line="setup")
        await house.engine.patch_pool(ACCOUNT, "pool", PoolPatch(start_task=task), ANY)
        await preempt(house)
        await house.host.settle()
        await house.advance(60)
        (made,) = house.host.take(MakeNode)
        assert made.start_task is not None
        assert made.start_task.command_line == "setup"

    play(scenario)


def test_dedicated_nodes_are_not_preempted() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        with pytest.raises(OperationNotValidOnNode):
            await preempt(house)

    play(scenario, preemptions_per_hour=1e9)


def test_a_node_that_is_not_there_is_not_preempted() -> None:
    async def scenario(house: House) -> None:
        spec = PoolSpec(id="pool", vm_size="standard_d2_v3", target_low_priority_nodes=1)
        await house.engine.add_pool(ACCOUNT, spec)
        with pytest.raises(NodeBeingCreated):
            await preempt(house)
        await house.host.connect()
        await house.host.settle()
        await house.host.cut()
        await house.pass_time(31)
        with pytest.raises(NodeStateUnusable):
            await preempt(house)

    play(scenario)


def test_a_preemption_outlives_a_crash() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await house.job()
        await house.add("t")
        run = (await house.runs())["t"]
        await preempt(house)
        await house.crash()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        assert [order.node_no for order in house.host.take(DropNode)] == [node.no]
        assert house.host.take(MakeNode) == []
        await house.host.report(NodeGone(report=house.host.number(), node_no=node.no))
        assert (await house.task("t")).state is TaskState.ACTIVE
        await house.crash()
        await house.host.connect()
        assert house.host.take(MakeNode) == []
        await house.advance(60)
        await house.host.settle()
        assert (await the_node(house)).boot == 1
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_host_that_is_lost_with_a_preempted_node() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await house.job()
        await house.add("t")
        await house.runs()
        await preempt(house)
        await house.host.cut()
        await house.pass_time(31)
        node = await the_node(house)
        assert (node.state, node.host) == (NodeState.PREEMPTED, None)
        assert (await house.task("t")).state is TaskState.ACTIVE
        await house.advance(30)
        house.host.told = []
        await house.host.connect()
        await house.host.settle()
        assert list(await house.runs()) == ["t"]

    play(scenario)


def test_a_node_that_reboots_may_be_preempted() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await house.job()
        await house.add("t")
        await house.runs()
        node = await the_node(house)
        await house.engine.work_on_node(
            ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.TASK_COMPLETION
        )
        assert (await preempt(house)).wish is None
        await house.host.settle()
        assert (await the_node(house)).boot == 0
        assert house.host.take(KillTask) == []

    play(scenario)


def test_a_preempted_node_is_the_first_to_go() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house, 2)
        first, second = await house.nodes()
        await house.engine.preempt_node(ACCOUNT, "pool", second.id)
        await house.host.settle()
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_low_priority_nodes=1), ANY)
        await house.host.settle()
        assert [node.id for node in await house.nodes()] == [first.id]

    play(scenario)


def test_nodes_come_back_whatever_becomes_of_a_resize() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)
        await preempt(house)
        await house.host.settle()
        house.host.obedient = False
        await house.advance(60)
        assert (await the_node(house)).state is NodeState.CREATING
        pool = await house.pool_record()
        assert pool is not None
        assert pool.allocation.value == "steady"
        more = Resize(target_low_priority_nodes=2)
        await house.engine.resize_pool(ACCOUNT, "pool", more, ANY)
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        house.host.obedient = True
        await house.host.settle()
        assert (await the_node(house)).state is NodeState.IDLE

    play(scenario)


def test_a_preempted_node_uses_no_cores() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house)  # four cores
        await preempt(house)
        await house.host.settle()
        spec = PoolSpec(id="other", vm_size="standard_d4_v3", target_low_priority_nodes=1)
        await house.engine.add_pool(ACCOUNT, spec)
        await house.host.settle()
        assert len(await house.nodes("other")) == 1
        await house.advance(60)
        assert (await the_node(house)).state is NodeState.PREEMPTED, "there is no room for it"
        await house.engine.delete_pool(ACCOUNT, "other", ANY)
        await house.host.settle()
        await house.advance(1)
        await house.host.settle()
        assert (await the_node(house)).state is NodeState.IDLE

    play(scenario, quotas=Quotas(low_priority_cores=4))


def test_nodes_are_preempted_at_a_rate() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house, 100)
        await house.advance(0)
        await house.advance(1800)
        nodes = await house.nodes()
        away = sum(node.state is NodeState.PREEMPTED for node in nodes)
        assert 50 <= away <= 76, "63 are expected at 2 an hour"
        await house.host.settle()
        await house.advance(61)
        await house.host.settle()
        nodes = await house.nodes()
        assert sum(node.state is NodeState.IDLE for node in nodes) >= 90

    play(scenario, preemptions_per_hour=2.0)


def test_nothing_is_preempted_without_a_rate() -> None:
    async def scenario(house: House) -> None:
        await low_priority(house, 10)
        await house.advance(0)
        await house.advance(3600)
        assert {node.state for node in await house.nodes()} == {NodeState.IDLE}

    play(scenario)


@pytest.mark.parametrize(("chance", "least", "most"), [(0.1, 900, 1100), (1.0, 10_000, 10_000)])
def test_each_is_hit_with_the_same_chance(chance: float, least: int, most: int) -> None:
    hits = _hits(10_000, chance, Random(7))
    assert least <= len(hits) <= most
    assert hits == sorted(set(hits))
    assert abs(sum(hits) / len(hits) - 5_000) < 500
    assert _hits(10_000, 0.0, Random(7)) == []
