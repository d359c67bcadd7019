"""What a node knows of the tasks on it, and the moves of nodes."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, RecentTask, TaskRecord
from penstock.domain.states import NODE_MOVES, NodeEvent, NodeState, after
from penstock.engine.turn import Turn

RECENT_KEPT: Final = 10


def move_node(turn: Turn, node: NodeRecord, event: NodeEvent, **new: Any) -> NodeRecord:
    """Take a node through its table."""
    moved = replace(node, state=after(NODE_MOVES, node.state, event), state_us=turn.now_us, **new)
    turn.put(c.PutNode(moved))
    return moved


def task_began(turn: Turn, task: TaskRecord, node: NodeRecord) -> None:
    """Count a task on its node."""
    new: dict[str, Any] = {
        "running_tasks": node.running_tasks + 1,
        "running_slots": node.running_slots + task.slots,
    }
    if node.state is NodeState.IDLE:
        move_node(turn, node, NodeEvent.TASK_BEGAN, **new)
    else:
        turn.put(c.PutNode(replace(node, **new)))


def task_left(turn: Turn, task: TaskRecord, *, ran: bool) -> None:
    """Count a task off its node. `task` is as it ended; `ran` when that run counts."""
    node = turn.node(task.node_no)
    if node is None:
        return
    new: dict[str, Any] = {
        "running_tasks": max(0, node.running_tasks - 1),
        "running_slots": max(0, node.running_slots - task.slots),
    }
    if ran:
        job = turn.state.jobs[task.job_no]
        new["tasks_run"] = node.tasks_run + 1
        new["tasks_succeeded"] = node.tasks_succeeded + (task.exit_code == 0 and not task.failure)
        new["recent"] = with_recent(node.recent, job.id, task)
    if new["running_tasks"]:
        turn.put(c.PutNode(replace(node, **new)))
        return
    if node.state is NodeState.RUNNING:
        move_node(turn, node, NodeEvent.TASKS_ENDED, **new)
    else:
        turn.put(c.PutNode(replace(node, **new)))
    turn.touch_node(node.no)


def with_recent(
    recent: tuple[RecentTask, ...], job_id: str, task: TaskRecord
) -> tuple[RecentTask, ...]:
    """Put a task first; it has one line, however often it ran there."""
    line = RecentTask(
        job_id=job_id,
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
    others = [item for item in recent if (item.job_id, item.task_id) != (job_id, task.id)]
    return (line, *others[: RECENT_KEPT - 1])
