"""One request, taken apart: what a handler may look at."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from penstock.domain.refusals import (
    InvalidHeaderValue,
    InvalidQueryParameterValue,
    InvalidUri,
    OutOfRangeQueryParameterValue,
    RequestBodyTooLarge,
    RequestTimedOut,
)
from penstock.engine.service import Service
from penstock.wire.room import Room
from penstock.wire.settings import WireSettings
from penstock.wire.versions.parts import Part
from penstock.wire.versions.reading import reader

CROWDED: Final = "crowded"
"""In the state of a connection that is one too many: only probes are answered on it."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_NUMBER: Final = re.compile(r"[+-]?[0-9]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_PASSED_ON: Final = {"origin", "forwarded", "x-forwarded-for", "via"}
"""Headers of requests that somebody far away may have caused."""

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


class Request:
    """One request of a known account, to a known operation.

    `path` is as on the request line, percent-encoded, without the account segment that a local
    endpoint may put first; `base` is what the client put before it, so ``base + path`` is its
    URL. `ids` are the decoded parts of the path that the operation leaves open; `takes` is the
    kind of its body, where versions differ in it.
    """

    account: str
    base: str
    path: str
    version: str
    ids: tuple[str, ...]
    takes: Part | None = None

    def __init__(
        self,
        scope: Mapping[str, Any],
        receive: Receive,
        service: Service,
        settings: WireSettings,
        guid: str,
        room: Room,
        lists: asyncio.Semaphore,
    ) -> None:
        self.lists = lists  # to be held while a page of a list is made
        self._room = room
        self._held_bytes = 0
        self.service = service
        self.settings = settings
        self.guid = guid
        self.receive = receive
        self.method: str = scope["method"]
        self.crowded = CROWDED in scope.get("state", ())
        self.scheme: str = scope.get("scheme", "http")
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.query_text: str = scope["query_string"].decode("latin-1")
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        self.headers = headers

    @cached_property
    def origin(self) -> str:
        """Scheme and host that the client used."""
        host = self.headers.get("host", "")
        return f"{self.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"

    @property
    def is_from_home(self) -> bool:
        """Whether a program of this machine sent it by itself: no proxy, and no web page."""
        if _PASSED_ON & self.headers.keys():
            return False
        try:
            address = ipaddress.ip_address(self.peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)

    @cached_property
    def query(self) -> dict[str, str]:
        """First value of each query parameter, by lower-case name."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.query_text, keep_blank_values=True):
            found.setdefault(name.lower(), value)
        return found

    def flag(self, name: str) -> bool:
        """Read a query parameter that is true or false; absent is false."""
        text = self.query.get(name, "")
        if not text:
            return False
        value = _FLAGS.get(text.lower())
        if value is None:
            raise InvalidQueryParameterValue(
                QueryParameterName=name, QueryParameterValue=text, Reason="must be true or false"
            )
        return value

    def check_timeout(self) -> None:
        """Refuse a ``timeout`` that is no number of seconds.

        Beyond 30 it counts as 30, and no answer takes as long: so there is nothing to obey.
        """
        text = self.query.get("timeout", "")
        if not text:
            return
        shown = {"QueryParameterName": "timeout", "QueryParameterValue": text[:64]}
        if _NUMBER.fullmatch(text.strip()) is None:
            raise InvalidQueryParameterValue(**shown, Reason="must be an integer")
        if text.strip().startswith("-") or not text.strip("+0 "):
            raise OutOfRangeQueryParameterValue(**shown, Reason="must be 1 at least")

    async def body(self) -> bytes:
        """Read the whole body; refuse it as soon as it is known to be too large."""
        limit = self.settings.body_limit
        declared = self.headers.get("content-length", "")
        if declared.isdecimal():
            expected = int(declared[:20])
            if expected > limit:
                raise RequestBodyTooLarge(MaxLimit=limit)
            self._hold(expected)
        try:
            async with asyncio.timeout(self.settings.body_within_s):
                return await self._read(limit)
        except TimeoutError:
            within = f"{self.settings.body_within_s:g} seconds"
            raise RequestTimedOut(Reason=f"the body did not come within {within}") from None

    async def _read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise RequestBodyTooLarge(MaxLimit=limit)
            self._hold(size)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts) if len(parts) > 1 else part

    def _hold(self, size_bytes: int) -> None:
        """Have room for so much in all. Raises ServerBusy when others have it."""
        if size_bytes > self._held_bytes:
            self._room.take(size_bytes - self._held_bytes)
            self._held_bytes = size_bytes

    def let_go(self) -> None:
        """The request is over: others may have the room that its body took."""
        self._room.give_back(self._held_bytes)
        self._held_bytes = 0

    async def json_body(self) -> bytes:
        """Read a body that must be JSON, and give it with the newest names.

        Refuses content types that say it is something else.
        """
        kind = self.headers.get("content-type", "").lower()
        if "xml" in kind or kind.startswith("multipart/"):
            raise InvalidHeaderValue(
                HeaderName="Content-Type", HeaderValue=kind[:256], Reason="must be application/json"
            )
        document = await self.body()
        return document if self.takes is None else reader(self.version, self.takes).read(document)


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody waits for an answer."""


def segments(path: str) -> list[str]:
    """Split a path at its slashes and decode each part; outer slashes do not count."""
    if "%" not in path:
        return path.strip("/").split("/")
    try:
        return [unquote_to_bytes(part).decode() for part in path.strip("/").split("/")]
    except UnicodeDecodeError:
        raise InvalidUri(Reason="the path is not UTF-8") from None
