"""What others have of the nodes that a waiting task could use, and who is before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.engine.memory import queue_key
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
    whole = demand is not None and demand.is_whole
    its_own = frozenset(holding.held if holding is not None and is_mine else ())
    room = _Room(queue, mine, its_own)
    room.look(usable, task.slots, whole=whole)
    higher, equal = _rivals(queue, mine)
    return Standing(
        running=mine.running + (0 if is_mine else mine.reserved),
        cap=mine.cap,
        slots=task.slots,
        usable=len(usable),
        idle=room.idle,
        wants_nodes=demand.nodes if demand is not None and whole else 0,
        best=None if room.best is None else at_node(turn, queue, room.best),
        fits=room.fits and not whole,
        fits_held=room.fits_held,
        all_held=bool(usable) and not room.fits and room.best is None,
        mine=held if is_mine else None,
        other=None if is_mine else held,
        manager=_manager(job, mine, demand),
        higher=higher,
        equal=equal,
        oldest_first=queue.oldest_first,
    )


class _Room:
    """What nodes have room for a task, found in one walk over them."""

    def __init__(self, queue: PoolQueue, mine: WaitingJob, its_own: frozenset[int]) -> None:
        self._queue = queue
        self._job_no = mine.job_no
        self._its_own = its_own  # nodes that are held for the task
        self.idle = 0
        self.fits = False
        self.fits_held = False  # on a node that is kept for another
        self.best: NodeRecord | None = None  # which lacks least, of those that lack something
        self._least: tuple[bool, int] | None = None

    def look(self, nodes: Sequence[NodeRecord], slots: int, *, whole: bool) -> None:
        free_slots, all_alike = self._queue.nodes.free, not self._queue.keeps_nodes
        for node in nodes:
            free = free_slots(node.no)
            lacks = (node.slots if whole else slots) - free
            if not (all_alike or self._may_use(node.no)):
                self.fits_held = self.fits_held or lacks <= 0
                continue
            self.idle += free >= node.slots
            if lacks <= 0:
                self.fits = True
                continue
            rank = (node.no not in self._its_own, lacks)
            if self._least is None or rank < self._least:
                self._least, self.best = rank, node

    def _may_use(self, node_no: int) -> bool:
        return node_no in self._its_own or self._queue.may_use(self._job_no, node_no)


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


def at_node(turn: Turn, queue: PoolQueue, node: NodeRecord) -> Best:
    """What runs on a node, as one sees it who waits for its slots."""
    given = [task for task in turn.state.given_to(node.no) if not task.ahead]
    first = min(given, key=lambda task: (task.start_us is None, task.start_us or 0), default=None)
    occupant = None if first is None else Occupant(turn.state.jobs[first.job_no].id, first)
    return Best(node.id, node.slots, queue.nodes.free(node.no), occupant)


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
