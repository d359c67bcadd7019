"""One world: a disk, a server that may die, node hosts, users and faults, all from one seed."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from random import Random
from typing import Any, Final, NamedTuple, TypeVar
from unittest import mock

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.instants import SECOND_US
from penstock.domain.records import NodeRecord, TaskRecord
from penstock.domain.refusals import Refusal
from penstock.engine import engine as engine_module
from penstock.engine import links
from penstock.engine import loop as loop_module
from penstock.engine.engine import Engine
from penstock.engine.links import Link, Send
from penstock.engine.loop import Command
from penstock.engine.settings import EngineSettings, Quotas
from penstock.engine.turn import Turn
from penstock.messages import Heartbeat, Hello, NumberedReport
from penstock.store.contract import WriteFailed
from penstock.wire.link import _Conversation
from tests.records import NOW_US
from tests.sim.checks import Watch
from tests.sim.disk import Disk
from tests.sim.host import Host
from tests.sim.invariants import Broken, Invariant
from tests.sim.loop import NoProgress, VirtualLoop
from tests.sim.machine import Machine
from tests.sim.network import Network, Wire
from tests.sim.placing import PLACED_WITHIN_S

T = TypeVar("T")

LONGEST_S: Final = 6000.0
"""No story takes so long, where the pace is not slow."""

CALM_AFTER_S: Final = 60.0
"""So long after a disturbance its traces are gone: both ends know which connections stand, and
hosts have dialled again. The bound for waiting tasks counts from then on."""

_LINES_KEPT: Final = 60
_PATIENCE_S: Final = 10.0


class NoAnswer(Exception):
    """The server died, or the network lost request or answer: what was asked for may be so."""


class Pace(NamedTuple):
    """How fast the life of a world is. A slow one sees more hours, with less in each."""

    factor: int  # by which all that users and faults do takes longer
    heartbeat_s: float
    silent_s: float
    tick_s: float


PACES: Final = (
    Pace(1, heartbeat_s=2, silent_s=30, tick_s=0.25),
    Pace(1, heartbeat_s=2, silent_s=30, tick_s=0.25),
    Pace(10, heartbeat_s=10, silent_s=90, tick_s=2),
    Pace(60, heartbeat_s=30, silent_s=90, tick_s=5),
    Pace(240, heartbeat_s=30, silent_s=90, tick_s=10),
)


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
        self.world.watch.heard(hello.host)
        return await super().connect(hello, send)

    async def receive(
        self, link: Link, reports: Sequence[NumberedReport | Heartbeat | Hello]
    ) -> None:
        self.world.watch.heard(link.host)
        await super().receive(link, [*self.world.echoes.of(link, reports), *reports])


class Echoes:
    """In some worlds what was reported once is heard again, long after, as if it were new.

    No link does that within one connection; but the engine is to know what it knows already.
    """

    def __init__(self, random: Random) -> None:
        self._chance = 0.2 if random.random() < 0.2 else 0.0
        self._random = random
        self._heard: dict[Link, list[NumberedReport]] = {}

    def of(
        self, link: Link, reports: Sequence[NumberedReport | Heartbeat | Hello]
    ) -> list[NumberedReport]:
        """What is heard again before these reports; of the same connection."""
        if not self._chance:
            return []
        heard = self._heard.setdefault(link, [])
        again = (
            [self._random.choice(heard)] if heard and self._random.random() < self._chance else []
        )
        heard += [report for report in reports if not isinstance(report, Heartbeat | Hello)]
        return again


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
            stopped = Broken(Invariant.SOUND, "the engine stopped")
            self._world.fail(main.exception() or stopped)

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
            wire.break_at(wire.server_end)
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
        self.pace = Random(f"{seed}/pace").choice(PACES)
        silent_us = int(self.pace.silent_s * 1e6)
        random = Random(f"{seed}/settings")
        self.settings = EngineSettings(
            server_id="sim",
            node_silent_us=silent_us,
            heartbeat_s=self.pace.heartbeat_s,
            preemptions_per_hour=random.choice((0, 0, 60)) / self.pace.factor,
            quotas=self._quotas(random),
            return_us=random.choice((1, 20)) * self.pace.factor * SECOND_US,
        )
        self.watch = Watch(silent_us)
        self.watch.passed_us = self.monotonic_us
        self.watch.quotas = self.settings.quotas
        self.disk = Disk(
            Random(f"{seed}/disk"),
            self._before_commit,
            self._after_commit,
            lambda: self._die_if("torn"),
        )
        self.watch.opened(self.disk)
        self.faults: Counter[str] = Counter()  # how often which came
        self.losing = 0.0  # the chance that request or answer of a user is lost
        self.network = Network(Random(f"{seed}/network"))
        self.echoes = Echoes(Random(f"{seed}/echoes"))
        self.server: Server | None = None
        self.server_lives = 0
        self.dies_at_commit: str | None = None  # torn | before | after
        self._troubles: Counter[str | None] = Counter()  # under way; of None all suffer
        self._calm_since: dict[str | None, float] = {}
        self.hosts = [self.new_host(f"host{number}") for number in range(hosts)]
        self._placed: list[TaskRecord] = []  # by the commit under way
        self._failed: asyncio.Future[None] = self.loop.create_future()

    def new_host(self, name: str) -> Host:
        random = Random(f"{self.seed}/{name}")
        machine = Machine(name, random, self.watch)
        self._calm_since[name] = self.loop.time()
        machine.clock_offset_us = NOW_US + random.randrange(-2_000_000, 2_000_000)
        said = self.note if self._detail else None
        host = Host(machine, self.network, lambda: self.server, random, said)
        self.watch.forgotten.append(host.forgotten)
        return host

    # --- time and chance -----------------------------------------------------------------------

    def now_us(self) -> int:
        """What the server's clock says."""
        return NOW_US + self.loop.elapsed_us + self.clock_offset_us

    def service_us(self) -> int:
        """What the service says, whose clock may have been advanced."""
        return self.now_us() + self.disk.clock_offset_us

    @staticmethod
    def _quotas(random: Random) -> Quotas:
        if random.random() < 0.8:
            return Quotas()
        return Quotas(
            dedicated_cores=random.choice((0, 16, 32)),
            low_priority_cores=random.choice((0, 4, 8)),
            active_jobs=random.choice((0, 4, 8)),
        )

    def monotonic_us(self) -> int:
        """What the server's clock that nobody sets says."""
        return self.loop.elapsed_us

    def note(self, line: str) -> None:
        """Remember what happened, for whoever looks into a failure."""
        self.lines.append(f"{self.loop.elapsed_us / 1e6:12.6f} {line}")

    async def pause(self, mean_s: float) -> None:
        await asyncio.sleep(self.random.expovariate(1 / mean_s))

    # --- trouble -------------------------------------------------------------------------------

    @contextmanager
    def trouble(self, host: str | None) -> Iterator[None]:
        """Something disturbs a host, or all of them."""
        self._troubles[host] += 1
        try:
            yield
        finally:
            self._troubles[host] -= 1
            self._calm_since[host] = self.loop.time()

    def undisturbed(self) -> list[NodeRecord]:
        """The nodes that are ready by what their hosts know, with no trouble for a while."""
        return [
            self.disk.nodes[no]
            for host in self.hosts
            if self._is_calm(None) and self._is_calm(host.name) and host.life is not None
            for no in host.life.ready_nodes()
            if no in self.disk.nodes
        ]

    def _is_calm(self, host: str | None) -> bool:
        since = self._calm_since.get(host, 0.0)
        return not self._troubles[host] and self.loop.time() - since > CALM_AFTER_S

    async def watch_the_time(self) -> None:
        """See now and then that nobody waits for too long, also when there are no turns."""
        while True:
            await asyncio.sleep(PLACED_WITHIN_S / 3)
            self._carefully(self.watch.waited, self.undisturbed(), self.loop.time())
            engine = self.server.engine if self.server is not None else None
            if engine is not None and self._is_calm(None) and not engine.clock.is_advancing:
                self._carefully(self.watch.schedules.waited, self.service_us())
            if self.loop.time() > LONGEST_S * self.pace.factor:
                self.fail(Broken(Invariant.ONWARD, "the story does not come to its end"))

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
            self.watch.placing.server_died()

    def calm_down(self) -> None:
        """Nothing is taken away by chance any more."""
        self.settings = replace(self.settings, preemptions_per_hour=0.0)
        if self.server is not None:
            self.server.engine.settings = self.settings

    async def call(self, ask: Callable[[Engine], Awaitable[T]]) -> T:
        """Ask the server as a client does. Raises its refusals, and `NoAnswer`.

        A request may be lost on its way, or come late, when it was asked again already; an
        answer may be lost too.
        """
        while self.server is None or not self.server.ready:
            await self.pause(0.3)
        late_s = 0.0
        if self.losing and self.random.random() < self.losing:
            late_s = self.random.choice((0.0, self.random.expovariate(1 / _PATIENCE_S), inf))
            if late_s == inf:
                await asyncio.sleep(_PATIENCE_S)
                raise NoAnswer
        task = self.server.begin(_asked(ask, self.server.engine, late_s))
        task.add_done_callback(self._answered)
        await asyncio.wait({task}, timeout=_PATIENCE_S if self.losing else None)
        if not task.done() or task.cancelled():
            raise NoAnswer
        if self.losing and self.random.random() < self.losing:
            raise NoAnswer
        return task.result()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        """Whether somebody still waits for the answer or not, it must be one."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refusal):
            self.fail(error)

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
        self._placed = self._carefully(self.watch.before_commit, changes) or []

    def _after_commit(self) -> None:
        self._carefully(self.watch.after_commit, self._placed)
        self._die_if("after")

    def _die_if(self, when: str) -> None:
        if self.dies_at_commit == when:
            self.dies_at_commit = None
            self.kill_server()
            if when != "after":
                raise asyncio.CancelledError

    def _carefully(self, check: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return check(*arguments)
        except Broken as broken:
            self.fail(broken)
            return None

    # --- running -------------------------------------------------------------------------------

    def run(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """Play the story to its end. Raises `Broken` when something does not hold."""
        self.loop.set_exception_handler(self._unhandled)
        try:
            with _quiet(), self._watched():
                self.loop.run_until_complete(self._play(story))
        except NoProgress as stuck:
            self.fail(Broken(Invariant.ONWARD, str(stuck)))
        finally:
            self._close()
        failure = self.failure
        if failure is not None:
            known = isinstance(failure, Broken)
            invariant = failure.invariant if isinstance(failure, Broken) else Invariant.SOUND
            raise Broken(invariant, self._story_of(failure)) from (
                failure.__cause__ if known else failure
            )

    async def _play(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        telling = asyncio.ensure_future(story(self))
        watching = asyncio.ensure_future(self.watch_the_time())
        await asyncio.wait({telling, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        error = telling.exception() if telling.done() and not telling.cancelled() else None
        if error is not None:
            self.fail(error)
        self.kill_server()
        for host in self.hosts:
            host.kill(with_machine=True)
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        watch, believe = self.watch, links.reported

        class WatchedTurn(Turn):
            def __init__(
                self, state: Any, store: Any, now_us: int, random: Random, settings: Any
            ) -> None:
                super().__init__(state, store, now_us, random, settings)
                watch.turn_begins(now_us)

            def put(self, change: c.Change) -> None:
                watch.moved(self.state, change)
                super().put(change)

        async def reported(turn: Turn, report: NumberedReport) -> None:
            watch.reported(turn, report)
            await believe(turn, report)

        with (
            mock.patch.object(loop_module, "Turn", WatchedTurn),
            mock.patch.object(links, "reported", reported),
            mock.patch.object(engine_module, "TICK_S", self.pace.tick_s),
            mock.patch.object(engine_module, "STOOD_STILL_US", int(4e6 * self.pace.tick_s)),
        ):
            yield

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.fail(context.get("exception") or Broken(Invariant.SOUND, context["message"]))

    def _close(self) -> None:
        self.loop.close()

    def _story_of(self, failure: BaseException) -> str:
        last = "\n".join(self.lines)
        return (
            f"seed {self.seed}: {type(failure).__name__}: {failure}\n{last}\n"
            f"again: make sim SEED={self.seed}"
        )


async def _asked(ask: Callable[[Engine], Awaitable[T]], engine: Engine, late_s: float) -> T:
    if late_s:
        await asyncio.sleep(late_s)
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
