"""Watching what running tasks write: their output, and the room on the disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from penstock.agent import failures, log
from penstock.agent.events import Event, Overrun, RunKey
from penstock.agent.settings import AgentSettings

_OUTPUTS: Final = ("stdout.txt", "stderr.txt")
_WORTH_ENDING_BYTES: Final = 16 << 20  # a task that wrote less is not what fills the disk
_MOST_MEASURED: Final = 100_000  # entries of one task's directory


class Floods:
    """Looks again and again, at the files of running tasks only."""

    def __init__(
        self,
        settings: AgentSettings,
        running: Callable[[], list[tuple[RunKey, str]]],
        emit: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._running = running
        self._emit = emit

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._settings.watch_s)
            running = self._running()
            for key, directory in running:
                self._check(key, directory)
            if running:
                await self._check_disk(running)

    def _check(self, key: RunKey, directory: str) -> None:
        limit = self._settings.max_output_bytes
        for name in _OUTPUTS:
            try:
                size = os.stat(f"{directory}/{name}").st_size  # noqa: PTH116
            except OSError:
                continue  # removed by the task itself
            if size > limit:
                log.warning("output_flood", task=key.number, attempt=key.attempt, bytes=size)
                self._emit(Overrun(key, failures.too_much_output(name, limit)))
                return

    async def _check_disk(self, running: list[tuple[RunKey, str]]) -> None:
        free = free_bytes(str(self._settings.nodes_root))
        if free is None or free >= self._settings.min_free_bytes:
            return
        sizes = await asyncio.to_thread(lambda: [written(at) for _, at in running])
        most = max(range(len(running)), key=sizes.__getitem__)
        if sizes[most] < _WORTH_ENDING_BYTES:
            return
        key = running[most][0]
        log.warning("disk_low", free=free, task=key.number, attempt=key.attempt)
        self._emit(Overrun(key, failures.disk_low(free, self._settings.min_free_bytes)))


def free_bytes(path: str) -> int | None:
    """What the file system of `path` has left for this process."""
    try:
        state = os.statvfs(path)
    except OSError:
        return None
    return state.f_bavail * state.f_frsize


def written(directory: str) -> int:
    """How many bytes of disk lie below a directory, as far as a bounded look tells."""
    total = seen = 0
    for above, _, names in os.walk(directory):
        for name in names:
            seen += 1
            try:
                total += os.lstat(f"{above}/{name}").st_blocks * 512
            except OSError:
                continue
        if seen > _MOST_MEASURED:
            break
    return total
