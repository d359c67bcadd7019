"""Writing small files so that a reader, or a crash, never sees half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content` in one step; its directory must exist.

    Only one thread of a process may write a given file at a time.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def secret(path: Path, fresh: bytes) -> bytes:
    """Give what `path` holds; where there is no such file, it holds `fresh` from now on."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        write_atomically(path, fresh)
        return fresh
