"""Moments in the life of processes, told by the processes themselves and by the kernel.

Nobody has to ask whether something has happened yet, so nothing is added to what is measured.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("stamp.c")
LONGEST_S = 30.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """A process and when it began, by the time of day."""

    pid: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Stamps:
    """The program that stamps, and what it has told."""

    program: Path
    address: Path
    told: socket.socket
    watcher: ThreadPoolExecutor
    early: dict[str, Stamp] = field(default_factory=dict)  # told before they were asked for

    @classmethod
    @contextmanager
    def below(cls, root: Path) -> Iterator[Stamps]:
        """Compile the program into a directory. Raises CalledProcessError without a compiler."""
        program, address = root / "stamp", root / "socket"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", program, SOURCE], check=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
            ThreadPoolExecutor(1) as watcher,
        ):
            told.bind(str(address))
            told.settimeout(LONGEST_S)
            yield cls(program, address, told, watcher)

    def words(self, name: str, *, stay: bool = False) -> list[str]:
        """What to run; with `stay` it does not end by itself."""
        return [str(self.program), str(self.address), name, *(["stay"] if stay else [])]

    def of(self, name: str) -> Stamp:
        """Wait for a process to tell that it runs. Raises TimeoutError."""
        while name not in self.early:
            told, pid, at_ns = self.told.recv(256).decode().split()
            self.early[told] = Stamp(int(pid), int(at_ns))
        return self.early.pop(name)

    def death(self, pid: int) -> Future[int]:
        """When the process ends, in nanoseconds of the time of day."""
        handle = os.pidfd_open(pid)

        def watch() -> int:
            try:
                dead, _, _ = select.select([handle], [], [], LONGEST_S)
                at_ns = time.time_ns()
            finally:
                os.close(handle)
            if not dead:
                raise TimeoutError(f"process {pid} did not end")
            return at_ns

        return self.watcher.submit(watch)

    # --- without any service -----------------------------------------------------------------

    def spawned_ms(self, name: str) -> float:
        """From a bare posix_spawn to the first act of the process."""
        began_ns = time.time_ns()
        pid = os.posix_spawn(self.program, self.words(name), {})
        stamp = self.of(name)
        os.waitpid(pid, 0)
        return (stamp.at_ns - began_ns) / 1e6

    def killed_ms(self, name: str) -> float:
        """From a bare kill to the end of the process."""
        pid = os.posix_spawn(self.program, self.words(name, stay=True), {})
        self.of(name)
        dead = self.death(pid)
        began_ns = time.time_ns()
        os.kill(pid, signal.SIGTERM)
        ended_ns = dead.result()
        os.waitpid(pid, 0)
        return (ended_ns - began_ns) / 1e6
