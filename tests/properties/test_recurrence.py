"""Job schedules: what is decided instant by instant is what a walk over every minute finds."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.instants import MINUTE_US
from penstock.scheduler.recurrence import Plan, decide, first_due

WEEK = 7 * 24 * 60


@dataclass
class Story:
    """A schedule from minute 0 on: how long its jobs take, and when it is switched."""

    plan: Plan  # in minutes
    lengths: list[int]  # of its jobs, in turn
    switches: list[int]  # minutes at which it is disabled, enabled, disabled …
    made: list[int] = field(default_factory=list)
    ended: int | None = None

    def length(self) -> int:
        return self.lengths[(len(self.made) - 1) % len(self.lengths)]


MINUTES = st.integers(1, 300)
PLANS = st.builds(
    Plan,
    until_us=st.none() | st.integers(-100, 1000),
    after_us=st.none() | st.integers(0, WEEK),
    window_us=st.none() | MINUTES,
    interval_us=st.none() | st.sampled_from([1, 7, 60, 600, 1440]) | MINUTES,
).filter(lambda plan: plan.after_us is None or (plan.until_us or 0) < plan.after_us)
STORIES = st.builds(
    Story,
    PLANS,
    st.lists(st.integers(0, 400), min_size=1, max_size=4),
    st.lists(st.integers(1, WEEK), max_size=5, unique=True).map(sorted),
)


def walked(story: Story) -> Story:
    """Look at every minute, with no thought of what was due before."""
    plan, busy_until = story.plan, -1
    enabled = True
    first = max(plan.until_us or 0, 0)
    taken: set[int] = set()
    for minute in range(WEEK):
        enabled ^= minute in story.switches
        if not enabled or minute < busy_until:
            continue
        number = max(0, minute - first) // plan.interval_us if plan.interval_us else 0
        due = first + number * (plan.interval_us or 0)
        late = minute - due
        is_open = late >= 0 and (plan.window_us is None or late < plan.window_us)
        past = plan.after_us is not None and minute > plan.after_us
        if is_open and not past and number not in taken:
            taken.add(number)
            story.made.append(minute)
            busy_until = minute + story.length()
            if busy_until > minute:
                continue
        once_over = plan.interval_us is None and (taken or (late >= 0 and not is_open))
        if past or once_over:
            story.ended = minute
            break
    return story


def decided(story: Story) -> Story:
    """Decide only when a decision asked for it, a job ended, or somebody switched."""
    plan = Plan(*(None if part is None else part * MINUTE_US for part in story.plan))
    due_us: int | None = first_due(plan, 0)
    look_us: int | None = 0
    last_us: int | None = None
    busy_until: int | None = None
    switches = [minute * MINUTE_US for minute in story.switches]
    enabled = True
    while True:
        others = [*switches[:1], *([busy_until] if busy_until is not None else [])]
        looks = [look_us] if look_us is not None and enabled else []
        now_us = min([*looks, *others], default=WEEK * MINUTE_US)
        if now_us >= WEEK * MINUTE_US:
            return story
        while switches and switches[0] == now_us:
            enabled = not enabled
            del switches[0]
        if busy_until is not None and busy_until <= now_us:
            busy_until = None
        if not enabled:
            continue
        found = decide(plan, due_us, last_us, now_us, busy=busy_until is not None)
        due_us, last_us, look_us = found.next_us, found.last_us, found.look_us
        assert look_us is None or look_us > now_us, "a look leads on"
        if found.make:
            assert busy_until is None
            story.made.append(now_us // MINUTE_US)
            busy_until = now_us + story.length() * MINUTE_US
        if found.ended:
            ended = -(-now_us // MINUTE_US)
            story.ended = ended if ended < WEEK else None
            return story


@settings(max_examples=150, deadline=None)
@given(story=STORIES)
def test_a_week_of_any_schedule_is_as_minute_by_minute(story: Story) -> None:
    by_minute = walked(Story(story.plan, story.lengths, story.switches))
    by_decision = decided(Story(story.plan, story.lengths, story.switches))

    assert by_decision.made == by_minute.made
    assert by_decision.ended == by_minute.ended
