"""How many tasks a second the pure scheduler places, and whether size changes that.

No server and no store: a `PoolQueue` with many nodes, jobs and waiting tasks, and as many ends
as placements once all slots are taken. What is measured happens while nearly all tasks wait.
Every cell is measured beside one of 100 nodes and 10,000 tasks that has the same kind of work,
so that the ratio says what size costs and not what the machine did meanwhile.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from bench.report import Figure, Report, beside, median_of
from penstock.domain.specs.task import Dependencies, TaskIdRange
from penstock.scheduler.dependencies import DependencyBook
from penstock.scheduler.nodes import Fill
from penstock.scheduler.queue import Placement, PoolQueue

SLOTS = 4  # of each node
IN_TURN = 1000  # placements in one pass, as in the engine
IN_ROUND = 20_000  # placements
ROUNDS = 5
LEAST_PER_S = 50_000
EVERYTHING = 1 << 60  # edges
LEAST_OF_SMALL = 0.5


@dataclass(frozen=True, slots=True)
class Cell:
    """One size and kind of work."""

    nodes: int
    tasks: int
    jobs: int = 1
    fill: Fill = Fill.SPREAD
    sizes: Sequence[int] = (1,)  # slots that the tasks need, in turn
    priorities: int = 1  # how many the jobs are spread over
    ahead: int = 0  # slots that may be sent ahead to each node

    @property
    def name(self) -> str:
        """What is particular about it."""
        kinds = [self.fill.value] if self.fill is not Fill.SPREAD else []
        kinds += ["mixed slots"] if len(self.sizes) > 1 else []
        kinds += [f"{self.priorities} priorities"] if self.priorities > 1 else []
        kinds += ["sent ahead"] if self.ahead else []
        size = (
            f"{self.nodes:,} nodes, {self.tasks:,} tasks, {self.jobs:,} job{'s' * (self.jobs > 1)}"
        )
        return ", ".join([size, *kinds])

    @property
    def small(self) -> Cell:
        """The same kind of work in the size that others are compared with."""
        return replace(self, nodes=100, tasks=10_000, jobs=min(self.jobs, 100))


AIMED = Cell(10_000, 1_000_000)
CELLS: Sequence[Cell] = (
    *(
        Cell(nodes, tasks, jobs)
        for nodes in (10, 1_000, 10_000)
        for tasks in (10_000, 100_000, 1_000_000)
        for jobs in (1, 100, 10_000)
        if tasks > jobs and (tasks != 100_000 or nodes == 1_000)
    ),
    Cell(10_000, 1_000_000, 100, Fill.PACK),
    Cell(10_000, 1_000_000, 100, sizes=(1, 2, 1, 4)),
    Cell(10_000, 1_000_000, 100, Fill.PACK, sizes=(1, 2, 1, 4)),
    Cell(10_000, 1_000_000, 10_000, priorities=100),
    Cell(10_000, 1_000_000, 100, ahead=8),
)


def run() -> Report:
    """Measure all cells, and the dependencies of one job."""
    figures = [_beside_small(cell, LEAST_PER_S if cell == AIMED else None) for cell in CELLS]
    return Report(f"pure core, {SLOTS} slots a node", [*figures, *_dependencies()])


def _beside_small(cell: Cell, aim: float | None) -> Figure:
    """Placements per second of a cell, beside its small one."""
    large, small = _filled(cell), _filled(cell.small)
    rates: list[float] = []
    floors: list[float] = []
    for number in range(ROUNDS + 1):
        rate, floor = large.rate(IN_ROUND), small.rate(IN_ROUND)
        if number:  # the first round warms both
            rates.append(rate)
            floors.append(floor)
    near = beside("100 nodes, 10,000 tasks", rates, floors, aim=LEAST_OF_SMALL)
    return median_of(cell.name, rates, "/s", aim=aim, beside=[near])


class _Running:
    """A queue, and the tasks that it has placed: the oldest ends first."""

    def __init__(self, queue: PoolQueue, cell: Cell) -> None:
        self.queue = queue
        self.cell = cell
        self.running: deque[Placement] = deque()
        self.last = 0
        self.waiting = 0

    def add(self, count: int) -> None:
        """Let more tasks wait, spread over the jobs."""
        sizes, jobs = self.cell.sizes, self.cell.jobs
        for number in range(self.last, self.last + count):
            self.queue.add(1 + number % jobs, number, sizes[number // jobs % len(sizes)])
        self.last += count
        self.waiting += count

    def rate(self, count: int) -> float:
        """Placements per second, each with the end of a task before it."""
        took_s, left = 0.0, count
        while left:
            part = min(left, self.cell.tasks // 4)
            self.add(self.cell.tasks - self.waiting)  # as many wait as before, off the clock
            gc.collect()
            began = time.perf_counter()
            self._place(part)
            took_s += time.perf_counter() - began
            left -= part
        return count / took_s

    def _place(self, count: int) -> None:
        queue, running = self.queue, self.running
        self.waiting -= count
        while count:
            for _ in range(min(count, IN_TURN, len(running))):
                ended = running.popleft()
                queue.ended(ended.job_no, ended.node_no, ended.slots, task_no=ended.task_no)
            placed = queue.place(min(count, IN_TURN))
            assert placed, "nothing could be placed"
            running.extend(placed)
            count -= len(placed)


def _filled(cell: Cell) -> _Running:
    """All nodes full, all other tasks waiting."""
    queue = PoolQueue(cell.fill)
    for job_no in range(1, cell.jobs + 1):
        queue.put_job(job_no, job_no % cell.priorities, -1, open_=True)
    for node_no in range(1, cell.nodes + 1):
        queue.open_node(node_no, SLOTS, cell.ahead)
    filled = _Running(queue, cell)
    filled.add(cell.tasks)
    most = min(cell.nodes * (SLOTS + cell.ahead), cell.tasks // 2)
    while len(filled.running) < most:
        placed = queue.place(min(IN_TURN, most - len(filled.running)))
        if not placed:
            break
        filled.running.extend(placed)
    filled.waiting -= len(filled.running)
    return filled


def _dependencies() -> list[Figure]:
    """Releases per second of a job whose every task depends on another, and of many reducers."""
    chain = 200_000
    figures = []
    for name, order in (
        ("each task after the one before", range(1, chain + 1)),
        ("pairs, the first ones end in any order", Random(1).sample(range(1, chain + 1), chain)),
    ):
        book = DependencyBook()
        for number in range(1, chain + 1):
            book.add(chain + number, Dependencies(task_ids=[str(number)]), (1, None))
        began = time.perf_counter()
        released = sum(_released(book, number) for number in order)
        took_s = time.perf_counter() - began
        assert released == chain
        figures.append(Figure(name=f"dependencies: {name}", value=chain / took_s, unit="/s"))
    book = DependencyBook()
    reducers = 1000
    for number in range(reducers):
        span = TaskIdRange(start=1, end=chain)
        book.add(chain + 1 + number, Dependencies(task_id_ranges=[span]), (1, None))
    began = time.perf_counter()
    released = sum(_released(book, number) for number in range(1, chain + 1))
    took_s = time.perf_counter() - began
    assert released == reducers
    name = f"dependencies: {reducers:,} tasks after a range of {chain:,}"
    return [*figures, Figure(name=name, value=chain / took_s, unit="/s", aim=LEAST_PER_S)]


def _released(book: DependencyBook, number: int) -> int:
    """How many need wait no more once this one has ended well."""
    book.satisfy(str(number))
    return len(book.release(EVERYTHING)[0])
