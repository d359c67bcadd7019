"""What must hold of job schedules and of pools that are made for jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.domain import changes as c
from penstock.domain.instants import Duration, instant
from penstock.domain.records import JobRecord, ScheduleRecord
from penstock.domain.states import PoolState, ScheduleState
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant

MADE_WITHIN_US: Final = 20_000_000
"""The bound: for no longer may a job be due that nothing keeps from being made."""

_FOR_EVER_US: Final = 2**62


class Occurrences:
    """When jobs of a schedule are due: a first time, and again after each interval."""

    def __init__(self, schedule: ScheduleRecord, first_us: int) -> None:
        times = schedule.spec.schedule
        self.first_us = first_us
        self.interval_us = _length(times.recurrence_interval)
        self.window_us = _length(times.start_window)
        self.after_us = _FOR_EVER_US
        if times.do_not_run_after is not None:
            self.after_us = instant(times.do_not_run_after)
        self.served_us: int | None = None  # the last that got its job

    def open_at(self, now_us: int) -> int | None:
        """When the one is due, or was, that may have its job now."""
        due_us = self.first_us
        while self.interval_us is not None and due_us + self.interval_us <= now_us:
            due_us += self.interval_us
        closes_us = due_us + min(self.window_us or _FOR_EVER_US, self.interval_us or _FOR_EVER_US)
        served = self.served_us is not None and due_us <= self.served_us
        is_open = due_us <= now_us < closes_us and now_us <= self.after_us
        return due_us if is_open and not served else None


def _length(duration: Duration | None) -> int | None:
    return None if duration is None else duration.micros


class Schedules:
    """What is known of job schedules from one commit to the next."""

    def __init__(self) -> None:
        self.store: Disk
        self._plans: dict[int, Occurrences] = {}
        self._made: dict[int, int] = {}  # jobs, by schedule
        self._over: set[int] = set()  # jobs that were completed once
        self._changed_us: dict[int, int] = {}
        self._kept: dict[tuple[str, str], bool] = {}  # auto pools that their owners want kept

    # --- commits ---------------------------------------------------------------------------------

    def commits(self, changes: Sequence[c.Change], now_us: int) -> None:
        """Look at changes against what the store has until now."""
        gone = {change.no for change in changes if isinstance(change, c.DropJob)}
        put = {change.job.no: change.job for change in changes if isinstance(change, c.PutJob)}
        self._over |= {no for no, job in put.items() if job.end_us is not None}
        jobs = {no: job for no, job in (self.store.jobs | put).items() if no not in gone}
        for change in changes:
            if isinstance(change, c.PutSchedule):
                self._schedule_changes(change.schedule, now_us)
        for job in put.values():
            if job.schedule_no is not None:
                self._changed_us[job.schedule_no] = now_us
                if job.no not in self.store.jobs:
                    self._job_made(job, jobs)

    def _schedule_changes(self, schedule: ScheduleRecord, now_us: int) -> None:
        before = self.store.schedules.get(schedule.no)
        times = schedule.spec.schedule
        until_us = 0 if times.do_not_run_until is None else instant(times.do_not_run_until)
        self._changed_us[schedule.no] = now_us
        if before is None:
            first_us = max(until_us, schedule.created_us)
        elif before.spec.schedule == times:
            return
        elif before.last_due_us is None or until_us > now_us:
            first_us = max(until_us, now_us)
        else:
            length_us = _length(times.recurrence_interval)
            last_us = before.last_due_us
            first_us = _FOR_EVER_US if length_us is None else last_us + length_us
        self._plans[schedule.no] = Occurrences(schedule, first_us)

    def _job_made(self, job: JobRecord, jobs: dict[int, JobRecord]) -> None:
        no = job.schedule_no or 0
        number = self._made[no] = self._made.get(no, 0) + 1
        others = [
            other.id
            for other in jobs.values()
            if other.schedule_no == no and other.no != job.no and other.no not in self._over
        ]
        if others:
            raise Broken(Invariant.SCHEDULE, f"job {job.id} is made beside {others}")
        if not job.id.endswith(f":job-{number}"):
            raise Broken(Invariant.SCHEDULE, f"job {job.id} is the {number}th of its schedule")
        plan = self._plans[no]
        due_us = plan.open_at(job.created_us)
        if due_us is None:
            raise Broken(Invariant.SCHEDULE, f"job {job.id} is made while none is due")
        plan.served_us = due_us

    def committed(self) -> None:
        """The store went on."""
        wanted: set[tuple[str, str]] = set()
        for job in self.store.jobs.values():
            auto = job.spec.pool_info.auto_pool_specification
            if job.auto_pool is None or auto is None:
                continue
            pool = (job.account, job.auto_pool)
            self._kept[pool] = bool(auto.keep_alive)
            if job.end_us is None and auto.pool_lifetime_option == "job":
                if pool in wanted:
                    raise Broken(Invariant.AUTO_POOLS, f"two jobs have the auto pool {pool[1]}")
                wanted.add(pool)
        for schedule in self.store.schedules.values():
            if schedule.auto_pool is not None and schedule.state is not ScheduleState.COMPLETED:
                wanted.add((schedule.account, schedule.auto_pool))
        for record in self.store.pools.values():
            key = (record.account, record.id)
            stays = record.auto and record.state is PoolState.ACTIVE
            if stays and key not in wanted and not self._kept.get(key, False):
                what = f"the auto pool {record.id} outlives what it was made for"
                raise Broken(Invariant.AUTO_POOLS, what)

    # --- time ------------------------------------------------------------------------------------

    def waited(self, now_us: int) -> None:
        """Nothing keeps the server from making what is due."""
        for schedule in self.store.schedules.values():
            plan = self._plans.get(schedule.no)
            if plan is None or schedule.state is not ScheduleState.ACTIVE:
                continue
            if any(
                job.schedule_no == schedule.no and job.no not in self._over
                for job in self.store.jobs.values()
            ):
                continue
            due_us = plan.open_at(now_us)
            if due_us is None:
                continue
            if now_us - max(due_us, self._changed_us[schedule.no]) > MADE_WITHIN_US:
                what = f"a job of {schedule.id} was due {(now_us - due_us) / 1e6:.0f} s ago"
                raise Broken(Invariant.SCHEDULE, what)
