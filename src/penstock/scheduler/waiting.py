"""The ready tasks of one job, in lines of those that need the same."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from penstock.scheduler.demands import Demand

Entry = tuple[int, int, int]
"""A job's place among the turns: (-priority, served, job number). The smallest goes first."""

Wish = tuple[int, Demand]
"""What tasks of one line want: slots and the rest."""

WishKey = tuple[int, Demand, int]
"""A wish, with the number of its job if that may not use all nodes, else 0."""


class Line:
    """Tasks in the order they came. One that left the middle of it may come back at its end."""

    __slots__ = ("_gone", "_hidden", "_tasks")

    def __init__(self) -> None:
        self._tasks: deque[int] = deque()
        self._gone: dict[int, int] = {}  # how many of a task's places, the first ones, are void
        self._hidden = 0  # void places in all

    def __len__(self) -> int:
        return len(self._tasks) - self._hidden

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
        if self._hidden > FEW and self._hidden * 2 > len(self._tasks):
            self._tasks = deque(task for task in self._tasks if not self._is_void(task))

    def tasks(self) -> Iterator[int]:
        """All tasks in order; the line must not change meanwhile."""
        void: dict[int, int] = {}
        for task_no in self._tasks:
            passed = void.get(task_no, 0)
            if self._hidden and passed < self._gone.get(task_no, 0):
                void[task_no] = passed + 1
            else:
                yield task_no

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


FEW = 64
"""What is not worth tidying up."""


class WaitingJob:
    """The ready tasks of one job, by what they need, and what the job may use."""

    __slots__ = (
        "barred",
        "cap",
        "entry",
        "first_waits",
        "hints",
        "job_no",
        "lines",
        "open",
        "picky",
        "preemptible",
        "prepared",
        "prepares",
        "priority",
        "reserved",
        "running",
        "served",
        "waiting",
        "wish_entries",
        "wishes",
    )

    def __init__(self, job_no: int, priority: int, cap: int) -> None:
        self.job_no = job_no
        self.priority = priority
        self.cap = cap  # most tasks that may run at once; -1: no limit
        self.running = 0
        self.reserved = 0  # 1 while nodes are held for a task: others leave it its turn to run
        self.waiting = 0
        self.served = 0
        self.open = False
        self.preemptible = False
        self.prepares = False  # and so is sent ahead only to nodes that are prepared
        self.picky = False  # not all nodes are alike to it
        self.barred: set[int] = set()  # nodes that it never uses again
        self.prepared: Prepared | None = None
        self.lines: dict[int, Line] = {}  # of tasks without a demand, by the slots they need
        self.wishes: dict[Wish, Line] = {}  # of those with one
        self.hints: dict[int, int] = {}  # task: node it would like
        self.entry: tuple[int, Entry] | None = None  # by least slots; it is in that heap
        self.wish_entries: dict[Wish, tuple[WishKey, Entry]] = {}  # likewise
        self.first_waits = False  # a task that goes before all others, and may run

    def add(self, task_no: int, slots: int, hint: int | None, demand: Demand | None) -> None:
        if demand is None:
            self._line(slots).append(task_no)
        else:
            self.wishes.setdefault((slots, demand), Line()).append(task_no)
        self.waiting += 1
        if hint is not None:
            self.hints[task_no] = hint

    def add_many(self, task_nos: Sequence[int], slots: int) -> None:
        self._line(slots).extend(task_nos)
        self.waiting += len(task_nos)

    def _line(self, slots: int) -> Line:
        line = self.lines.get(slots)
        if line is None:
            line = self.lines[slots] = Line()
        return line

    def remove(self, task_no: int, slots: int, demand: Demand | None) -> None:
        line = self.lines[slots] if demand is None else self.wishes[slots, demand]
        line.remove(task_no)
        self.hints.pop(task_no, None)
        self.waiting -= 1

    def least(self) -> int | None:
        """The fewest slots that a waiting task without a demand needs; None when none waits."""
        while self.lines:
            slots = min(self.lines)
            if self.lines[slots].head() is not None:
                return slots
            del self.lines[slots]
        return None

    def oldest(self, room: int) -> tuple[int, int] | None:
        """The oldest task without a demand that fits into `room`, with its slots."""
        best: tuple[int, int] | None = None
        for slots, line in self.lines.items():
            if slots <= room:
                head = line.head()
                if head is not None and (best is None or head < best[0]):
                    best = (head, slots)
        return best

    def in_order(self) -> Iterator[tuple[int, int, int]]:
        """First task, slots and number of tasks of each line, those with the oldest first."""
        heads = ((line.head(), slots) for slots, line in self.lines.items())
        for head, slots in sorted((head, slots) for head, slots in heads if head is not None):
            yield head, slots, len(self.lines[slots])

    def wanting(self) -> Iterator[tuple[Wish, int]]:
        """Each wish with the first task that has it."""
        for wish, line in list(self.wishes.items()):
            head = line.head()
            if head is None:
                del self.wishes[wish]
            else:
                yield wish, head

    def before(self, task_no: int, slots: int, demand: Demand | None, most: int) -> int:
        """How many tasks are before one in its line; `most` where there are more."""
        line = self.lines.get(slots) if demand is None else self.wishes.get((slots, demand))
        for count, other in enumerate(islice(line.tasks(), most) if line is not None else ()):
            if other == task_no:
                return count
        return 0 if line is None else min(most, len(line))

    def first(self, most: int) -> list[int]:
        """The tasks that came first, up to so many of each line."""
        lines = (*self.lines.values(), *self.wishes.values())
        return [task_no for line in lines for task_no in islice(line.tasks(), most)]

    @property
    def capped(self) -> bool:
        return self.cap >= 0 and self.running + self.reserved >= self.cap

    @property
    def starts(self) -> bool:
        """Whether a task of it may be begun."""
        return self.open and self.waiting > 0 and not self.capped


class Prepared:
    """The nodes that are prepared for a job, and those of them that may have room, in turn.

    A node that is found full leaves the turns, and is brought back when it has room again; so
    a search passes no node twice for nothing.
    """

    __slots__ = ("least", "nodes", "turns")

    def __init__(self) -> None:
        self.nodes: set[int] = set()
        self.turns: OrderedDict[int, None] = OrderedDict()
        self.least = 0  # slots: what the nodes that left were too full for

    def add(self, node_no: int) -> None:
        self.nodes.add(node_no)
        self.turns[node_no] = None

    def discard(self, node_no: int) -> None:
        self.nodes.discard(node_no)
        self.turns.pop(node_no, None)

    def ask_for(self, least: int) -> None:
        """Smaller tasks may fit where larger ones did not."""
        if least < self.least:
            self.turns = OrderedDict.fromkeys(sorted(self.nodes))
        self.least = least
