"""Nodes held for a task that does not fit yet, so that small tasks do not pass it for ever."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from penstock.scheduler.demands import Demand, Reserved
from penstock.scheduler.room import Room, rank_of
from penstock.scheduler.waiting import FEW, Entry, WaitingJob, Wish


class Reservation:
    """Holds as many nodes as a task wants, those first that lack least.

    A held node is given up only for one that lacks less, so what is lacking in all only falls
    (but for jobs of more weight, which may use held nodes), and the task is placed in the end.
    """

    def __init__(self, room: Room, job: WaitingJob, task_no: int, wish: Wish) -> None:
        self.job = job
        self.task_no = task_no
        self.wish = wish
        self.rank = rank_of(job.priority, wish[1])
        self.held: dict[int, None] = {}
        self.pinned = False  # tasks have to leave the held nodes: only free ones are better
        self.changed = True  # since it was settled
        self._room = room
        self._others = [(self.lacks(no), no) for no in room.nodes if self._may_hold(no)]
        heapify(self._others)  # what others lack, or lacked: the least first

    @property
    def demand(self) -> Demand:
        return self.wish[1]

    @property
    def entry(self) -> Entry:
        """Its place among the turns: before all others of its rank."""
        return (-self.job.priority, -2 if self.demand.displaces else -1, 1 << 62)

    def lacks(self, node_no: int) -> int:
        return self._room.lacks(node_no, *self.wish)

    @property
    def fits(self) -> bool:
        """Whether the task can be placed on the nodes that are held."""
        return len(self.held) == self.demand.nodes and not any(map(self.lacks, self.held))

    def seen(self) -> Reserved:
        held = tuple(sorted(self.held))
        free = tuple(no for no in held if not self.lacks(no))
        return Reserved(self.job.job_no, self.task_no, self.demand.nodes, held, free)

    def noticed(self, node_no: int) -> None:
        """A node has more room, or may be held now."""
        self.changed = True
        if node_no in self._room.nodes:
            self._offer(node_no)

    def lost(self, node_no: int) -> None:
        """A node is closed."""
        if node_no in self.held:
            del self.held[node_no]
            self.changed = True

    def settle(self) -> None:
        """Hold the nodes that lack least."""
        self.changed = False
        for node_no in [no for no in self.held if not self._suits(no)]:
            self._let(node_no)
        while len(self.held) < self.demand.nodes and (best := self._best()) is not None:
            self._hold(best)
        while self.held and (best := self._best()) is not None:
            worst = max(self.held, key=lambda no: (self.lacks(no), no))
            lacking = self.lacks(best)
            if lacking >= self.lacks(worst) or (self.pinned and lacking):
                break
            self._let(worst)
            self._hold(best)

    def pin(self, nodes: Iterable[int]) -> None:
        """Hold these nodes: their tasks are about to make room."""
        wanted = dict.fromkeys(nodes)
        for node_no in [no for no in self.held if no not in wanted]:
            self._let(node_no)
        for node_no in wanted:
            if node_no not in self.held:
                self._hold(node_no)
        self.pinned = True

    def release(self) -> None:
        """Hold nothing any more."""
        for node_no in sorted(self.held):
            self._room.let(node_no)
        self.held.clear()

    def _hold(self, node_no: int) -> None:
        self.held[node_no] = None
        self._room.keep(node_no, self.rank + 1)

    def _let(self, node_no: int) -> None:
        del self.held[node_no]
        self._room.let(node_no)
        self._offer(node_no)

    def _suits(self, node_no: int) -> bool:
        return self._room.suits(node_no, self.job, *self.wish)

    def _may_hold(self, node_no: int) -> bool:
        return self._room.rank(node_no) is None and self._suits(node_no)

    def _offer(self, node_no: int) -> None:
        if len(self._others) > 2 * len(self._room.nodes) + FEW:
            self._others = [(self.lacks(no), no) for no in self._room.nodes if self._may_hold(no)]
            heapify(self._others)
        if self._may_hold(node_no):
            heappush(self._others, (self.lacks(node_no), node_no))

    def _best(self) -> int | None:
        """The node that lacks least of those that are not held. Entries may be out of date."""
        others = self._others
        while others:
            lacked, node_no = others[0]
            if not self._may_hold(node_no):
                heappop(others)
            elif self.lacks(node_no) > lacked:
                heapreplace(others, (self.lacks(node_no), node_no))
            else:
                return node_no
        return None
