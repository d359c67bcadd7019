"""A set of whole numbers that is good at "which of this range is missing?".

One bit per number in blocks, and the blocks that are full as intervals: a million finished
tasks are some thousand blocks whatever the order in which they end, and a range is looked at
without walking it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final

BLOCK_BITS: Final = 8
_BLOCK: Final = 1 << BLOCK_BITS
_ALL: Final = (1 << _BLOCK) - 1


class Numbers:
    """Whole numbers from 0 on."""

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}  # by block; absent where none is in the set
        self._full = _Intervals()  # of blocks

    def __contains__(self, number: int) -> bool:
        bits = self._bits.get(number >> BLOCK_BITS, 0)
        return bool(bits >> (number & (_BLOCK - 1)) & 1)

    def __len__(self) -> int:
        return sum(bits.bit_count() for bits in self._bits.values())

    def add(self, number: int) -> None:
        block = number >> BLOCK_BITS
        before = self._bits.get(block, 0)
        bits = before | 1 << (number & (_BLOCK - 1))
        if bits == before:
            return
        if bits == _ALL:
            bits = _ALL  # one object for all that are full
            self._full.add(block)
        self._bits[block] = bits

    def discard(self, number: int) -> None:
        block = number >> BLOCK_BITS
        before = self._bits.get(block, 0)
        bits = before & ~(1 << (number & (_BLOCK - 1)))
        if bits == before:
            return
        if before == _ALL:
            self._full.discard(block)
        if bits:
            self._bits[block] = bits
        else:
            del self._bits[block]

    def count(self, start: int, end: int) -> int:
        """How many numbers from `start` to `end` are in the set. Cost: blocks, of whichever of
        the two has fewer."""
        first, last = start >> BLOCK_BITS, end >> BLOCK_BITS
        few = last - first < len(self._bits)
        blocks = range(first, last + 1) if few else self._bits
        return sum(
            (self._bits.get(block, 0) & _within(block, start, end)).bit_count()
            for block in blocks
            if first <= block <= last
        )

    def first_missing(self, start: int, end: int) -> int | None:
        """The least number from `start` to `end` that is not in the set; None if all are."""
        number = start
        while number <= end:
            block = number >> BLOCK_BITS
            full_to = self._full.end_of(block)
            if full_to is None:
                absent = ~self._bits.get(block, 0) & _within(block, number, end)
                if absent:
                    return (block << BLOCK_BITS) + (absent & -absent).bit_length() - 1
                full_to = block
            number = (full_to + 1) << BLOCK_BITS
        return None

    def last_missing(self, start: int, end: int) -> int | None:
        """The greatest number from `start` to `end` that is not in the set; None if all are."""
        number = end
        while number >= start:
            block = number >> BLOCK_BITS
            full_from = self._full.start_of(block)
            if full_from is None:
                first = block << BLOCK_BITS
                absent = ~self._bits.get(block, 0) & ((2 << (number - first)) - 1)
                if absent:
                    missing = first + absent.bit_length() - 1
                    return missing if missing >= start else None
                full_from = block
            number = (full_from << BLOCK_BITS) - 1
        return None


def _within(block: int, start: int, end: int) -> int:
    """The bits of a block that stand for numbers from `start` to `end`."""
    first = block << BLOCK_BITS
    low = max(0, start - first)
    high = min(_BLOCK - 1, end - first)
    return (2 << high) - (1 << low) if low <= high else 0


class _Intervals:
    """Disjoint intervals of whole numbers."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: dict[int, int] = {}  # start: end, both included

    def start_of(self, number: int) -> int | None:
        """The start of the interval that has `number`."""
        index = bisect_right(self._starts, number) - 1
        if index >= 0 and self._ends[self._starts[index]] >= number:
            return self._starts[index]
        return None

    def end_of(self, number: int) -> int | None:
        """The end of the interval that has `number`."""
        start = self.start_of(number)
        return None if start is None else self._ends[start]

    def add(self, number: int) -> None:
        """Add a number that is in none."""
        start, end = number, number
        before = self.start_of(number - 1)
        if before is not None:
            start = before
            self._forget(before)
        if number + 1 in self._ends:
            end = self._ends[number + 1]
            self._forget(number + 1)
        self._remember(start, end)

    def discard(self, number: int) -> None:
        """Take out a number that is in one."""
        start = self.start_of(number)
        assert start is not None, "a full block was in no interval"
        end = self._ends[start]
        self._forget(start)
        if start < number:
            self._remember(start, number - 1)
        if number < end:
            self._remember(number + 1, end)

    def _remember(self, start: int, end: int) -> None:
        insort(self._starts, start)
        self._ends[start] = end

    def _forget(self, start: int) -> None:
        del self._ends[start]
        del self._starts[bisect_right(self._starts, start) - 1]
