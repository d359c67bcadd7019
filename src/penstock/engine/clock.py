"""The time of the service, and how it is moved on as if it had passed.

An advance does not jump. It goes from one instant at which something is due to the next, has
decided there what is due, and gives what that caused time to happen: a job that a schedule made
runs, ends and makes room for the next. What runs for longer than a moment is not waited for, and
not touched either: only the clock of the service moves, not that of the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial
from typing import Any, Final, Protocol

from penstock.domain import changes as c
from penstock.domain.instants import MINUTE_US
from penstock.domain.refusals import ServerBusy
from penstock.domain.states import JobState, NodeState
from penstock.engine.due import SOURCES
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.store.contract import Store

MOST_ADVANCES: Final = 16
"""Those that wait for their turn."""

STILL_S: Final = 1.0
"""Of what has not changed for so long, the end is not waited for.

Most tasks of those who try out schedules are shorter, on a busy machine too. What is longer is met
once: each time the patience for the rest of the advance is halved, down to `LEAST_STILL_S`.
"""

LEAST_STILL_S: Final = 0.25

LONGEST_REST_S: Final = 3.0
"""Real time that one step may take in all."""

_CLEANING_US: Final = MINUTE_US
"""Directories whose time is over in the same minute go together, in one step."""

_OVERDUE_STEP_US: Final = 10 * MINUTE_US
"""How far to go where something stays due, which hides what is due after it."""

_MOVING_NODES: Final = frozenset(
    {
        NodeState.CREATING,
        NodeState.STARTING,
        NodeState.WAITING_FOR_START_TASK,
        NodeState.REBOOTING,
        NodeState.REIMAGING,
        NodeState.DEALLOCATING,
        NodeState.LEAVING_POOL,
    }
)
_MOVING_JOBS: Final = frozenset(
    {JobState.DISABLING, JobState.ENABLING, JobState.TERMINATING, JobState.DELETING}
)


class Clocked(Protocol):
    """The engine, as its clock sees it."""

    store: Store

    @property
    def state(self) -> State:
        """The memory, as the last turn left it."""

    @property
    def is_deciding(self) -> bool:
        """Whether a turn is running, or waits to."""

    def machine_us(self) -> int:
        """The time of the machine."""

    def submit(self, decide: Callable[[Turn], Any]) -> Awaitable[Any]:
        """Have a decision taken; return its answer when it is durable."""

    def tick(self, turn: Turn) -> None:
        """Decide what is due."""

    async def sweep(self) -> bool:
        """Let go what was kept for long enough; True says that there may be more."""

    async def turned(self, within_s: float) -> None:
        """Return after the next turn, or when the time is over."""


class EngineClock:
    """Tells the time of the service and moves it on."""

    def __init__(self, engine: Clocked) -> None:
        self._engine = engine
        self._one_at_a_time = asyncio.Lock()
        self._walks: set[asyncio.Task[None]] = set()
        self._promised_us = 0  # of advances that have not come to their end
        self._ignored: set[Hashable] = set()  # what was too slow to be waited for
        self._patience_s = STILL_S

    @property
    def offset_us(self) -> int:
        """How far the service is ahead of the machine."""
        return self._engine.state.clock_offset_us

    @property
    def is_advancing(self) -> bool:
        """Whether an advance is on its way."""
        return bool(self._walks)

    def now_us(self) -> int:
        """The present instant of the service."""
        return self._engine.machine_us() + self.offset_us

    def may_advance(self, us: int, most_us: int) -> bool:
        """Whether the clock would be ahead by `most_us` at most, after all advances so far."""
        return self.offset_us + self._promised_us + us <= most_us

    async def advance(self, us: int) -> None:
        """Move the clock on; return when all that was due on the way has been decided.

        Advances are made one after the other. Once begun, one goes on even if nobody waits for
        it any more. Raises ServerBusy when too many wait, or when the store cannot be written.
        """
        if len(self._walks) >= MOST_ADVANCES:
            raise ServerBusy(Reason=f"{MOST_ADVANCES} advances of the clock wait for their turn")
        self._promised_us += us
        walk = asyncio.create_task(self._in_turn(us), name="advance")
        self._walks.add(walk)
        walk.add_done_callback(partial(self._walked, us))
        await asyncio.shield(walk)

    def stop(self) -> None:
        """End all advances where they are."""
        for walk in self._walks:
            walk.cancel()

    def _walked(self, us: int, walk: asyncio.Task[None]) -> None:
        self._promised_us -= us
        self._walks.discard(walk)
        if not walk.cancelled():
            walk.exception()  # somebody was told, or nobody waits any more

    async def _in_turn(self, us: int) -> None:
        async with self._one_at_a_time:
            self._ignored &= set(self._under_way())
            self._patience_s = STILL_S
            await self._walk(self.offset_us + us)

    async def _walk(self, to_us: int) -> None:
        await self._rest()  # what was begun just before has its time, too
        while True:
            offset_us = await self._next_stop(to_us)
            await self._engine.submit(partial(self._step, offset_us=offset_us))
            while await self._engine.sweep():
                pass
            await self._rest()
            if offset_us >= to_us:
                return

    def _step(self, turn: Turn, offset_us: int) -> None:
        turn.now_us += offset_us - turn.state.clock_offset_us
        turn.put(c.SetClock(offset_us))
        self._engine.tick(turn)

    async def _next_stop(self, to_us: int) -> int:
        """How far to be ahead at the next instant at which something is due; `to_us` at most."""
        machine_us = self._engine.machine_us()
        now_us = machine_us + self.offset_us
        at_us = machine_us + to_us
        for due_us in (*self._dues(), await self._cleaning_us(at_us)):
            if due_us is not None:
                at_us = min(at_us, due_us if due_us > now_us else now_us + _OVERDUE_STEP_US)
        return max(self.offset_us, at_us - machine_us)

    def _dues(self) -> Iterator[int | None]:
        state = self._engine.state
        for source in SOURCES:
            yield source(state)
        for node in state.nodes.values():
            if node.state is NodeState.PREEMPTED:
                yield node.back_us

    async def _cleaning_us(self, until_us: int) -> int | None:
        """When the first directory is to go, if that is by then."""
        due = await self._engine.store.files_due(until_us, 1)
        if not due or due[0].files_until_us is None:
            return None
        return -(-due[0].files_until_us // _CLEANING_US) * _CLEANING_US

    async def _rest(self) -> None:
        """Return when nothing is under way any more but what is too slow to be waited for."""
        loop = asyncio.get_running_loop()
        end_at = loop.time() + LONGEST_REST_S
        still_at = loop.time() + self._patience_s
        before: set[Hashable] | None = None
        while True:
            under_way = set(self._under_way()) - self._ignored
            now_at = loop.time()
            if not under_way and not self._engine.is_deciding:
                return
            if under_way != before:
                before, still_at = under_way, now_at + self._patience_s
            left_s = min(still_at, end_at) - now_at
            if left_s <= 0:
                self._ignored |= under_way
                self._patience_s = max(self._patience_s / 2, min(LEAST_STILL_S, STILL_S))
                return
            await self._engine.turned(left_s)

    def _under_way(self) -> Iterator[Hashable]:
        """What is not at rest, each with what changes when it gets further."""
        state = self._engine.state
        for task in state.given.values():
            yield "task", task.no, task.attempt, task.state
        for node in state.nodes.values():
            if node.state in _MOVING_NODES:
                yield "node", node.no, node.state
        for job in state.jobs.values():
            if job.state in _MOVING_JOBS:
                yield "job", job.no, job.state
        for chore_no in state.chores:
            yield "chore", chore_no
