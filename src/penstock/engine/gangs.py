"""Multi-instance tasks: one command on a primary node, with its surroundings on several.

All nodes are taken at once. On each a part of the task runs the coordination command; when all
have exited with 0, the primary runs the command itself. The end of the command, or of any part
that was not told to end, ends all the others, and the task is over when nothing of it runs any
more. Until then its record says what is to become of it (`ending`), so that this is known
wherever the server or a host was stopped in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import Ending, Failure, NodeRecord, SubtaskRecord, TaskRecord
from penstock.domain.states import (
    SUBTASK_MOVES,
    SubtaskEvent,
    SubtaskState,
    TaskState,
    after,
)
from penstock.engine import ends, orders, usage
from penstock.engine.state import OPEN_NODE_STATES
from penstock.engine.turn import Turn
from penstock.messages import KillTask, TaskCoordinated, TaskEnded

STRENGTH: Final = (
    None,
    Ending.REQUEUED,
    Ending.TERMINATED,
    Ending.FINISHED,
    Ending.DELETED,
)
"""What is to become of a task gives way only to something stronger."""


def take_parts(turn: Turn, task: TaskRecord, nodes: Sequence[NodeRecord]) -> None:
    """Make the parts of a task that was given to nodes, the primary's first."""
    turn.put(c.DropSubtasks(task.no))
    for index, node in enumerate(nodes):
        part = SubtaskRecord(
            no=turn.new_no(),
            task_no=task.no,
            job_no=task.job_no,
            attempt=task.attempt,
            index=index,
            node_no=node.no,
            node_id=node.id,
            pool_id=turn.state.pools[node.pool_no].id,
            state=SubtaskState.PREPARING,
            state_us=turn.now_us,
        )
        turn.put(c.PutSubtask(part))


def begin(turn: Turn, task: TaskRecord, spec: bytes) -> None:
    """All nodes are ready: let each run its coordination command."""
    for part in turn.state.subtasks.of(task.no):
        begun = _move(turn, part, SubtaskEvent.BEGAN, start_us=turn.now_us)
        turn.send(begun.node_no, orders.subtask_order(turn, task, spec, begun))


def is_joined(turn: Turn, task: TaskRecord) -> bool:
    """Whether the command itself was sent."""
    parts = turn.state.subtasks.of(task.no)
    return bool(parts) and all(part.coordinated for part in parts)


async def coordinated(turn: Turn, report: TaskCoordinated) -> None:
    """The coordination command of a part has exited with 0."""
    part = turn.state.subtasks.get(report.task_no)
    if part is None or part.attempt != report.attempt or part.coordinated:
        return
    task = turn.state.given[part.task_no]
    if part.state is not SubtaskState.RUNNING or not _goes_on(turn, task):
        return  # else the command would count as sent
    _put(turn, part, coordinated=True)
    if is_joined(turn, task):
        spec = (await turn.tasks([task.no]))[task.no][1]
        turn.send(task.node_no or 0, orders.joining_order(turn, task, spec))


def _goes_on(turn: Turn, task: TaskRecord) -> bool:
    """Whether a task is not about to end, nor one of its nodes to leave."""
    nodes = [turn.node(part.node_no) for part in turn.state.subtasks.of(task.no)]
    there = all(node is not None and node.state in OPEN_NODE_STATES for node in nodes)
    return there and task.ending is None


def part_ended(turn: Turn, part: SubtaskRecord, report: TaskEnded) -> None:
    """A host says that nothing of a part runs any more."""
    if part.state is SubtaskState.COMPLETED or part.attempt != report.attempt:
        return
    _end_part(turn, part, report.end_us, 0 if part.coordinated else report.exit_code, report)
    task = _measured(turn, turn.state.given[part.task_no], report)
    if task.ending is None:
        if report.lost or report.killed:
            _aim(turn, task, Ending.REQUEUED)
        else:  # its command failed, or its time is over
            exit_code = None if part.coordinated else report.exit_code
            outcome = {"exit_code": exit_code, "failure": _why(report)}
            _aim(turn, task, Ending.FINISHED, end_us=report.end_us, **outcome)
    settle(turn, task.no)


def _measured(turn: Turn, task: TaskRecord, report: TaskEnded) -> TaskRecord:
    """Add what the run of one part has used."""
    if report.usage is None:
        return task
    return turn.put_task(usage.measured(turn, task, report.usage))


def _why(report: TaskEnded) -> Failure:
    """Why a task fails of which a part ended early."""
    early = Failure("usererror", "FailureExitCode", "A part of the task ended before the task did")
    return report.failure or early


def command_ended(turn: Turn, task: TaskRecord, report: TaskEnded) -> None:
    """The primary's host says that the command itself is over.

    One that fails where it is to run again may have failed for want of the others.
    """
    if task.command_over:
        return
    task = turn.put_task(_measured(turn, task, report), command_over=True)
    outcome = {
        "end_us": report.end_us,
        "exit_code": report.exit_code,
        "failure": report.failure,
    }
    interrupted = report.lost or (
        report.failure is not None and (report.killed or task.ending is Ending.REQUEUED)
    )
    if task.ending is Ending.TERMINATED and not report.lost:
        turn.put_task(task, **outcome)
    elif interrupted:
        _aim(turn, task, Ending.REQUEUED)
    else:
        _aim(turn, task, Ending.FINISHED, **outcome)
    settle(turn, task.no)


def stop(turn: Turn, task: TaskRecord, ending: Ending) -> TaskRecord:
    """Have all of a task ended; what becomes of it is decided when nothing of it runs."""
    _aim(turn, task, ending)
    settle(turn, task.no)
    return turn.state.given.get(task.no, task)


def lost_on(turn: Turn, task: TaskRecord, node_no: int, *, requeue: bool) -> None:
    """What a task had on a node is gone: the rest of it has to end too."""
    for part in turn.state.subtasks.of(task.no):
        if part.node_no == node_no and part.state is not SubtaskState.COMPLETED:
            _end_part(turn, part, turn.now_us, None, None)
    if node_no == task.node_no and is_joined(turn, task) and not task.command_over:
        task = turn.put_task(turn.state.given[task.no], command_over=True)
    stop(turn, task, Ending.REQUEUED if requeue else Ending.TERMINATED)


def _aim(turn: Turn, task: TaskRecord, ending: Ending, **outcome: Any) -> None:
    """Note what is to become of a task, and have all that still runs of it killed."""
    task = turn.state.given[task.no]
    if STRENGTH.index(task.ending) < STRENGTH.index(ending):
        turn.put_task(task, ending=ending, **outcome)
    for node_no, run_no in runs_of(turn, task):
        turn.send(node_no, KillTask(node_no=node_no, task_no=run_no, attempt=task.attempt))


def runs_of(turn: Turn, task: TaskRecord, node_no: int | None = None) -> list[tuple[int, int]]:
    """What may run of a task, as nodes with numbers of runs; of one node or of all."""
    parts = turn.state.subtasks.of(task.no)
    runs = [(part.node_no, part.no) for part in parts if part.state is SubtaskState.RUNNING]
    if is_joined(turn, task) and not task.command_over:
        runs.append((task.node_no or 0, task.no))
    return [run for run in runs if node_no in (None, run[0])]


def settle(turn: Turn, task_no: int) -> None:
    """See whether a task that is to end is over everywhere; then let follow what has to."""
    task = turn.state.given.get(task_no)
    if task is None or task.ending is None or runs_of(turn, task):
        return
    for part in turn.state.subtasks.of(task_no):
        if part.state is SubtaskState.PREPARING:  # it was never sent
            _end_part(turn, part, turn.now_us, None, None)
    if task.end_us is not None and task.ending in (Ending.FINISHED, Ending.TERMINATED):
        ends.finish(turn, task, task.end_us, task.exit_code, task.failure)
    else:
        ends.taken_off(turn, task, requeue=task.ending is Ending.REQUEUED)


def _end_part(
    turn: Turn,
    part: SubtaskRecord,
    end_us: int,
    exit_code: int | None,
    report: TaskEnded | None,
) -> None:
    failed = report is not None and not part.coordinated and not report.lost
    _move(
        turn,
        part,
        SubtaskEvent.ENDED,
        end_us=max(end_us, part.start_us or end_us),
        exit_code=exit_code,
        failure=report.failure if report is not None and failed else None,
    )


def _move(turn: Turn, part: SubtaskRecord, event: SubtaskEvent, **new: Any) -> SubtaskRecord:
    return _put(
        turn,
        part,
        state=after(SUBTASK_MOVES, part.state, event),
        state_us=turn.now_us,
        previous_state=part.state,
        previous_state_us=part.state_us,
        **new,
    )


def _put(turn: Turn, part: SubtaskRecord, **new: Any) -> SubtaskRecord:
    changed = replace(part, **new)
    turn.put(c.PutSubtask(changed))
    return changed


def orders_again(
    turn: Turn, task: TaskRecord, spec: bytes, node_no: int, known: set[tuple[int, int]]
) -> list[Any]:
    """What the host of a node is told of a task when it connects: what it has not heard of."""
    first: list[Any] = []
    for _, run_no in runs_of(turn, task, node_no):
        key = (run_no, task.attempt)
        if task.ending is not None:
            first.append(KillTask(node_no=node_no, task_no=run_no, attempt=task.attempt))
        elif key not in known:
            part = turn.state.subtasks.get(run_no)
            first.append(
                orders.joining_order(turn, task, spec)
                if part is None
                else orders.subtask_order(turn, task, spec, part)
            )
    return first


def is_gang(task: TaskRecord) -> bool:
    """Whether a task is one of several instances, and has its nodes."""
    return bool(task.instances) and task.state in (TaskState.PREPARING, TaskState.RUNNING)
