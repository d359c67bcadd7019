"""What an ended process has used, as the kernel tells it before the process is forgotten.

A process that was not waited for yet still has its ``/proc`` entry. Both that and what `wait4`
gives count the process and its children that it waited for itself.
"""

from __future__ import annotations

import os

from penstock.domain.usage import Usage

_LONGEST = 512
_PARTS = 14  # seven names, each with a number


def reap(pid: int) -> tuple[int, Usage]:
    """Collect an ended child: its wait status and what it used.

    The calls of one whose counters cannot be read are 0.
    """
    counters = _counters(pid)
    # The most memory is not told: a spawned process starts out with that of its parent.
    _, status, used = os.wait4(pid, 0)
    reads = writes = read_bytes = written_bytes = 0
    if counters is not None:
        read_bytes, written_bytes, reads, writes = counters
    usage = Usage(
        int(used.ru_utime * 1e6),
        int(used.ru_stime * 1e6),
        reads,
        writes,
        read_bytes,
        written_bytes,
    )
    return status, usage


def _counters(pid: int) -> tuple[int, int, int, int] | None:
    """Bytes read and written, calls that read and that wrote; None where they cannot be read."""
    try:
        file = os.open(f"/proc/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = os.read(file, _LONGEST).split()
    except OSError:
        return None
    finally:
        os.close(file)
    if len(parts) < _PARTS:
        return None
    return int(parts[1]), int(parts[3]), int(parts[5]), int(parts[7])
