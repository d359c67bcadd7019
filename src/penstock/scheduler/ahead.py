"""How many tasks a node is sent before it has slots for them.

Between the end of a task and the begin of the next lie a report, a commit and an order: some
milliseconds in which a slot would stand idle. So a node whose tasks are short has its next ones
already, and begins them by itself. What is sent ahead can no longer go to another node that
falls idle first, nor give way to a job of higher priority, so it is bounded by the time that it
takes, and given back when it waits for longer than that.
"""

from __future__ import annotations

from typing import Final

AHEAD_US: Final = 100_000
"""How long what is sent ahead may take to begin, by what tasks took of late."""

MOST_PER_SLOT: Final = 32

RETURNED_AFTER_US: Final = 250_000
"""What has not begun by then may be called back, if something better can be done with it."""


def slots_ahead(slots: int, pace_us: float | None) -> int:
    """The slots that tasks sent ahead may need together, for a node with so many of its own.

    `pace_us` is how long tasks take there of late; None when that is not known.
    """
    if pace_us is None:
        return 0
    return slots * min(MOST_PER_SLOT, int(AHEAD_US / max(pace_us, 1.0)))
