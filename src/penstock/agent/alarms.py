"""When to look at a run again: one instant per run, the earliest first."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from penstock.agent.events import RunKey
from penstock.agent.state import Active


class Alarms:
    """The wake-ups of active runs. What a run says counts; entries of the heap may be old."""

    def __init__(self, active: Mapping[RunKey, Active]) -> None:
        self._active = active
        self._heap: list[tuple[int, RunKey]] = []

    def set(self, active: Active, at_us: int) -> None:
        """Look at a run at this time, and not before."""
        active.wake_us = at_us
        heappush(self._heap, (at_us, active.run.key))
        if len(self._heap) > 64 + 4 * len(self._active):
            self.rebuild()

    def due_us(self) -> int | None:
        """The next instant."""
        while self._heap:
            at_us, key = self._heap[0]
            active = self._active.get(key)
            if active is not None and active.wake_us == at_us:
                return at_us
            heappop(self._heap)
        return None

    def pop(self, now_us: int) -> Active | None:
        """The next run whose instant has come."""
        due_us = self.due_us()
        if due_us is None or due_us > now_us:
            return None
        active = self._active[heappop(self._heap)[1]]
        active.wake_us = None
        return active

    def rebuild(self) -> None:
        """Keep only the entries that count; the others would pile up until they are due."""
        self._heap = [
            (run.wake_us, key) for key, run in self._active.items() if run.wake_us is not None
        ]
        heapify(self._heap)
