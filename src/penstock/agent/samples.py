"""Looks at the machine: what it is busy with, for the statistics of pools.

The kernel counts since it booted; a look tells the difference to the one before.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from penstock.domain.metering import Sample

_SECTOR_BYTES: Final = 512
_IDLE: Final = (3, 4)  # fields of the line of processors: idle, and waiting for a disk
_TIMES: Final = 8  # what follows is counted among these already
_PARTS_OF_DISKS: Final = re.compile(r"(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+)\d+|.+p\d+")
_NOT_DISKS: Final = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
"""Layers over disks that are counted themselves, or no disks at all."""


class _Counters(NamedTuple):
    busy: int
    all: int
    disk: tuple[int, int, int, int]  # reads, writes, bytes read, bytes written
    network: tuple[int, int]  # bytes received, bytes sent


class Sampler:
    """Takes samples, one in `every_s` unless more are wanted. What the machine does not tell
    counts as 0."""

    def __init__(self, directory: Path, every_s: float, now_s: float) -> None:
        """`directory` is on the file system whose use is told."""
        self._directory = directory
        self._every_s = every_s
        self._due_s = now_s
        self._before = _counters()

    def hasten(self) -> None:
        """Have the next sample due at once: somebody waits for it who has none yet."""
        self._due_s = 0.0

    def sample(self, now_s: float) -> Sample | None:
        """A sample, where one is due by this clock that nobody sets."""
        if now_s < self._due_s:
            return None
        self._due_s = now_s + self._every_s
        before, now = self._before, _counters()
        self._before = now
        spent = now.all - before.all
        reads, writes, read, written = _grown(before.disk, now.disk)
        received, sent = _grown(before.network, now.network)
        return Sample(
            cpu_percent=100.0 * max(0, now.busy - before.busy) / spent if spent > 0 else 0.0,
            memory_bytes=_memory_bytes(),
            disk_bytes=self._disk_bytes(),
            disk_reads=reads,
            disk_writes=writes,
            disk_read_bytes=read,
            disk_written_bytes=written,
            received_bytes=received,
            sent_bytes=sent,
        )

    def _disk_bytes(self) -> int:
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return 0
        return (found.f_blocks - found.f_bfree) * found.f_frsize


def _grown(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    """By how much each has grown; a device that went takes its counts with it."""
    return tuple(max(0, new - old) for old, new in zip(before, now, strict=True))


def _counters() -> _Counters:
    times = [int(word) for word in _text("/proc/stat").partition("\n")[0].split()[1:]][:_TIMES]
    idle = sum(times[index] for index in _IDLE) if len(times) > max(_IDLE) else 0
    return _Counters(
        busy=sum(times) - idle,
        all=sum(times),
        disk=_disks(_text("/proc/diskstats")),
        network=_network(_text("/proc/net/dev")),
    )


def _disks(text: str) -> tuple[int, int, int, int]:
    reads = writes = read = written = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) < 10 or words[2].startswith(_NOT_DISKS):
            continue
        if _PARTS_OF_DISKS.fullmatch(words[2]):
            continue
        reads, writes = reads + int(words[3]), writes + int(words[7])
        read += int(words[5]) * _SECTOR_BYTES
        written += int(words[9]) * _SECTOR_BYTES
    return reads, writes, read, written


def _network(text: str) -> tuple[int, int]:
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, counts = line.partition(":")
        words = counts.split()
        if name.strip() != "lo" and len(words) > 8:
            received, sent = received + int(words[0]), sent + int(words[8])
    return received, sent


def _memory_bytes() -> int:
    found = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, size = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found[name] = int(size.split()[0]) << 10
    return max(0, found.get("MemTotal", 0) - found.get("MemAvailable", 0))


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""
