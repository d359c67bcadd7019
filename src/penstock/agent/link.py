"""The link to the server: one WebSocket that is dialled again for ever.

Nothing is kept here over a cut. What the server must hear is in the ledger and is sent again
after the next welcome; a connection only carries what is said while it stands.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from penstock.agent import log
from penstock.agent.settings import ServerAddress
from penstock.messages import (
    LINK_PATH,
    Heartbeat,
    Hello,
    Instruction,
    Report,
    Welcome,
    encode,
    instructions,
)

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_OPEN_S: Final = 5.0
_MOST_BYTES: Final = 32 << 20  # of one batch from the server
_MOST_REPORTS: Final = 500  # in one batch to the server
_SHARE_S: Final = 0.003  # reports so soon after others wait, to share a message
_MOST_QUEUED: Final = 200_000  # reports that one connection may be behind


class BadServer(Exception):
    """The other end does not speak as agreed."""


class Link:
    """Dials, says hello, hands batches in, sends reports out."""

    def __init__(
        self,
        locate: Callable[[], ServerAddress | None],
        token: str,
        hello: Callable[[], Hello],
        heartbeat: Callable[[], Heartbeat],
        receive: Callable[[list[Instruction], int], None],
        before_sending: Callable[[], None],
    ) -> None:
        """`before_sending` writes down what must be on disk before the server hears of it."""
        self._locate = locate
        self._token = token
        self._hello = hello
        self._heartbeat = heartbeat
        self._receive = receive
        self._before_sending = before_sending
        self._out: deque[Report] = deque()
        self._wake = asyncio.Event()
        self._connection: ClientConnection | None = None
        self.address: ServerAddress | None = None
        self.generation = 0  # of the connection that stands; 0: there is none
        self._generations = 0
        self.lost_at = asyncio.get_running_loop().time()  # when a server was last there

    def send(self, report: Report) -> None:
        """Queue for the connection that stands; without one the report is dropped here."""
        if not self.generation:
            return
        if len(self._out) >= _MOST_QUEUED:
            self.hang_up()
            return
        self._out.append(report)
        self._wake.set()

    def hang_up(self) -> None:
        """Give the connection up, and dial again."""
        self.generation = 0
        self.lost_at = asyncio.get_running_loop().time()
        self._out.clear()
        if self._connection is not None:
            self._connection.transport.abort()

    async def run(self) -> None:
        """Keep a connection, until cancelled."""
        pause_s, told = _FIRST_PAUSE_S, ""
        while True:
            began = asyncio.get_running_loop().time()
            reason = await self._once()
            if self.generation:
                self.lost_at = asyncio.get_running_loop().time()
                told = ""
            self.generation = 0
            self._out.clear()
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            if reason != told:
                told = reason  # the same again every other second would fill the log
                log.info("link_down", reason=reason)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(self) -> str:
        """Live through one connection; give the reason for its end."""
        try:
            self.address = self._locate()
            if self.address is None:
                return "no server is known"
            async with connect(
                _link_url(self.address),
                additional_headers={"Authorization": f"Bearer {self._token}"},
                ssl=tls_context(self.address),
                compression=None,
                max_size=_MOST_BYTES,
                open_timeout=_OPEN_S,
                close_timeout=1.0,
                proxy=None,
            ) as connection:
                self._connection = connection
                await self._converse(connection)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
            return f"{type(error).__name__}: {error}"
        except (BadServer, msgspec.DecodeError, ssl.SSLError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self._connection = None
        return "closed by the server"

    async def _converse(self, connection: ClientConnection) -> None:
        await connection.send(encode([self._hello()]))
        first = _decoded(await connection.recv())
        if not first or not isinstance(first[0], Welcome):
            raise BadServer("the first message is no welcome")
        self._generations += 1
        self.generation = self._generations
        log.info("link_up", url=self.address.url if self.address else "")
        self._receive(first, self.generation)
        beats_s = max(0.05, first[0].heartbeat_s)
        others = [
            asyncio.ensure_future(self._write(connection)),
            asyncio.ensure_future(self._beat(beats_s)),
        ]
        try:
            async for message in connection:
                self._receive(_decoded(message), self.generation)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._out:
                batch = list(islice(self._out, _MOST_REPORTS))
                for _ in batch:
                    self._out.popleft()
                self._before_sending()
                await connection.send(encode(batch))
                if not self._out:
                    await asyncio.sleep(_SHARE_S)

    async def _beat(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self.send(self._heartbeat())


def _decoded(message: str | bytes) -> list[Instruction]:
    if isinstance(message, str):
        raise BadServer("a text message")
    return list(instructions(message))


def _link_url(address: ServerAddress) -> str:
    scheme, _, rest = address.url.rstrip("/").partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{LINK_PATH}"


def tls_context(address: ServerAddress) -> ssl.SSLContext | None:
    """What to trust for this server; None when it speaks in the clear."""
    if not address.url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=address.ca_file)
