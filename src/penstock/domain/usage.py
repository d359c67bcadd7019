"""What runs have used of the machine, and the totals of tasks, jobs, schedules and accounts.

Usage only grows: a task that runs again adds to what it used before, and a total keeps what
tasks used that are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec


class Usage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one run used, or all runs of a task, on all nodes.

    Reads and writes are calls and the bytes that went through them, whether or not a disk was
    reached. A host reports neither times of the clock nor waits; the server knows those.
    """

    user_us: int = 0
    kernel_us: int = 0
    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    wall_us: int = 0  # from the start on a node to the end of it, over all runs
    wait_us: int = 0  # from where it began to wait to the start of its last run

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.user_us + other.user_us,
            self.kernel_us + other.kernel_us,
            self.reads + other.reads,
            self.writes + other.writes,
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            self.wall_us + other.wall_us,
            self.wait_us + other.wait_us,
        )


NOTHING: Final = Usage()


class Totals(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the tasks of a job, a schedule or an account have used, and how they ended.

    A task that failed and was reactivated counts as failed no more.
    """

    usage: Usage = NOTHING
    succeeded: int = 0
    failed: int = 0
    retries: int = 0
    changed_us: int = 0  # when it last grew

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.usage + other.usage,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.retries + other.retries,
            max(self.changed_us, other.changed_us),
        )


class Growth:
    """By how much the totals of one job grow in a turn."""

    __slots__ = ("_numbers", "failed", "retries", "succeeded")

    def __init__(self) -> None:
        self._numbers = [0] * len(Usage.__struct_fields__)
        self.succeeded = self.failed = self.retries = 0

    def use(self, usage: Usage) -> None:
        """Count what was used."""
        numbers = self._numbers
        numbers[0] += usage.user_us
        numbers[1] += usage.kernel_us
        numbers[2] += usage.reads
        numbers[3] += usage.writes
        numbers[4] += usage.read_bytes
        numbers[5] += usage.written_bytes
        numbers[6] += usage.wall_us
        numbers[7] += usage.wait_us

    def totals(self, now_us: int) -> Totals:
        """All of it."""
        used: Sequence[int] = self._numbers
        return Totals(Usage(*used), self.succeeded, self.failed, self.retries, now_us)
