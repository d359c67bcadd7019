"""The counts of a job while they move."""

from __future__ import annotations

from penstock.domain import changes as c
from penstock.domain.records import (
    Counts,
)
from penstock.domain.states import TaskState
from penstock.store.contract import JobCounts


class Tally:
    """The counts of one job while they move: tasks and slots by state."""

    __slots__ = ("slots", "tasks")

    def __init__(self, saved: JobCounts | None = None) -> None:
        self.tasks = _numbers(saved.tasks) if saved else [0, 0, 0, 0]
        self.slots = _numbers(saved.slots) if saved else [0, 0, 0, 0]

    def count(self, state: TaskState, slots: int, sign: int, *, failed: bool = False) -> None:
        if state is TaskState.COMPLETED:
            place = 3 if failed else 2
        else:
            place = 0 if state is TaskState.ACTIVE else 1
        self.tasks[place] += sign
        self.slots[place] += sign * slots

    def change(self, job_no: int) -> c.SetCounts:
        return c.SetCounts(job_no, _counts(self.tasks), _counts(self.slots))

    @property
    def active(self) -> int:
        return self.tasks[0]

    @property
    def running(self) -> int:
        return self.tasks[1]

    @property
    def failed(self) -> int:
        return self.tasks[3]

    @property
    def all(self) -> int:
        return sum(self.tasks)


def _numbers(counts: Counts) -> list[int]:
    return [counts.active, counts.running, counts.succeeded, counts.failed]


def _counts(numbers: list[int]) -> Counts:
    active, running, succeeded, failed = numbers
    return Counts(active=active, running=running, succeeded=succeeded, failed=failed)
