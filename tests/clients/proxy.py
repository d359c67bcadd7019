"""A proxy that knows a few names, and where on this machine each of them is.

Some clients want a name of a certain shape for an account. With this proxy in the environment
they can have it on a machine whose resolver does not know it, and reach nothing else.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 1 << 16
_HEAD_BYTES: Final = 1 << 16
_ASKED: Final = re.compile(
    rb"(?P<verb>[A-Z]+) (?:http://)?(?P<name>[^/: ]+)(?::\d+)?(?P<rest>[ /])"
)


class NameProxy:
    """Listens on a free port of this machine; a context manager."""

    def __init__(self, places: Mapping[str, tuple[str, int]]) -> None:
        self._places = places
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.unknown: set[str] = set()
        """Names that somebody asked for in vain."""

    @property
    def url(self) -> str:
        """For HTTP_PROXY and HTTPS_PROXY."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

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
            ends = [self._listener, *self._open]
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._listener.close()

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
            with self._lock:
                self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """One connection stays with the name of its first request."""
        with client, suppress(OSError):
            head = _head(client)
            asked = _ASKED.match(head)
            if asked is None:
                return
            place = self._places.get(asked["name"].decode("latin-1"))
            if place is None:
                self.unknown.add(asked["name"].decode("latin-1"))
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(place, timeout=10) as server:
                server.settimeout(None)
                with self._lock:
                    self._open.add(server)
                if asked["verb"] == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                self._start(_copy, server, client)
                _copy(client, server)


def _head(client: socket.socket) -> bytes:
    """What comes first: at least the head of a request, and no body where it is CONNECT."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        data = client.recv(_CHUNK)
        if not data:
            break
        head += data
    return head


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
