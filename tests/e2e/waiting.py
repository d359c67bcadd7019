"""Waiting for what the API shows, always with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class NeverHappened(AssertionError):
    """What was waited for did not come in time."""


def eventually(
    ask: Callable[[], Answer | None],
    within_s: float,
    what: str,
    *,
    every_s: float = 0.03,
    seen: Callable[[], object] | None = None,
) -> Answer:
    """Ask until the answer is neither None nor False, and give it.

    Raises NeverHappened after `within_s`, with what `seen` shows at that moment.
    """
    until = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > until:
            shown = f"; seen: {seen()}" if seen else ""
            raise NeverHappened(f"not within {within_s} s: {what}{shown}")
        time.sleep(every_s)
