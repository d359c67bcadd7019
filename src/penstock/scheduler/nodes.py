"""The free slots of a pool's nodes, kept so that the best node for a task is found at once."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum


class Fill(StrEnum):
    """How tasks are laid out over nodes."""

    SPREAD = "spread"  # even: the node with the most free slots
    PACK = "pack"  # full first: the node with the fewest free slots that suffice


class FreeNodes:
    """Nodes that may be given tasks, in one bucket per number of free slots.

    `_mask` has bit k set when bucket k is not empty, so that the fullest or emptiest node with
    enough room is a bit operation away. A bucket is first in, first out, from the middle too: a
    plain dict would look over all that left it before it finds its first.
    """

    def __init__(self) -> None:
        self._free: dict[int, int] = {}
        self._buckets: dict[int, OrderedDict[int, None]] = {}
        self._mask = 0

    def __contains__(self, node_no: int) -> bool:
        return node_no in self._free

    def __len__(self) -> int:
        return len(self._free)

    def free(self, node_no: int) -> int:
        """Free slots of a node; 0 for one that is not open."""
        return self._free.get(node_no, 0)

    @property
    def most(self) -> int:
        """The most free slots that any node has."""
        return max(0, self._mask.bit_length() - 1)

    def open(self, node_no: int, free: int) -> None:
        """Let a node be given tasks, up to `free` slots; again to correct the number.

        A number below 0 says how much more it was given than it has room for.
        """
        self.close(node_no)
        self._free[node_no] = free
        bucket = self._buckets.get(free)
        if bucket is None:
            bucket = self._buckets[free] = OrderedDict()
            if free > 0:
                self._mask |= 1 << free
        bucket[node_no] = None

    def close(self, node_no: int) -> None:
        """Let a node be given no more tasks."""
        free = self._free.pop(node_no, None)
        if free is None:
            return
        bucket = self._buckets[free]
        del bucket[node_no]
        if not bucket:
            del self._buckets[free]
            if free > 0:
                self._mask &= ~(1 << free)

    def take(self, node_no: int, slots: int) -> None:
        """Use slots of a node; a negative number gives them back."""
        if node_no in self._free:
            self.open(node_no, self._free[node_no] - slots)

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
