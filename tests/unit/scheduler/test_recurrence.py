"""When a job schedule makes its jobs, case by case. Times are in minutes after the first due."""

from __future__ import annotations

import pytest

from penstock.domain.instants import INFINITE, MINUTE_US, Duration, instant
from penstock.domain.specs.schedule import Schedule
from penstock.scheduler.recurrence import Decision, Plan, decide, due_again, first_due, plan_of

HOURLY = Plan(interval_us=60)
WINDOW = Plan(interval_us=60, window_us=10)
WIDE = Plan(interval_us=60, window_us=90)
ONCE = Plan()
ONCE_SOON = Plan(window_us=10)
UNTIL_FIVE = Plan(interval_us=60, window_us=10, after_us=300)


@pytest.mark.parametrize(
    ("plan", "due", "now", "busy", "decision"),
    [
        # not yet due, due, in the window, at its end, beyond it
        (WINDOW, 0, -5, False, Decision(False, None, 0, False, 0)),
        (WINDOW, 0, 0, False, Decision(True, 0, 60, False, 70)),
        (WINDOW, 0, 9, False, Decision(True, 0, 60, False, 70)),
        (WINDOW, 0, 10, False, Decision(False, 0, 60, False, 60)),
        (WINDOW, 0, 59, False, Decision(False, 0, 60, False, 60)),
        # the last job is active: wait inside the window, then lose it
        (WINDOW, 60, 59, True, Decision(False, None, 60, False, 70)),
        (WINDOW, 60, 60, True, Decision(False, None, 60, False, 70)),
        (WINDOW, 60, 69, True, Decision(False, None, 60, False, 70)),
        (WINDOW, 60, 70, True, Decision(False, 60, 120, False, 130)),
        # many were due while nobody looked: each by its own window
        (WINDOW, 0, 305, False, Decision(True, 300, 360, False, 370)),
        (WINDOW, 0, 330, False, Decision(False, 300, 360, False, 360)),
        (WINDOW, 0, 305, True, Decision(False, 240, 300, False, 310)),
        # no window, or one longer than the interval: nothing is lost, nothing carried over
        (HOURLY, 0, 59, False, Decision(True, 0, 60, False, 120)),
        (HOURLY, 0, 60, False, Decision(True, 60, 120, False, 180)),
        (HOURLY, 0, 330, False, Decision(True, 300, 360, False, 420)),
        (HOURLY, 60, 130, True, Decision(False, 60, 120, False, 180)),
        (WIDE, 60, 130, True, Decision(False, 60, 120, False, 180)),
        (WIDE, 0, 59, False, Decision(True, 0, 60, False, 120)),
        # one job only
        (ONCE, 0, -1, False, Decision(False, None, 0, False, 0)),
        (ONCE, 0, 9999, False, Decision(True, 0, None, False, None)),
        (ONCE, None, 5, True, Decision(False, None, None, False, None)),
        (ONCE, None, 5, False, Decision(False, None, None, True, None)),
        (ONCE_SOON, 0, 9, False, Decision(True, 0, None, False, None)),
        (ONCE_SOON, 0, 10, False, Decision(False, 0, None, True, None)),
        (ONCE_SOON, 0, 5, True, Decision(False, None, 0, False, 10)),
        # an end: a job may be made at it, not after it
        (UNTIL_FIVE, 240, 240, False, Decision(True, 240, 300, False, 301)),
        (UNTIL_FIVE, 300, 300, False, Decision(True, 300, None, False, None)),
        (UNTIL_FIVE, 300, 301, False, Decision(False, None, None, True, None)),
        (UNTIL_FIVE, 300, 301, True, Decision(False, None, None, False, None)),
        (UNTIL_FIVE, 300, 299, True, Decision(False, None, 300, False, 301)),
        (UNTIL_FIVE, None, 300, False, Decision(False, None, None, False, 301)),
        (Plan(after_us=50), 0, 51, False, Decision(False, None, None, True, None)),
        (Plan(after_us=50), 0, 50, False, Decision(True, 0, None, False, None)),
        (Plan(interval_us=60, after_us=70), 60, 60, False, Decision(True, 60, None, False, None)),
        (Plan(interval_us=60, after_us=70), 0, 20, False, Decision(True, 0, 60, False, 71)),
    ],
)
def test_a_decision(plan: Plan, due: int | None, now: int, busy: bool, decision: Decision) -> None:
    assert decide(plan, due, None, now, busy=busy) == decision


def test_the_last_occurrence_is_kept_until_there_is_another() -> None:
    assert decide(HOURLY, 60, 0, 30, busy=False).last_us == 0
    assert decide(HOURLY, 60, 0, 60, busy=False).last_us == 60


def test_a_schedule_is_due_from_its_begin_and_not_before_it_is_there() -> None:
    assert first_due(Plan(), 7) == 7
    assert first_due(Plan(until_us=9), 7) == 9
    assert first_due(Plan(until_us=5), 7) == 7


@pytest.mark.parametrize(
    ("plan", "last", "due"),
    [
        (Plan(interval_us=30), 90, 120),  # an interval after the last job
        (Plan(interval_us=5), 90, 95),  # which may have passed
        (Plan(interval_us=30, until_us=150), 90, 150),  # but not before the new begin
        (Plan(interval_us=30, until_us=50), 90, 120),
        (Plan(interval_us=30), None, 100),  # none was due yet: now
        (Plan(interval_us=30, until_us=150), None, 150),
        (Plan(), 90, None),  # it had its one job
        (Plan(), None, 100),
        (Plan(until_us=150), 90, 150),
    ],
)
def test_a_new_plan(plan: Plan, last: int | None, due: int | None) -> None:
    assert due_again(plan, last, 100) == due


def test_a_schedule_in_numbers() -> None:
    schedule = Schedule(
        do_not_run_until="2024-01-31T08:00:00.0000000Z",
        do_not_run_after="2024-02-01T08:00:00.0000000Z",
        start_window=Duration.of_seconds(600),
        recurrence_interval=Duration.of_seconds(3600),
    )
    begin = instant("2024-01-31T08:00:00Z")

    assert plan_of(schedule) == Plan(
        begin, begin + 24 * 60 * MINUTE_US, 10 * MINUTE_US, 60 * MINUTE_US
    )
    assert plan_of(Schedule()) == Plan()
    assert plan_of(Schedule(start_window=INFINITE, recurrence_interval=INFINITE)) == Plan()
