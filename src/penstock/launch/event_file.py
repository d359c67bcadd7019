"""Events as lines of JSON in a file, for programs that collect logs.

The file itself remembers how far it is: its last line has the number of the last event. So a
server that was killed goes on behind it, and no event is missing or there twice. What was cut
off in the middle of a line is written again. Each line is written after its event is durable.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from penstock.domain.records import EventRecord
from penstock.domain.unreadable import Unreadable
from penstock.engine.event_log import EventLog
from penstock.wire.events import shown_event

log = logging.getLogger("penstock.events")

OLD: Final = ".1"
"""The ending of the file before; the one before that is removed."""

_AT_ONCE: Final = 1000
_LONGEST_LINE: Final = 1 << 20
_WAIT_S: Final = 60.0
_PAUSE_S: Final = 1.0
"""After an error of the file system; it is tried again for as long as the server lives."""


class _Line(msgspec.Struct):
    id: int


_LINES: Final = msgspec.json.Decoder(_Line)


class EventFile:
    """Follows the log of events, and writes what comes."""

    def __init__(self, events: EventLog, path: Path, most_bytes: int) -> None:
        self._events = events
        self._path = path
        self._most_bytes = most_bytes

    async def run(self) -> None:
        """Write until the log is closed, and then what is left."""
        while True:
            try:
                await self._follow(await asyncio.to_thread(last_id, self._path))
                return
            except (OSError, Unreadable) as error:
                log.warning("events_file_failed file=%s: %s", self._path, error)
            if self._events.closed:
                return
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self, after: int) -> None:
        if after > self._events.newest:
            log.warning("events_file_ahead file=%s id=%d: begun anew", self._path, after)
            await asyncio.to_thread(self._begin_anew)
            after = 0
        while True:
            page = await self._events.page(None, after, _AT_ONCE)
            if page.missed:
                log.warning("events_missed file=%s from=%d to=%d", self._path, after, page.first)
            if page.events:
                await asyncio.to_thread(self._append, page.events)
            after = page.next
            if len(page.events) < _AT_ONCE:
                if self._events.closed:
                    return
                await self._events.wait(after, _WAIT_S)

    def _append(self, events: Sequence[EventRecord]) -> None:
        content = memoryview(b"".join(shown_event(event) + b"\n" for event in events))
        with self._path.open("ab", buffering=0) as file:
            while content:
                content = content[file.write(content) :]
            size = file.tell()
        if size >= self._most_bytes:
            self._begin_anew()

    def _begin_anew(self) -> None:
        with suppress(FileNotFoundError):
            self._path.replace(old_path(self._path))


def old_path(path: Path) -> Path:
    """The file before this one."""
    return path.with_name(path.name + OLD)


def last_id(path: Path) -> int:
    """The number of the last event in the file, or in the one before; 0 where there is none.

    What follows the last whole line is cut off. Raises OSError.
    """
    for file in (path, old_path(path)):
        found = _last_id(file)
        if found:
            return found
    return 0


def _last_id(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        start = max(0, size - _LONGEST_LINE)
        tail = os.pread(descriptor, size - start, start)
        end = len(tail)
        while end:
            end = tail.rfind(b"\n", 0, end) + 1
            begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
            number = _number(tail[begin:end])
            if number:
                break
            end = begin
        else:
            number = 0
        if start + end < size:
            os.ftruncate(descriptor, start + end)
        return number
    finally:
        os.close(descriptor)


def _number(line: bytes) -> int:
    try:
        return _LINES.decode(line).id
    except msgspec.DecodeError:
        return 0
