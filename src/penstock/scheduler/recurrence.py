"""When a job schedule makes its jobs.

A schedule is a row of occurrences: the first is due when the schedule may begin, each other one
an interval after the one before. An occurrence is open from the instant at which it is due until
its start window closes, and in no case beyond the next one, since nothing is carried over. While
it is open it gets its job as soon as no other job of the schedule is active; when it closes
without one, it is lost. Only the occurrence that comes next, or is open, has to be remembered.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.domain.instants import Duration, instant
from penstock.domain.specs.schedule import Schedule


class Plan(NamedTuple):
    """What a user said of a schedule, in numbers; None where there is no such bound."""

    until_us: int | None = None  # the first job is not made before
    after_us: int | None = None  # the last job is not made after
    window_us: int | None = None
    interval_us: int | None = None  # None: one job only

    @property
    def open_us(self) -> int | None:
        """How long an occurrence is open. None: for ever."""
        bounds = [bound for bound in (self.window_us, self.interval_us) if bound is not None]
        return min(bounds, default=None)


class Decision(NamedTuple):
    """What is to be done with a schedule now, and when it has to be looked at again."""

    make: bool  # a job, now
    last_us: int | None  # when the last occurrence was due that got its job or was lost
    next_us: int | None  # when the one is due that is open or comes next; None: none comes
    ended: bool  # no job is left to be made, and none is active
    look_us: int | None  # None: not before its job has ended, or somebody changes it


def plan_of(schedule: Schedule) -> Plan:
    """Read a schedule that was checked."""
    return Plan(
        until_us=_instant(schedule.do_not_run_until),
        after_us=_instant(schedule.do_not_run_after),
        window_us=_length(schedule.start_window),
        interval_us=_length(schedule.recurrence_interval),
    )


def _instant(text: str | None) -> int | None:
    return None if text is None else instant(text)


def _length(duration: Duration | None) -> int | None:
    return None if duration is None else duration.micros


def first_due(plan: Plan, now_us: int) -> int:
    """When the first job of a schedule is due that begins now.

    A time in the past makes it due at once: nothing was lost before the schedule was there.
    """
    return now_us if plan.until_us is None else max(plan.until_us, now_us)


def due_again(plan: Plan, last_us: int | None, now_us: int) -> int | None:
    """When the next job is due of a schedule that is given a new plan; None: it had its job."""
    if last_us is None or (plan.until_us is not None and plan.until_us > now_us):
        return first_due(plan, now_us)
    return None if plan.interval_us is None else last_us + plan.interval_us


def decide(
    plan: Plan, due_us: int | None, last_us: int | None, now_us: int, *, busy: bool
) -> Decision:
    """Say what is due. `busy` is whether a job of the schedule is active.

    `due_us` and `last_us` are `next_us` and `last_us` of the last decision.
    """
    due_us, last_us = _without_lost(plan, due_us, last_us, now_us)
    due_us = _allowed(plan, due_us, now_us)
    make = due_us is not None and due_us <= now_us and not busy
    if due_us is not None and make:
        last_us = due_us
        due_us = None if plan.interval_us is None else due_us + plan.interval_us
        due_us = _allowed(plan, due_us, now_us)
    busy = busy or make
    past = plan.interval_us is None or (plan.after_us is not None and now_us > plan.after_us)
    ended = due_us is None and not busy and past
    look_us = None if ended else look_at(plan, due_us, busy=busy)
    return Decision(make, last_us, due_us, ended, look_us)


def look_at(plan: Plan, due_us: int | None, *, busy: bool) -> int | None:
    """When time alone changes something next, after a decision that left this."""
    found = []
    if due_us is not None and not busy:
        found.append(due_us)
    elif due_us is not None and plan.open_us is not None:
        found.append(due_us + plan.open_us)
    if plan.after_us is not None and (due_us is not None or not busy):
        found.append(plan.after_us + 1)
    return min(found, default=None)


def _without_lost(
    plan: Plan, due_us: int | None, last_us: int | None, now_us: int
) -> tuple[int | None, int | None]:
    """Give the occurrence that is open or comes next, and the one before."""
    open_us = plan.open_us
    if due_us is None or open_us is None or now_us < due_us + open_us:
        return due_us, last_us
    if plan.interval_us is None:
        return None, due_us
    newest_us = now_us - (now_us - due_us) % plan.interval_us
    if now_us < newest_us + open_us:
        return newest_us, newest_us - plan.interval_us
    return newest_us + plan.interval_us, newest_us


def _allowed(plan: Plan, due_us: int | None, now_us: int) -> int | None:
    """Give the occurrence, unless its job would be made too late."""
    if due_us is None or plan.after_us is None:
        return due_us
    return due_us if max(due_us, now_us) <= plan.after_us else None
