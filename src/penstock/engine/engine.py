"""The engine: what comes of time and of what node hosts say, each as one decision of a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import TypeVar

from penstock.domain import changes as c
from penstock.domain.metering import KEPT_US
from penstock.domain.records import (
    NodeRecord,
)
from penstock.domain.refusals import NodeStateUnusable, Refusal, ServerBusy
from penstock.domain.unreadable import Unreadable
from penstock.engine import (
    jobs,
    links,
    lives,
    preemption,
    resizes,
    retention,
    schedules,
    tasks,
)
from penstock.engine.clock import EngineClock
from penstock.engine.due import next_due_us
from penstock.engine.event_log import EventLog
from penstock.engine.files import FileBroker
from penstock.engine.links import Link, Send
from penstock.engine.loop import touch
from penstock.engine.recall import call_back, may_call_back
from penstock.engine.requests import Requests
from penstock.engine.service import FileAnswer
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import (
    AskFile,
    Confirm,
    FilesPage,
    Heartbeat,
    Hello,
    Instruction,
    NumberedReport,
)
from penstock.store.contract import Store

log = logging.getLogger("penstock.engine")

T = TypeVar("T")

TICK_S = 0.25
STOOD_STILL_US = 1_000_000
"""Between two ticks of a server that goes on as it should lies less."""

FILES_IN_SWEEP = 200


class Engine(Requests):
    """The engine; it keeps the promises of `Service`."""

    def __init__(
        self,
        store: Store,
        now_us: Callable[[], int],
        random: Random,
        settings: EngineSettings,
        monotonic_us: Callable[[], int],
    ) -> None:
        super().__init__(store, now_us, random, settings, monotonic_us)
        self.clock = EngineClock(_Clocked(self))
        self.events = EventLog(store, settings.events_kept)
        self.files = FileBroker(settings.most_file_asks, settings.file_wait_s)
        self._links: dict[str, Link] = {}
        self._greeted: dict[str, Link] = {}  # connected in a turn that is not yet committed
        self._silent_since_us: dict[str, int] = {}  # by a clock that nobody sets
        self._arrival = asyncio.Event()  # set, and replaced, when a host connects
        self._lives = lives.Lives()
        self._keepers = retention.Looks()
        self._trim_us = 0  # when usage of long ago is to be forgotten
        self._chance_us: int | None = None  # until when low-priority nodes were left to chance

    async def load(self) -> None:
        """See `Loop`."""
        await super().load()
        if not self.events.opened:
            await self.events.open(self._state.next_no)

    def _resumed(self) -> None:
        """See `Loop`: look anew at which hosts are there."""
        self._greeted.clear()
        nodes = self._state.nodes.values()
        for link in self._links.values():
            link.returning = False
        # Not those whose greeting was never committed, nor those that must be greeted anew.
        self._state.linked = {link.host for link in self._links.values() if not link.lost}
        since_us = self._monotonic_us()
        for node in nodes:
            self._state.open_or_close(node)
            if node.host is not None and node.host not in self._links:
                self._silent_since_us.setdefault(node.host, since_us)

    async def run(self) -> None:
        """Take turns until cancelled. Raises StoreRefused when the store can be used no more."""
        ticker = asyncio.create_task(self._tick_along(), name="engine ticks")
        try:
            self._submit_later(_look_at_everything)
            await self._take_turns()
        finally:
            ticker.cancel()
            self.clock.stop()

    def _act(self, turn: Turn) -> None:
        """The turn is durable: send what it wants sent and wake who waited for it."""
        by_host: dict[str, list[Instruction]] = {}
        for host in turn.lost_hosts:
            self._silent_since_us.pop(host, None)
            if host in self._links:
                self._links[host].lost = True
        for host, first in turn.greetings:
            link = self._greeted.pop(host, None)  # two greetings of one turn: the newer counts
            if link is not None:
                link.lost = link.returning = False
                self._links[host] = link
            self._silent_since_us.pop(host, None)
            by_host[host] = list(first)
        if turn.greetings:
            arrival, self._arrival = self._arrival, asyncio.Event()
            arrival.set()
        for host, instruction in turn.answers:
            by_host.setdefault(host, []).append(instruction)
        for node_no, instruction in turn.sends:
            node = self._state.nodes.get(node_no)
            if node is not None and node.host is not None:
                by_host.setdefault(node.host, []).append(instruction)
        for host, batch in by_host.items():
            link = self._links.get(host)
            if link is not None:
                link.send(batch)
        if self._waiters:
            self._wake(turn)
        if turn.told:
            self.events.grew(turn.last_event_no, turn.told)

    async def writable(self) -> bool:
        """Whether a write would succeed: one is made."""
        try:
            async with asyncio.timeout(5):
                return bool(await self._submit(touch))
        except (Refusal, TimeoutError):
            return False

    # --- time --------------------------------------------------------------------------------

    async def _tick_along(self) -> None:
        while True:
            slept_us = self._monotonic_us()
            await asyncio.sleep(TICK_S)
            self._stood_still(self._monotonic_us() - slept_us)
            if self._pause.is_on or self._something_due():
                self._submit_later(self._tick)
            try:
                await self.sweep()
            except Exception as error:
                if isinstance(error, Unreadable) and error.damaged:
                    self._submit_later(partial(_meet, error=error))
                # Time must go on: what failed was logged by its turn and is due again next time.
                log.warning("sweep failed, and is tried again")

    def _stood_still(self, passed_us: int) -> None:
        """Hold no silence against the hosts that the server itself was too slow to hear.

        A server that was stopped, or whose machine was, has their words waiting in its sockets.
        """
        if passed_us < STOOD_STILL_US:
            return
        for link in self._links.values():
            link.heard_us += passed_us
        for host in self._silent_since_us:
            self._silent_since_us[host] += passed_us

    async def sweep(self) -> bool:
        """Let go, or end, what has lasted for long enough. Returns when that is decided.

        True says that there may be more.
        """
        due = await self.store.files_due(self._now_us(), FILES_IN_SWEEP)
        if due:
            await self._submit(partial(_expire, numbers=[task.no for task in due]))
        await self._look_at_kept_data()
        await self._trim_usage()
        before_no = await self.events.to_trim()
        if before_no is not None:
            await self._submit(lambda turn: turn.put(c.TrimEvents(before_no)))
            self.events.trimmed(before_no)
        ended = await self._look_at_lives()
        return ended or len(due) == FILES_IN_SWEEP

    async def _trim_usage(self) -> None:
        """Forget, now and then, what pools used long ago."""
        now_us = self._now_us()
        if self._trim_us <= now_us:
            self._trim_us = now_us + lives.DAY_US
            await self._submit(lambda turn: turn.put(c.TrimPoolUsage(now_us - KEPT_US)))

    async def _look_at_kept_data(self) -> None:
        """Let nodes go on that waited for their tasks' files, where the time of all is over."""
        due = self._keepers.due(self._state.roster.keepers, self._now_us())
        if not due:
            return
        # The answer comes when all is durable that these nodes ran, so the store knows of it.
        quiet = await self._do(lambda turn: retention.quiet(turn, due))
        until = {no: await self.store.retained_until(no) for no in quiet}
        over = self._keepers.looked(due, until, self._now_us())
        if over:
            await self._do(lambda turn: retention.over(turn, over))

    async def _look_at_lives(self) -> bool:
        """End tasks that have waited for longer than any may; True when there may be more."""
        if not self._lives.is_due(self._now_us()):
            return False
        oldest = await self.store.oldest_waiting(lives.LOOKED_AT)
        over = lives.over(oldest, self._now_us())
        if over:
            await self._wait_for(partial(lives.end, numbers=over))
        self._lives.looked(oldest, self._now_us())
        return self._lives.is_due(self._now_us())

    def _something_due(self) -> bool:
        now_us, state = self._now_us(), self._state
        due_us = next_due_us(state)
        return (
            (due_us is not None and due_us <= now_us)
            or state.timetable.is_clearing()
            or bool(self._silent())
            or preemption.is_due(state, self.settings, now_us)
            or may_call_back(state, now_us)
        )

    def _silent(self) -> list[str]:
        """Hosts that gave no sign of life for too long."""
        limit_us = self._monotonic_us() - self.settings.node_silent_us
        gone = [host for host, since in self._silent_since_us.items() if since <= limit_us]
        return gone + [
            link.host
            for link in self._links.values()
            if link.heard_us <= limit_us and not link.lost
        ]

    def _tick(self, turn: Turn) -> None:
        call_back(turn)
        for job_no, due_us in list(self._state.job_due_us.items()):
            if due_us <= turn.now_us:
                jobs.time_out(turn, job_no)
        schedules.tick(turn)
        for pool_no in list(self._state.pools):
            resizes.time_out(turn, pool_no)
        self._preempt(turn)
        for host in self._silent():
            log.warning("host lost: host=%s", host)
            links.lost(turn, host)
            turn.lost_hosts.append(host)

    def _preempt(self, turn: Turn) -> None:
        since_us, self._chance_us = self._chance_us, turn.now_us
        if since_us is not None:
            preemption.by_chance(turn, self.settings, turn.now_us - since_us)
        preemption.give_back(turn, self.settings)

    # --- node hosts --------------------------------------------------------------------------

    async def connect(self, hello: Hello, send: Send) -> Link:
        """A node host is there. An older connection of the same host counts no more."""
        heard_us = self._monotonic_us()
        link = Link(hello, send, heard_us)
        # Its greeting may wait for its turn; it is not silent while it does.
        if link.host in self._links:
            self._links[link.host].heard_us = heard_us
        elif link.host in self._silent_since_us:
            self._silent_since_us[link.host] = heard_us
        await self._submit(partial(self._greet, link=link))
        return link

    async def _greet(self, turn: Turn, link: Link) -> None:
        first = await links.connected(turn, self.settings, link)
        turn.greetings.append((link.host, first))
        self._greeted[link.host] = link

    async def disconnect(self, link: Link) -> None:
        """A connection is gone."""
        if self._links.get(link.host) is link:
            del self._links[link.host]
            self._silent_since_us[link.host] = self._monotonic_us()
            self._submit_later(lambda turn: self._forget_link(turn, link.host))

    def _forget_link(self, turn: Turn, host: str) -> None:
        if host not in self._links and host not in self._greeted:  # it may be back by now
            links.disconnected(turn, host)

    async def receive(
        self, link: Link, reports: Sequence[NumberedReport | Heartbeat | Hello]
    ) -> None:
        """Take in what a host reports; it is confirmed to the host once it is durable.

        Raises ConnectionError when this is not the connection of the host that counts.
        """
        link.heard_us = self._monotonic_us()
        if self._links.get(link.host) is not link:
            # A newer connection took its place, or an older one whose greeting came late. What
            # was not confirmed is said again; and who lives dials again, so that one counts.
            raise ConnectionError(f"another connection of {link.host} counts")
        if link.lost and not link.returning and not self._commands.full():
            # Silent for too long on a connection that stood: begin as with a new one.
            link.returning = True
            self._submit_later(partial(self._greet, link=link))
        numbered = [r for r in reports if not isinstance(r, Heartbeat | Hello)]
        beats = [r for r in reports if isinstance(r, Heartbeat) and (r.attempts or r.sample)]

        async def believe(turn: Turn) -> None:
            if link.broken:
                raise ServerBusy(Reason="an earlier report of this connection was not taken")
            for report in numbered:
                await links.reported(turn, report)
            if numbered:
                turn.answers.append((link.host, Confirm(report=numbered[-1].report)))
            for beat in beats:
                links.sampled(turn, link.host, beat.sample)
                for kill in links.stale_attempts(turn, beat):
                    turn.answers.append((link.host, kill))

        if numbered or beats:
            # A confirmation speaks for all reports before it. So once one was not taken, none of
            # this connection is, and the host says them again over the next.
            await self._submit(believe, link.breaks, len(numbered))

    async def _link_to(self, host: str) -> Link:
        """The link to a host; one that has just gone, or not yet come back, is waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.link_wait_s):
                while host not in self._links and host in self._silent_since_us:
                    await self._arrival.wait()
        link = self._links.get(host)
        if link is None:
            raise NodeStateUnusable(Reason="the host of the node is not connected")
        return link

    async def ask_file(
        self,
        node: NodeRecord,
        root: str,
        what: str,
        path: str = "",
        *,
        recursive: bool = False,
        start: int | None = None,
        end: int | None = None,
        modified_since_us: int | None = None,
        unmodified_since_us: int | None = None,
        page: FilesPage | None = None,
    ) -> FileAnswer:
        """See `Service.ask_file`."""
        link = await self._link_to(node.host or "")
        question = AskFile(
            request=f"{self._random.getrandbits(128):032x}",
            node_no=node.no,
            root=root,
            what=what,
            path=path,
            recursive=recursive,
            start=start,
            end=end,
            modified_since_us=modified_since_us,
            unmodified_since_us=unmodified_since_us,
            page=page,
        )
        answer = self.files.expect(question)
        link.send([question])
        return await self.files.answer(question, answer)


class _Clocked:
    """See `clock.Clocked`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.store = engine.store
        self.machine_us = engine._machine_us
        self.submit = engine._submit
        self.tick = engine._tick
        self.sweep = engine.sweep

    @property
    def state(self) -> State:
        return self._engine._state

    @property
    def is_deciding(self) -> bool:
        return self._engine._in_turn or not self._engine._commands.empty()

    async def turned(self, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._engine._turned.wait()


def _meet(_turn: Turn, error: Exception) -> None:
    """Let a turn meet what was met outside of one."""
    raise error


def _look_at_everything(turn: Turn) -> None:
    """At start: let follow what had not followed when the last server stopped."""
    for job_no in turn.state.jobs:
        turn.touch_job(job_no)
    for pool_no in turn.state.pools:
        turn.touch_pool(pool_no)
    for node_no in turn.state.nodes:
        turn.touch_node(node_no)


async def _expire(turn: Turn, numbers: Sequence[int]) -> None:
    for task, _ in (await turn.tasks(numbers)).values():
        if task.files_until_us is not None and task.files_until_us <= turn.now_us:
            await tasks.expire_files(turn, task)
