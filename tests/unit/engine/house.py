"""An engine with a store in memory, a clock set by hand and a node host that does as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, TypeVar

from penstock.domain.queries import Query
from penstock.domain.records import Failure, JobRecord, NodeRecord, PoolRecord, TaskRecord
from penstock.domain.specs.job import JobSpec, PoolInfo
from penstock.domain.specs.pool import PoolSpec
from penstock.domain.specs.task import TaskSpec
from penstock.engine.engine import Engine
from penstock.engine.links import Link
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.vault import KEY_BYTES, Vault
from penstock.messages import (
    ChoreDone,
    DropNode,
    Heartbeat,
    Hello,
    Instruction,
    KillTask,
    MakeNode,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
    RemoveJob,
    RemoveTask,
    RunTask,
    TaskEnded,
)
from penstock.store.memory import MemoryStore
from tests.records import ACCOUNT, NOW_US

InstructionT = TypeVar("InstructionT")

FAILED = Failure("usererror", "FailureExitCode", "The task exited with a bad code")
KILLED = Failure("usererror", "TaskEnded", "The task was ended by user request")


class FakeHost:
    """A node host: makes and drops nodes by itself, and leaves tasks to the test."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.told: list[Instruction] = []
        self.reports = 0
        self.link: Link | None = None
        self.obedient = True  # whether it answers about nodes and chores

    async def connect(
        self, nodes: Sequence[int] = (), attempts: Sequence[tuple[int, int]] = ()
    ) -> None:
        hello = Hello(
            protocol=1,
            host=self.name,
            version="1",
            pid=1,
            started_us=0,
            cores=2,
            nodes=tuple(nodes),
            attempts=tuple(attempts),
        )
        self.link = await self.engine.connect(hello, self.hear)

    def hear(self, batch: Sequence[Instruction]) -> None:
        self.told.extend(batch)

    async def cut(self) -> None:
        assert self.link is not None
        await self.engine.disconnect(self.link)

    def number(self) -> int:
        self.reports += 1
        return self.reports

    async def report(self, *reports: NumberedReport | Heartbeat) -> None:
        assert self.link is not None
        await self.engine.receive(self.link, reports)

    def take(self, kind: type[InstructionT]) -> list[InstructionT]:
        """The instructions of a kind that came, taken off the pile."""
        found: list[Any] = [item for item in self.told if isinstance(item, kind)]
        self.told = [item for item in self.told if not isinstance(item, kind)]
        return found

    async def settle(self) -> None:
        """Do what was asked about nodes and directories, until nothing more comes."""
        while self.obedient:
            answers: list[NumberedReport] = []
            for made in self.take(MakeNode):
                answers += [
                    NodeHosted(
                        report=self.number(),
                        node_no=made.node_no,
                        address="127.0.0.2",
                        boot=made.boot,
                    ),
                    NodeReady(report=self.number(), node_no=made.node_no, boot=made.boot),
                ]
            answers += [
                NodeGone(report=self.number(), node_no=dropped.node_no, boot=dropped.boot)
                for dropped in self.take(DropNode)
            ]
            chores = [order.chore for order in self.take(RemoveTask)]
            chores += [order.chore for order in self.take(RemoveJob)]
            answers += [ChoreDone(report=self.number(), chore=chore) for chore in chores]
            if not answers:
                return
            await self.report(*answers)

    async def end(
        self,
        run: RunTask | KillTask,
        exit_code: int | None = 0,
        failure: Failure | None = None,
        *,
        length_us: int = 60_000_000,
        **more: Any,
    ) -> None:
        """Let an attempt be over; it took `length_us`, which decides what is sent ahead."""
        now_us = self.engine._now_us()
        if failure is None and exit_code:
            failure = FAILED
        await self.report(
            TaskEnded(
                report=self.number(),
                task_no=run.task_no,
                attempt=run.attempt,
                start_us=now_us - length_us,
                end_us=now_us,
                exit_code=exit_code,
                failure=failure,
                **more,
            )
        )


class House:
    """Everything a test of the engine needs."""

    def __init__(self, **settings: Any) -> None:
        self.now_us = NOW_US
        self.passed_us = 0
        self.store = MemoryStore()
        values: dict[str, Any] = {
            "server_id": "test",
            "stop_wait_s": 0.05,
            "node_silent_us": 30_000_000,
            "vault": Vault(b"k" * KEY_BYTES),
        }
        self.settings = EngineSettings(**values | settings)
        self.engine = self.new_engine()
        self.host = FakeHost(self.engine, "host")
        self._running: asyncio.Task[None] | None = None

    def new_engine(self) -> Engine:
        return Engine(
            self.store, lambda: self.now_us, Random(1), self.settings, lambda: self.passed_us
        )

    async def open(self) -> None:
        await self.engine.load()
        self._running = asyncio.create_task(self.engine.run())

    async def close(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})

    async def crash(self) -> None:
        """End the engine as SIGKILL would, and start another on the same store."""
        await self.close()
        self.engine = self.new_engine()
        self.host.engine = self.engine
        self.host.told = []
        await self.open()

    def elapse(self, seconds: float) -> None:
        """Let both clocks go on, before anybody looks at them."""
        self.now_us += int(seconds * 1_000_000)
        self.passed_us += int(seconds * 1_000_000)

    async def advance(self, seconds: float) -> None:
        """Move the engine's clock alone, so that nobody was silent meanwhile."""
        self.now_us += int(seconds * 1_000_000)
        await self.engine._submit(self.engine._tick)

    async def pass_time(self, seconds: float) -> None:
        self.elapse(seconds)
        await self.engine._submit(self.engine._tick)

    async def pool(self, nodes: int = 1, slots: int = 2, name: str = "pool", **spec: Any) -> None:
        """Make a pool whose nodes are idle."""
        await self.engine.add_pool(
            ACCOUNT,
            PoolSpec(
                id=name,
                vm_size="standard_d4_v3",
                target_dedicated_nodes=nodes,
                task_slots_per_node=slots,
                **spec,
            ),
        )
        if self.host.link is None:
            await self.host.connect()
        await self.host.settle()

    async def job(self, name: str = "job", pool: str = "pool", **spec: Any) -> None:
        await self.engine.add_job(
            ACCOUNT, JobSpec(id=name, pool_info=PoolInfo(pool_id=pool), **spec)
        )

    async def add(self, *names: str, job: str = "job", **spec: Any) -> list[Any]:
        specs = [TaskSpec(id=name, command_line="true", **spec) for name in names]
        return list(await self.engine.add_tasks(ACCOUNT, job, specs))

    async def task(self, name: str, job: str = "job") -> TaskRecord:
        record = await self.store.job(ACCOUNT, job)
        assert record is not None
        found = await self.store.task(record.no, name)
        assert found is not None, f"no task {name}"
        return found[0]

    async def job_record(self, name: str = "job") -> JobRecord | None:
        return await self.store.job(ACCOUNT, name)

    async def pool_record(self, name: str = "pool") -> PoolRecord | None:
        return await self.store.pool(ACCOUNT, name)

    async def nodes(self, name: str = "pool") -> list[NodeRecord]:
        pool = await self.store.pool(ACCOUNT, name)
        assert pool is not None
        return list(await self.store.list_nodes(pool.no, Query()))

    async def told(self, name: str) -> list[RunTask]:
        """The runs of a task that the host was told of since the last look, by node."""
        await self.engine._submit(lambda _turn: None)
        found = [run for run in self.host.take(RunTask) if run.task_id == name]
        return sorted(found, key=lambda run: run.node_no)

    async def runs(self) -> dict[str, RunTask]:
        """The tasks that the host was told to run since the last look, by id."""
        await self.engine._submit(lambda _turn: None)
        return {run.task_id: run for run in self.host.take(RunTask)}


Scenario = Callable[[House], Coroutine[Any, Any, None]]


def play(scenario: Scenario, **settings: Any) -> None:
    """Run a scenario, and check at its end that the memory is what the store would rebuild.

    `settings` are those of the engine that differ from the usual ones.
    """

    async def run() -> None:
        house = House(**settings)
        await house.open()
        try:
            await scenario(house)
            await memory_is_true(house)
        finally:
            await house.close()

    asyncio.run(asyncio.wait_for(run(), 20))


async def memory_is_true(house: House) -> None:
    """What the engine believes is what a restart would make it believe."""
    believed, rebuilt = house.engine._state, State.restored(await house.store.load())
    assert believed.given == rebuilt.given
    assert believed.nodes == rebuilt.nodes
    assert believed.pools == rebuilt.pools
    assert believed.jobs == rebuilt.jobs
    assert believed.schedules == rebuilt.schedules
    assert believed.timetable.next_us() == rebuilt.timetable.next_us()
    assert believed.chores == rebuilt.chores
    assert believed.subtasks._all == rebuilt.subtasks._all
    assert believed.job_nodes._all == rebuilt.job_nodes._all
    assert believed.node_given == rebuilt.node_given
    assert believed.totals == rebuilt.totals
    assert believed.lifetimes == rebuilt.lifetimes
    assert believed.meters == rebuilt.meters
    assert believed.certificates._all == rebuilt.certificates._all
    assert believed.node_users._all == rebuilt.node_users._all
    rebuilt.linked = believed.linked
    for node in rebuilt.nodes.values():
        rebuilt.open_or_close(node)
    for key, queue in believed.queues.items():
        assert queue.nodes._free == rebuilt.queue(key).nodes._free, "slots that are free"
    for job_no in believed.jobs:
        ours, theirs = believed.tallies[job_no], rebuilt.tallies[job_no]
        assert (ours.tasks, ours.slots) == (theirs.tasks, theirs.slots)
        states = [task.state for task in house.store.tasks.values() if task.job_no == job_no]
        assert sum(ours.tasks) == len(states), "counts are those of the records"
        mine = believed.queue_of(job_no).jobs[job_no]
        assert mine.waiting == rebuilt.queue_of(job_no).jobs[job_no].waiting
        assert mine.running == rebuilt.queue_of(job_no).jobs[job_no].running
