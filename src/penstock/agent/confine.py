"""What bounds the host and all of its tasks together: who reaps, and how many there may be."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

from penstock.agent import log

_PR_SET_CHILD_SUBREAPER: Final = 36
_CONTROLLER: Final = "pids"


def become_subreaper() -> bool:
    """Let orphans below this process become its children. Only Linux knows this."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class ProcessBound:
    """At most so many processes below this one, itself included.

    A fork bomb then meets the bound of this host instead of the machine's. A cgroup is the
    only bound that holds for root; others get a soft RLIMIT_NPROC.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._group: Path | None = None

    def impose(self) -> None:
        """Set the bound, or log once that there is none."""
        if self._most <= 0:
            return
        if self._join_group():
            return
        if os.geteuid() != 0 and self._limit_user():
            return
        log.warning("processes_unbounded", wanted=self._most)

    def lift(self) -> None:
        """Leave and remove the group; a group that still has members stays."""
        group, self._group = self._group, None
        if group is None:
            return
        try:
            (group.parent / "cgroup.procs").write_text(str(os.getpid()))
            _remove_soon(group)
        except OSError as error:
            log.info("cgroup_left", group=group, reason=error.strerror)

    def _join_group(self) -> bool:
        for parent in _own_groups():
            group = parent / self._name
            try:
                group.mkdir(exist_ok=True)
                limit = group / "pids.max"
                if not limit.exists():
                    (parent / "cgroup.subtree_control").write_text(f"+{_CONTROLLER}")
                limit.write_text(str(self._most))
                (group / "cgroup.procs").write_text(str(os.getpid()))
            except OSError:
                _remove_quietly(group)
                continue
            self._group = group
            return True
        return False

    def _limit_user(self) -> bool:
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        limits = [bound for bound in (soft, hard, self._most) if bound != resource.RLIM_INFINITY]
        try:
            resource.setrlimit(resource.RLIMIT_NPROC, (min(limits), hard))
        except (OSError, ValueError):
            return False
        return True


def _remove_soon(group: Path) -> None:
    """Remove a group whose last members were killed just now and may still be going."""
    for _ in range(10):
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.02)
        else:
            return
    group.rmdir()


def _remove_quietly(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        return  # it was never made


def _own_groups() -> list[Path]:
    """The directories of the cgroups that this process is in and that may count processes."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    groups: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and _CONTROLLER not in controllers.split(","):
            continue
        mount = _mount_of(mounts, unified=not controllers)
        if mount is not None:
            groups.append(Path(mount) / path.lstrip("/"))
    return groups


def _mount_of(mounts: list[str], *, unified: bool) -> str | None:
    """The mount point of the unified hierarchy, or of the pids controller's."""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        kind, _, options = [*rest.split(" ", 2), "", ""][:3]
        if unified and kind == "cgroup2":
            return fields.split()[4]
        if not unified and kind == "cgroup" and _CONTROLLER in options.split(","):
            return fields.split()[4]
    return None
