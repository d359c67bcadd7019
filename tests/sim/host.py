"""A node host: the production core and journal, with a shell like that of `agent.host`.

The shell keeps the order of the real one: actions are carried out as the core gives them, the
journal is written before a process begins, before the server hears of anything and when the batch
is through, reports go out on the connection whose welcome the core has seen. A host that is
killed loses what it did not write; its processes run on. A machine that is switched off loses
what its disk did not yet have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from errno import ENOSPC
from os import strerror
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from penstock.agent import events, failures, journal
from penstock.agent.clock import _TOLERATED_US
from penstock.agent.core import AgentCore
from penstock.agent.events import Action, Event, Run, RunKey
from penstock.agent.journal import Journal
from penstock.agent.layout import run_directory
from penstock.agent.ledger import BegunRun, Saved, SavedNode
from penstock.messages import (
    PROTOCOL,
    Confirm,
    Heartbeat,
    Hello,
    Instruction,
    MakeNode,
    NumberedReport,
    Report,
    RunTask,
    Welcome,
    encode,
    instructions,
)
from tests.sim.machine import Machine
from tests.sim.network import Closed, End, Network

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_GRACE_US: Final = 2_000_000


class Died(Exception):
    """The host was killed in the middle of what it did."""


class Paper:
    """The file of a journal: its lines, and how many the disk has for sure."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.kept = 0

    def tear(self, random: Random) -> set[RunKey]:
        """Lose some of what the disk may not have had; gives the runs whose begin is lost."""
        left = random.randint(min(self.kept, len(self.lines)), len(self.lines))
        lost, self.lines[:] = self.lines[left:], self.lines[:left]
        decode = journal._DECODERS[b"B"].decode
        return {decode(line[2:]).key for line in lost if line.startswith(b"B ")}


class Notes(Journal):
    """A journal on a `Paper`, written as the real one is: no more while the disk is full."""

    def __init__(self, paper: Paper, is_full: Callable[[], bool]) -> None:
        self._paper = paper
        self._is_full = is_full
        self._lines = []
        self._torn = False
        self.saved = Saved()
        for line in paper.lines:
            kind, _, text = line.partition(b" ")
            journal._take(self.saved, kind, journal._DECODERS[kind].decode(text))

    def flush(self) -> None:
        """See `Journal.flush`."""
        if self._torn:
            self._compact()
        if not self._lines:
            return
        batch, self._lines = self._lines, []
        self._torn = True
        self._write(self._paper.lines, batch)
        self._torn = False
        if len(self._paper.lines) > 100:
            self._compact()

    def _compact(self) -> None:
        aside: list[bytes] = []
        records = journal._records(self.saved)
        self._write(aside, [b"%b %b" % (kind, journal._ENCODE(value)) for kind, value in records])
        self._paper.lines[:] = aside
        self._paper.kept = len(aside)
        self._lines = []
        self._torn = False

    def _write(self, lines: list[bytes], more: list[bytes]) -> None:
        if self._is_full():
            raise OSError(ENOSPC, strerror(ENOSPC))
        lines += [line.rstrip(b"\n") for line in more]


class Host:
    """One node host over all its lives."""

    def __init__(
        self,
        machine: Machine,
        network: Network,
        server: Callable[[], Any],
        random: Random,
        said: Callable[[str], None] | None = None,
    ) -> None:
        self.name = machine.name
        self.machine = machine
        self.network = network
        self.paper = Paper()
        self.life: Life | None = None
        self.lives = 0
        self.gone = False  # for good
        self.server = server
        self.random = random
        self.said = said  # takes down all that is said on the link
        self.echo = 0.2 if random.random() < 0.2 else 0.0  # chance to hear something twice
        self.forgotten: set[RunKey] = set()  # begun, and the note of it was lost with the disk

    def start(self) -> None:
        """Begin a life."""
        assert self.life is None
        self.lives += 1
        self.life = Life(self)

    def kill(self, *, with_machine: bool = False) -> None:
        """End the life as SIGKILL would, or as a power cut."""
        if self.life is not None:
            self.life.die()
            self.life = None
        wires = self.network.of(self.name)
        for wire in wires:
            if with_machine:
                wire.lost()
            else:
                wire.break_at(wire.host_end)
        if with_machine:
            self.machine.kill_all()
            self.machine.torn = True
            self.forgotten |= self.paper.tear(self.random)

    def day_us(self) -> int:
        """The time of day on this machine."""
        return _elapsed_us() + self.machine.clock_offset_us

    def step_clock(self, by_us: int) -> None:
        """Someone sets the time of day."""
        self.machine.clock_offset_us += by_us
        if self.life is not None:
            self.life.clock_stepped()


class Life:
    """A node host from its start to its death."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._machine = host.machine
        self._random = host.random
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Event | tuple[Welcome, End]] = deque()
        self._pump_due = False
        self._flush_due = False
        self._dead = False
        self._awake = asyncio.Event()
        self._awake.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transfers: dict[RunKey, asyncio.TimerHandle] = {}
        self._transfer_ends: dict[RunKey, Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us: int | None = None
        self._end: End | None = None  # of the connection that stands
        self._out: list[Report] = []
        self._write_due = False
        self._heard: list[Instruction] = []  # since the last welcome
        self._welcomed: End | None = None  # the connection whose welcome was taken in
        self.dies_at_spawn: str | None = None  # noted | begun
        self._offset_us = host.machine.clock_offset_us
        self._notes = Notes(host.paper, lambda: host.machine.full)
        self.core = AgentCore(self._notes.saved, grace_us=_GRACE_US)
        self._start(self._live())

    # --- life and death ----------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._dead:
            raise task.exception() or AssertionError

    async def _live(self) -> None:
        await asyncio.sleep(self._random.expovariate(1 / 0.2))
        while self._machine.full:
            await asyncio.sleep(_LONGEST_PAUSE_S)  # the journal cannot be opened: it is tried again
        self._notes._compact()
        self._machine.kill_all()  # what an earlier life left
        self._machine.adopt(self._emit)
        saved = self._notes.saved.nodes.values()
        self._machine.keep_only({_root(node.order) for node in saved})
        for node in saved:
            self._machine.make(_root(node.order), node.order.boot)
        self._do_all(self.core.restore(self.now_us()))
        self._schedule_pump()
        await self._dial()

    def die(self) -> None:
        self._dead = True
        self._machine.adopt(None)
        if self._notes._torn:  # the disk was full, so the last notes were never written
            written = Notes(self._host.paper, lambda: False).saved.begun.keys()
            self._host.forgotten |= self._notes.saved.begun.keys() - written
        for task in list(self._tasks):
            task.cancel()
        for timer in (self._timer, *self._transfers.values()):
            if timer is not None:
                timer.cancel()

    def freeze(self) -> None:
        """Stand still, as under SIGSTOP; processes run on, and events pile up."""
        self._awake.clear()
        self._host.network.deafen(self._host.name)

    def thaw(self) -> None:
        self._awake.set()
        self._host.network.undeafen(self._host.name)
        self._schedule_pump()

    def ready_nodes(self) -> list[int]:
        """The nodes that would run a task at once."""
        return list(self.core.ready_nodes())

    @property
    def frozen(self) -> bool:
        return not self._awake.is_set()

    # --- the clock ---------------------------------------------------------------------------

    def now_us(self) -> int:
        """As `agent.clock.Clock`: the time of day as it was, carried on."""
        return _elapsed_us() + self._offset_us

    def clock_stepped(self) -> None:
        """It is noticed within a second."""
        self._loop.call_later(self._random.random(), self._mind_the_clock)

    def _mind_the_clock(self) -> None:
        step_us = self._host.machine.clock_offset_us - self._offset_us
        if abs(step_us) > _TOLERATED_US and not self._dead:
            self.core.shift(step_us)
            self._offset_us += step_us
            self._set_timer()

    # --- the link ----------------------------------------------------------------------------

    async def _dial(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            began = self._loop.time()
            with suppress(Closed):
                await self._once()
            self._end = None
            self._out.clear()
            if self._loop.time() - began > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            await self._awake.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(self) -> None:
        network, name = self._host.network, self._host.name
        server = self._host.server()
        if network.parted(name):
            await asyncio.sleep(5)
            raise Closed("no way to the server")
        await asyncio.sleep(network.delay_s())
        if server is None or server.dead:
            raise Closed("no server")
        wire = network.connect(name)
        server.accept(wire)
        end = wire.host_end
        try:
            await self._converse(end)
        finally:
            if not self._dead:
                wire.break_at(end)

    async def _converse(self, end: End) -> None:
        hello = Hello(
            protocol=PROTOCOL,
            host=self._host.name,
            version="1",
            pid=self._host.lives,
            started_us=self._host.lives,
            cores=2,
            nodes=self.core.nodes(),
            attempts=self.core.known_attempts(),
        )
        end.send(encode([hello]))
        first = list(instructions(await end.receive()))
        await self._awake.wait()
        assert isinstance(first[0], Welcome), "the first message is a welcome"
        self._end = end
        self._receive(first, end)
        beats = self._start(self._beat(first[0].heartbeat_s))
        try:
            while True:
                batch = list(instructions(await end.receive()))
                await self._awake.wait()
                self._receive(batch, end)
        finally:
            beats.cancel()

    async def _beat(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self._awake.wait()
            self._send_report(Heartbeat(attempts=self.core.attempts()))

    def _send_report(self, report: Report) -> None:
        if self._end is None:
            return
        self._out.append(report)
        if not self._write_due:
            self._write_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._write_due = False
        batch, self._out = self._out, []
        if self._end is not None and batch and not self._dead and not self._end.closed:
            self._write_journal()
            self._end.send(encode(batch))

    # --- events in ---------------------------------------------------------------------------

    def _receive(self, batch: list[Instruction], end: End) -> None:
        for message in batch:
            if isinstance(message, Welcome):
                self._heard.clear()
                self._queue.append((message, end))
            else:
                self._queue.append(message)
        self._hear_again(batch)
        self._schedule_pump()

    def _hear_again(self, batch: list[Instruction]) -> None:
        """In some worlds an instruction of this connection comes once more, long after.

        But none to make a node, which might be dropped by now: only the next welcome would tell.
        """
        if self._host.echo:
            self._heard += [it for it in batch if not isinstance(it, Welcome | MakeNode)]
            if self._heard and self._random.random() < self._host.echo:
                self._queue.append(self._random.choice(self._heard))

    def _emit(self, event: Event) -> None:
        self._queue.append(event)
        self._schedule_pump()

    def _schedule_pump(self) -> None:
        if not self._pump_due and not self._dead:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self._dead or self.frozen:
            return
        slice_ = self._random.choice((1, 3, 1000))
        try:
            while self._queue and slice_:
                slice_ -= 1
                self._take(self._queue.popleft())
        except Died:
            return
        if self._queue:
            self._schedule_pump()
        self._set_timer()

    def _take(self, event: Event | tuple[Welcome, End]) -> None:
        if isinstance(event, tuple):
            event, end = event
            if end is not self._end:
                return
            self._welcomed = end
        actions = self.core.handle(event, self.now_us())
        if self._host.said is not None and not isinstance(event, Confirm):
            self._host.said(f"{self._host.name}: {event} -> {actions}")
        self._do_all(actions)

    def _set_timer(self) -> None:
        due_us = self.core.due_us()
        if due_us == self._timer_us and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_us = due_us
        if due_us is not None:
            pause_s = max(0.0, (due_us - self.now_us()) / 1e6)
            self._timer = self._loop.call_later(pause_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._emit(events.Tick())

    # --- actions out -------------------------------------------------------------------------

    def _do_all(self, actions: list[Action]) -> None:
        for action in actions:
            self._do(action)
        if actions and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if not self._dead:
            self._write_journal()

    def _write_journal(self) -> None:
        with suppress(OSError):  # tasks go on; what a crash would now lose is run again
            self._notes.flush()

    def _do(self, action: Action) -> None:
        match action:
            case events.Spawn(run, fresh, start_us):
                self._spawn(run, start_us, fresh=fresh)
            case events.Send(report):
                self._notes.report(report)
                self._say(report)
            case events.SendAgain(report):
                self._say(report)
            case events.Forgive(number):
                self._notes.confirmed(number)
            case events.Forget(key):
                self._notes.forget(key)
            case events.Terminate(key):
                self._machine.terminate(key)
            case events.Kill(key):
                self._machine.kill(key)
            case events.Prepare(run):
                self._prepare(run)
            case events.Upload(run):
                self._transfer(run.key, self._uploaded(run), events.Uploaded(run.key, None))
            case events.StopTransfer(key):
                self._stop_transfer(key)
            case events.MakeDirectories(node):
                self._make_directories(node)
            case events.Reboot(node, wipe):
                self._start(self._reboot(node, wipe=wipe))
            case events.ClearNode(node):
                self._start(self._clear_node(node))
            case events.RemoveTree(chore, node, path):
                self._machine.remove(f"{_root(node)}/{path}")
                self._start(self._tree_removed(chore))
            case events.NewServer(server, other):
                assert not other, "there is one server"
                self._notes.server(server, other=other)

    def _say(self, report: NumberedReport) -> None:
        if self._end is not None and self._welcomed is self._end:
            self._send_report(report)

    def _spawn(self, run: Run, start_us: int, *, fresh: bool) -> None:
        directory = _directory(run)
        if fresh:
            assert _root(run.node) in self._machine.directories, "the node is not there"
            if self._machine.full:
                self._queue.append(events.SpawnFailed(run.key, failures.no_space()))
                return
            self._machine.make(directory, run.node.boot)
        elif run.key.number < 0:
            self._machine.make(directory, run.node.boot)
        number, attempt = run.key
        begun = BegunRun(number, attempt, run.node.node_no, 0, 0, start_us)
        self._notes.begun(begun)
        self._write_journal()
        self._die_if("noted")
        outcome = self._machine.spawn(run, directory)
        self._die_if("begun")
        if isinstance(outcome, int):
            self._notes.begun(replace(begun, pid=outcome))
            return
        if isinstance(outcome, events.SpawnBusy):
            self._notes.forget(run.key)
        self._queue.append(outcome)

    def _die_if(self, when: str) -> None:
        if self.dies_at_spawn == when:
            self._host.kill()
            raise Died

    def _make_directories(self, node: MakeNode) -> None:
        self._queue.append(self._made(node))

    def _made(self, node: MakeNode) -> Event:
        if self._machine.full:
            return events.NodeFailed(node.node_no, failures.no_space(), node.boot)
        self._machine.make(_root(node), node.boot)
        known = self._notes.saved.nodes.get(node.node_no)
        address = f"127.1.0.{self._notes.address()}" if known is None else known.address
        self._notes.node(SavedNode(node, address))
        return events.NodeMade(node.node_no, address, node.boot)

    async def _reboot(self, node: MakeNode, *, wipe: bool) -> None:
        await asyncio.sleep(self._random.expovariate(1 / 0.2))
        self._machine.boot(_root(node), node.wiped, wipe=wipe)
        self._emit(self._made(node))

    async def _clear_node(self, node: MakeNode) -> None:
        await asyncio.sleep(self._random.expovariate(1 / 0.2))
        self._machine.kill_all(_root(node) + "/")
        self._machine.remove(_root(node))
        self._notes.node_gone(node.node_no)
        self._emit(events.NodeCleared(node.node_no))

    async def _tree_removed(self, chore: int) -> None:
        await asyncio.sleep(self._random.expovariate(1 / 0.05))
        self._emit(events.TreeRemoved(chore))

    # --- transfers ---------------------------------------------------------------------------

    def _prepare(self, run: Run) -> None:
        ready: Event = events.Prepared(run.key)
        if self._machine.full:
            ready = events.PrepareFailed(run.key, failures.no_space())
        else:
            self._machine.make(_directory(run), run.node.boot)
        if "nofile" in run.order.command_line:
            ready = events.PrepareFailed(run.key, failures.failure("BlobNotFound"))
        stopped = events.PrepareFailed(run.key, failures.ended_by_user())
        self._transfer(run.key, ready, stopped)

    def _uploaded(self, run: Run) -> Event:
        failed = "noupload" in run.order.command_line
        failure = failures.failure("FileUploadContainerNotFound") if failed else None
        return events.Uploaded(run.key, failure)

    def _transfer(self, key: RunKey, end: Event, stopped: Event) -> None:
        self._transfer_ends[key] = stopped
        takes_s = self._random.expovariate(1 / 1.0)
        self._transfers[key] = self._loop.call_later(takes_s, self._transferred, key, end)

    def _transferred(self, key: RunKey, end: Event) -> None:
        del self._transfers[key]
        self._emit(end)

    def _stop_transfer(self, key: RunKey) -> None:
        transfer = self._transfers.pop(key, None)
        if transfer is not None:
            transfer.cancel()
            self._loop.call_soon(self._emit, self._transfer_ends[key])


def _elapsed_us() -> int:
    loop: Any = asyncio.get_running_loop()
    return int(loop.elapsed_us)


def _root(node: MakeNode) -> str:
    return f"{node.pool_id}/{node.node_id[6:14]}-{node.node_no}"


def _directory(run: Run) -> str:
    if isinstance(run.order, RunTask):
        return f"{_root(run.node)}/{run_directory(run.order)}"
    return f"{_root(run.node)}/startup"
