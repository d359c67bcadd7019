"""What a node knows of the tasks on it, and the moves of nodes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, RecentTask, TaskRecord
from penstock.domain.states import NODE_MOVES, NodeEvent, NodeState, after
from penstock.engine.turn import Turn


def move_node(turn: Turn, node: NodeRecord, event: NodeEvent, **new: Any) -> NodeRecord:
    """Take a node through its table."""
    moved = _moved(turn, node, event, **new)
    turn.put(c.PutNode(moved))
    return moved


def _moved(turn: Turn, node: NodeRecord, event: NodeEvent, **new: Any) -> NodeRecord:
    return replace(node, state=after(NODE_MOVES, node.state, event), state_us=turn.now_us, **new)


def task_began(turn: Turn, task: TaskRecord, node: NodeRecord) -> None:
    """Count a task on its node."""
    new: dict[str, Any] = {
        "running_tasks": node.running_tasks + 1,
        "running_slots": node.running_slots + task.slots,
    }
    if node.state is NodeState.IDLE:
        node = _moved(turn, node, NodeEvent.TASK_BEGAN, **new)
    else:
        node = replace(node, **new)
    turn.put(c.OccupyNode(node))


def task_left(turn: Turn, task: TaskRecord, *, ran: bool, subtask: int | None = None) -> None:
    """Count a task off its node. `task` is as it ended; `ran` when that run counts.

    `subtask` is the index of the part that the node had of it, if that was not the primary.
    """
    node = turn.node(task.node_no)
    if node is None:
        return
    new: dict[str, Any] = {
        "running_tasks": max(0, node.running_tasks - 1),
        "running_slots": max(0, node.running_slots - task.slots),
    }
    if ran:
        new["tasks_run"] = node.tasks_run + 1
        new["tasks_succeeded"] = node.tasks_succeeded + (task.exit_code == 0 and not task.failure)
        turn.put(c.RanOn(node.no, new["tasks_run"], _line(turn, task, subtask)))
    if not new["running_tasks"]:
        turn.touch_node(node.no)
    if not new["running_tasks"] and node.state is NodeState.RUNNING:
        node = _moved(turn, node, NodeEvent.TASKS_ENDED, **new)
    else:
        node = replace(node, **new)
    turn.put(c.OccupyNode(node))


def _line(turn: Turn, task: TaskRecord, subtask: int | None) -> RecentTask:
    return RecentTask(
        subtask=subtask,
        job_id=turn.state.jobs[task.job_no].id,
        task_id=task.id,
        state=task.state,
        start_us=task.start_us,
        end_us=task.end_us,
        exit_code=task.exit_code,
        result=task.result,
        failure=task.failure,
        retry_count=task.retry_count,
        requeue_count=task.requeue_count,
    )
