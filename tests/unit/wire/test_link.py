"""The server's end of the link to a node host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from starlette.websockets import WebSocketDisconnect

from penstock.domain.refusals import ServerBusy
from penstock.messages import Hello, Instruction, RemoveTask, Report, encode, instructions
from penstock.wire.link import MOST_WAITING, TRY_AGAIN, _Conversation

HELLO = Hello(
    protocol=1,
    host="host",
    version="1",
    pid=1,
    started_us=0,
    cores=2,
    nodes=(),
    attempts=(),
)


class Socket:
    """A WebSocket whose other end takes what `reads` lets through."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Sequence[Report] | None] = asyncio.Queue()
        self.sent: list[Instruction] = []
        self.closed: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive_bytes(self) -> bytes:
        batch = await self.incoming.get()
        if batch is None:
            raise WebSocketDisconnect
        return encode(batch)

    async def send_bytes(self, message: bytes) -> None:
        await self.reads.wait()
        self.sent += instructions(message)

    async def close(self, code: int) -> None:
        self.closed = code


class Host:
    def __init__(self, host: str) -> None:
        self.host = host


class FakeEngine:
    """Greets with what it is given, and keeps the way to say more."""

    def __init__(self, greeting: Sequence[Instruction]) -> None:
        self.greeting = greeting
        self.send: Callable[[Sequence[Instruction]], None] | None = None

    async def connect(self, hello: Hello, send: Any) -> Host:
        self.send = send
        send(self.greeting)
        return Host(hello.host)

    async def disconnect(self, link: Host) -> None:
        pass


def chores(count: int) -> list[Instruction]:
    return [
        RemoveTask(chore=n, node_no=1, task_no=n, job_id="j", task_id=str(n)) for n in range(count)
    ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_a_long_greeting_is_not_taken_for_a_slow_host() -> None:
    async def scenario() -> None:
        socket: Any = Socket()
        engine: Any = FakeEngine(chores(MOST_WAITING + 1))
        talk = asyncio.create_task(_Conversation(engine, socket).run())
        socket.incoming.put_nowait([HELLO])
        await until(lambda: len(socket.sent) == MOST_WAITING + 1)
        socket.incoming.put_nowait(None)
        await asyncio.wait_for(talk, 10)
        assert socket.closed is None

    asyncio.run(scenario())


def test_a_host_that_takes_nothing_is_cut_off() -> None:
    async def scenario() -> None:
        socket: Any = Socket()
        engine: Any = FakeEngine(chores(1))
        talk = asyncio.create_task(_Conversation(engine, socket).run())
        socket.reads.clear()
        socket.incoming.put_nowait([HELLO])
        await until(lambda: engine.send is not None and socket.incoming.empty())
        for _ in range(3):
            engine.send(chores(MOST_WAITING + 1))
            await asyncio.sleep(0)
        socket.reads.set()
        await asyncio.wait_for(talk, 10)
        assert socket.closed is not None

    asyncio.run(scenario())


def test_a_host_that_cannot_be_greeted_now_is_told_to_come_again() -> None:
    class Busy(FakeEngine):
        async def connect(self, *_: Any) -> Host:
            raise ServerBusy

    async def scenario() -> None:
        socket: Any = Socket()
        engine: Any = Busy([])
        socket.incoming.put_nowait([HELLO])
        await asyncio.wait_for(_Conversation(engine, socket).run(), 10)
        assert socket.closed == TRY_AGAIN

    asyncio.run(scenario())
