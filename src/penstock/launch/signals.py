"""The signals that ask a server to stop, from its first moment to its last.

One handler stays for the life of the process and does what the hour asks for: before the event
loop runs, a signal unwinds the start; then it sets an event; while all is being stopped, it has
nothing to add.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ASKED_TO_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """Takes over the signals at once, but for a SIGHUP that the caller ignores, as nohup does.

    A shell without job control lets what it starts in the background ignore SIGINT; that is
    no wish of anybody's.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._ignored = False
        self._held = False
        self._came_while_held = False
        self._asked = False  # for the case that the exit was swallowed where it was raised
        for number in _ASKED_TO_STOP:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def set_event(self, event: asyncio.Event) -> None:
        """From now on a signal sets this event of the running loop."""
        self._event = event
        self._loop = asyncio.get_running_loop()
        if self._asked:
            event.set()

    def ignore(self) -> None:
        """From now on a signal changes nothing: all is being stopped already."""
        self._ignored = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait until the block is left, so that nothing in it is half done."""
        if self._asked:
            sys.exit(0)
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came_while_held:
            self._came_while_held = False
            self._act()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._came_while_held = True
        elif not self._ignored:
            self._act()

    def _act(self) -> None:
        self._asked = True
        if self._event is None or self._loop is None or self._loop.is_closed():
            sys.exit(0)
        self._loop.call_soon_threadsafe(self._event.set)
