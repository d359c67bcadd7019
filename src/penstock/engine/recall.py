"""Calling back what was sent ahead to a node, when something better can be done with it."""

from __future__ import annotations

from penstock.domain.records import TaskRecord
from penstock.engine.runs import give_back
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.scheduler.ahead import RETURNED_AFTER_US


def may_call_back(state: State, now_us: int) -> bool:
    """Whether anything that was sent ahead waits for longer than was expected."""
    first = next(iter(state.ahead_since_us.values()), None)
    return first is not None and first <= now_us - RETURNED_AFTER_US


def call_back(turn: Turn) -> None:
    """Ask for tasks that another node could run now, or that hold up a job of more weight."""
    state = turn.state
    for task_no, since_us in list(state.ahead_since_us.items()):
        if since_us > turn.now_us - RETURNED_AFTER_US:
            break
        task = state.given[task_no]
        if _is_better_elsewhere(state, task):
            give_back(turn, task)


def _is_better_elsewhere(state: State, task: TaskRecord) -> bool:
    queue = state.queue_of(task.job_no)
    if queue.nodes.most >= task.slots:
        return True
    weight = queue.next_priority()
    return weight is not None and weight > queue.jobs[task.job_no].priority
