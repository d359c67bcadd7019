"""What a figure depends on besides the code: facts of the machine, as they were at the start."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from penstock import __version__


def facts() -> dict[str, Any]:
    """The beginning of a line of results."""
    memory_bytes = psutil.virtual_memory().total
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_bytes >> 20,
        "filesystem": filesystem(Path(tempfile.gettempdir())),
        "load": os.getloadavg()[0],
    }


def commit() -> str | None:
    """The commit that is measured, with a ``+`` where files differ from it; None without git."""
    words = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            words,
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def filesystem(path: Path) -> str:
    """The type of the file system that a path is on."""
    path = path.resolve()
    mounts = psutil.disk_partitions(all=True)
    holding = [mount for mount in mounts if path.is_relative_to(mount.mountpoint)]
    if not holding:
        return "unknown"
    # The last of several mounts on one place is the one that is seen.
    return max(enumerate(holding), key=lambda one: (len(one[1].mountpoint), one[0]))[1].fstype


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
