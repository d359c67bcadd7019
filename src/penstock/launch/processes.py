"""Processes that outlive the server that started them, recognised without doubt.

A number alone may belong to a stranger by now, so a process is remembered by its number, by the
kernel's time of its start and by the boot in which that happened.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from penstock.launch.files import write_atomically


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A process, named for as long as this machine keeps a record of it."""

    pid: int
    started: int  # clock ticks since boot
    boot: str
    note: str = ""  # what the writer wants to find again, such as a port

    @classmethod
    def of(cls, pid: int, note: str = "") -> Self | None:
        """Describe a running process; None when there is none, or only its zombie."""
        started = _started(pid)
        return None if started is None else cls(pid=pid, started=started, boot=_boot(), note=note)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a record; None when there is none that can be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_atomically(path, msgspec.json.encode(self))

    def alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        return self.boot == _boot() and _started(self.pid) == self.started

    def open(self) -> int | None:
        """Open a pidfd, which becomes readable when the process ends; None when it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        if self.alive():
            return descriptor
        os.close(descriptor)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and to no other; nothing happens when it has ended."""
        if (descriptor := self.open()) is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            os.close(descriptor)

    def end(self, within_s: float) -> None:
        """Ask it to end, kill it when it has not after `within_s`, and wait until it is gone."""
        if (descriptor := self.open()) is None:
            return
        try:
            for number, wait_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, 5.0)):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                if select.select([descriptor], [], [], wait_s)[0]:
                    return
        finally:
            os.close(descriptor)

    async def ended(self) -> None:
        """Return when the process has ended."""
        if (descriptor := self.open()) is None:
            return
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(descriptor, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; the name before it may hold blanks and brackets."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
