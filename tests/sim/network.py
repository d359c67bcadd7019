"""TCP as node hosts meet it: in order on each connection, late, cut with what is under way.

What one end had sent before it hung up may be lost, or may still arrive: then late, when a
newer connection stands already, on which the same is said again. So to whoever listens to all
connections of a host messages come doubled and out of order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Final

from starlette.websockets import WebSocketDisconnect

PING_S: Final = 20.0
"""Both ends ask for a sign of life so often, and wait as long for it before they hang up."""


class Closed(ConnectionError):
    """The other end is gone, as far as this end can tell."""


class End:
    """One end of a connection. The server's end speaks as a WebSocket of Starlette does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._arrived: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.under_way: deque[bytes | None] = deque()  # None: the other end closed
        self.due_at = 0.0  # when the last message to this end arrives
        self.held_until = 0.0  # nothing arrives before
        self.other: End
        self.closed = False

    def send(self, message: bytes) -> None:
        """Put a message on its way; it gets lost when the connection is cut before."""
        if self.closed:
            raise Closed("this end was closed")
        self._wire.carry(self.other, message)

    async def receive(self) -> bytes:
        """The next message. Raises `Closed` when there will be none."""
        while not self._arrived:
            if self.closed:
                raise Closed("the other end is gone")
            self._wake.clear()
            await self._wake.wait()
        return self._arrived.popleft()

    def arrive(self, message: bytes) -> None:
        if not self.closed:
            self._arrived.append(message)
            self._wake.set()

    def hang_up(self) -> None:
        """Notice that the connection is gone; what had arrived can still be read."""
        self.closed = True
        self._wake.set()

    # --- what a WebSocket is asked ---------------------------------------------------------------

    async def receive_bytes(self) -> bytes:
        try:
            return await self.receive()
        except Closed:
            raise WebSocketDisconnect(1006) from None

    async def send_bytes(self, message: bytes) -> None:
        try:
            self.send(message)
        except Closed:
            raise WebSocketDisconnect(1006) from None

    async def close(self, _code: int = 1000) -> None:
        self._wire.cut()


class Wire:
    """One connection: two ends and what is under way between them."""

    def __init__(self, network: Network, host: str) -> None:
        self._network = network
        self._loop = asyncio.get_running_loop()
        self.host = host
        self.server_end = End(self)
        self.host_end = End(self)
        self.server_end.other, self.host_end.other = self.host_end, self.server_end
        self.alive = True
        self._lingers: End | None = None  # what was sent to this end before the cut arrives yet

    def carry(self, to: End, message: bytes | None) -> None:
        to.under_way.append(message)
        self._schedule(to)

    def _schedule(self, to: End) -> None:
        at = max(self._loop.time() + self._network.delay_s(), to.due_at + 1e-6)
        to.due_at = at
        self._loop.call_at(at, self._deliver, to)

    def _deliver(self, to: End) -> None:
        if self._network.parted(self.host) or not to.under_way:
            return  # TCP tries again when the partition is over
        if self._loop.time() < to.held_until:
            return  # there is a later time for each that is held
        message = to.under_way.popleft()
        if message is None:
            to.hang_up()
        elif self.alive or self._lingers is to:
            to.arrive(message)

    @property
    def unread(self) -> bool:
        """Whether word of its end is still held up."""
        return bool(self.server_end.under_way or self.host_end.under_way)

    def resume(self) -> None:
        """The partition is over: what was held goes on, in order, when TCP tries again."""
        for end in (self.server_end, self.host_end):
            self._hold(end)

    def cut(self) -> None:
        """Lose all that is under way; the ends notice one after the other."""
        self._drop()
        for end in (self.server_end, self.host_end):
            self._loop.call_later(self._network.delay_s(), end.hang_up)

    def break_at(self, end: End) -> None:
        """One end gives up at once; the other hears of it when a message can reach it.

        What was sent to the other may be lost, or arrive before the word of the end does.
        """
        late = self._network.lingers()
        self._drop(end.other if late else None)
        end.hang_up()
        if late:
            self._hold(end.other)
        self.carry(end.other, None)

    def _hold(self, end: End) -> None:
        end.held_until = self._loop.time() + self._network.linger_s()
        end.due_at = max(end.due_at, end.held_until)
        for _ in end.under_way:
            self._schedule(end)

    def drop_at(self, end: End, word_s: float) -> None:
        """One end gives up at once; the other hears of it late, when it may be back already.

        What had been sent before arrives all the same.
        """
        self._drop(end.other)
        end.hang_up()
        self._loop.call_later(word_s, end.other.hang_up)

    def lost(self) -> None:
        """One end vanished without a word: the other misses an answer to its ping."""
        self._drop()
        for end in (self.server_end, self.host_end):
            self._loop.call_later(self._network.ping_out_s(), end.hang_up)

    def _drop(self, but: End | None = None) -> None:
        """Lose what is under way, `but` for what goes to this end."""
        self.alive = False
        self._lingers = but
        for end in (self.server_end, self.host_end):
            if end is not but:
                self._network.lost += sum(message is not None for message in end.under_way)
                end.under_way.clear()


class Network:
    """All connections, and which hosts cannot be reached."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._parted: set[str] = set()
        self._deaf: set[str] = set()
        self.wires: list[Wire] = []
        self.mean_delay_s = 0.003
        self.lost = 0  # messages, so far
        self.late = 0  # connections whose last words came late

    def parted(self, host: str) -> bool:
        """Whether nothing gets through between this host and the server."""
        return host in self._parted

    def delay_s(self) -> float:
        return 0.0002 + self._random.expovariate(1 / self.mean_delay_s)

    def lingers(self) -> bool:
        """Whether what is under way outlives the cut."""
        lingers = self._random.random() < 0.5
        self.late += lingers
        return lingers

    def linger_s(self) -> float:
        """How late what was held comes: no later than a ping without an answer ends the wire."""
        late_s = self._random.expovariate(1 / self._random.choice((0.003, 1.0, 20.0)))
        return min(late_s, 2 * PING_S)

    def ping_out_s(self) -> float:
        return self._random.uniform(PING_S, 2 * PING_S)

    def connect(self, host: str) -> Wire:
        self.wires = [wire for wire in self.wires if wire.alive or wire.unread]
        wire = Wire(self, host)
        self.wires.append(wire)
        return wire

    def of(self, host: str) -> list[Wire]:
        return [wire for wire in self.wires if wire.alive and wire.host == host]

    def part(self, host: str) -> None:
        """Let nothing through. An end that waits too long for a pong hangs up."""
        self._parted.add(host)
        for wire in self.of(host):
            for end in (wire.server_end, wire.host_end):
                self._hang_up_while(self._parted, wire, end)

    def heal(self, host: str) -> None:
        self._parted.discard(host)
        for wire in self.wires:
            if wire.host == host:
                wire.resume()

    def deafen(self, host: str) -> None:
        """The host's process stands still: its kernel takes messages, but no pong comes."""
        self._deaf.add(host)
        for wire in self.of(host):
            self._hang_up_while(self._deaf, wire, wire.server_end)

    def undeafen(self, host: str) -> None:
        self._deaf.discard(host)

    def _hang_up_while(self, silent: set[str], wire: Wire, end: End) -> None:
        def give_up() -> None:
            if wire.alive and wire.host in silent:
                wire.break_at(end)

        asyncio.get_running_loop().call_later(self.ping_out_s(), give_up)
