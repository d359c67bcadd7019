"""The machine below a node host: its processes, directories and clock.

A command line is ``work SECONDS``, with any of ``fail=P`` (chance of a bad exit), ``stubborn``
(SIGTERM does not end it), ``polite`` (SIGTERM makes it exit with 0) and ``missing`` (no such
program). All else about it is chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Protocol

from penstock.agent import failures
from penstock.agent.events import (
    Coordinated,
    Event,
    Exited,
    Run,
    RunKey,
    SpawnBusy,
    SpawnFailed,
    TooLate,
)
from penstock.domain.usage import Usage
from penstock.messages import RunTask


class Ledger(Protocol):
    """Who wants to know what processes do."""

    def process_began(self, process: Process) -> None: ...

    def process_ended(self, process: Process) -> None: ...

    def node_boots(self, root: str, *, old: bool, wipe: bool, sure: bool) -> None: ...


class Process:
    """One process of a run."""

    def __init__(self, pid: int, host: str, run: Run, directory: str) -> None:
        self.pid = pid
        self.host = host
        self.run = run
        self.directory = directory
        self.exit_code: int | None = None
        self.by_itself = False  # it ended, and was not ended
        self.lingers = isinstance(run.order, RunTask) and run.order.lingers
        self.asked = False  # to end
        self.left = False  # it ended well, and something of it stays until that is asked to end
        self.end: asyncio.TimerHandle

    @property
    def key(self) -> RunKey:
        return self.run.key

    @property
    def alive(self) -> bool:
        return self.exit_code is None


class Machine:
    """What outlives the process of a node host."""

    def __init__(self, name: str, random: Random, ledger: Ledger) -> None:
        self.name = name
        self.clock_offset_us = 0
        self.busy = 0.0  # chance that it has no room for another process
        self.torn = False  # its power was cut once, so that its journal may know older things
        self.full = False  # its disk takes nothing more
        self.directories: dict[str, int] = {}  # with the boot of their node in which they came
        self.processes: dict[int, Process] = {}
        self._random = random
        self._ledger = ledger
        self._pids = 0
        self._emit: Callable[[Event], None] | None = None
        self._by_key: dict[RunKey, Process] = {}  # of the host that lives: until it is told

    def adopt(self, emit: Callable[[Event], None] | None) -> None:
        """From now on this host is the parent; None: it died, and hears of nothing."""
        self._emit = emit
        self._by_key = {}

    def keep_only(self, roots: set[str]) -> None:
        """Remove the directories of all nodes but these."""
        there = self.directories.items()
        self.directories = {d: b for d, b in there if "/".join(d.split("/")[:2]) in roots}

    def make(self, directory: str, boot: int) -> None:
        """Make a directory, unless it is there."""
        self.directories.setdefault(directory, boot)

    def spawn(self, run: Run, directory: str) -> int | SpawnFailed | SpawnBusy:
        """Start the command line of a run in its directory."""
        if self._random.random() < self.busy:
            return SpawnBusy(run.key)
        words = run.order.command_line.split()
        if "missing" in words:
            return SpawnFailed(run.key, failures.failure("CommandProgramNotFound"))
        assert directory in self.directories, f"no directory {directory}"
        self._pids += 1
        process = Process(self._pids, self.name, run, directory)
        self.processes[process.pid] = self._by_key[run.key] = process
        loop = asyncio.get_running_loop()
        takes_s = float(words[1]) * self._random.uniform(0.2, 1.8)
        process.end = loop.call_later(takes_s, self._by_itself, process)
        self._ledger.process_began(process)
        return process.pid

    def _by_itself(self, process: Process) -> None:
        process.by_itself = True
        bad = next((w for w in process.run.order.command_line.split() if w[:5] == "fail="), "")
        failed = bool(bad) and self._random.random() < float(bad[5:])
        self._end(process, 1 if failed else 0)

    def _end(self, process: Process, exit_code: int) -> None:
        if not process.alive:
            return
        process.end.cancel()
        process.exit_code = exit_code
        del self.processes[process.pid]
        self._ledger.process_ended(process)
        parent = self._emit
        if parent is not None and self._by_key.get(process.key) is process:
            swept_s = 0.3 if self._random.random() < 0.05 else 0.003
            asyncio.get_running_loop().call_later(
                self._random.expovariate(1 / swept_s), self._reaped, process, parent
            )

    def _reaped(self, process: Process, parent: Callable[[Event], None]) -> None:
        if self._emit == parent:
            assert process.exit_code is not None
            if process.lingers and process.exit_code == 0 and not process.asked:
                process.left = True
                parent(Coordinated(process.key))
                return
            del self._by_key[process.key]
            parent(Exited(process.key, process.exit_code, _used(process)))

    def terminate(self, key: RunKey) -> None:
        """Send SIGTERM, or say that it is too late."""
        process = self._by_key.get(key)
        if process is None:
            return
        if process.left:
            self._sweep_soon(process, 0.3)
            return
        if not process.alive:
            assert self._emit is not None
            self._emit(TooLate(key))
            return
        process.asked = True
        words = process.run.order.command_line.split()
        if "stubborn" not in words:
            self._end_soon(process, 0 if "polite" in words else 143)

    def kill(self, key: RunKey) -> None:
        """Send SIGKILL."""
        process = self._by_key.get(key)
        if process is None:
            return
        if process.left:
            self._sweep_soon(process, 0.002)
            return
        process.asked = True
        self._end_soon(process, 137)

    def _sweep_soon(self, process: Process, mean_s: float) -> None:
        """End what a run left that lingered."""
        parent = self._emit
        if parent is not None and not process.asked:
            process.asked = True
            asyncio.get_running_loop().call_later(
                self._random.expovariate(1 / mean_s), self._reaped, process, parent
            )

    def _end_soon(self, process: Process, exit_code: int) -> None:
        mean_s = 0.002 if exit_code == 137 else 0.3
        asyncio.get_running_loop().call_later(
            self._random.expovariate(1 / mean_s), self._end, process, exit_code
        )

    def boot(self, root: str, wiped: int, *, wipe: bool) -> None:
        """Start a node anew; `wiped` is the boot before which none of its files may stay."""
        boots = [boot for d, boot in self.directories.items() if f"{d}/".startswith(f"{root}/")]
        self.end_before_boot(root)
        if boots:
            self._ledger.node_boots(root, old=min(boots) < wiped, wipe=wipe, sure=not self.torn)
        if wipe:
            self.remove(root)

    def end_before_boot(self, root: str) -> None:
        """Nothing outlives the boot of its node."""
        self.kill_all(f"{root}/")

    def kill_all(self, below: str = "") -> None:
        """End everything that has its directory there, at once."""
        for process in list(self.processes.values()):
            if f"{process.directory}/".startswith(below):
                self._end(process, 137)

    def remove(self, path: str) -> None:
        """Remove a directory with all in it. What runs there would notice, so nothing may."""
        for process in self.processes.values():
            inside = f"{process.directory}/".startswith(f"{path}/")
            assert not inside, f"{path} is removed below {process.key}"
        there = self.directories.items()
        self.directories = {d: b for d, b in there if not f"{d}/".startswith(f"{path}/")}


def _used(process: Process) -> Usage:
    """What the kernel would have counted; no two runs alike."""
    key = abs(process.key.number) + 1000 * process.key.attempt
    return Usage(user_us=key, kernel_us=key + 1, reads=3, writes=key % 7, read_bytes=key * 5)
