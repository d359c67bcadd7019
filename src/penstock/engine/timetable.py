"""The job schedules in memory: which there are, whose jobs are whose, and which is due when.

The instants are kept in a heap, so that thousands of schedules cost nothing while none is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from penstock.domain.records import JobRecord, ScheduleRecord, key_of
from penstock.domain.states import JobState, ScheduleState
from penstock.scheduler.recurrence import look_at, plan_of

SLACK: Final = 64
"""Instants that do not count any more and may stay in the heap, beside as many as count."""


class Timetable:
    """Finds job schedules by name, by time and by what has to be done with them."""

    def __init__(self) -> None:
        self.schedules: dict[int, ScheduleRecord] = {}
        self._nos: dict[tuple[str, str], int] = {}
        self._jobs: dict[int, dict[int, None]] = {}  # by schedule
        self._staying: dict[int, dict[int, None]] = {}  # by schedule: those not being deleted
        self._clearing: dict[int, None] = {}  # schedules that are being deleted
        self._looks: dict[int, int] = {}  # by schedule: when time changes something
        self._heap: list[tuple[int, int]] = []  # of them, with some that count no more

    def find(self, account: str, schedule_id: str) -> ScheduleRecord | None:
        """Find a job schedule; the id in any case."""
        return self.schedules.get(self._nos.get((account, key_of(schedule_id)), 0))

    def put(self, schedule: ScheduleRecord) -> None:
        """Let a schedule be so."""
        no = schedule.no
        self.schedules[no] = schedule
        self._nos[schedule.account, key_of(schedule.id)] = no
        if schedule.state is ScheduleState.DELETING:
            self._clearing[no] = None
        self._look(no, _look_us(schedule))

    def drop(self, no: int) -> None:
        """Forget a schedule."""
        schedule = self.schedules.pop(no)
        del self._nos[schedule.account, key_of(schedule.id)]
        self._clearing.pop(no, None)
        self._look(no, None)

    # --- its jobs ----------------------------------------------------------------------------

    def put_job(self, job: JobRecord) -> None:
        """Let a job be so."""
        if job.schedule_no is None:
            return
        self._jobs.setdefault(job.schedule_no, {})[job.no] = None
        if job.state is not JobState.DELETING:
            self._staying.setdefault(job.schedule_no, {})[job.no] = None
        else:
            _remove(self._staying, job.schedule_no, job.no)

    def drop_job(self, job: JobRecord) -> None:
        """Forget a job."""
        if job.schedule_no is not None:
            _remove(self._jobs, job.schedule_no, job.no)
            _remove(self._staying, job.schedule_no, job.no)

    def has_jobs(self, no: int) -> bool:
        """Whether there is any job of a schedule, over or not."""
        return no in self._jobs

    def jobs_of(self, no: int) -> list[int]:
        """The jobs of a schedule, oldest first."""
        return list(self._jobs.get(no, ()))

    def to_clear(self) -> Iterator[tuple[ScheduleRecord, int]]:
        """The jobs that go with their schedules and have not been told so, newest first."""
        for no in self._clearing:
            for job_no in reversed(self._staying.get(no, {})):
                yield self.schedules[no], job_no

    def is_clearing(self) -> bool:
        """Whether any job has still to be told."""
        return next(self.to_clear(), None) is not None

    # --- time --------------------------------------------------------------------------------

    def next_us(self) -> int | None:
        """When the first of them is due."""
        heap = self._heap
        while heap and self._looks.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now_us: int, most: int) -> list[int]:
        """The numbers of those that are due, up to `most`, longest due first.

        They stay due until they are changed.
        """
        found: dict[int, None] = {}
        while len(found) < most and (at_us := self.next_us()) is not None and at_us <= now_us:
            found[heappop(self._heap)[1]] = None
        for no in found:
            heappush(self._heap, (self._looks[no], no))
        return list(found)

    def _look(self, no: int, at_us: int | None) -> None:
        if at_us == self._looks.get(no):
            return
        if at_us is None:
            del self._looks[no]
            return
        self._looks[no] = at_us
        heappush(self._heap, (at_us, no))
        if len(self._heap) > 2 * len(self._looks) + SLACK:
            self._heap = [(us, each) for each, us in self._looks.items()]
            heapify(self._heap)


def _look_us(schedule: ScheduleRecord) -> int | None:
    if schedule.state is not ScheduleState.ACTIVE:
        return None
    plan = plan_of(schedule.spec.schedule)
    return look_at(plan, schedule.next_run_us, busy=schedule.job_no is not None)


def _remove(index: dict[int, dict[int, None]], key: int, no: int) -> None:
    numbers = index.get(key)
    if numbers is not None:
        numbers.pop(no, None)
        if not numbers:
            del index[key]
