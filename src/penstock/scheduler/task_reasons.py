"""What a task is doing, or has behind it."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.domain.instants import instant_text
from penstock.domain.records import Ending, NodeRecord, TaskRecord
from penstock.domain.states import TaskResult, TaskState
from penstock.scheduler.reasons import Code, Reason, because, counted


def not_waiting(task: TaskRecord, unprepared: Sequence[NodeRecord] = ()) -> Reason:
    """It has a node, or is over. `unprepared` are those of its nodes that are being prepared."""
    if task.state is TaskState.COMPLETED:
        return _completed(task)
    if task.ending is not None and task.ending is not Ending.FINISHED:
        return _stopping(task, task.ending)
    if task.state is TaskState.PREPARING:
        return _preparing(task, unprepared)
    since = "" if task.start_us is None else f" since {instant_text(task.start_us)}"
    return because(
        Code.RUNNING,
        f"It runs on node {task.node_id!r}{since}.",
        "It is over when its command has ended.",
        node=task.node_id,
    )


def _completed(task: TaskRecord) -> Reason:
    if task.result is TaskResult.SUCCESS:
        message, remedy = "It has succeeded.", "Nothing: a task that succeeded runs no more."
    else:
        message, remedy = f"It {how_it_failed(task)}.", "Reactivate it, and it runs again."
    return because(
        Code.COMPLETED,
        message,
        remedy,
        result=None if task.result is None else task.result.wire_name,
        exit_code=task.exit_code,
        failure=task.failure and task.failure.code,
    )


def how_it_failed(task: TaskRecord) -> str:
    """How a completed task ended: ``failed with exit code 3``."""
    if task.failure is None:
        return f"ended with exit code {task.exit_code}"
    if task.failure.code == "FailureExitCode" and task.exit_code is not None:
        return f"failed with exit code {task.exit_code}"
    return f"failed ({task.failure.code}: {task.failure.message.rstrip('.')})"


def _stopping(task: TaskRecord, ending: Ending) -> Reason:
    node = f"node {task.node_id!r}" if task.node_id else "its node"
    if ending is Ending.REQUEUED:
        message = f"It was told to leave {node}, and has not stopped yet."
        remedy = "It waits for a node again when it has stopped."
        return because(Code.BEING_REQUEUED, message, remedy, node=task.node_id)
    verb = "deleted" if ending is Ending.DELETED else "terminated"
    message = f"It is being {verb}, and has not stopped on {node} yet."
    return because(
        Code.BEING_TERMINATED, message, "Nothing: it will not run again.", node=task.node_id
    )


def _preparing(task: TaskRecord, unprepared: Sequence[NodeRecord]) -> Reason:
    names = [node.id for node in unprepared] or [task.node_id or ""]
    more = f" and {counted(len(names) - 1, 'other node')}" if len(names) > 1 else ""
    return because(
        Code.PREPARATION_RUNNING,
        f"The preparation task of its job runs on node {names[0]!r}{more}.",
        "It begins when that has succeeded; if it fails, it waits for another node.",
        node=names[0],
        nodes=len(names),
    )


def past(task: TaskRecord) -> list[Reason]:
    """What a waiting task has behind it: it is no cause, but says why it waits again."""
    found: list[Reason] = []
    if task.retry_count:
        most = "as often as it takes" if task.max_retries < 0 else f"at most {task.max_retries}"
        found.append(
            because(
                Code.RETRY_PENDING,
                f"It has failed before: this is retry {task.retry_count} ({most}).",
                "It is tried again when its turn has come.",
                retry_count=task.retry_count,
                max_task_retry_count=task.max_retries,
            )
        )
    if task.requeue_count:
        when = "" if task.last_requeue_us is None else instant_text(task.last_requeue_us)
        at = f", last at {when}" if when else ""
        found.append(
            because(
                Code.REQUEUED,
                f"It was taken off a node {counted(task.requeue_count, 'time')}{at}.",
                "It runs again when its turn has come.",
                requeue_count=task.requeue_count,
                last_requeue_time=when or None,
            )
        )
    return found
