"""HTTP and HTTPS in one event loop: uvicorn, told to leave signals alone and to be bounded."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, ClassVar, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.domain.refusals import HeadTooLarge, NotHttp, Refusal, ServerBusy
from penstock.launch.listeners import Listeners
from penstock.launch.tls import TlsFiles
from penstock.messages import LINK_PATH
from penstock.wire.answers import refused
from penstock.wire.request import CROWDED

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of request line and headers together."""

_LINK: Final = LINK_PATH.encode()
_HUNG_UP: Final = "the handler is closed"
_HEAD_WITHIN_S: Final = 20.0  # from the first byte (or the connection) to the end of the head
_KEEP_ALIVE_S: Final = 75
_STOP_WITHIN_S: Final = 1
_LONGEST_LINK_MESSAGE: Final = 16 << 20
_BACKLOG: Final = 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def _refusal(refusal: Refusal) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """An answer in the form that clients know, where no request was read that it is for."""
    guid, now_us = str(uuid.uuid4()), time.time_ns() // 1000
    answer = refused(refusal, "http://localhost", guid, now_us)
    headers = {"request-id": guid, **answer.headers, "Content-Length": str(len(answer.body))}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return answer.status, pairs, answer.body


def _answer(refusal: Refusal) -> bytes:
    status, headers, body = _refusal(refusal)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


class BoundedProtocol(HttpToolsProtocol):
    """A connection that ends when a head is too long or too slow, or when there are too many.

    The parser itself keeps whatever is sent, and uvicorn gives a silent connection all the
    time in the world. One connection too many is marked, so that what comes over it is refused
    in the form that clients know; beyond twice the bound they are closed unheard.
    """

    most: ClassVar[int]
    _head_bytes = 0
    _reading_head = True
    _deadline: asyncio.TimerHandle | None = None
    _last_words: Refusal | None = None  # no more is read; said once all before it is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_head()
        if len(self.connections) > 2 * self.most:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._last_words is not None:
            return
        if self._reading_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reading_head and self._head_bytes > LONGEST_HEAD:
            self._refuse(HeadTooLarge(MaxLimit=LONGEST_HEAD))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._reading_head:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_done()
        if len(self.connections) > self.most:
            self.scope["state"][CROWDED] = True
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes, self._reading_head = 0, True
        self._head_done_cancel()
        self._deadline = self.loop.call_later(_HEAD_WITHIN_S, self.transport.close)

    def _head_done(self) -> None:
        self._reading_head = False
        self._head_done_cancel()

    def _head_done_cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _should_upgrade(self) -> bool:
        """Only node hosts speak WebSocket; a request that offers it is a request like others."""
        theirs = self.url.partition(b"?")[0] == _LINK
        keyed = any(name == b"sec-websocket-key" for name, _ in self.headers)
        return theirs and keyed and bool(super()._should_upgrade())

    def _unsupported_upgrade_warning(self) -> None:
        """The parser reads no further behind such an offer: neither a body nor requests."""
        if self.cycle is not None:
            self.cycle.keep_alive = self.cycle.more_body = False
            self.cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser gives up."""
        self._refuse(NotHttp(Reason=msg))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._last_words is not None and self.cycle.response_complete:
            self._refuse(self._last_words)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what came before, say what is wrong, and hang up."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._last_words = refusal
            return
        self.transport.write(_answer(refusal))
        self.transport.close()


class _Server(uvicorn.Server):
    """A server that says when it listens, and whose signals are somebody else's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Stoppable:
    """Answers 503 to the requests that are cut short at the end, so that clients ask again."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        answered = False

        async def send_noted(message: Message) -> None:
            nonlocal answered
            answered = True
            try:
                await send(message)
            except RuntimeError as error:  # uvloop's, where uvicorn has not yet heard of the end
                if _HUNG_UP not in str(error):
                    raise

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if answered or scope["type"] != "http":
                raise
            status, headers, body = _refusal(ServerBusy(Reason="the server is being stopped"))
            headers = [*headers, (b"connection", b"close")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


async def serve(
    app: App,
    listeners: Listeners,
    tls: TlsFiles,
    *,
    max_connections: int,
    stop: asyncio.Event,
    on_listening: Callable[[], None],
) -> None:
    """Answer on both addresses until `stop` is set; then end within about a second and a half.

    Requests that are running get a second to end. `on_listening` is called when both listen.
    """
    stoppable = _Stoppable(app)
    plain = _Server(_config(stoppable, max_connections))
    secure = _Server(_config(stoppable, max_connections, tls))
    async with asyncio.TaskGroup() as group:
        group.create_task(plain.serve([listeners.http]))
        group.create_task(secure.serve([listeners.https]))
        await plain.listening.wait()
        await secure.listening.wait()
        on_listening()
        await stop.wait()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # cut requests are no error
        plain.should_exit = secure.should_exit = True


def _config(app: App, max_connections: int, tls: TlsFiles | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=type("BoundedProtocol", (BoundedProtocol,), {"most": max_connections}),
        ws="websockets-sansio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        ws_max_size=_LONGEST_LINK_MESSAGE,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=False,
        ssl_certfile=str(tls.certificate) if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
    )
