"""How tasks are given to nodes, run there and stop. Each function is part of a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.domain.records import (
    Ending,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    Removal,
    TaskRecord,
)
from penstock.domain.states import TASK_MOVES, TaskEvent, TaskState, after
from penstock.engine import ends, gangs, orders, special, usage
from penstock.engine.occupancy import task_began
from penstock.engine.readiness import Readiness, readiness
from penstock.engine.state import OPEN_NODE_STATES
from penstock.engine.turn import Turn
from penstock.messages import KillTask, ReturnTask, TaskBegan, TaskCoordinated, TaskEnded
from penstock.scheduler.queue import Placement

_STRENGTH: Final = (None, Ending.REQUEUED, Ending.TERMINATED, Ending.DELETED)

Found = dict[int, tuple[TaskRecord, bytes]]


async def start(turn: Turn, placements: Sequence[Placement]) -> None:
    """Give placed tasks to their nodes."""
    found = await turn.tasks([placement.task_no for placement in placements])
    for placement in placements:
        before, spec = found[placement.task_no]
        if before.instances:
            await _start_gang(turn, placement, before, spec)
        else:
            _start_one(turn, placement, before, spec)


def _start_one(turn: Turn, placement: Placement, before: TaskRecord, spec: bytes) -> None:
    node = turn.state.nodes[placement.node_no]
    job = turn.state.jobs[before.job_no]
    # Its dependencies were met once; should one of them be deleted, it runs again all the same.
    given: dict[str, Any] = {
        "attempt": before.attempt + 1,
        "node_no": node.no,
        "depends": None,
        "held": placement.held if placement.held != before.slots else 0,
    }
    if placement.ahead:
        task = turn.put_task(before, ahead=True, **given)
        turn.state.ahead_since_us[task.no] = turn.now_us
    elif job.spec.job_preparation_task is None or special.prepare(turn, job, node):
        task = _begin(turn, before, [node], turn.now_us, **given)
    else:
        task = _wait_for_node(turn, before, [node], **given)
    if task.state is not TaskState.PREPARING:
        turn.send(node.no, orders.task_order(turn, task, spec))
    if before.node_no is not None and before.node_no != node.no:
        ends.remove_directory(turn, before, before.node_no)


async def _start_gang(turn: Turn, placement: Placement, before: TaskRecord, spec: bytes) -> None:
    nodes = [turn.state.nodes[no] for no in placement.nodes]
    job = turn.state.jobs[before.job_no]
    past = {part.node_no for part in await turn.subtasks(before.no)}
    given: dict[str, Any] = {
        "attempt": before.attempt + 1,
        "node_no": nodes[0].no,
        "depends": None,
        "held": placement.held if placement.held != before.slots else 0,
        "command_over": False,
    }
    ready = [
        job.spec.job_preparation_task is None or special.prepare(turn, job, node) for node in nodes
    ]
    give = _begin_gang if all(ready) else _wait_for_node
    task = give(turn, before, nodes, **given)
    gangs.take_parts(turn, task, nodes)
    if all(ready):
        gangs.begin(turn, task, spec)
    for node_no in past - set(placement.nodes):
        ends.remove_directory(turn, before, node_no)


def _begin_gang(
    turn: Turn, task: TaskRecord, nodes: Sequence[NodeRecord], **more: Any
) -> TaskRecord:
    return _begin(turn, task, nodes, turn.now_us, **more)


def _begin(
    turn: Turn, task: TaskRecord, nodes: Sequence[NodeRecord], start_us: int, **more: Any
) -> TaskRecord:
    """Let a task be running on its nodes."""
    counted = task.state is TaskState.PREPARING
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, TaskEvent.ASSIGNED),
        ahead=False,
        start_us=start_us,
        end_us=None,
        exit_code=None,
        **_place(turn, nodes),
        **more,
    )
    for node in () if counted else nodes:
        task_began(turn, task, node)
    return task


def _wait_for_node(
    turn: Turn, task: TaskRecord, nodes: Sequence[NodeRecord], **more: Any
) -> TaskRecord:
    """Let a task hold its nodes while they are prepared for its job."""
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, TaskEvent.PREPARES),
        usage=usage.held(turn, task),
        start_us=None,
        end_us=None,
        exit_code=None,
        **_place(turn, nodes),
        **more,
    )
    for node in nodes:
        task_began(turn, task, node)
    return task


def _place(turn: Turn, nodes: Sequence[NodeRecord]) -> dict[str, Any]:
    return {"node_id": nodes[0].id, "pool_id": turn.state.pools[nodes[0].pool_no].id}


def began(turn: Turn, report: TaskBegan) -> None:
    """A node host says that an attempt which was sent ahead begins."""
    task = turn.state.given.get(report.task_no)
    node = turn.node(task.node_no) if task is not None else None
    if task is not None and node is not None and task.ahead and task.attempt == report.attempt:
        _begin(turn, task, [node], report.start_us)


async def coordinated(turn: Turn, report: TaskCoordinated) -> None:
    """A node host says that a coordination command has exited with 0."""
    await gangs.coordinated(turn, report)


async def ended(turn: Turn, report: TaskEnded) -> None:
    """A node host says that a run is over. Late and repeated reports change nothing."""
    state = turn.state
    task = state.given.get(report.task_no)
    if task is not None:
        if task.attempt == report.attempt:
            _task_ended(turn, task, report)
        return
    job_node = state.job_nodes.of_run(report.task_no)
    if job_node is not None:
        decided = special.ended(turn, job_node, report)
        if decided is not None:
            await _prepared(turn, decided)
        return
    part = state.subtasks.get(report.task_no)
    if part is not None:
        gangs.part_ended(turn, part, report)


def _task_ended(turn: Turn, task: TaskRecord, report: TaskEnded) -> None:
    if task.state is TaskState.PREPARING:
        return  # nothing of it was sent
    if gangs.is_gang(task):
        gangs.command_ended(turn, task, report)
        return
    task = usage.measured(turn, task, report.usage)
    if task.ending is Ending.DELETED:
        ends.forget(turn, task)
    elif (
        task.ahead
        or report.lost
        or report.returned  # a host that lost its power gives back what it does not know it began
        or (report.killed and task.ending is not Ending.TERMINATED)
    ):
        ends.taken_off(turn, task, requeue=runs_again(turn, task))
    else:
        _note_length(turn, task, report)
        ends.finish(turn, task, report.end_us, report.exit_code, report.failure)


def _note_length(turn: Turn, task: TaskRecord, report: TaskEnded) -> None:
    node = turn.node(task.node_no)
    if node is not None:
        turn.state.took(node, max(0, report.end_us - report.start_us))


# --- preparation ---------------------------------------------------------------------------------


async def _prepared(turn: Turn, job_node: JobNodeRecord) -> None:
    """The preparation of a node is over: let its tasks begin there, or wait for other nodes."""
    job = turn.state.jobs[job_node.job_no]
    waiting = [
        task
        for task in turn.state.given_to(job_node.node_no)
        if task.job_no == job.no and task.state is TaskState.PREPARING
    ]
    if not job_node.is_prepared:
        for task in waiting:
            stop_running(turn, task, Ending.REQUEUED)
        return
    specs = await turn.tasks([task.no for task in waiting])
    for task in waiting:
        begin_prepared(turn, job, task, specs[task.no][1])


def begin_prepared(turn: Turn, job: JobRecord, task: TaskRecord, spec: bytes) -> None:
    """Begin a task whose nodes are all prepared.

    One of them may be leaving; then the task goes back when it is gone.
    """
    nodes = [turn.state.nodes[no] for no in ends.nodes_of(turn, task)]
    for node in nodes:
        if node.state not in OPEN_NODE_STATES:
            return
        found = readiness(job, node, turn.state.job_nodes.get(job.no, node.no))
        if found is not Readiness.READY:
            return
    task = _begin(turn, task, nodes, turn.now_us)
    if task.instances:
        gangs.begin(turn, task, spec)
    else:
        turn.send(nodes[0].no, orders.task_order(turn, task, spec))


# --- stopping ------------------------------------------------------------------------------------


def runs_again(turn: Turn, task: TaskRecord) -> bool:
    """Whether a task that loses its node is to run on another: not if its node left with it."""
    node = turn.node(task.node_no)
    return node is None or node.leaving is not Removal.TERMINATE


def off_node(
    turn: Turn, task: TaskRecord, node_no: int, *, requeue: bool, heard_of: bool = True
) -> None:
    """A task runs no more on a node, because that is gone; see `ends.taken_off`."""
    if gangs.is_gang(task):
        gangs.lost_on(turn, task, node_no, requeue=requeue)
    else:
        ends.taken_off(turn, task, requeue=requeue, heard_of=heard_of)


def stop_running(turn: Turn, task: TaskRecord, ending: Ending) -> TaskRecord:
    """Have a task that a node has killed; what becomes of it is decided when it has stopped.

    A wish that is already there gives way only to a stronger one: deletion before termination
    before another run. A task whose node is still being prepared has nothing to be killed.
    """
    if gangs.is_gang(task):
        return gangs.stop(turn, task, ending)
    if _STRENGTH.index(task.ending) < _STRENGTH.index(ending):
        task = turn.put_task(task, ending=ending)
    if task.state is TaskState.PREPARING:
        ends.taken_off(turn, task, requeue=task.ending is Ending.REQUEUED)
    elif task.node_no is not None:
        turn.send(
            task.node_no, KillTask(node_no=task.node_no, task_no=task.no, attempt=task.attempt)
        )
    return task


def make_room(turn: Turn, task_no: int) -> None:
    """Have a task run later, so that one of more weight can run now."""
    task = turn.state.given.get(task_no)
    if task is None:
        return
    if task.ahead:
        give_back(turn, task)
    elif task.ending is None:
        stop_running(turn, task, Ending.REQUEUED)


def give_up(turn: Turn, task: TaskRecord) -> None:
    """Wait no more for the word of the nodes that were told to end a task."""
    for node_no in ends.nodes_of(turn, task) if gangs.is_gang(task) else ():
        if task.no in turn.state.given:
            gangs.lost_on(turn, turn.state.given[task.no], node_no, requeue=False)
    if task.no in turn.state.given:
        ends.taken_off(turn, turn.state.given[task.no], requeue=False)


def give_back(turn: Turn, task: TaskRecord) -> None:
    """Have a task that was sent ahead given back, unless it begins first."""
    turn.state.ahead_since_us.pop(task.no, None)
    if task.node_no is not None:
        order = ReturnTask(node_no=task.node_no, task_no=task.no, attempt=task.attempt)
        turn.send(task.node_no, order)
