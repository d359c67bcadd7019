"""Bugs of the server, to be switched on one by one. See `mutations`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import msgspec
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import JOB_MOVES, JobEvent, JobState, NodeEvent, NodeState, TaskState
from penstock.domain.usage import Usage
from penstock.engine import ends, jobs, links, losses, orders, runs, usage, why
from penstock.engine import engine as engine_module
from penstock.engine.engine import Engine
from penstock.engine.links import Link
from penstock.engine.loop import Command
from penstock.engine.occupancy import move_node, task_left
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.tally import Tally
from penstock.engine.turn import Turn
from penstock.messages import Instruction, RunTask, TaskEnded
from penstock.scheduler.dependencies import DependencyBook, Then
from penstock.scheduler.queue import PoolQueue, WaitingJob
from penstock.scheduler.queue_reasons import at_last
from penstock.scheduler.reasons import Reason
from tests.sim.disk import Disk

Bug = AbstractContextManager[Any]


def answers_before_the_commit() -> Bug:
    """A client hears "yes" before its task is on the disk."""
    decide = Engine._decide

    async def hasty(self: Engine, turn: Turn, command: Command) -> None:
        await decide(self, turn, command)
        command.settle()

    return mock.patch.object(Engine, "_decide", hasty)


def sends_before_the_commit() -> Bug:
    """A host hears of an attempt before it is on the disk."""
    commit = Engine._commit

    async def hasty(self: Engine, turn: Turn) -> None:
        self._act(turn)
        turn.sends.clear()
        turn.greetings.clear()
        await commit(self, turn)

    return mock.patch.object(Engine, "_commit", hasty)


def keeps_memory_after_a_failed_commit() -> Bug:
    """What could not be written is believed all the same."""

    async def load_once(self: Engine) -> None:
        if not self._revision:
            await load(self)

    load = Engine.load
    return mock.patch.object(Engine, "load", load_once)


def forgets_to_requeue() -> Bug:
    """The tasks of a host that fell silent stay with it."""

    def lose_node(turn: Turn, node: NodeRecord) -> None:
        if node.state in (NodeState.IDLE, NodeState.RUNNING):
            move_node(turn, node, NodeEvent.LOST)

    return mock.patch.object(losses, "lose_node", lose_node)


def ignores_the_attempt() -> Bug:
    """A late report of an old attempt is taken for one of the new."""
    ended = runs.ended

    async def careless(turn: Turn, report: TaskEnded) -> None:
        task = turn.state.given.get(report.task_no)
        await ended(turn, replace(report, attempt=task.attempt) if task else report)

    return mock.patch.object(runs, "ended", careless)


def frees_slots_twice() -> Bug:
    """The end of a task gives its slots back two times."""
    ended = PoolQueue.ended

    def generous(self: PoolQueue, job_no: int, node_no: int, slots: int, **more: Any) -> None:
        ended(self, job_no, node_no, slots, **more)
        self.nodes.take(node_no, -slots)

    return mock.patch.object(PoolQueue, "ended", generous)


def skips_a_dependent() -> Bug:
    """Of several dependents that a task releases the last is forgotten."""
    release = DependencyBook.release

    def forgetful(self: DependencyBook, most: int) -> tuple[list[tuple[int, Then]], int]:
        released, took = release(self, most)
        return released[:1], took

    return mock.patch.object(DependencyBook, "release", forgetful)


def forgets_to_wake_the_queue() -> Bug:
    """A freed slot is not given out again."""
    stop = State._take_back

    def sleepy(self: State, task_no: int) -> None:
        hot = self.hot.copy()
        stop(self, task_no)
        self.hot = hot

    return mock.patch.object(State, "_take_back", sleepy)


def does_not_send_again() -> Bug:
    """A host that comes back is not told of attempts that it never heard of."""
    connected = links.connected

    async def silent(turn: Turn, settings: EngineSettings, link: Link) -> list[Instruction]:
        first = await connected(turn, settings, link)
        return [message for message in first if not isinstance(message, RunTask)]

    return mock.patch.object(links, "connected", silent)


def loses_chores() -> Bug:
    """Directories to remove are asked for once, heard or not."""
    connected = links.connected

    async def silent(turn: Turn, settings: EngineSettings, link: Link) -> list[Instruction]:
        with mock.patch.object(turn.state, "chores_on", return_value=[]):
            return await connected(turn, settings, link)

    return mock.patch.object(links, "connected", silent)


def counts_no_retry() -> Bug:
    """A retry goes out under the number of the attempt before."""
    start = orders.task_order

    def stale(turn: Turn, task: TaskRecord, spec: bytes) -> RunTask:
        order = start(turn, task, spec)
        return replace(order, attempt=max(1, order.attempt - 1))

    return mock.patch.object(orders, "task_order", stale)


def believes_a_torn_commit() -> Bug:
    """What the disk has of a commit without its mark counts after a restart."""

    def trust(self: Disk) -> None:
        for change in self.torn:
            self._write(change)
        self.torn = ()

    return mock.patch.object(Disk, "recover", trust)


def takes_an_end_twice() -> Bug:
    """A report that is repeated ends its task once more."""
    ended = runs.ended

    async def credulous(turn: Turn, report: TaskEnded) -> None:
        await ended(turn, report)
        if report.task_no not in turn.state.given:
            for task, _ in (await turn.tasks([report.task_no])).values():
                if task.state is TaskState.COMPLETED and task.attempt == report.attempt:
                    turn.put_task(task, end_us=turn.now_us)

    return mock.patch.object(runs, "ended", credulous)


def counts_failures_as_successes() -> Bug:
    """A job counts each completed task among those that succeeded."""
    count = Tally.count

    def kind(self: Tally, state: TaskState, slots: int, sign: int, *, failed: bool = False) -> None:
        count(self, state, slots, sign)

    return mock.patch.object(Tally, "count", kind)


def counts_what_was_used_twice() -> Bug:
    """What a run has used is added to its job's totals when it begins to end, and when it ends."""
    ended = usage.ended

    def generous(turn: Turn, task: TaskRecord, end_us: int, *, again: bool) -> Usage | None:
        if task.usage is not None:
            turn.growth_of(task.job_no).use(task.usage)
        return ended(turn, task, end_us, again=again)

    return mock.patch.object(usage, "ended", generous)


def forgets_what_the_deleted_used() -> Bug:
    """The totals of a job lose what a task has used that is deleted."""
    forget = ends.forget

    def thrifty(turn: Turn, task: TaskRecord, nodes: list[int] | None = None) -> None:
        if task.usage is not None:
            less = (-number for number in msgspec.structs.astuple(task.usage))
            turn.growth_of(task.job_no).use(Usage(*less))
        forget(turn, task, nodes)

    return mock.patch.object(ends, "forget", thrifty)


def counts_running_as_waiting() -> Bug:
    """A node does not count what begins there."""

    def forgetful(turn: Turn, task: TaskRecord, node: NodeRecord) -> None:
        if node.state is NodeState.IDLE:
            move_node(turn, node, NodeEvent.TASK_BEGAN)

    return mock.patch.object(runs, "task_began", forgetful)


def completes_a_job_at_once() -> Bug:
    """A job that is terminated is completed without a state between."""
    table = {
        **JOB_MOVES,
        JobState.ACTIVE: {
            **JOB_MOVES[JobState.ACTIVE],
            JobEvent.TERMINATED: JobState.COMPLETED,
        },
    }
    return mock.patch.object(jobs, "JOB_MOVES", table)


def blames_the_queue() -> Bug:
    """Whatever a task waits for, it is told that others are before it."""

    async def told(self: why.Explainer, task: TaskRecord) -> list[Reason]:
        return [at_last()]

    return mock.patch.object(why.Explainer, "_of_waiting", told)


def knows_no_reason() -> Bug:
    """A task that waits for others is told nothing of them."""
    return mock.patch.object(why, "of_dependencies", return_value=())


def never_calls_back() -> Bug:
    """What was sent ahead to a node stays there, however long that is busy."""
    return mock.patch.object(engine_module, "call_back", return_value=None)


def leaves_a_returned_host_closed() -> Bug:
    """The nodes of a host that comes back are given nothing."""
    open_or_close = State.open_or_close

    def closed(self: State, node: NodeRecord) -> None:
        if node.host in self.host_versions and node.tasks_run:
            self.queue(self._key_of_node(node)).close_node(node.no)
        else:
            open_or_close(self, node)

    return mock.patch.object(State, "open_or_close", closed)


def ignores_priority() -> Bug:
    """Jobs take turns whatever their priority is."""
    put_job = PoolQueue.put_job

    def flat(self: PoolQueue, job_no: int, priority: int, cap: int, **more: Any) -> None:
        put_job(self, job_no, 0, cap, **more)

    return mock.patch.object(PoolQueue, "put_job", flat)


def ignores_the_limit_of_a_job() -> Bug:
    """A job runs more tasks at once than it may."""
    return mock.patch.object(WaitingJob, "capped", False)


def forgets_the_limit_at_a_restart() -> Bug:
    """What ran before a restart does not count against the limit of its job."""

    began = PoolQueue.began

    def forgetful(self: PoolQueue, job_no: int, node_no: int, slots: int, **more: Any) -> None:
        cap, self.jobs[job_no].cap = self.jobs[job_no].cap, -1
        began(self, job_no, node_no, slots, **more)
        self.jobs[job_no].cap = cap

    return mock.patch.object(PoolQueue, "began", forgetful)


def ignores_dependencies() -> Bug:
    """A task runs before those that it depends on."""

    def hasty(self: DependencyBook, task_no: int, wants: Dependencies, then: Then) -> bool:
        return True

    return mock.patch.object(DependencyBook, "add", hasty)


def forgets_what_a_job_waits_for() -> Bug:
    """A job that is being disabled, terminated or deleted is not looked at again."""
    look = jobs.settle

    def lazy(turn: Turn, job_no: int, action: str | None) -> None:
        job: JobRecord | None = turn.state.jobs.get(job_no)
        if job is not None and job.state is JobState.ACTIVE:
            look(turn, job_no, action)

    return mock.patch.object(jobs, "settle", lazy)


def drops_a_task_with_its_node() -> Bug:
    """A task that loses its node is forgotten."""

    def forget(turn: Turn, task: TaskRecord, *, requeue: bool) -> None:
        turn.put(c.DropTask(task))
        if task.state is TaskState.RUNNING:
            task_left(turn, task, ran=False)

    return mock.patch.object(ends, "taken_off", forget)
