"""The service's clock: UTC in microseconds, with an offset that may be moved forward.

Whoever needs the time asks one `Clock` that is passed down, so that retention, timeouts and
schedules can be fast-forwarded without touching the clock of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_LONGEST_WAIT_S: Final = 30.0
"""The machine's own clock may be set while somebody waits, so waits look at it this often."""


def _machine_us() -> int:
    return time.time_ns() // 1000


class Clock:
    """Tells the time, and wakes those who wait for an instant.

    `machine_us` is where the time comes from; a test may pass its own. All methods belong to
    the thread of the event loop.
    """

    def __init__(self, machine_us: Callable[[], int] = _machine_us) -> None:
        self._machine_us = machine_us
        self._offset_us = 0
        self._moved = asyncio.Event()

    def now_us(self) -> int:
        """Give the present instant."""
        return self._machine_us() + self._offset_us

    def monotonic_us(self) -> int:
        """Microseconds since some moment: nobody sets this clock, nor moves it forward.

        For how long something has been silent, which no moved clock should make longer.
        """
        return time.monotonic_ns() // 1000

    def advance(self, us: int) -> None:
        """Move the present forward, and let everyone who waits look again.

        Raises ValueError for a step back: instants that were recorded would lie in the future.
        """
        if us < 0:
            raise ValueError("a clock goes forward only")
        self._offset_us += us
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def sleep_until(self, at_us: int) -> None:
        """Return when `at_us` has come, at once if it is past, or when the clock is moved there."""
        while (left_us := at_us - self.now_us()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(min(left_us / 1e6, _LONGEST_WAIT_S)):
                    await moved.wait()
            except TimeoutError:
                continue
