"""An event loop on virtual time: nobody waits, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from math import ceil
from selectors import SelectorKey
from typing import Any

_Ready = list[tuple[SelectorKey, int]]


class NoProgress(Exception):
    """Nothing is due any more, or the same instant goes on for ever."""


class _Jump(selectors.BaseSelector):
    """Lets time pass instead of waiting for files; no file is ever ready."""

    def __init__(self, most_at_once: int) -> None:
        self.elapsed_us = 0
        self._most_at_once = most_at_once
        self._at_once = 0
        self._keys: dict[Any, SelectorKey] = {}

    def select(self, timeout: float | None = None) -> _Ready:
        if timeout is None:
            raise NoProgress("nothing is due any more")
        if timeout > 0:
            self.elapsed_us += max(1, ceil(timeout * 1e6))
            self._at_once = 0
            return []
        self._at_once += 1
        if self._at_once > self._most_at_once:
            raise NoProgress("the clock stands still")
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time begins at 0 and passes only when nothing is left to do."""

    def __init__(self, most_at_once: int = 100_000) -> None:
        self._jump = _Jump(most_at_once)
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.elapsed_us / 1e6

    @property
    def elapsed_us(self) -> int:
        """Virtual time since the beginning."""
        return self._jump.elapsed_us
