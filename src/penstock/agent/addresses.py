"""The loopback address of each local node: one of the 16 million on ``lo``, never two alike."""

from __future__ import annotations

from typing import Final

_LAST_PARTS: Final = 254  # 1 to 254
_FIRST_SECOND: Final = 1  # 127.0.x.y stays with the machine


def local_address(number: int) -> str:
    """Give the address with this number, counted from 1: ``127.1.0.1`` is the first."""
    high, last = divmod(number - 1, _LAST_PARTS)
    second, third = divmod(high, 256)
    return f"127.{_FIRST_SECOND + second % 254}.{third}.{last + 1}"
