"""The log of events for those who read it: page by page, or as it grows.

Events are rows of the store, so a reader is no more than a number up to which it has read, and
a slow one costs nothing. What is told here is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from penstock.domain.records import EventRecord
from penstock.domain.refusals import OperationInvalidForCurrentState, ServerBusy
from penstock.store.contract import Store

READ_AT_ONCE: Final = 500
"""Rows that are read without a pause: about a millisecond."""

MOST_STREAMS: Final = 64

_MOST_READ: Final = 20 * READ_AT_ONCE
"""Rows that are looked at for one page, which may be of an account that has few of them."""

_TRIMMED_AT_ONCE: Final = 20_000
_SLACK: Final = 20
"""The log is cut when it is longer than it should be by this part of its length."""


class EventPage(msgspec.Struct, frozen=True):
    """Some events, and where to read on."""

    events: Sequence[EventRecord]
    next: int  # read up to here
    first: int  # what has a smaller number is kept no more
    missed: bool  # events between where the reader was and `first` may be gone unread


class EventLog:
    """Reads the log, tells when it grows, and says what of it is to go."""

    def __init__(self, store: Store, kept: int) -> None:
        self.kept = kept
        self.first = 0
        self.closed = False
        self.opened = False
        self._streams = 0
        self._store = store
        self._newest = 0
        self._grown = asyncio.Event()
        self._since_trim = 0

    async def open(self, next_no: int) -> None:
        """Look at what there is. `next_no` is the first number that nothing has."""
        oldest = await self._store.events(0, 1)
        self.opened = True
        self.first = oldest[0].no if oldest else next_no
        self._newest = next_no - 1
        self._since_trim = self.kept + 1  # it may be too long since a time when more was kept

    @property
    def newest(self) -> int:
        """No durable event has a larger number."""
        return self._newest

    def grew(self, last_no: int, count: int) -> None:
        """Events up to this number are durable."""
        self._newest = last_no
        self._since_trim += count
        self._wake()

    def close(self) -> None:
        """Let nobody wait any more: the server stops."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def check(self) -> None:
        """Refuse readers where nothing is written."""
        if not self.kept:
            raise OperationInvalidForCurrentState(
                Reason="the log of events is off: the setting events_kept is 0"
            )

    def join(self) -> None:
        """Begin to follow the log on a connection that is kept. Raises ServerBusy."""
        if self._streams >= MOST_STREAMS:
            raise ServerBusy(Reason=f"{MOST_STREAMS} streams of events are open")
        self._streams += 1

    def leave(self) -> None:
        """That is over."""
        self._streams -= 1

    async def page(self, account: str | None, after: int, limit: int) -> EventPage:
        """Give the oldest events with numbers above `after`; of all accounts for None.

        `after` 0 asks for all that is kept, so nothing of it can be missed.
        """
        found: list[EventRecord] = []
        missed = 0 < after < self.first - 1
        read = 0
        at, newest = after, self._newest
        while len(found) < limit and read < _MOST_READ:
            rows = await self._store.events(at, READ_AT_ONCE)
            read += len(rows)
            for row in rows:
                at = row.no
                if account is None or row.account == account:
                    found.append(row)
                    if len(found) == limit:
                        break
            if len(rows) < READ_AT_ONCE and len(found) < limit:
                at = max(at, newest)
                break
            await asyncio.sleep(0)
        missed = missed or 0 < after < self.first - 1  # it was cut while it was read
        return EventPage(found, at, self.first, missed)

    async def wait(self, after: int, timeout_s: float) -> None:
        """Return when there may be events above `after`, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._newest <= after and not self.closed:
                    await self._grown.wait()

    async def to_trim(self) -> int | None:
        """The number below which all is to go now, if anything is."""
        if self._since_trim <= self.kept // _SLACK:
            return None
        before = await self._store.events_before(self.kept)
        oldest = await self._store.events(0, 1)
        if before is None or not oldest:
            self._since_trim = 0
            return None
        step = oldest[0].no + _TRIMMED_AT_ONCE
        if before <= step:
            self._since_trim = 0
            return before
        return step

    def trimmed(self, before_no: int) -> None:
        """What has a smaller number is gone."""
        self.first = max(self.first, before_no)
