"""The children of a server: the node host and Azurite.

They live in sessions of their own, so that a server killed outright takes nobody with it: the
next server on the same data directory finds them by their records and adopts them. A server
that is asked to stop ends them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from penstock.launch.processes import ProcessRecord

log = logging.getLogger("penstock.children")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_LONG_LIFE_S: Final = 30.0  # a child that lived so long is started again at once
_LONGEST_LOG: Final = 16 << 20
_KILL_WAIT_S: Final = 1.0  # how long the kernel may take to remove what was killed

# Becomes the command once it is told to, and ends when who should tell it is gone.
_WHEN_TOLD: Final = ("/bin/sh", "-c", 'read -r told && exec "$@" </dev/null', "child")


Undisturbed = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to run, and where it is written down that it runs."""

    name: str
    command: tuple[str, ...]
    record: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)  # over that of the server


class Keeper:
    """Keeps one child running."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: ProcessRecord | None = None
        self._own: subprocess.Popen[bytes] | None = None  # None for an adopted one
        self._since = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def adopted(self) -> bool:
        """Whether an earlier server started the present child."""
        return self._own is None and self.process is not None

    def start(self) -> None:
        """Adopt the child that an earlier server left running, else start one."""
        left = ProcessRecord.load(self.child.record)
        if left is not None and left.alive():
            log.info("child_adopted name=%s pid=%d", self.child.name, left.pid)
            self.process, self._own = left, None
            self._since = time.monotonic()
        else:
            self._spawn()

    def replace(self) -> None:
        """Kill the present child, which does not do its work, and start another."""
        if self.process is not None:
            self.process.end(_KILL_WAIT_S)
        self._reap()
        self._spawn()

    async def run(self) -> None:
        """Start the child again whenever it ends, less and less soon when it does so at once."""
        while True:
            if self.process is not None:
                await self.process.ended()
            self._reap()
            log.warning("child_ended name=%s again_in_s=%.1f", self.child.name, self._pause())
            await asyncio.sleep(self._pause())
            self._pause_s = min(self._pause() * 2, _LONGEST_PAUSE_S)
            try:
                self._spawn()
            except OSError as error:  # such as a full disk, which a server must live through
                log.error("child_not_started name=%s reason=%s", self.child.name, error.strerror)

    def forget(self) -> None:
        """Remove the record of a child that has ended."""
        self._reap()
        self.child.record.unlink(missing_ok=True)

    def _pause(self) -> float:
        lived_s = time.monotonic() - self._since
        return _FIRST_PAUSE_S if lived_s >= _LONG_LIFE_S else self._pause_s

    def _spawn(self) -> None:
        """Start the child. It does nothing before it is on record: were this server killed
        between the two, nobody would ever find it. Raises OSError where it cannot be recorded."""
        child = self.child
        with _open_log(child.log) as output:
            self._own = subprocess.Popen(
                (*_WHEN_TOLD, *child.command),
                env={**os.environ, **child.environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._since = time.monotonic()
        assert self._own.stdin is not None
        with suppress(BrokenPipeError), self._own.stdin as pipe:  # broken: it was killed already
            process = ProcessRecord.of(self._own.pid)
            if process is not None:
                process.save(child.record)
                self.process = process
            pipe.write(b"go\n")
        log.info("child_started name=%s pid=%d", child.name, self._own.pid)

    def _reap(self) -> None:
        if self._own is not None:
            with suppress(subprocess.TimeoutExpired):
                self._own.wait(_KILL_WAIT_S)
            self._own = None
        self.process = None


class Supervisor:
    """All children of one server."""

    def __init__(self, undisturbed: Undisturbed = nullcontext) -> None:
        """`undisturbed` keeps signals out while a child is started and noted."""
        self.keepers: list[Keeper] = []
        self._undisturbed = undisturbed

    def start(self, child: Child) -> Keeper:
        """Have this child from now on."""
        keeper = Keeper(child)
        with self._undisturbed():
            self.keepers.append(keeper)
            keeper.start()
        return keeper

    async def run(self) -> None:
        """Keep all children running until cancelled."""
        async with asyncio.TaskGroup() as group:
            for keeper in self.keepers:
                group.create_task(keeper.run())

    def stop(self, within_s: float) -> None:
        """Ask all children to end, kill those that have not after `within_s`, forget them."""
        open_ = {}
        for keeper in self.keepers:
            if keeper.process and (descriptor := keeper.process.open()) is not None:
                open_[descriptor] = keeper.child.name
        left = _end(set(open_), signal.SIGTERM, within_s)
        for descriptor in left:
            log.warning("child_killed name=%s", open_[descriptor])
        _end(left, signal.SIGKILL, _KILL_WAIT_S)
        for descriptor in open_:
            os.close(descriptor)
        for keeper in self.keepers:
            keeper.forget()


def _end(processes: set[int], number: signal.Signals, within_s: float) -> set[int]:
    """Send a signal to processes given by pidfds; give those that are there after `within_s`."""
    for descriptor in processes:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
    left, until = set(processes), time.monotonic() + within_s
    while left and (rest_s := until - time.monotonic()) > 0:
        left -= set(select.select(left, [], [], rest_s)[0])
    return left


def _open_log(path: Path) -> BinaryIO:
    """Open for appending; one older log is kept when it has grown large."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > _LONGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
