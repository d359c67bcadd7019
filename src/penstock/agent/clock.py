"""Instants that never jump while a task is timed by them, and are right all the same."""

from __future__ import annotations

import time
from typing import Final

_SOURCE: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TOLERATED_US: Final = 1_000_000


class Clock:
    """The time of day as it was at the start, carried on by a clock that cannot be set.

    When the time of day was set since, `step_us` says by how much; whoever holds instants
    shifts them, and then the clock.
    """

    def __init__(self) -> None:
        self._offset_us = _day_us() - _elapsed_us()

    def now_us(self) -> int:
        return _elapsed_us() + self._offset_us

    def step_us(self) -> int:
        """How far the time of day has moved away; 0 for what slow adjustment explains."""
        away_us = _day_us() - self.now_us()
        return away_us if abs(away_us) > _TOLERATED_US else 0

    def shift(self, by_us: int) -> None:
        self._offset_us += by_us


def _day_us() -> int:
    return time.time_ns() // 1000


def _elapsed_us() -> int:
    return time.clock_gettime_ns(_SOURCE) // 1000
