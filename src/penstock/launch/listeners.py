"""The listening addresses of a server, bound before anything heavy is loaded.

Bound early, a port 0 has become a number by the time that the address is handed to others, and
a port that cannot be had is refused before any child is started.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from penstock.launch.exits import CannotStart, Exit


@dataclass(frozen=True, slots=True)
class Listeners:
    """Two bound sockets, not listening yet."""

    http: socket.socket
    https: socket.socket
    host: str  # as asked for

    @property
    def endpoint(self) -> str:
        """The plain address that clients on this machine use."""
        return f"http://{_reachable(self.host)}:{self.http.getsockname()[1]}"

    @property
    def tls_endpoint(self) -> str:
        return f"https://{_reachable(self.host)}:{self.https.getsockname()[1]}"

    def close(self) -> None:
        self.http.close()
        self.https.close()


def bind(host: str, port: int, tls_port: int) -> Listeners:
    """Bind both. Raises CannotStart, saying which cannot be had."""
    http = _bind(host, port)
    try:
        return Listeners(http, _bind(host, tls_port), host)
    except CannotStart:
        http.close()
        raise


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotStart(Exit.NO_PORT, f"cannot listen on {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CannotStart(
            Exit.NO_PORT,
            f"cannot listen on {host}:{port}: {error.strerror} (port 0 takes a free one)",
        ) from None
    return listener


def _reachable(host: str) -> str:
    """A name for URLs; "all addresses" is reached on this machine by its loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
