"""The turns that jobs take: heaps whose stale entries are left until they surface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush

from penstock.scheduler.waiting import FEW, Entry, WaitingJob, WishKey

ANY_ROOM = 1 << 30
"""More slots than any task needs."""


class Turns:
    """Jobs with tasks that want nothing but slots.

    Jobs stand in one heap per least number of slots that any of their tasks needs, so a pass
    never meets a job that has nothing to fit into the largest gap.
    """

    def __init__(self, jobs: Mapping[int, WaitingJob]) -> None:
        self._jobs = jobs
        self._heaps: dict[int, list[Entry]] = {}  # by least slots

    def __len__(self) -> int:
        return sum(len(heap) for heap in self._heaps.values())

    def push(self, least: int, entry: Entry) -> None:
        """Give a job its place; the job has it in `entry` already."""
        heap = self._heaps.setdefault(least, [])
        if len(heap) > 2 * len(self._jobs) + FEW:
            heap[:] = [other for other in set(heap) if self._counts(least, other)]
            heapify(heap)
        heappush(heap, entry)

    def next(self, room: int) -> WaitingJob | None:
        """The job whose turn it is, among those with a task that fits into `room`."""
        best: Entry | None = None
        for least in list(self._heaps):
            if least > room:
                continue
            heap = self._heaps[least]
            while heap and not self._counts(least, heap[0]):
                heappop(heap)
            if not heap:
                del self._heaps[least]
            elif best is None or heap[0] < best:
                best = heap[0]
        return None if best is None else self._jobs[best[2]]

    def _counts(self, least: int, entry: Entry) -> bool:
        job = self._jobs.get(entry[2])
        return job is not None and job.entry == (least, entry)


class WishTurns:
    """Jobs with tasks that want more than slots: one heap for each kind of wish."""

    def __init__(self, jobs: Mapping[int, WaitingJob]) -> None:
        self._jobs = jobs
        self.heaps: dict[WishKey, list[Entry]] = {}  # by kind; empty where nobody wants more

    def push(self, key: WishKey, entry: Entry) -> None:
        """Give a job its place; the job has it in `wish_entries` already."""
        heap = self.heaps.setdefault(key, [])
        if len(heap) > 2 * len(self._jobs) + FEW:
            heap[:] = [other for other in set(heap) if self._counts(key, other)]
            heapify(heap)
        heappush(heap, entry)

    def tops(self) -> Iterator[tuple[WishKey, Entry]]:
        """The first of each kind."""
        for key in list(self.heaps):
            heap = self.heaps[key]
            while heap and not self._counts(key, heap[0]):
                heappop(heap)
            if heap:
                yield key, heap[0]
            else:
                del self.heaps[key]

    def of_kind(self, key: WishKey) -> set[int]:
        """The numbers of all jobs that have, or had, such a wish."""
        return {entry[2] for entry in self.heaps.get(key, ())}

    def _counts(self, key: WishKey, entry: Entry) -> bool:
        job = self._jobs.get(entry[2])
        return job is not None and job.wish_entries.get(key[:2]) == (key, entry)
