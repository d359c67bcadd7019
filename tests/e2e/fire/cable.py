"""Two places with a network each, and a cable between them that can be cut.

The places are network namespaces without a name: only descriptors of this process and the
processes in them hold them, so that they are gone with those, whatever happens. Where the calling
thread is, there are the processes and connections that it starts.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HERE_ADDRESS: Final = "10.201.0.1"
THERE_ADDRESS: Final = "10.201.0.2"

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class NoCable(Exception):
    """This machine, or this user of it, cannot have one; the message says why."""


class Cable:
    """Joins two places. Made by `laid`."""

    def __init__(self, here: int, there: int) -> None:
        self.here = here
        self.there = there

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through for a while; neither end is told of it by the other."""
        with within(self.here):
            _ip("link", "set", "cable", "down")
        try:
            yield
        finally:
            with within(self.here):
                _ip("link", "set", "cable", "up")


@contextmanager
def laid() -> Iterator[Cable]:
    """Two new places, joined. Raises NoCable."""
    if os.geteuid() != 0:
        raise NoCable("needs root")
    if shutil.which("ip") is None:
        raise NoCable("needs iproute2")
    here = _new_place()
    try:
        there = _new_place()
        try:
            _join(here, there)
            yield Cable(here, there)
        finally:
            os.close(there)
    finally:
        os.close(here)


@contextmanager
def within(place: int) -> Iterator[None]:
    """Have the calling thread be in a place."""
    back = _present_place()
    _checked(_LIBC.setns(place, _CLONE_NEWNET))
    try:
        yield
    finally:
        _checked(_LIBC.setns(back, _CLONE_NEWNET))
        os.close(back)


def _join(here: int, there: int) -> None:
    other_end = f"/proc/{os.getpid()}/fd/{there}"
    with within(here):
        _ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", other_end)
    for place, address in ((here, HERE_ADDRESS), (there, THERE_ADDRESS)):
        with within(place):
            _ip("address", "add", f"{address}/30", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("link", "set", device, "up")


def _new_place() -> int:
    back = _present_place()
    try:
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        try:
            return _present_place()
        finally:
            _checked(_LIBC.setns(back, _CLONE_NEWNET))
    finally:
        os.close(back)


def _present_place() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise NoCable(f"network namespaces cannot be had: {os.strerror(number)}")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoCable(f"ip {' '.join(words)}: {done.stderr.strip()}")
