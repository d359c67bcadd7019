"""Bugs in what jobs, nodes and tasks go through, to be switched on one by one. See `mutations`."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from msgspec.structs import replace

from penstock.domain.records import (
    Ending,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    TaskRecord,
    WaitingTask,
)
from penstock.domain.states import SubtaskEvent
from penstock.engine import (
    auto_pools,
    gangs,
    jobs,
    orders,
    quotas,
    resizes,
    runs,
    schedules,
    special,
)
from penstock.engine import readiness as readiness_module
from penstock.engine import state as state_module
from penstock.engine.readiness import Readiness
from penstock.engine.state import State
from penstock.engine.timetable import Timetable
from penstock.engine.turn import Turn
from penstock.scheduler import recurrence
from penstock.scheduler.demands import Demand
from penstock.scheduler.queue import PoolQueue
from penstock.scheduler.recurrence import Decision, Plan
from penstock.scheduler.room import Room

Bug = AbstractContextManager[Any]


def runs_on_any_node() -> Bug:
    """Tasks do not wait for the preparation of their node."""

    def ready(job: JobRecord, node: NodeRecord, at: JobNodeRecord | None) -> Readiness:
        return Readiness.READY

    patches = ExitStack()
    for module in (special, runs, state_module):
        patches.enter_context(mock.patch.object(module, "readiness", ready))
    return patches


def prepares_once_for_ever() -> Bug:
    """A preparation counts for all boots of a node."""
    return mock.patch.object(readiness_module, "_counts", return_value=True)


def forgets_to_release() -> Bug:
    """A job ends without its release tasks."""
    return mock.patch.object(special, "release")


def releases_beside_tasks() -> Bug:
    """The nodes of a job are released while its tasks are being ended."""
    stop = jobs._stop_tasks

    def hasty(turn: Turn, job: JobRecord, *, force: bool) -> JobRecord:
        special.release(turn, job)
        return stop(turn, job, force=force)

    return mock.patch.object(jobs, "_stop_tasks", hasty)


def does_not_wait_for_all_parts() -> Bug:
    """The command of a multi-instance task begins when one node has coordinated."""

    def joined(turn: Turn, task: TaskRecord) -> bool:
        return any(part.coordinated for part in turn.state.subtasks.of(task.no))

    return mock.patch.object(gangs, "is_joined", joined)


def forgets_parts_that_run() -> Bug:
    """A multi-instance task is over when its command is."""
    runs_of = gangs.runs_of

    def few(turn: Turn, task: TaskRecord, node_no: int | None = None) -> list[tuple[int, int]]:
        found = runs_of(turn, task, node_no)
        return [] if task.ending is Ending.FINISHED else found

    return mock.patch.object(gangs, "runs_of", few)


def begins_what_is_ready() -> Bug:
    """Parts of a multi-instance task begin as their nodes are ready."""

    def part(turn: Turn, task: TaskRecord, spec: bytes) -> None:
        for each in turn.state.subtasks.of(task.no)[:1]:
            begun = gangs._move(turn, each, SubtaskEvent.BEGAN, start_us=turn.now_us)
            turn.send(begun.node_no, orders.subtask_order(turn, task, spec, begun))

    return mock.patch.object(gangs, "begin", part)


def lets_managers_share() -> Bug:
    """A job manager that is to run exclusively gets slots like any task."""
    demand_of = State.demand_of

    def shared(self: State, task: TaskRecord | WaitingTask) -> Demand | None:
        demand = demand_of(self, task)
        return None if demand is None else replace(demand, whole=False)

    return mock.patch.object(State, "demand_of", shared)


def holds_nothing() -> Bug:
    """Nodes are held for nobody."""
    return mock.patch.object(PoolQueue, "_outranks", return_value=False)


def gives_away_what_is_held() -> Bug:
    """Anybody may have nodes that are held for a task."""

    keep = Room.keep

    def show(self: Room, node_no: int, rank: int) -> None:
        keep(self, node_no, rank)
        self.nodes.show(node_no)

    return mock.patch.object(Room, "keep", show)


def makes_jobs_side_by_side() -> Bug:
    """A schedule makes the next job while the last is active."""

    def decide(*given: Any, busy: bool) -> Decision:
        return recurrence.decide(*given, busy=False)

    return mock.patch.object(schedules, "decide", decide)


def makes_up_for_lost_jobs() -> Bug:
    """A schedule makes all jobs that were due while it could not."""

    def all_of_them(
        plan: Plan, due_us: int | None, last_us: int | None, now_us: int
    ) -> tuple[int | None, int | None]:
        return due_us, last_us

    return mock.patch.object(recurrence, "_without_lost", all_of_them)


def forgets_when_jobs_are_due() -> Bug:
    """Nobody looks at schedules when their time has come."""
    return mock.patch.object(Timetable, "due", return_value=[])


def keeps_auto_pools() -> Bug:
    """Pools that were made for jobs stay."""
    return mock.patch.object(auto_pools, "_let_go")


def ignores_quotas() -> Bug:
    """Nodes come, however many cores the account has."""

    def all_of_them(*_: Any, wanted: int, **__: Any) -> int:
        return wanted

    patches = ExitStack()
    patches.enter_context(mock.patch.object(quotas, "nodes_that_fit", all_of_them))
    patches.enter_context(mock.patch.object(resizes, "nodes_that_fit", all_of_them))
    return patches


def tells_twice() -> Bug:
    """Each event is told two times, under two numbers."""
    tell = Turn._tell

    def twice(self: Turn, account: str, name: str, body: bytes) -> None:
        tell(self, account, name, body)
        tell(self, account, name, body)

    return mock.patch.object(Turn, "_tell", twice)


def tells_nothing_of_lost_runs() -> Bug:
    """A run that is taken off its node has no end in the log."""
    tell = Turn._tell

    def some(self: Turn, account: str, name: str, body: bytes) -> None:
        if name != "TaskRequeueEvent":
            tell(self, account, name, body)

    return mock.patch.object(Turn, "_tell", some)
