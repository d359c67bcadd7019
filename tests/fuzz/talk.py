"""One connection to the server: frames out, answers in, and a bound on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.fuzz.framing import Frame

ANSWER_WITHIN_S = 20.0
"""No answer within this is a hang; the machine may be busy."""


class Hang(AssertionError):
    """An answer did not come, or a connection was not closed."""


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class _NotHttp(Exception):
    """What came cannot be read."""


class _Protocol(asyncio.Protocol):
    """Takes answers apart as they come.

    Not httptools: it cannot be told that an answer to HEAD has a length and no body.
    """

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self.heads: list[bool] = []  # of the requests on their way, oldest first
        self.transport: asyncio.WriteTransport
        self._came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        try:
            while (answer := self._taken()) is not None:
                if answer.status >= 200:
                    self.answers.put_nowait(answer)
        except (ValueError, _NotHttp):
            self.transport.abort()
            self.answers.put_nowait(Answer(-1, {}, bytes(self._came[:2000])))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.answers.put_nowait(None)

    def _taken(self) -> Answer | None:
        """Take one whole answer off what has come; None while there is none."""
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = bytes(self._came[:end]).decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if version != "HTTP/1.1":
            raise _NotHttp(first)
        status = int(rest[:3])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        bare = status < 200 or status in (204, 304) or (self.heads[:1] == [True])
        found = (end + 4, b"") if bare else self._body(end + 4, headers)
        if found is None:
            return None
        length, body = found
        del self._came[:length]
        if status >= 200:
            self.heads = self.heads[1:]
        return Answer(status, headers, body)

    def _body(self, start: int, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """Where the answer ends and its body; None while some of it is to come."""
        if "content-length" in headers:
            end = start + int(headers["content-length"])
            return (end, bytes(self._came[start:end])) if len(self._came) >= end else None
        if headers.get("transfer-encoding") != "chunked":
            raise _NotHttp("neither a length nor chunks")
        parts = []
        while True:
            line = self._came.find(b"\r\n", start)
            if line < 0:
                return None
            size = int(self._came[start:line], 16)
            end = line + 2 + size
            if len(self._came) < end + 2:
                return None
            parts.append(bytes(self._came[line + 2 : end]))
            start = end + 2
            if not size:
                return start, b"".join(parts)


class Connection:
    """A connection that is opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._protocol: _Protocol | None = None

    async def send(self, frame: Frame) -> Sequence[Answer]:
        """Send a frame, and give the answers that came. Raises Hang."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._send(frame)
        except TimeoutError:
            self.close()
            shown = b"".join(frame.pieces)[:3000]
            raise Hang(f"no end of the answer within {ANSWER_WITHIN_S:g} s to {shown!r}") from None

    async def _send(self, frame: Frame) -> Sequence[Answer]:
        again = self._protocol is not None and not self._protocol.transport.is_closing()
        answers = await self._tell(frame)
        if again and not answers and frame.certain:
            return await self._tell(frame)  # it was closed for silence just then
        return answers

    async def _tell(self, frame: Frame) -> Sequence[Answer]:
        protocol = await self._opened()
        protocol.heads = list(frame.heads)
        for number, piece in enumerate(frame.pieces):
            if number and frame.pause_s:
                await asyncio.sleep(frame.pause_s)  # slow senders are what is tried
            if protocol.transport.is_closing():
                break
            protocol.transport.write(piece)
        if frame.end and not protocol.transport.is_closing():
            with suppress(OSError):  # the server has hung up just now
                protocol.transport.write_eof()
        answers: list[Answer] = []
        while frame.end or len(answers) < len(frame.asked):
            answer = await protocol.answers.get()
            if answer is None:
                self._protocol = None
                break
            answers.append(answer)
        if self._protocol is not None and answers and _closes(answers[-1]):
            self.close()
        return answers

    async def _opened(self) -> _Protocol:
        if self._protocol is None or self._protocol.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, self._protocol = await loop.create_connection(_Protocol, self._host, self._port)
        return self._protocol

    def close(self) -> None:
        """Hang up."""
        if self._protocol is not None:
            self._protocol.transport.abort()
            self._protocol = None


def _closes(answer: Answer) -> bool:
    return answer.headers.get("connection", "").lower() == "close"
