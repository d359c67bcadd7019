"""The machine's clock: UTC in microseconds.

Whoever needs the time is given it, or one `Clock`, so that a test may tell another. How far the
time of the service is ahead of this clock is the engine's to know: `engine/clock.py`.
"""

from __future__ import annotations

import time


class Clock:
    """Tells the time of the machine."""

    def now_us(self) -> int:
        """Give the present instant."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Microseconds since some moment; nobody sets this clock. For how long something takes."""
        return time.monotonic_ns() // 1000
