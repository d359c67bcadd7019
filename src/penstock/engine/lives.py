"""How long tasks may wait: 180 days from when they were added, whatever they wait for.

The store gives the oldest that wait, so the queues need not know when each was added; and it is
asked once a day, or when the first of them has waited for long enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.domain.instants import MINUTE_US
from penstock.domain.records import Failure, TaskRecord
from penstock.domain.states import TaskEvent, TaskState
from penstock.engine.ends import complete
from penstock.engine.turn import Turn

DAY_US: Final = 24 * 60 * MINUTE_US
LIFE_US: Final = 180 * DAY_US
LOOKED_AT: Final = 500
"""Tasks at a time."""

LIFE_OVER: Final = Failure(
    "usererror", "TaskEnded", "The task was ended, for it was not completed within 180 days"
)


class Lives:
    """When to look at the tasks that wait."""

    def __init__(self) -> None:
        self._next_us: int | None = None

    def is_due(self, now_us: int) -> bool:
        """Whether it is time to look."""
        return self._next_us is None or self._next_us <= now_us

    def looked(self, oldest: Sequence[TaskRecord], now_us: int) -> None:
        """What is over of `oldest`, the first `LOOKED_AT` that wait, was ended.

        Where that is all of them there may be more behind. And one that is taken off its node
        may be older than any that waits now, so another look comes in a day.
        """
        ends = [_end_us(task) for task in oldest]
        if len(ends) == LOOKED_AT and max(ends) <= now_us:
            self._next_us = now_us
        else:
            self._next_us = min([now_us + DAY_US, *(end for end in ends if end > now_us)])


def _end_us(task: TaskRecord) -> int:
    return task.created_us + LIFE_US


def over(oldest: Sequence[TaskRecord], now_us: int) -> list[int]:
    """The numbers of those tasks whose time is over."""
    return [task.no for task in oldest if _end_us(task) <= now_us]


async def end(turn: Turn, numbers: Sequence[int]) -> None:
    """End those of these tasks that wait still."""
    for task, _ in (await turn.tasks(numbers)).values():
        if task.state is TaskState.ACTIVE and not task.ahead:
            complete(turn, task, TaskEvent.TERMINATED, turn.now_us, None, LIFE_OVER)
