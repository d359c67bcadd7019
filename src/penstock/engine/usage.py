"""What the runs of a task add to its usage, and to the totals of its job.

A wait lasts from where a task begins to wait until its last run starts, so the runs between are
part of it, as the protocol wants it. It is added when that run is over, or when the task has to
wait for the preparation of its node: until then the times of its record tell it.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskState
from penstock.domain.usage import Usage
from penstock.engine.turn import Turn


def held(turn: Turn, task: TaskRecord) -> Usage:
    """A task that waited has nodes, which are being prepared; or it had them for so long."""
    return _more(turn, task, Usage(wait_us=max(0, turn.now_us - task.state_us)))


def measured(turn: Turn, task: TaskRecord, used: Usage | None) -> TaskRecord:
    """A host has said what one of its runs used; to be put by who goes on with the task."""
    return task if used is None else replace(task, usage=_more(turn, task, used))


def ended(turn: Turn, task: TaskRecord, end_us: int, *, again: bool) -> Usage | None:
    """A task has its nodes no more; `again` says that it waits for others from now on."""
    if again and task.state is TaskState.PREPARING:
        return held(turn, task)
    if task.state is not TaskState.RUNNING or task.start_us is None:
        return task.usage
    waited_us = task.waited_us
    if again:
        waited_us += max(0, turn.now_us - task.start_us)
    return _more(turn, task, Usage(wall_us=max(0, end_us - task.start_us), wait_us=waited_us))


def _more(turn: Turn, task: TaskRecord, used: Usage) -> Usage:
    turn.growth_of(task.job_no).use(used)
    return used if task.usage is None else task.usage + used
