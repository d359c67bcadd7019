"""Finding the processes of a run that left its session, by walking ``/proc``.

A walk costs some ten microseconds per process of the machine, so it is made only when there is
reason to think that something was left behind, and in a worker thread.
"""

# Plain strings: this is done for every process of the machine.
# ruff: noqa: PTH115, PTH208
from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from penstock.agent.brands import Brands, brand_of

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_HZ: Final = os.sysconf("SC_CLK_TCK")
_TASK_DIR: Final = b"AZ_BATCH_TASK_DIR="
_ROOT_DIR: Final = b"AZ_BATCH_NODE_ROOT_DIR="
_CHILDREN_BYTES: Final = 1 << 16


class Process(NamedTuple):
    pid: int
    parent: int
    session: int
    ticks: int  # kernel clock at its start
    dead: bool  # a zombie


def ticks_now() -> int:
    """The clock in which the kernel notes when a process started."""
    return int(time.clock_gettime(_BOOT_CLOCK) * _HZ)


def boot_id() -> str:
    """Names this run of the machine: no process is older."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def process(pid: int) -> Process | None:
    """What the kernel says of a process, or None when it is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))


def processes() -> list[Process]:
    """All that run now."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one is not None]


class Children:
    """The children of this process's main thread: asked at every exit, so the file stays open
    for as long as this process lives."""

    def __init__(self) -> None:
        path = f"/proc/self/task/{os.getpid()}/children"
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def pids(self) -> list[int] | None:
        """None where the kernel does not tell."""
        text = b""
        try:
            while part := os.pread(self._file, _CHILDREN_BYTES, len(text)):
                text += part
        except OSError:
            return None
        return [int(word) for word in text.split()]


def _variable(pid: int, name: bytes) -> str | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return None
    for item in environment.split(b"\0"):
        if item.startswith(name):
            return os.fsdecode(item[len(name) :])
    return None


def _current_directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def task_directory_of(pid: int) -> str | None:
    """The directory of the task that a process belongs to, as its environment says."""
    return _variable(pid, _TASK_DIR)


def of_task(directory: str, brand: int, brands: Brands) -> Callable[[Process], bool]:
    """Recognises the processes of one task: by brand, else by environment.

    One without either that was adopted by this process is known by where it is; others are not,
    since a person may look around in the directory.
    """
    own = os.getpid()

    def belongs(one: Process) -> bool:
        worn = brand_of(one.pid)
        if brands.is_ours(worn):
            return worn == brand
        named = task_directory_of(one.pid)
        if named is not None or one.parent != own:
            # Below it: a task may itself host nodes.
            return named is not None and (named + "/").startswith(directory + "/")
        return (_current_directory(one.pid) + "/").startswith(directory + "/")

    return belongs


def of_node(root: str, node_no: int, brands: Brands) -> Callable[[Process], bool]:
    """Recognises all that was started on one node, whose root this is."""

    def belongs(one: Process) -> bool:
        return brands.is_of_node(brand_of(one.pid), node_no) or _is_below(one, root)

    return belongs


def of_host(
    root: str, brands: Brands, spared: Mapping[int, str] | None = None
) -> Callable[[Process], bool]:
    """Recognises what any node of this host started, but not what start tasks of the `spared`
    nodes left: their numbers, with their start tasks' directories."""
    spared = spared or {}
    directories = frozenset(spared.values())

    def belongs(one: Process) -> bool:
        worn = brand_of(one.pid)
        if brands.is_ours(worn):
            return not (
                brands.is_of_start_task(worn)
                and any(brands.is_of_node(worn, node_no) for node_no in spared)
            )
        return _is_below(one, root) and task_directory_of(one.pid) not in directories

    return belongs


def _is_below(one: Process, root: str) -> bool:
    """Whether a process says that its node's root is at or below `root`."""
    node = _variable(one.pid, _ROOT_DIR)
    if node is None and one.parent == os.getpid():
        node = _current_directory(one.pid)
    return node is not None and (node + "/").startswith(root + "/")


def gather(
    belongs: Callable[[Process], bool],
    sessions: Collection[int] = (),
    spared: Collection[int] = (),
) -> list[int]:
    """The living processes that belong, those of these sessions, and their descendants.

    This process and the `spared` are never among them.
    """
    everyone = processes()
    never = {os.getpid(), *spared}
    below: dict[int, list[Process]] = {}
    for one in everyone:
        below.setdefault(one.parent, []).append(one)
    found: dict[int, Process] = {}
    waiting = [one for one in everyone if one.session in sessions or belongs(one)]
    while waiting:
        one = waiting.pop()
        if one.pid not in found and one.pid not in never:
            found[one.pid] = one
            waiting += below.get(one.pid, ())
    return [one.pid for one in found.values() if not one.dead]
