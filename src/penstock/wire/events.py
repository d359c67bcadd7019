"""The log of events: a page of it, or a stream that goes on as it grows.

This is an extension; `docs/events.md` describes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from penstock.domain.instants import instant_text
from penstock.domain.records import EventRecord
from penstock.domain.refusals import InvalidHeaderValue, InvalidQueryParameterValue
from penstock.engine.event_log import EventLog, EventPage
from penstock.wire.answers import JSON_TYPE, Answer, encoded
from penstock.wire.paging import page_size
from penstock.wire.request import Request

STREAM_TYPE: Final = "text/event-stream"
LONGEST_WAIT_S: Final = 60
LARGEST_CURSOR: Final = 2**63 - 1

KEEP_ALIVE_S: Final = 15.0
_AT_ONCE: Final = 200
"""Events that are sent together; what a slow reader does not take is not read."""


class ShownEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as clients and files have it."""

    id: int
    time: str
    account: str
    name: str
    body: msgspec.Raw


def shown_event(event: EventRecord) -> bytes:
    """Write an event as a JSON object on one line."""
    time = instant_text(event.at_us)
    return encoded(ShownEvent(event.no, time, event.account, event.name, msgspec.Raw(event.body)))


async def read_events(request: Request) -> Answer:
    """GET /events"""
    log = request.service.events
    log.check()
    after = _number(request, "after", LARGEST_CURSOR)
    if STREAM_TYPE in request.headers.get("accept", "").lower():
        return _stream(request, log, after)
    limit = page_size(request)
    until = asyncio.get_running_loop().time() + _number(request, "timeout", LONGEST_WAIT_S)
    page = await log.page(request.account, after, limit)
    while not page.events and not page.missed and not log.closed:
        left_s = until - asyncio.get_running_loop().time()
        if left_s <= 0:
            break
        await log.wait(page.next, left_s)
        page = await log.page(request.account, page.next, limit)
    body = {
        "value": [msgspec.Raw(shown_event(event)) for event in page.events],
        "next": page.next,
        "first": page.first,
        "missed": page.missed,
    }
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))


def _number(request: Request, name: str, most: int) -> int:
    """Read a query parameter that is a number from 0 on; 0 where it is absent."""
    text = request.query.get(name, "")
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or int(text[:20]) > most:
        raise InvalidQueryParameterValue(
            QueryParameterName=name,
            QueryParameterValue=text[:64],
            Reason=f"must be an integer from 0 to {most}",
        )
    return int(text)


def _stream(request: Request, log: EventLog, after: int) -> Answer:
    resumed = request.headers.get("last-event-id", "")
    if resumed:
        if not resumed.isascii() or not resumed.isdecimal() or int(resumed[:20]) > LARGEST_CURSOR:
            raise InvalidHeaderValue(
                HeaderName="Last-Event-ID",
                HeaderValue=resumed[:64],
                Reason="must be the id of an event",
            )
        after = int(resumed)
    log.join()
    headers = {
        "Content-Type": STREAM_TYPE,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }
    return Answer(200, headers, stream=EventStream(log, request.account, after))


class EventStream:
    """Server-sent events: what is there, and then what comes, until the server stops."""

    def __init__(self, log: EventLog, account: str, after: int) -> None:
        self._log = log
        self._account = account
        self._at = after
        self._joined = True

    async def body(self) -> AsyncIterator[bytes]:
        """See `answers.Stream`."""
        yield b": events of Penstock\n\n"
        while not self._log.closed:
            page = await self._log.page(self._account, self._at, _AT_ONCE)
            if page.missed:
                yield _missed(self._at, page)
            if page.events:
                yield b"".join(_sent(event) for event in page.events)
            self._at = page.next
            if len(page.events) < _AT_ONCE:
                began_at = asyncio.get_running_loop().time()
                await self._log.wait(self._at, KEEP_ALIVE_S)
                if asyncio.get_running_loop().time() - began_at >= KEEP_ALIVE_S:
                    yield b": still here\n\n"

    async def close(self) -> None:
        """See `answers.Stream`."""
        if self._joined:
            self._joined = False
            self._log.leave()


def _sent(event: EventRecord) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.no, event.name.encode(), shown_event(event))


def _missed(after: int, page: EventPage) -> bytes:
    """Tell a reader that it was away for too long; without an id, for nothing was read."""
    return b"event: missed\ndata: %s\n\n" % encoded({"after": after, "first": page.first})
