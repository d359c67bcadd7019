"""The room that the open nodes of a pool have, and which of it is kept for whom."""

from __future__ import annotations

from collections import Counter

from penstock.scheduler.demands import Demand
from penstock.scheduler.nodes import FreeNodes, Trait, Traits
from penstock.scheduler.waiting import WaitingJob


def rank_of(priority: int, demand: Demand | None = None) -> int:
    """What weighs when nodes are kept: priority, and among equals a task that displaces."""
    return 2 * priority + (demand is not None and demand.displaces)


class Room:
    """Free slots by node, now and soon. A kept node is only for jobs of some rank or more."""

    def __init__(self) -> None:
        self.nodes = FreeNodes()  # by the slots that are free now
        self.soon = FreeNodes()  # by the slots that may be sent ahead; only where some may
        self.traits = Traits()
        self.kept: dict[int, FreeNodes] = {}  # by the least rank that may use them
        self.improved: dict[int, None] = {}  # nodes that got room, if anybody wants to know
        self.watched = False
        self._rank: dict[int, int] = {}  # of kept nodes
        self._ahead: dict[int, int] = {}  # slots that may be sent ahead, where any may
        self._barred: Counter[int] = Counter()  # tasks while which nothing is sent ahead

    def open(self, node_no: int, free: int, trait: Trait) -> None:
        if node_no in self.nodes:
            self.close(node_no)
        self.traits.put(node_no, trait)
        self.nodes.open(node_no, free)
        self._more(node_no)

    def close(self, node_no: int) -> None:
        if node_no in self._rank:
            self._drop_kept(node_no)
        self.traits.drop(node_no)
        self.nodes.close(node_no)
        self.soon.close(node_no)
        self._ahead.pop(node_no, None)

    def set_ahead(self, node_no: int, ahead: int) -> None:
        self._ahead[node_no] = ahead
        if ahead and not self._barred[node_no]:
            self.soon.open(node_no, self.nodes.free(node_no) + ahead)
            if node_no in self._rank:
                self.soon.hide(node_no)
            self._more(node_no)
        else:
            self.soon.close(node_no)

    def bar_ahead(self, node_no: int) -> None:
        """Send nothing ahead: a task has slots of which the node does not know yet, or all."""
        self._barred[node_no] += 1
        self.soon.close(node_no)

    def unbar_ahead(self, node_no: int) -> None:
        """That is over, for one task."""
        self._barred[node_no] -= 1
        if not self._barred[node_no]:
            del self._barred[node_no]
            if node_no in self.nodes and self._ahead.get(node_no):
                self.set_ahead(node_no, self._ahead[node_no])

    def take(self, node_no: int, slots: int) -> None:
        """Use slots of a node; a negative number gives them back."""
        self.nodes.take(node_no, slots)
        self.soon.take(node_no, slots)
        if self._rank and node_no in self._rank:
            self.kept[self._rank[node_no]].take(node_no, slots)
        if self.watched and slots < 0:
            self.improved[node_no] = None

    def _more(self, node_no: int) -> None:
        if self.watched:
            self.improved[node_no] = None

    # --- keeping -----------------------------------------------------------------------------

    def rank(self, node_no: int) -> int | None:
        """The least rank that may use a node; None for one that is not kept."""
        return self._rank.get(node_no)

    def keep(self, node_no: int, rank: int) -> None:
        """Keep an open node for jobs of some rank; the first to keep it is overruled."""
        if node_no in self._rank:
            self._drop_kept(node_no)
        else:
            self.nodes.hide(node_no)
            self.soon.hide(node_no)
        self._rank[node_no] = rank
        self.kept.setdefault(rank, FreeNodes()).open(node_no, self.nodes.free(node_no))

    def let(self, node_no: int) -> None:
        """Keep a node no more."""
        if node_no in self._rank:
            self._drop_kept(node_no)
            self.nodes.show(node_no)
            self.soon.show(node_no)
            self._more(node_no)

    def _drop_kept(self, node_no: int) -> None:
        rank = self._rank.pop(node_no)
        area = self.kept[rank]
        area.close(node_no)
        if not len(area):
            del self.kept[rank]

    # --- who may use what --------------------------------------------------------------------

    def suits(self, node_no: int, job: WaitingJob, slots: int, demand: Demand) -> bool:
        """Whether an open node could be given such a task if it were empty."""
        trait = self.traits.get(node_no)
        return trait is not None and matches(trait, slots, demand) and node_no not in job.barred

    def lacks(self, node_no: int, slots: int, demand: Demand) -> int:
        """How many slots of a node have to fall free for such a task."""
        free = self.nodes.free(node_no)
        if demand.is_whole:
            return self.traits[node_no].capacity - free
        return max(0, slots - free)


def matches(trait: Trait, slots: int, demand: Demand) -> bool:
    """Whether a node is of a kind that such a task may use."""
    return trait.capacity >= slots and (trait.dedicated or not demand.dedicated)
