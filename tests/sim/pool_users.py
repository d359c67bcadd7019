"""The owners of pools, which grow and shrink, and whose nodes are worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from penstock.domain.conditions import ANY
from penstock.domain.records import NodeRecord, NodeWork, PoolRecord, Removal
from penstock.domain.refusals import PoolBeingDeleted, PoolExists, Refusal
from penstock.domain.specs.pool import NodeRemoval, PoolSpec, Resize, SchedulingPolicy, StartTask
from penstock.domain.states import AllocationState, NodeState
from penstock.engine.engine import Engine
from penstock.engine.roster import keeps_data
from tests.sim.users import FILES, User
from tests.sim.world import World

MOST_SLOTS: Final = 4

_NEEDS_REMOVAL: Final = (
    NodeState.UNUSABLE,
    NodeState.START_TASK_FAILED,
    NodeState.PREEMPTED,
    NodeState.DEALLOCATED,  # a quota may keep it from its start
)

NodeWishOf = Callable[[Engine, str, str, str], Awaitable[object]]
"""What is asked of an engine about a node, by account, pool and id."""


class PoolUser(User):
    """The owner of one pool."""

    def __init__(self, world: World, account: str, name: str, *, harsh: bool) -> None:
        super().__init__(world, account, name)
        self.harsh = harsh  # resizes may end tasks
        self.target = self.random.randint(1, 4)
        self.slots = self.random.randint(1, MOST_SLOTS)
        self.worked = self.random.random() < 0.5  # its nodes are worked on
        self.cheap = self.random.choice((0, 0, 1, 2))  # nodes that may be preempted
        self.talks = self.random.random() < 0.4  # its nodes do to each other
        if self.talks:
            self.slots, self.target = 1, max(2, self.target)

    def record(self) -> PoolRecord | None:
        pools = self.world.disk.pools.values()
        mine = (self.account, self.name)
        return next((pool for pool in pools if (pool.account, pool.id) == mine), None)

    async def create(self) -> None:
        random = self.random
        policy = SchedulingPolicy(
            node_fill_type=random.choice((None, "pack", "spread")),
            job_default_order=random.choice((None, "creationtime")),
        )
        spec = PoolSpec(
            id=self.name,
            vm_size="standard_d4_v3",
            target_dedicated_nodes=self.target,
            target_low_priority_nodes=self.cheap,
            task_slots_per_node=self.slots,
            enable_inter_node_communication=True if self.talks else None,
            start_task=self._start_task(),
            task_scheduling_policy=policy,
        )
        made: object = PoolBeingDeleted()
        while isinstance(made, PoolBeingDeleted):
            made = await self.ask(lambda engine: engine.add_pool(self.account, spec))
            await asyncio.sleep(1)
        assert not isinstance(made, Refusal) or isinstance(made, PoolExists), made

    def _start_task(self) -> StartTask | None:
        if self.random.random() < 0.5:
            return None
        return StartTask(
            command_line=self.random.choice(("work 1", "work 1 fail=0.4", "work 3 stubborn")),
            max_task_retry_count=-1,
            wait_for_success=self.random.random() < 0.7,
            resource_files=self.random.choice((None, FILES)),
        )

    async def live(self) -> None:
        """Resize now and then; delete the pool with all that runs in it, and create it anew."""
        for _ in range(self.random.randint(0, 12 if self.worked else 4)):
            await self.pause(8 if self.worked else 20)
            if self.random.random() < 0.1:
                await self.delete()
                await self.pause(5)
            elif self.worked and self.random.random() < 0.7:
                await self._work()
            else:
                await self.resize(self.random.randint(0, 4))
        await self.create()

    async def _work(self) -> None:
        """Have something done with a node."""
        random = self.random
        nodes = [node for node in self.world.disk.nodes.values() if node.pool_no == self._no()]
        if not nodes:
            return
        node = random.choice(nodes)
        hows = [Removal.REQUEUE, Removal.TASK_COMPLETION, Removal.RETAINED_DATA]
        how = random.choice([*hows, Removal.TERMINATE] if self.harsh else hows)
        kind = random.choice(("work", "work", "work", "disable", "enable", "start", "preempt"))
        if kind == "work":
            work = random.choice(list(NodeWork))
            await self._of_node(lambda e, *its: e.work_on_node(*its, work, how), node)
        elif kind == "disable":
            how = how if how is not Removal.RETAINED_DATA else Removal.REQUEUE
            await self._of_node(lambda e, *its: e.disable_node(*its, how), node)
        elif kind == "enable":
            await self._of_node(lambda e, *its: e.enable_node(*its), node)
        elif kind == "start":
            await self._of_node(lambda e, *its: e.start_node(*its), node)
        else:
            await self._of_node(lambda e, *its: e.preempt_node(*its), node)

    async def _of_node(self, wish: NodeWishOf, node: NodeRecord) -> None:
        await self.ask(lambda engine: wish(engine, self.account, self.name, node.id))

    async def resize(self, target: int) -> None:
        how = ["requeue", "taskcompletion", "retaineddata", None]
        how += ["terminate"] if self.harsh else []
        option = self.random.choice(how)
        if self.random.random() < 0.2:
            await self._remove_some(option)
            return
        cheap = self.random.randint(0, 2) if self.cheap else None
        resize = Resize(
            target_dedicated_nodes=target,
            target_low_priority_nodes=cheap,
            node_deallocation_option=option,
        )
        answer = await self.ask(lambda e: e.resize_pool(self.account, self.name, resize, ANY))
        if isinstance(answer, Refusal) and self.random.random() < 0.3:
            await self.ask(lambda e: e.stop_resize(self.account, self.name, ANY))

    async def _remove_some(self, how: str | None) -> None:
        nodes = [node for node in self.world.disk.nodes.values() if node.pool_no == self._no()]
        if nodes:
            chosen = self.random.sample(nodes, self.random.randint(1, len(nodes)))
            removal = NodeRemoval(
                node_list=[node.id for node in chosen], node_deallocation_option=how
            )
            await self.ask(lambda e: e.remove_nodes(self.account, self.name, removal, ANY))

    def _no(self) -> int:
        record = self.record()
        return record.no if record is not None else 0

    async def make_whole(self) -> None:
        """See to it that the pool has nodes that work, without asking for too much."""
        await self._settle()
        await self._open_all()
        gone = {host.name for host in self.world.hosts if host.gone}
        nodes = self.world.disk.nodes.values()
        bad = [
            node.id
            for node in nodes
            if node.pool_no == self._no()
            and (node.host in gone or node.state in _NEEDS_REMOVAL or node.wish is not None)
        ]
        if bad:
            removal = NodeRemoval(node_list=bad)
            await self.ask(lambda e: e.remove_nodes(self.account, self.name, removal, ANY))
            await self._settle()
        resize = Resize(
            target_dedicated_nodes=max(1, self.target),
            target_low_priority_nodes=self.cheap,
            node_deallocation_option="requeue",
        )
        await self.ask(lambda e: e.resize_pool(self.account, self.name, resize, ANY))
        await self._settle()

    async def _open_all(self) -> None:
        """Let all nodes take tasks."""
        nodes = [node for node in self.world.disk.nodes.values() if node.pool_no == self._no()]
        for node in nodes:
            await self._of_node(lambda e, *its: e.enable_node(*its), node)
        await self.until(lambda: not self._is_at_work())
        nodes = [node for node in self.world.disk.nodes.values() if node.pool_no == self._no()]
        for node in nodes:
            await self._of_node(lambda e, *its: e.start_node(*its), node)

    def _passing(self) -> Collection[NodeState]:
        """States that end by themselves; a quota may keep a preempted node from its return."""
        if self.world.settings.quotas.low_priority_cores:
            return (NodeState.DEALLOCATING,)
        return (NodeState.DEALLOCATING, NodeState.PREEMPTED)

    def _is_at_work(self) -> bool:
        """Whether something is being done with a node, other than to wait for files."""
        nodes = self.world.disk.nodes.values()
        return any(
            node.pool_no == self._no()
            and (node.state in self._passing() or (node.wish is not None and not keeps_data(node)))
            for node in nodes
        )

    async def _settle(self) -> None:
        """Wait for a resize to end; one that waits for what tasks left is given up."""
        await self.until(lambda: self._steady() or self._keeps_data())
        if not self._steady():
            await self.ask(lambda e: e.stop_resize(self.account, self.name, ANY))
            await self.until(self._steady)

    def _keeps_data(self) -> bool:
        """Whether nodes wait for the time of their files, which most tasks want kept for ever."""
        nodes = self.world.disk.nodes.values()
        mine = [node.leaving for node in nodes if node.pool_no == self._no()]
        return Removal.RETAINED_DATA in mine

    def _steady(self) -> bool:
        record = self.record()
        return record is not None and record.allocation is AllocationState.STEADY

    async def delete(self) -> None:
        await self.ask(lambda e: e.delete_pool(self.account, self.name, ANY))
