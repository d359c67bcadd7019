"""The one writer: a queue of commands, and a task that takes them turn by turn.

A turn decides commands that wait, schedules what became possible, commits it all at once, and
only then answers and sends. If a commit fails, the memory is thrown away and read anew from the
store, so what was decided in that turn never was; then nothing is decided until the store has
shown that it can write again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import Counts
from penstock.domain.refusals import Refusal, ServerBusy
from penstock.domain.unreadable import Unreadable
from penstock.engine import jobs, runs
from penstock.engine.nodes import find_hosts
from penstock.engine.settings import EngineSettings
from penstock.engine.settle import settle
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.store.contract import Revision, Store, StoreDamaged, StoreRefused, WriteFailed

log = logging.getLogger("penstock.engine")

Decision = Callable[[Turn], Any]
"""Decides within a turn, at once or by awaiting the store; its value is the answer."""

FIRST_PAUSE_US: Final = 100_000
LONGEST_PAUSE_US: Final = 5_000_000
"""Between two attempts to write to a store that has failed to."""

CANNOT_WRITE: Final = "the server cannot write to its disk"


class Command:
    """A decision to be taken, and who waits for its answer."""

    __slots__ = ("answer", "decide", "failure", "on_failure", "reply", "weight")

    def __init__(
        self,
        decide: Decision,
        reply: asyncio.Future[Any] | None,
        on_failure: Callable[[], None] | None = None,
        weight: int = 1,
    ) -> None:
        self.decide = decide
        self.reply = reply
        self.on_failure = on_failure
        self.weight = weight  # how much work it is, in tasks or reports
        self.answer: Any = None
        self.failure: BaseException | None = None

    def settle(self) -> None:
        """Tell who waits."""
        if self.failure is not None and self.on_failure is not None:
            self.on_failure()
        if self.reply is None or self.reply.done():
            return
        if self.failure is not None:
            self.reply.set_exception(self.failure)
        else:
            self.reply.set_result(self.answer)


class Pause:
    """A store that failed to write is left alone for a while, and longer each time."""

    def __init__(self) -> None:
        self._until_us: int | None = None
        self._length_us = FIRST_PAUSE_US

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._until_us is not None

    def is_over(self, monotonic_us: int) -> bool:
        """Whether it is time for another attempt."""
        return self._until_us is None or monotonic_us >= self._until_us

    def failed(self, monotonic_us: int) -> None:
        """An attempt failed."""
        self._until_us = monotonic_us + self._length_us
        self._length_us = min(2 * self._length_us, LONGEST_PAUSE_US)

    def end(self) -> None:
        """The store can write something; only real work shows that it can write enough."""
        self._until_us = None

    def worked(self) -> None:
        """What a turn decided was written."""
        self._until_us, self._length_us = None, FIRST_PAUSE_US


class Loop:
    """Takes turns over a state and its store. `Engine` says what is decided in them."""

    def __init__(
        self,
        store: Store,
        now_us: Callable[[], int],
        random: Random,
        settings: EngineSettings,
        monotonic_us: Callable[[], int],
    ) -> None:
        self.store = store
        self.settings = settings
        self._machine_us = now_us
        self._monotonic_us = monotonic_us
        self._random = random
        self._state = State()
        self._revision = Revision(0)
        self._commands: asyncio.Queue[Command] = asyncio.Queue(settings.most_waiting)
        self._pause = Pause()
        self._in_turn = False
        self._turned = asyncio.Event()  # set, and replaced, after each turn

    # --- to be said by the engine --------------------------------------------------------------

    def _resumed(self) -> None:
        """The memory was read anew, or goes on after decisions were refused unseen."""

    def _act(self, turn: Turn) -> None:
        """The turn is durable: send what it wants sent and wake who waited for it."""

    # --- time ----------------------------------------------------------------------------------

    def _now_us(self) -> int:
        """The time of the service: the machine's, and what it was advanced by."""
        return self._machine_us() + self._state.clock_offset_us

    # --- turns ---------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the memory from the store. To be awaited before `run`."""
        saved = await self.store.load()
        state = State()
        for _ in state.restore(saved):
            await asyncio.sleep(0)  # a million waiting tasks hold up nobody who only reads
        self._state, self._revision = state, saved.revision
        self._resumed()

    async def _take_turns(self) -> None:
        while True:
            batch = await self._gather()
            self._in_turn = True
            await self._take_turn(batch)
            self._in_turn = False
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()

    async def _gather(self) -> list[Command]:
        batch = [await self._commands.get()]
        weight = batch[0].weight
        while weight < self.settings.weight_in_turn and not self._commands.empty():
            batch.append(self._commands.get_nowait())
            weight += batch[-1].weight
        return batch

    async def _take_turn(self, batch: list[Command]) -> None:
        """Take one turn. Raises StoreRefused when the store can be used no more."""
        if self._pause.is_on and not await self._can_write():
            _fail(batch, ServerBusy(Reason=CANNOT_WRITE))
            return
        now_us = self._now_us()
        turn = Turn(self._state, self.store, now_us, self._random, self.settings)
        turn.tells = self.settings.events_kept > 0
        try:
            enabling = list(self._state.enabling)
            for command in batch:
                await self._decide(turn, command)
            self._resume(turn, enabling)
            await self._schedule(turn)
            self._sweep_dropped(turn)
            await self._commit(turn)
        except Exception as error:
            # Whatever went wrong, the memory may hold what the store does not: start anew from
            # the store. A full disk refuses the requests; a bug of ours fails them.
            await self._start_anew(batch, error)
            return
        for command in batch:
            command.settle()
        self._act(turn)

    async def _can_write(self) -> bool:
        """Try a store that has failed, when it is time to; with a small write of no meaning."""
        if not self._pause.is_over(self._monotonic_us()):
            return False
        try:
            self._revision = await self.store.commit([TOUCH], self._revision, self._state.next_no)
        except WriteFailed:
            self._pause.failed(self._monotonic_us())
            return False
        self._pause.end()
        self._resumed()
        return True

    async def _decide(self, turn: Turn, command: Command) -> None:
        puts = turn.puts
        try:
            answer = command.decide(turn)
            command.answer = await answer if isinstance(answer, Coroutine) else answer
        except Unreadable:
            raise  # no rule refused: the turn cannot go on
        except Refusal as refusal:
            if turn.puts != puts:
                raise RuntimeError("a decision refused after it had changed something") from refusal
            command.failure = refusal
        settle(turn)

    def _resume(self, turn: Turn, enabling: Sequence[int]) -> None:
        """Let jobs be active that were enabling when the turn began; others in the next one."""
        for job_no in enabling:
            jobs.resume(turn, job_no)
        settle(turn)
        if self._state.enabling:
            self._submit_later(nothing)

    async def _schedule(self, turn: Turn) -> None:
        state = self._state
        find_hosts(turn, self.settings)
        state.release(self.settings.released_in_turn)
        left = self.settings.placements_in_turn
        while state.hot and left:
            key = next(iter(state.hot))
            del state.hot[key]
            placed = state.queue(key).place(left)
            left -= len(placed)
            if not left:
                state.hot[key] = None
            if placed:
                await runs.start(turn, placed)
            victims = state.queue(key).victims()
            for victim in victims:
                runs.make_room(turn, victim.task_no)
            if victims:
                state.hot[key] = None  # other nodes may be held now than when tasks were placed
        if state.hot or state.releasing:
            self._submit_later(nothing)

    def _sweep_dropped(self, turn: Turn) -> None:
        """Remove some tasks of jobs that are gone, so that no turn takes long over many."""
        for job_no in list(self._state.dropped)[:1]:
            turn.put(c.SweepJob(job_no, self.settings.swept_in_turn))
            self._submit_later(nothing)

    async def _commit(self, turn: Turn) -> None:
        changes = turn.changes()
        if changes:
            self._revision = await self.store.commit(changes, self._revision, self._state.next_no)
            self._pause.worked()

    async def _start_anew(self, batch: list[Command], error: Exception) -> None:
        failure = error
        if isinstance(error, WriteFailed | StoreRefused):
            log.error("commit failed: %s", error)
            failure = ServerBusy(Reason=CANNOT_WRITE)
            self._pause.failed(self._monotonic_us())
        elif isinstance(error, Unreadable):
            log.error("turn could not read: %s", error.cause)
        else:
            log.exception("turn failed", exc_info=error)
        try:
            _stop_at_damage(error)
            await self.load()
        finally:
            _fail(batch, failure)
        self._submit_later(nothing)

    # --- commands ------------------------------------------------------------------------------

    async def _submit(
        self,
        decide: Decision,
        on_failure: Callable[[], None] | None = None,
        weight: int = 1,
    ) -> Any:
        """Have a decision taken; return its answer when it is durable.

        `on_failure` is called as soon as it is known to fail, before any other is taken.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._commands.put_nowait(Command(decide, reply, on_failure, weight))
        except asyncio.QueueFull:
            if on_failure is not None:
                on_failure()
            raise ServerBusy from None
        return await reply

    def _submit_later(self, decide: Decision) -> None:
        """Have a decision taken that nobody waits for; skipped when the queue is full."""
        if not self._commands.full():
            self._commands.put_nowait(Command(decide, None))


def _stop_at_damage(error: Exception) -> None:
    """To go on would only meet it again, and to write might make it worse."""
    if isinstance(error, StoreRefused):
        raise error
    if isinstance(error, Unreadable) and error.damaged:
        raise StoreDamaged(f"it is damaged: {error.cause}") from error


def _fail(batch: list[Command], failure: Exception) -> None:
    for command in batch:
        command.failure = failure
        command.settle()


TOUCH: Final = c.SetCounts(0, Counts(), Counts())
"""A change that changes nothing: it shows that writing works."""


def nothing(turn: Turn) -> None:
    """Decides nothing; the turn goes on with what waits to be scheduled."""


def touch(turn: Turn) -> bool:
    """Write, so that it is seen whether that works."""
    turn.put(TOUCH)
    return True
