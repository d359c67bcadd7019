"""The free slots of a pool's nodes, kept so that the best node for a task is found at once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum

import msgspec


class Fill(StrEnum):
    """How tasks are laid out over nodes."""

    SPREAD = "spread"  # even: the node with the most free slots
    PACK = "pack"  # full first: the node with the fewest free slots that suffice


class FreeNodes:
    """Nodes that may be given tasks, in one bucket per number of free slots.

    `_mask` has bit k set when bucket k is not empty, so that the fullest or emptiest node with
    enough room is a bit operation away. A bucket is first in, first out, from the middle too: a
    plain dict would look over all that left it before it finds its first. A node that is hidden
    keeps its number and is in no bucket.
    """

    def __init__(self) -> None:
        self._free: dict[int, int] = {}
        self._buckets: dict[int, OrderedDict[int, None]] = {}
        self._mask = 0
        self._hidden: set[int] = set()

    def __contains__(self, node_no: int) -> bool:
        return node_no in self._free

    def __len__(self) -> int:
        return len(self._free)

    def __iter__(self) -> Iterator[int]:
        return iter(self._free)

    def free(self, node_no: int) -> int:
        """Free slots of a node; 0 for one that is not open."""
        return self._free.get(node_no, 0)

    def room(self, node_no: int) -> int:
        """Free slots of a node that is neither closed nor hidden, else 0."""
        return 0 if node_no in self._hidden else self._free.get(node_no, 0)

    @property
    def most(self) -> int:
        """The most free slots that any node has."""
        return max(0, self._mask.bit_length() - 1)

    def open(self, node_no: int, free: int) -> None:
        """Let a node be given tasks, up to `free` slots; again to correct the number.

        A number below 0 says how much more it was given than it has room for.
        """
        before = self._free.get(node_no)
        self._free[node_no] = free
        if node_no not in self._hidden:
            if before is not None:
                self._unlist(node_no, before)
            self._list(node_no, free)

    def close(self, node_no: int) -> None:
        """Let a node be given no more tasks."""
        free = self._free.pop(node_no, None)
        if node_no in self._hidden:
            self._hidden.discard(node_no)
        elif free is not None:
            self._unlist(node_no, free)

    def hide(self, node_no: int) -> None:
        """Let a node be found no more; what is free of it is still counted."""
        if node_no in self._free and node_no not in self._hidden:
            self._unlist(node_no, self._free[node_no])
            self._hidden.add(node_no)

    def show(self, node_no: int) -> None:
        """Let a hidden node be found again, after the others that have as much room."""
        if node_no in self._hidden:
            self._hidden.discard(node_no)
            self._list(node_no, self._free[node_no])

    def _list(self, node_no: int, free: int) -> None:
        bucket = self._buckets.get(free)
        if bucket is None:
            bucket = self._buckets[free] = OrderedDict()
            if free > 0:
                self._mask |= 1 << free
        bucket[node_no] = None

    def _unlist(self, node_no: int, free: int) -> None:
        bucket = self._buckets[free]
        del bucket[node_no]
        if not bucket:
            del self._buckets[free]
            if free > 0:
                self._mask &= ~(1 << free)

    def take(self, node_no: int, slots: int) -> None:
        """Use slots of a node; a negative number gives them back."""
        before = self._free.get(node_no)
        if before is None:
            return
        free = self._free[node_no] = before - slots
        if node_no in self._hidden:
            return
        # What `_unlist` and `_list` do: this is called for each begin and end of a task.
        buckets = self._buckets
        bucket = buckets[before]
        del bucket[node_no]
        if not bucket:
            del buckets[before]
            if before > 0:
                self._mask &= ~(1 << before)
        after = buckets.get(free)
        if after is None:
            after = buckets[free] = OrderedDict()
            if free > 0:
                self._mask |= 1 << free
        after[node_no] = None

    def choose(self, slots: int, fill: Fill) -> int | None:
        """The node for a task that needs `slots`, or None when none has room."""
        fitting = self._mask >> slots << slots
        if not fitting:
            return None
        if fill is Fill.PACK:
            bucket = (fitting & -fitting).bit_length() - 1
        else:
            bucket = fitting.bit_length() - 1
        return next(iter(self._buckets[bucket]))

    def choose_of(self, slots: int, fill: Fill, may: Callable[[int], bool]) -> int | None:
        """As `choose`, among the nodes that `may` be used. Cost: those that may not."""
        sizes = sorted((size for size in self._buckets if size >= slots), reverse=True)
        if fill is Fill.PACK:
            sizes.reverse()
        found = (node for size in sizes for node in self._buckets[size] if may(node))
        return next(found, None)

    def most_of(self, may: Callable[[int], bool]) -> int:
        """The most free slots that any node has which `may` be used."""
        node_no = self.choose_of(1, Fill.SPREAD, may)
        return 0 if node_no is None else self._free[node_no]

    def with_free(self, slots: int) -> Collection[int]:
        """The nodes that have just so many free slots."""
        return self._buckets.get(slots, ())


class Trait(msgspec.Struct, frozen=True, gc=False):
    """What of an open node does not change while it is open."""

    capacity: int  # slots
    dedicated: bool


class Traits:
    """What the open nodes of a pool are like. Few differ, so they are counted by their likes."""

    def __init__(self) -> None:
        self._of: dict[int, Trait] = {}
        self._counts: Counter[Trait] = Counter()

    def __getitem__(self, node_no: int) -> Trait:
        return self._of[node_no]

    def get(self, node_no: int) -> Trait | None:
        return self._of.get(node_no)

    def put(self, node_no: int, trait: Trait) -> None:
        self.drop(node_no)
        self._of[node_no] = trait
        self._counts[trait] += 1

    def drop(self, node_no: int) -> None:
        trait = self._of.pop(node_no, None)
        if trait is not None:
            self._counts[trait] -= 1
            if not self._counts[trait]:
                del self._counts[trait]

    def capacities(self) -> list[int]:
        """The different numbers of slots that nodes have, the least first."""
        return sorted({trait.capacity for trait in self._counts})

    def count(self, suits: Callable[[Trait], bool]) -> int:
        """How many nodes are of a kind that suits."""
        return sum(count for trait, count in self._counts.items() if suits(trait))
