"""What the runs of a task add to its usage, and to the totals of its job.

A wait lasts from where a task begins to wait until its last run starts, so the runs between are
part of it, as the protocol wants it.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskState
from penstock.domain.usage import NOTHING, Usage
from penstock.engine.turn import Turn


def began(turn: Turn, task: TaskRecord, start_us: int) -> Usage:
    """A task that waited, or whose node was being prepared, starts to run."""
    since_us = task.state_us
    if task.state is TaskState.PREPARING and task.previous_state_us is not None:
        since_us = task.previous_state_us
    return _more(turn, task, Usage(wait_us=max(0, start_us - since_us)))


def measured(turn: Turn, task: TaskRecord, used: Usage | None) -> TaskRecord:
    """A host has said what one of its runs used; to be put by who goes on with the task."""
    return task if used is None else replace(task, usage=_more(turn, task, used))


def ended(turn: Turn, task: TaskRecord, end_us: int, *, again: bool) -> Usage | None:
    """A task runs no more; `again` says that it waits for another run from now on."""
    if task.state is not TaskState.RUNNING or task.start_us is None:
        return task.usage
    return _more(
        turn,
        task,
        Usage(
            wall_us=max(0, end_us - task.start_us),
            wait_us=max(0, turn.now_us - task.start_us) if again else 0,
        ),
    )


def _more(turn: Turn, task: TaskRecord, used: Usage) -> Usage:
    turn.growth_of(task.job_no).use(used)
    return (task.usage or NOTHING) + used
