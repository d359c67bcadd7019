"""How a command ends that asks a server."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What such a command answers to its caller; other commands have the codes between."""

    DONE = 0
    USAGE = 2  # options that cannot be used
    UNREACHABLE = 8  # no server answers there
    REFUSED = 9  # the server does not know what was named, or refuses what was asked
    BROKEN = 10  # the server answered with an error of its own, or not as a Penstock does


class GaveUp(Exception):
    """The command cannot go on; the message says why, and what to do next."""

    def __init__(self, code: Exit, reason: str, next_step: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.next_step = next_step
