"""Lengths of time as people write them: ``6h``, ``90m``, ``1h30m``, ``2d``, ``PT6H``."""

from __future__ import annotations

import re
from typing import Final

from penstock.domain.instants import Duration

_SHORT: Final = re.compile(
    r"(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s)?"
)
_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


def length(text: str) -> Duration:
    """Read a length of time. Raises ValueError for what is none."""
    short = text.strip().lower().replace(" ", "")
    match = _SHORT.fullmatch(short)
    if match is not None and short:
        parts = match.groupdict(default="0")
        return Duration.of_seconds(
            sum(int(parts[unit]) * seconds for unit, seconds in _SECONDS.items())
        )
    return Duration.parse(text.upper())
