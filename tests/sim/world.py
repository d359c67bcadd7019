"""One world: a disk, a server that may die, node hosts, users and faults, all from one seed."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar
from unittest import mock

from penstock.domain import changes as c
from penstock.domain.refusals import Refusal
from penstock.engine import links
from penstock.engine import loop as loop_module
from penstock.engine.engine import Engine
from penstock.engine.links import Link, Send
from penstock.engine.loop import Command
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn
from penstock.messages import Heartbeat, Hello, NumberedReport
from penstock.store.contract import WriteFailed
from penstock.wire.link import _Conversation
from tests.records import NOW_US
from tests.sim.checks import Broken, Watch
from tests.sim.disk import Disk
from tests.sim.host import Host
from tests.sim.loop import NoProgress, VirtualLoop
from tests.sim.machine import Machine
from tests.sim.network import Network, Wire

T = TypeVar("T")

SILENT_US: Final = 30_000_000
_LINES_KEPT: Final = 60


class ServerGone(Exception):
    """The server died before it answered: what was asked for may be so, or not."""


class WatchedEngine(Engine):
    """The production engine, looked at after each of its turns."""

    world: World

    async def _take_turn(self, batch: list[Command]) -> None:
        await super()._take_turn(batch)
        self.world.check(self)

    async def _start_anew(self, batch: list[Command], error: Exception) -> None:
        if not isinstance(error, WriteFailed):
            self.world.fail(error)
        await super()._start_anew(batch, error)

    async def connect(self, hello: Hello, send: Send) -> Link:
        self.world.watch.heard(hello.host, self._monotonic_us())
        return await super().connect(hello, send)

    async def receive(
        self, link: Link, reports: Sequence[NumberedReport | Heartbeat | Hello]
    ) -> None:
        self.world.watch.heard(link.host, self._monotonic_us())
        await super().receive(link, reports)


class Server:
    """One life of the server."""

    def __init__(self, world: World, life: int) -> None:
        self._world = world
        random = Random(f"{world.seed}/engine/{life}")
        self.engine = WatchedEngine(
            world.disk, world.now_us, random, world.settings, world.monotonic_us
        )
        self.engine.world = world
        self.dead = False
        self.ready = False
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._main = asyncio.ensure_future(self._run())
        self._main.add_done_callback(self._ended)

    async def _run(self) -> None:
        await self.engine.load()
        self.ready = True
        await self.engine.run()

    def _ended(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled() and not self.dead:
            self._world.fail(main.exception() or Broken("the engine stopped"))

    def accept(self, wire: Wire) -> None:
        """A host dials in."""
        if self.dead or not self.ready:
            wire.cut()
            return
        end: Any = wire.server_end
        self.begin(self._converse(wire, _Conversation(self.engine, end)))

    async def _converse(self, wire: Wire, conversation: _Conversation) -> None:
        try:
            await conversation.run()
        except Refusal as refusal:
            self._world.note(f"host refused: {refusal}")
        finally:
            wire.break_at(wire.server_end)

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that dies with the server."""
        task = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def die(self) -> None:
        """End as SIGKILL would: nothing after the point that was reached happens."""
        self.dead = True
        for wire in self._world.network.wires:
            wire.cut()
        for task in [self._main, *self._tasks]:
            task.cancel()


class World:
    """All there is, and the one source of chance."""

    def __init__(self, seed: int, *, hosts: int = 2, detail: bool = False) -> None:
        self.seed = seed
        self._detail = detail
        self.random = Random(f"{seed}/world")
        self.loop = VirtualLoop()
        self.failure: BaseException | None = None
        self.lines: deque[str] = deque(maxlen=None if detail else _LINES_KEPT)
        self.digest = 0
        self.clock_offset_us = 0
        self.settings = EngineSettings(server_id="sim", node_silent_us=SILENT_US)
        self.watch = Watch(SILENT_US, Random(f"{seed}/watch"))
        self.disk = Disk(Random(f"{seed}/disk"), self._before_commit, self._after_commit)
        self.watch.store = self.disk
        self.network = Network(Random(f"{seed}/network"))
        self.server: Server | None = None
        self.server_lives = 0
        self.dies_at_commit: str | None = None  # before | after
        self.hosts = [self.new_host(f"host{number}") for number in range(hosts)]
        self._failed: asyncio.Future[None] = self.loop.create_future()

    def new_host(self, name: str) -> Host:
        random = Random(f"{self.seed}/{name}")
        machine = Machine(name, random, self.watch)
        machine.clock_offset_us = NOW_US + random.randrange(-2_000_000, 2_000_000)
        said = self.note if self._detail else None
        host = Host(machine, self.network, lambda: self.server, random, said)
        self.watch.unwritten.append(host.spawned_unwritten)
        return host

    # --- time and chance -----------------------------------------------------------------------

    def now_us(self) -> int:
        """What the server's clock says."""
        return NOW_US + self.loop.elapsed_us + self.clock_offset_us

    def monotonic_us(self) -> int:
        """What the server's clock that nobody sets says."""
        return self.loop.elapsed_us

    def note(self, line: str) -> None:
        """Remember what happened, for whoever looks into a failure."""
        self.lines.append(f"{self.loop.elapsed_us / 1e6:12.6f} {line}")

    async def pause(self, mean_s: float) -> None:
        await asyncio.sleep(self.random.expovariate(1 / mean_s))

    # --- the server ----------------------------------------------------------------------------

    def start_server(self) -> None:
        self.server_lives += 1
        self.note(f"server starts ({self.server_lives})")
        self.server = Server(self, self.server_lives)

    def kill_server(self) -> None:
        if self.server is not None:
            self.note("server dies")
            self.server.die()
            self.server = None

    async def call(self, ask: Callable[[Engine], Awaitable[T]]) -> T:
        """Ask the server as a client does. Raises its refusals, and `ServerGone`."""
        while self.server is None or not self.server.ready:
            await self.pause(0.3)
        task = self.server.begin(_asked(ask, self.server.engine))
        await asyncio.wait({task})
        if task.cancelled():
            raise ServerGone
        return task.result()

    # --- watching ------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """The history ends here."""
        if self.failure is None:
            self.failure = error
            self.note(f"FAILED: {error!r}")
        if not self._failed.done():
            self._failed.set_result(None)

    def check(self, engine: Engine) -> None:
        """A turn is over."""
        self._carefully(self.watch.after_turn, engine)

    def _before_commit(self, changes: Sequence[c.Change]) -> None:
        self._die_if("before")
        self.digest = zlib.crc32(b"%d %d" % (self.loop.elapsed_us, len(changes)), self.digest)
        self._carefully(self.watch.before_commit, changes)

    def _after_commit(self) -> None:
        self._carefully(self.watch.after_commit)
        self._die_if("after")

    def _die_if(self, when: str) -> None:
        if self.dies_at_commit == when:
            self.dies_at_commit = None
            self.kill_server()
            if when == "before":
                raise asyncio.CancelledError

    def _carefully(self, check: Callable[..., None], *arguments: Any) -> None:
        try:
            check(*arguments)
        except Broken as broken:
            self.fail(broken)

    # --- running -------------------------------------------------------------------------------

    def run(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """Play the story to its end. Raises `Broken` when something does not hold."""
        self.loop.set_exception_handler(self._unhandled)
        try:
            with _quiet(), self._watched():
                self.loop.run_until_complete(self._play(story))
        except NoProgress as stuck:
            self.fail(stuck)
        finally:
            self._close()
        if self.failure is not None:
            raise Broken(self._story_of(self.failure)) from self.failure

    async def _play(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        telling = asyncio.ensure_future(story(self))
        await asyncio.wait({telling, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done() and not telling.cancelled() and telling.exception() is not None:
            self.fail(telling.exception() or Broken("?"))
        self.kill_server()
        for host in self.hosts:
            host.kill(with_machine=True)
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        world, watch, believe = self, self.watch, links.reported

        class WatchedTurn(Turn):
            def __init__(self, state: Any, store: Any, now_us: int, random: Random) -> None:
                super().__init__(state, store, now_us, random)
                watch.now_us, watch.passed_us = now_us, world.monotonic_us()

            def put(self, change: c.Change) -> None:
                watch.moved(self.state, change)
                super().put(change)

        async def reported(turn: Turn, report: NumberedReport) -> None:
            watch.reported(turn, report)
            await believe(turn, report)

        with (
            mock.patch.object(loop_module, "Turn", WatchedTurn),
            mock.patch.object(links, "reported", reported),
        ):
            yield

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.fail(context.get("exception") or Broken(context["message"]))

    def _close(self) -> None:
        self.loop.close()

    def _story_of(self, failure: BaseException) -> str:
        last = "\n".join(self.lines)
        return (
            f"seed {self.seed}: {type(failure).__name__}: {failure}\n{last}\n"
            f"again: python -m tests.sim --seed {self.seed}"
        )


async def _asked(ask: Callable[[Engine], Awaitable[T]], engine: Engine) -> T:
    return await ask(engine)


@contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong on purpose is not worth a line in the log."""
    logger = logging.getLogger("penstock")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
