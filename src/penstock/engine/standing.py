"""What others have of the nodes that a waiting task could use, and who is before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.engine.state import queue_key
from penstock.engine.turn import Turn
from penstock.scheduler.demands import Demand, Reserved
from penstock.scheduler.queue import PoolQueue, WaitingJob
from penstock.scheduler.queue_reasons import Best, Holding, Occupant, Standing

MOST_BEFORE: Final = 10_000
"""So many tasks of its job are counted before a task."""


async def standing(
    turn: Turn, job: JobRecord, task: TaskRecord, usable: Sequence[NodeRecord]
) -> Standing:
    """Where a task stands that waits for nothing but nodes. `usable` are those that take tasks
    and that it may use. Cost: these, and the jobs that wait for the pool."""
    queue, demand = turn.state.queue(queue_key(job)), turn.state.demand_of(task)
    mine = queue.jobs[job.no]
    holding = queue.holding
    is_mine = holding is not None and holding.task_no == task.no
    held = None if holding is None else await _holding(turn, holding)
    its_own = set(holding.held) if holding is not None and is_mine else ()
    open_ = [node for node in usable if node.no in its_own or queue.may_use(job.no, node.no)]
    whole = demand is not None and demand.is_whole
    higher, equal = _rivals(queue, mine)
    return Standing(
        running=mine.running + (0 if is_mine else mine.reserved),
        cap=mine.cap,
        slots=task.slots,
        usable=len(usable),
        idle=sum(queue.nodes.free(node.no) >= node.slots for node in open_),
        wants_nodes=demand.nodes if demand is not None and whole else 0,
        best=_best(
            turn,
            queue,
            [node for node in open_ if node.no in its_own] or open_,
            task.slots,
            whole=whole,
        ),
        fits=not whole and any(queue.nodes.free(node.no) >= task.slots for node in open_),
        fits_held=any(
            queue.nodes.free(node.no) >= (node.slots if whole else task.slots)
            for node in usable
            if not queue.may_use(job.no, node.no)
        ),
        mine=held if is_mine else None,
        other=None if is_mine else held,
        manager=_manager(job, mine, demand),
        higher=higher,
        equal=equal,
        oldest_first=queue.oldest_first,
    )


async def _holding(turn: Turn, holding: Reserved) -> Holding:
    found = await turn.tasks([holding.task_no])
    holder = None
    if holding.task_no in found:
        task = found[holding.task_no][0]
        holder = Occupant(turn.state.jobs[task.job_no].id, task)
    return Holding(holder, holding.wanted, len(holding.held), len(holding.free))


def _manager(job: JobRecord, mine: WaitingJob, demand: Demand | None) -> str | None:
    manager = job.spec.job_manager_task
    goes_first = mine.first_waits and not (demand is not None and demand.first)
    return manager.id if manager is not None and goes_first else None


def _best(
    turn: Turn, queue: PoolQueue, nodes: Sequence[NodeRecord], slots: int, *, whole: bool
) -> Best | None:
    """The node that lacks least of those that do not suffice."""
    free = queue.nodes.free
    lacking = {node.no: (node.slots if whole else slots) - free(node.no) for node in nodes}
    node = min(
        (node for node in nodes if lacking[node.no] > 0),
        key=lambda node: lacking[node.no],
        default=None,
    )
    if node is None:
        return None
    given = [task for task in turn.state.given_to(node.no) if not task.ahead]
    first = min(given, key=lambda task: (task.start_us is None, task.start_us or 0), default=None)
    occupant = None if first is None else Occupant(turn.state.jobs[first.job_no].id, first)
    return Best(node.id, node.slots, free(node.no), occupant)


def _rivals(queue: PoolQueue, mine: WaitingJob) -> tuple[int, int]:
    """How many tasks of other jobs may be placed before one, and how many take turns with it."""
    higher = equal = 0
    for other in queue.jobs.values():
        if other is mine or not other.starts:
            continue
        if other.priority > mine.priority:
            higher += other.waiting
        elif other.priority == mine.priority:
            equal += other.waiting if not queue.oldest_first or other.job_no < mine.job_no else 0
    return higher, equal
