"""The tasks that wait for the nodes of one pool, and the turns that their jobs take.

Order: higher job priority first; equal priorities share the slots evenly, or the older job goes
first where the pool says so. Within a job, tasks that need the same number of slots go in the
order they came. Evenness is by virtual time, as in start-time fair queueing: each job carries
the slots it was served so far, the least served goes next, and a job that comes back from having
nothing to run starts at the level of the others instead of claiming all it did not use.

Jobs stand in one heap per least number of slots that any of their tasks needs, so a pass never
meets a job that has nothing to fit into the largest gap. Entries that no longer count are left in
the heaps, and tasks that wait no more in their lines; they are dropped when they surface, or all
at once when they have become the greater part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from penstock.scheduler.nodes import Fill, FreeNodes


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A task and the node it was given."""

    job_no: int
    task_no: int
    node_no: int
    slots: int
    ahead: bool = False  # the node has to end something first
    nodes: tuple[int, ...] = ()
    held: int = 0


ANY_ROOM = 1 << 30
"""More slots than any task needs."""

_Entry = tuple[int, int, int]  # (-priority, served, job number): the smallest goes first


class _Line:
    """Tasks in the order they came. One that left the middle of it may come back at its end."""

    __slots__ = ("_gone", "_hidden", "_tasks")

    def __init__(self) -> None:
        self._tasks: deque[int] = deque()
        self._gone: dict[int, int] = {}  # how many of a task's places, the first ones, are void
        self._hidden = 0  # void places in all

    def append(self, task_no: int) -> None:
        self._tasks.append(task_no)

    def extend(self, task_nos: Iterable[int]) -> None:
        self._tasks.extend(task_nos)

    def head(self) -> int | None:
        """The first task; None when there is none."""
        tasks = self._tasks
        while self._hidden and tasks and self._is_void(tasks[0]):
            tasks.popleft()
        return tasks[0] if tasks else None

    def pop(self) -> None:
        """Take the task out that `head` gave."""
        self._tasks.popleft()

    def remove(self, task_no: int) -> None:
        """Take out a task from anywhere."""
        self._gone[task_no] = self._gone.get(task_no, 0) + 1
        self._hidden += 1
        if self._hidden > _FEW and self._hidden * 2 > len(self._tasks):
            self._tasks = deque(task for task in self._tasks if not self._is_void(task))

    def _is_void(self, task_no: int) -> bool:
        """Whether the next place of a task is void; asked once for each, in order."""
        places = self._gone.get(task_no)
        if places is None:
            return False
        self._hidden -= 1
        if places > 1:
            self._gone[task_no] = places - 1
        else:
            del self._gone[task_no]
        return True


_FEW = 64
"""What is not worth tidying up."""


class WaitingJob:
    """The ready tasks of one job, by the slots they need."""

    __slots__ = (
        "cap",
        "entry",
        "hints",
        "job_no",
        "lines",
        "open",
        "priority",
        "running",
        "served",
        "waiting",
    )

    def __init__(self, job_no: int, priority: int, cap: int) -> None:
        self.job_no = job_no
        self.priority = priority
        self.cap = cap  # most tasks that may run at once; -1: no limit
        self.running = 0
        self.waiting = 0
        self.served = 0
        self.open = False
        self.lines: dict[int, _Line] = {}  # by the slots that their tasks need
        self.hints: dict[int, int] = {}  # task: node it would like
        self.entry: tuple[int, _Entry] | None = None  # by least slots; it is in that heap

    def add(self, task_no: int, slots: int, hint: int | None) -> None:
        self._line(slots).append(task_no)
        self.waiting += 1
        if hint is not None:
            self.hints[task_no] = hint

    def add_many(self, task_nos: Sequence[int], slots: int) -> None:
        self._line(slots).extend(task_nos)
        self.waiting += len(task_nos)

    def _line(self, slots: int) -> _Line:
        line = self.lines.get(slots)
        if line is None:
            line = self.lines[slots] = _Line()
        return line

    def remove(self, task_no: int, slots: int) -> None:
        self.lines[slots].remove(task_no)
        self.hints.pop(task_no, None)
        self.waiting -= 1

    def least(self) -> int | None:
        """The fewest slots that a waiting task needs; None when none waits."""
        while self.lines:
            slots = min(self.lines)
            if self.lines[slots].head() is not None:
                return slots
            del self.lines[slots]
        return None

    def oldest(self, room: int) -> tuple[int, int] | None:
        """The oldest waiting task that fits into `room`, with its slots."""
        best: tuple[int, int] | None = None
        for slots, line in self.lines.items():
            if slots <= room:
                head = line.head()
                if head is not None and (best is None or head < best[0]):
                    best = (head, slots)
        return best

    @property
    def capped(self) -> bool:
        return self.cap >= 0 and self.running >= self.cap


class PoolQueue:
    """Gives the waiting tasks of a pool's jobs to the free slots of its nodes."""

    def __init__(self, fill: Fill = Fill.SPREAD, *, oldest_first: bool = False) -> None:
        self.fill = fill
        self.oldest_first = oldest_first
        self.nodes = FreeNodes()  # by the slots that are free now
        self.soon = FreeNodes()  # by the slots that may be sent ahead; only where some may
        self._ahead: dict[int, int] = {}  # by node: slots that may be sent ahead in all
        self.jobs: dict[int, WaitingJob] = {}
        self._turns: dict[int, list[_Entry]] = {}  # heaps, by least slots
        self._level: dict[int, int] = {}  # by priority: what the last served job had

    # --- nodes -------------------------------------------------------------------------------

    def has_node(self, node_no: int) -> bool:
        """Whether the node may be given tasks."""
        return node_no in self.nodes

    def open_node(self, node_no: int, free: int, ahead: int = 0) -> None:
        """Let a node be given tasks.

        `free` is negative where more was sent ahead than is free; `ahead` is how many slots
        may be sent ahead of those that are free.
        """
        self.nodes.open(node_no, free)
        self.set_ahead(node_no, ahead)

    def close_node(self, node_no: int) -> None:
        """Let a node be given no more tasks."""
        self.nodes.close(node_no)
        self.soon.close(node_no)
        self._ahead.pop(node_no, None)

    def set_ahead(self, node_no: int, ahead: int) -> None:
        """Change how many slots may be sent ahead to a node."""
        self._ahead[node_no] = ahead
        if ahead:
            self.soon.open(node_no, self.nodes.free(node_no) + ahead)
        else:
            self.soon.close(node_no)

    def _take(self, node_no: int, slots: int) -> None:
        self.nodes.take(node_no, slots)
        self.soon.take(node_no, slots)

    # --- jobs and tasks ----------------------------------------------------------------------

    def put_job(self, job_no: int, priority: int, cap: int, *, open_: bool) -> None:
        """Add a job, or say what has changed of it. Tasks of a job that is not open wait."""
        job = self.jobs.get(job_no)
        if job is None:
            job = self.jobs[job_no] = WaitingJob(job_no, priority, cap)
        job.priority, job.cap, job.open = priority, cap, open_
        self._enter(job, fresh=True)

    def release(self, job_no: int) -> WaitingJob | None:
        """Let go of a job with its tasks, for good or for the queue of another pool."""
        job = self.jobs.pop(job_no, None)
        if job is not None:
            job.entry = None
        return job

    def adopt(self, job: WaitingJob) -> None:
        """Take over a job that another queue released."""
        self.jobs[job.job_no] = job
        self._enter(job, fresh=True)

    def add(self, job_no: int, task_no: int, slots: int, hint: int | None = None) -> None:
        """Let a task wait. `hint` is a node that it would like, if that has room."""
        job = self.jobs[job_no]
        fresh = not job.waiting
        job.add(task_no, slots, hint)
        if job.entry is None or slots < job.entry[0]:
            self._enter(job, fresh=fresh)

    def add_many(self, job_no: int, task_nos: Sequence[int], slots: int) -> None:
        """Let tasks of one size wait, one after the other; none would like a certain node."""
        job = self.jobs[job_no]
        fresh = not job.waiting
        job.add_many(task_nos, slots)
        if job.entry is None or slots < job.entry[0]:
            self._enter(job, fresh=fresh)

    def remove(self, job_no: int, task_no: int, slots: int) -> None:
        """Let a task wait no more. `slots` are those that it was added with."""
        job = self.jobs[job_no]
        job.remove(task_no, slots)
        if job.entry is not None and job.least() != job.entry[0]:
            self._enter(job, fresh=False)

    def began(self, job_no: int, node_no: int, slots: int) -> None:
        """Count a task that runs already, as after a restart."""
        job = self.jobs[job_no]
        job.running += 1
        if job.capped:
            self._enter(job, fresh=False)
        self._take(node_no, slots)

    def ended(self, job_no: int, node_no: int, slots: int) -> None:
        """Count a task that runs no more; its slots are free."""
        self._take(node_no, -slots)
        job = self.jobs.get(job_no)
        if job is not None:
            was_capped = job.capped
            job.running -= 1
            if was_capped:
                self._enter(job, fresh=False)

    # --- turns -------------------------------------------------------------------------------

    def _enter(self, job: WaitingJob, *, fresh: bool) -> None:
        """Give the job its place among the turns, or none if nothing of it may start."""
        least = job.least() if job.open and not job.capped else None
        if least is None:
            job.entry = None
            return
        if fresh:
            job.served = max(job.served, self._level.get(job.priority, 0))
        served = 0 if self.oldest_first else job.served
        place = (least, (-job.priority, served, job.job_no))
        if job.entry != place:
            job.entry = place
            self._push(*place)

    def _push(self, least: int, entry: _Entry) -> None:
        heap = self._turns.setdefault(least, [])
        if len(heap) > 2 * len(self.jobs) + _FEW:
            heap[:] = [other for other in set(heap) if self._counts(least, other)]
            heapify(heap)
        heappush(heap, entry)

    def _next(self, room: int) -> WaitingJob | None:
        """The job whose turn it is, among those with a task that fits into `room`."""
        best: _Entry | None = None
        for least in list(self._turns):
            if least > room:
                continue
            heap = self._turns[least]
            while heap and not self._counts(least, heap[0]):
                heappop(heap)
            if not heap:
                del self._turns[least]
            elif best is None or heap[0] < best:
                best = heap[0]
        return None if best is None else self.jobs[best[2]]

    def _counts(self, least: int, entry: _Entry) -> bool:
        job = self.jobs.get(entry[2])
        return job is not None and job.entry == (least, entry)

    def next_priority(self) -> int | None:
        """The priority of the job whose turn it would be if there were room."""
        job = self._next(ANY_ROOM)
        return None if job is None else job.priority

    def place(self, limit: int) -> list[Placement]:
        """Give up to `limit` waiting tasks their nodes. Cost: O(log jobs) each."""
        placed: list[Placement] = []
        while len(placed) < limit:
            placement = self._place_on(self.nodes) or self._place_on(self.soon)
            if placement is None:
                break
            placed.append(placement)
        return placed

    def _place_on(self, nodes: FreeNodes) -> Placement | None:
        room = nodes.most
        job = self._next(room) if room else None
        return None if job is None else self._place_one(job, nodes, room)

    def _place_one(self, job: WaitingJob, nodes: FreeNodes, room: int) -> Placement:
        found = job.oldest(room)
        assert found is not None, "a job had a turn and nothing to run"
        task_no, slots = found
        hint = job.hints.pop(task_no, None)
        if hint is not None and nodes.free(hint) >= slots:
            node_no: int | None = hint
        else:
            node_no = nodes.choose(slots, self.fill if nodes is self.nodes else Fill.SPREAD)
        assert node_no is not None, "there was room, and now there is none"
        job.lines[slots].pop()
        job.waiting -= 1
        job.running += 1
        self._take(node_no, slots)
        self._level[job.priority] = job.served
        job.served += slots
        self._enter(job, fresh=False)
        return Placement(job.job_no, task_no, node_no, slots, nodes is self.soon)
