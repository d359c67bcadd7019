"""A small filesystem of a test's own, that can be filled to the last byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK: bytes = bytes(4096)


class NoVolume(Exception):
    """This machine, or this user of it, cannot have one; the message says why."""


@contextmanager
def small_volume(at: Path, size_bytes: int) -> Iterator[Path]:
    """A filesystem in memory, mounted at a new directory. Raises NoVolume."""
    if os.geteuid() != 0:
        raise NoVolume("needs root")
    if shutil.which("mount") is None:
        raise NoVolume("needs mount")
    at.mkdir(parents=True)
    options = f"size={size_bytes},mode=0700"
    words = ["mount", "-t", "tmpfs", "-o", options, "penstock-fire", str(at)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoVolume(f"mount: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


@contextmanager
def filled(volume: Path) -> Iterator[None]:
    """Leave not one block free, for a while."""
    ballast = volume / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(_BLOCK)
            except OSError:
                pass  # full
        yield
    finally:
        ballast.unlink()
