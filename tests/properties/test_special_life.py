"""Jobs with special tasks and tasks of several nodes, whatever happens and in whatever order.

Two hosts do as they are told; users, hosts and the server do what chance says. After each step
the memory of the engine is what the store would rebuild; at the end everything comes to an end.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.queries import Query
from penstock.domain.records import NodeWork, Removal
from penstock.domain.refusals import Refusal
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.pool import NodeRemoval, PoolSpec, Resize
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.domain.specs.task import MultiInstanceSettings
from penstock.domain.states import NodeState
from penstock.messages import (
    ChoreDone,
    DropNode,
    Heartbeat,
    KillTask,
    MakeNode,
    NodeGone,
    NodeHosted,
    NodeReady,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
)
from tests.records import ACCOUNT
from tests.unit.engine.house import FAILED, KILLED, FakeHost, House, memory_is_true

Key = tuple[int, int]


class Host(FakeHost):
    """A host with runs, which end when chance says so."""

    def __init__(self, house: House, name: str) -> None:
        super().__init__(house.engine, name)
        self.house = house
        self.boots: dict[int, int] = {}
        self.runs_here: dict[Key, RunTask] = {}
        self.coordinated: set[Key] = set()
        self.up = False

    async def dial(self) -> None:
        """Connect, and do as the greeting says."""
        self.engine = self.house.engine
        self.told = []
        self.up = True
        await self.connect(tuple(self.boots), tuple(self.runs_here))
        await self.obey()

    async def hang_up(self) -> None:
        if self.up:
            self.up = False
            await self.cut()

    async def say(self, *reports: Any) -> None:
        if self.up:
            await self.report(*reports)

    async def obey(self) -> None:
        """Do all that was told, in order, until nothing more comes."""
        await self.house.engine._submit(lambda _turn: None)
        while self.up and self.told:
            told, self.told = self.told, []
            for order in told:
                await self.do(order)

    async def do(self, order: Any) -> None:
        match order:
            case Welcome(attempts=attempts):
                for key in [key for key in self.runs_here if key not in attempts]:
                    self.forget(key)
            case MakeNode(node_no=no, boot=boot):
                if self.boots.get(no) != boot:
                    self.forget_node(no)
                self.boots[no] = boot
                address = f"127.0.0.{no % 250}"
                await self.say(
                    NodeHosted(report=self.number(), node_no=no, address=address, boot=boot),
                    NodeReady(report=self.number(), node_no=no, boot=boot),
                )
            case DropNode(node_no=no, boot=boot):
                self.boots.pop(no, None)
                self.forget_node(no)
                await self.say(NodeGone(report=self.number(), node_no=no, boot=boot))
            case RunTask():
                await self.begin(order)
            case KillTask(task_no=no, attempt=attempt):
                self.forget((no, attempt))
                await self.over((no, attempt), None, failure=KILLED, killed=True)
            case ReturnTask(task_no=no, attempt=attempt):
                if self.runs_here.get((no, attempt)) is None:
                    await self.over((no, attempt), None, returned=True)
            case RemoveTask(chore=chore) | RemoveJob(chore=chore):
                await self.say(ChoreDone(report=self.number(), chore=chore))

    async def begin(self, order: RunTask) -> None:
        key = (order.task_no, order.attempt)
        assert order.node_no in self.boots, "an order for a node that is not here"
        if order.joins and not any(
            (run.node_no, run.task_id, run.attempt) == (order.node_no, order.task_id, order.attempt)
            for run in map(self.runs_here.__getitem__, self.coordinated)
        ):
            await self.over(key, None, lost=True)
            return
        self.runs_here.setdefault(key, order)
        if order.ahead:
            began = TaskBegan(
                report=self.number(),
                task_no=order.task_no,
                attempt=order.attempt,
                start_us=self.house.now_us,
            )
            await self.say(began)

    def forget(self, key: Key) -> None:
        self.runs_here.pop(key, None)
        self.coordinated.discard(key)

    def forget_node(self, node_no: int) -> None:
        for key in [key for key, run in self.runs_here.items() if run.node_no == node_no]:
            self.forget(key)

    async def over(self, key: Key, exit_code: int | None, **more: Any) -> None:
        now_us = self.house.now_us
        ended = TaskEnded(
            report=self.number(),
            task_no=key[0],
            attempt=key[1],
            start_us=now_us - 60_000_000,
            end_us=now_us,
            exit_code=exit_code,
            **more,
        )
        await self.say(ended)

    async def step(self, random: Random, failing: float) -> None:
        """Let something that runs go on."""
        going = [key for key in self.runs_here if key not in self.coordinated]
        if not going or not self.up:
            return
        key = random.choice(going)
        fails = random.random() < failing
        if self.runs_here[key].lingers and not fails:
            self.coordinated.add(key)
            await self.say(
                TaskCoordinated(
                    report=self.number(),
                    task_no=key[0],
                    attempt=key[1],
                    at_us=self.house.now_us,
                )
            )
        else:
            self.forget(key)
            await self.over(key, int(fails), failure=FAILED if fails else None)
        await self.obey()

    async def restart(self) -> None:
        """All that ran is lost, and said to be."""
        await self.hang_up()
        lost = dict(self.runs_here)
        self.engine, self.told, self.up = self.house.engine, [], True
        await self.connect(tuple(self.boots), tuple(lost))
        self.runs_here.clear()
        self.coordinated.clear()
        for key in lost:
            await self.over(key, None, lost=True)
        await self.obey()


class Story:
    """What happens, as a seed says."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = Random(seed)
        self.hosts = [Host(house, "one"), Host(house, "two")]
        self.count = 0

    async def obey(self) -> None:
        for _ in range(4):
            for host in self.hosts:
                await host.obey()

    async def begin(self) -> None:
        for host in self.hosts:
            await host.dial()
        slots = self.random.choice((1, 1, 2))
        await self.house.engine.add_pool(ACCOUNT, self.pool_spec(slots))
        await self.obey()

    def pool_spec(self, slots: int) -> PoolSpec:
        return PoolSpec(
            id="pool",
            vm_size="standard_d4_v3",
            target_dedicated_nodes=3,
            target_low_priority_nodes=1,
            task_slots_per_node=slots,
            enable_inter_node_communication=True,
        )

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    async def add_job(self) -> None:
        self.count += 1
        spec: dict[str, Any] = {
            "priority": self.random.choice((0, 0, 100)),
            "max_parallel_tasks": self.random.choice((-1, -1, 2)),
            "allow_task_preemption": self.chance(0.3),
        }
        if self.chance(0.7):
            spec["job_preparation_task"] = JobPreparationTask(
                id="before",
                command_line="x",
                constraints=TaskConstraints(max_task_retry_count=self.random.choice((0, 1))),
                wait_for_success=self.random.choice((True, True, False)),
                rerun_on_node_reboot_after_success=self.random.choice((True, False)),
            )
            if self.chance(0.7):
                spec["job_release_task"] = JobReleaseTask(id="after", command_line="x")
        if self.chance(0.3):
            spec["job_manager_task"] = JobManagerTask(
                id="manager",
                command_line="x",
                kill_job_on_completion=self.random.choice((True, False)),
                run_exclusive=self.random.choice((True, False)),
            )
        await self.house.job(f"j{self.count}", **spec)
        await self.add_tasks()

    async def jobs(self) -> list[str]:
        return [job.id for job in await self.house.store.list_jobs(ACCOUNT, Query())]

    async def a_job(self) -> str | None:
        names = await self.jobs()
        return self.random.choice(names) if names else None

    async def add_tasks(self) -> None:
        name = await self.a_job()
        if name is None:
            return
        for _ in range(self.random.randint(1, 3)):
            self.count += 1
            spec: dict[str, Any] = {
                "constraints": TaskConstraints(max_task_retry_count=self.random.choice((0, 0, 2)))
            }
            if self.chance(0.5):
                spec["multi_instance_settings"] = MultiInstanceSettings(
                    number_of_instances=self.random.randint(1, 4), coordination_command_line="c"
                )
            await self.house.add(f"t{self.count}", job=name, **spec)

    async def end_job(self) -> None:
        name = await self.a_job()
        if name is None:
            return
        engine, force = self.house.engine, self.chance(0.2)
        if self.chance(0.5):
            await engine.terminate_job(ACCOUNT, name, None, ANY, force=force)
        else:
            await engine.delete_job(ACCOUNT, name, ANY, force=force)

    async def disable_job(self) -> None:
        name = await self.a_job()
        if name is not None:
            how = self.random.choice(("requeue", "terminate", "wait"))
            await self.house.engine.disable_job(ACCOUNT, name, how, ANY)

    async def enable_job(self) -> None:
        name = await self.a_job()
        if name is not None:
            await self.house.engine.enable_job(ACCOUNT, name, ANY)

    async def change_task(self) -> None:
        tasks = list(self.house.store.tasks.values())
        if not tasks:
            return
        task = self.random.choice(tasks)
        job = self.house.engine._state.jobs.get(task.job_no)
        if job is not None:
            what = self.random.choice(("terminate", "terminate", "delete", "reactivate"))
            # Who asks would wait until it has ended; here the host is the next to act.
            asked = getattr(self.house.engine, f"{what}_task")(ACCOUNT, job.id, task.id, ANY)
            await asked

    async def change_node(self) -> None:
        nodes = await self.house.nodes()
        if not nodes:
            return
        node, how = self.random.choice(nodes), self.random.choice(list(Removal)[:3])
        if self.chance(0.3):
            removal = NodeRemoval(node_list=[node.id], node_deallocation_option=how.value)
            await self.house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        elif self.chance(0.3):
            size = Resize(target_dedicated_nodes=self.random.randint(2, 5))
            await self.house.engine.resize_pool(ACCOUNT, "pool", size, ANY)
        elif self.chance(0.2):
            await self.house.engine.disable_node(ACCOUNT, "pool", node.id, how)
        elif self.chance(0.3):
            await self.house.engine.enable_node(ACCOUNT, "pool", node.id)
        elif self.chance(0.2):
            await self.house.engine.preempt_node(ACCOUNT, "pool", node.id)
        else:
            work = self.random.choice((NodeWork.REBOOT, NodeWork.REIMAGE))
            await self.house.engine.work_on_node(ACCOUNT, "pool", node.id, work, how)

    async def crash(self) -> None:
        for host in self.hosts:
            host.up = False
        await self.house.close()
        self.house.engine = self.house.new_engine()
        await self.house.open()
        for host in self.hosts:
            await host.dial()

    async def hang_up(self) -> None:
        await self.random.choice(self.hosts).hang_up()

    async def dial(self) -> None:
        for host in self.hosts:
            if not host.up:
                await host.dial()

    async def restart(self) -> None:
        await self.random.choice(self.hosts).restart()

    async def silence(self) -> None:
        self.house.elapse(20)
        for host in self.hosts:
            with suppress(ConnectionError):
                await host.say(Heartbeat(attempts=tuple(host.runs_here)))
        await self.house.pass_time(11)

    async def go_on(self, failing: float = 0.2) -> None:
        await self.random.choice(self.hosts).step(self.random, failing)

    async def step(self) -> None:
        self.house.elapse(1)
        what = self.random.choices(
            (
                self.go_on,
                self.add_tasks,
                self.add_job,
                self.end_job,
                self.disable_job,
                self.enable_job,
                self.change_task,
                self.change_node,
                self.crash,
                self.hang_up,
                self.dial,
                self.restart,
                self.silence,
            ),
            (50, 8, 4, 3, 2, 4, 8, 4, 2, 2, 5, 2, 2),
        )[0]
        with suppress(Refusal):
            await what()
        if self.chance(0.8):
            await self.obey()

    async def end(self) -> None:
        """Let all go well from now on, and end all jobs: nothing is left of them."""
        await self.dial()
        await self.obey()
        for _ in range(60):
            await self.go_on(0)
        for name in await self.jobs():
            with suppress(Refusal):
                await self.house.engine.delete_job(ACCOUNT, name, ANY, force=False)
        for _ in range(400):
            await self.obey()
            if not await self.jobs():
                break
            await self.go_on(0)
        assert await self.jobs() == []
        await self.obey()
        for host in self.hosts:
            assert host.runs_here == {}, "nothing runs any more"
        state = self.house.engine._state
        assert not state.given
        assert not state.node_given
        assert not state.job_given
        assert not state.chores
        assert not state.job_nodes._all
        assert not state.subtasks._all
        for node in await self.house.nodes():
            assert (node.running_tasks, node.running_slots) == (0, 0)
            assert node.state in (NodeState.IDLE, NodeState.OFFLINE, NodeState.PREEMPTED)


@pytest.mark.parametrize("seed", range(40))
def test_everything_comes_to_its_end(seed: int) -> None:
    async def run() -> None:
        house = House(stop_wait_s=0.0)
        await house.open()
        try:
            story = Story(house, seed)
            await story.begin()
            for _ in range(120):
                await story.step()
                await memory_is_true(house)
            await story.end()
            await memory_is_true(house)
        finally:
            await house.close()

    asyncio.run(asyncio.wait_for(run(), 60))
