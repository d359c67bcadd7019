"""A mark that the processes of a run cannot shed by accident.

Environment, session and working directory are all left behind by a well-made daemon. A resource
limit is not: it is inherited through fork and exec, and nobody changes the bound on the time of
real-time scheduling, which is without effect on ordinary processes. Its soft value, set in the
node host just before a spawn, tells host, node and run of any process below it. cgroups would
serve as well where they can be made, at twenty times the cost.
"""

from __future__ import annotations

import resource
import secrets
from typing import Final

_LIMIT: Final[int | None] = getattr(resource, "RLIMIT_RTTIME", None)
_MARK: Final = 1 << 62
_START: Final = 1 << 61  # of a start task
_HOST_SHIFT: Final = 41
_NODE_SHIFT: Final = 21
_FIELD: Final = (1 << 20) - 1
_RUNS: Final = (1 << 21) - 1


class Brands:
    """Makes and reads the brands of one host."""

    def __init__(self, host: str) -> None:
        self._host = (int(host[:5], 16) & _FIELD) << _HOST_SHIFT
        self._run = secrets.randbelow(_RUNS)
        self._own = None if _LIMIT is None else resource.getrlimit(_LIMIT)
        self._worn = False

    def wear(self, node_no: int, *, start: bool) -> int:
        """Take on a new brand, which children inherit; 0 where this machine has none."""
        if _LIMIT is None or self._own is None or self._own[1] != resource.RLIM_INFINITY:
            return 0
        self._run = (self._run + 1) & _RUNS
        node = (node_no & _FIELD) << _NODE_SHIFT
        brand = _MARK | (_START if start else 0) | self._host | node | self._run
        resource.setrlimit(_LIMIT, (brand, resource.RLIM_INFINITY))
        self._worn = True
        return brand

    def shed(self) -> None:
        """Be as before."""
        if self._worn and _LIMIT is not None and self._own is not None:
            resource.setrlimit(_LIMIT, self._own)
            self._worn = False

    def is_ours(self, brand: int) -> bool:
        return bool(brand & _MARK) and brand & (_FIELD << _HOST_SHIFT) == self._host

    def is_of_node(self, brand: int, node_no: int) -> bool:
        return self.is_ours(brand) and brand >> _NODE_SHIFT & _FIELD == node_no & _FIELD

    @staticmethod
    def is_of_start_task(brand: int) -> bool:
        return bool(brand & _START)


def brand_of(pid: int) -> int:
    """The brand of a process; 0 when it has none, or does not let us look."""
    if _LIMIT is None:
        return 0
    try:
        soft, _ = resource.prlimit(pid, _LIMIT)
    except (OSError, ValueError):
        return 0
    return soft if soft > 0 and soft & _MARK else 0
