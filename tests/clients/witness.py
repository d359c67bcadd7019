"""What a client really asked and was really answered.

A tee stands between client and server: bytes pass through it untouched, and copies of both
directions are parsed. So a result says what was seen on the wire, not what a client printed.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from penstock.domain.refusals import Refusal
from penstock.wire.operations import OPERATIONS
from penstock.wire.routing import Router

_CHUNK: Final = 1 << 16
_SETTLE_S: Final = 2.0
_BODY_BYTES: Final = 1 << 20
"""Of an answer that is an error; more than this none has."""


@dataclass(slots=True)
class Exchange:
    """One request with its answer."""

    verb: str
    target: str
    version: str
    operation: str | None
    """As the table of operations names it; None where it has no such one."""
    status: int = 0
    code: str = ""
    """Of an error whose body has one."""

    def __str__(self) -> str:
        return f"{self.verb} {self.target} {self.status} {self.code}".rstrip()


class Witness:
    """A tee on a port of its own in front of one server; a context manager."""

    def __init__(self, endpoint: str, account: str) -> None:
        parts = urlsplit(endpoint)
        assert parts.scheme == "http", "what is encrypted cannot be read on the way"
        self._server = (parts.hostname or "", parts.port or 80)
        self._account = account.lower()
        self._router = Router(OPERATIONS)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False
        self._unanswered = 0
        self._answered = threading.Condition()
        self.exchanges: list[Exchange] = []
        self.unreadable: list[str] = []
        """What the parsers refused: a fault of client, server or this tee."""

    @property
    def endpoint(self) -> str:
        """Where the client is to go."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def watching(self) -> Iterator[list[Exchange]]:
        """Give, at the end of the block, the exchanges that ended in it."""
        before = len(self.exchanges)
        during: list[Exchange] = []
        yield during
        self.settle()
        during += self.exchanges[before:]

    def settle(self) -> None:
        """Wait for the ends of answers that a client does not read, before it goes on."""
        with self._answered:
            self._answered.wait_for(lambda: not self._unanswered, _SETTLE_S)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            ends = list(self._open)
        for end in (self._listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._listener.close()

    # --- passing on ----------------------------------------------------------------------------

    def _start(self, target: object, *words: object) -> None:
        thread = threading.Thread(target=target, args=words, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                if self._closed:
                    client.close()
                    server.close()
                    return
                self._open |= {client, server}
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            talk = _Talk(self)
            self._start(self._pass_on, client, server, talk.asked)
            self._start(self._pass_on, server, client, talk.answered)

    def _pass_on(self, source: socket.socket, sink: socket.socket, seen: _Ear) -> None:
        """Until one side hangs up; what is heard is noted before the other side hears it."""
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                seen.hear(data)
                sink.sendall(data)
        seen.end()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if isinstance(seen, _Answers):
            with self._lock:
                self._open -= {source, sink}
            source.close()
            sink.close()

    # --- noting --------------------------------------------------------------------------------

    def asked(self) -> None:
        """Take note that a request is on its way."""
        with self._answered:
            self._unanswered += 1

    def answered(self, exchange: Exchange | None) -> None:
        """Take note of the end of an exchange; None had none."""
        with self._answered:
            if exchange is not None:
                self.exchanges.append(exchange)
            self._unanswered -= 1
            self._answered.notify_all()

    def understood(self, verb: str, target: str) -> Exchange:
        """Name a request as the server's own table does."""
        url = urlsplit(target)
        query = {name.lower(): value for name, value in parse_qsl(url.query)}
        version = query.get("api-version", "")
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[0].lower() == self._account:
            parts = parts[1:]
        name: str | None
        try:
            name = self._router.find(verb, parts, version)[0].name
        except (Refusal, KeyError):
            name = None
        return Exchange(verb, target, version, name)


class _Ear:
    """Hears one direction of one connection, and stops listening at the first nonsense."""

    parser: Any

    def __init__(self, talk: _Talk) -> None:
        self.talk = talk
        self.deaf = False

    def hear(self, data: bytes) -> None:
        """Parse a copy of what passes."""
        if self.deaf:
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.deaf = True
            self.talk.witness.unreadable.append(f"{type(self).__name__}: {error!r} {data[:200]!r}")

    def end(self) -> None:
        """Take note that the direction is closed."""


class _Questions(_Ear):
    """What the client sends."""

    def __init__(self, talk: _Talk) -> None:
        super().__init__(talk)
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_headers_complete(self) -> None:
        verb = self.parser.get_method().decode()
        target = self._target.decode("latin-1")
        self.talk.waiting.append(self.talk.witness.understood(verb, target))
        self.talk.witness.asked()


class _Answers(_Ear):
    """What the server sends. A parser each, for an answer to HEAD has a length and no body."""

    def __init__(self, talk: _Talk) -> None:
        super().__init__(talk)
        self._status = 0
        self._body = b""
        self._between = True

    def hear(self, data: bytes) -> None:
        """Parse a copy of what passes; nobody here sends two requests at once."""
        if self._between:
            self.parser = httptools.HttpResponseParser(self)
            self._status, self._body, self._between = 0, b"", False
        super().hear(data)

    def on_headers_complete(self) -> None:
        self._status = self.parser.get_status_code()
        if self.talk.waiting and self.talk.waiting[0].verb == "HEAD":
            self._note()

    def on_body(self, body: bytes) -> None:
        if self._status >= 400 and len(self._body) < _BODY_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        self._note()

    def end(self) -> None:
        """Note an answer that ends with the connection, and that no other can come."""
        self._note()
        while self.talk.waiting:
            self.talk.waiting.popleft()
            self.talk.witness.answered(None)

    def _note(self) -> None:
        if self._between or self._status < 200 or not self.talk.waiting:
            return
        self._between = True
        exchange = self.talk.waiting.popleft()
        exchange.status, exchange.code = self._status, _code(self._body)
        self.talk.witness.answered(exchange)


def _code(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("code", "")) if isinstance(said, Mapping) else ""


class _Talk:
    """One connection: the requests on it that have no answer yet, oldest first."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.waiting: deque[Exchange] = deque()
        self.asked = _Questions(self)
        self.answered = _Answers(self)
