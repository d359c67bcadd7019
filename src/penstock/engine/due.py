"""When time alone changes something next.

One entry for each kind of thing that waits for an instant. The engine asks whether any has come;
whoever advances the clock asks how far it may go before something has to happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.engine.state import State


def wall_clock_us(state: State) -> int | None:
    """When the first job reaches its wall clock limit."""
    return min(state.job_due_us.values(), default=None)


def resize_us(state: State) -> int | None:
    """When the first resize of a pool times out."""
    dues = (pool.resize_due_us for pool in state.pools.values())
    return min((due_us for due_us in dues if due_us is not None), default=None)


def schedule_us(state: State) -> int | None:
    """When the first job schedule has to be looked at."""
    return state.timetable.next_us()


SOURCES: Final[tuple[Callable[[State], int | None], ...]] = (
    wall_clock_us,
    resize_us,
    schedule_us,
)


def next_due_us(state: State) -> int | None:
    """The earliest instant, which may have passed; None where nothing waits for one."""
    found = (source(state) for source in SOURCES)
    return min((due_us for due_us in found if due_us is not None), default=None)
