"""What the REST edge is told at its start."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024

Ready = Callable[[], Awaitable[bool]]
"""Says whether a write would succeed now."""


def _guid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSettings:
    """Settings of the REST edge.

    `accounts` has, by account name, all base64 keys that are valid for it. Each limit has a
    bound so that no client can make the server hold more than it should.
    """

    accounts: Mapping[str, Sequence[str]]
    now_us: Callable[[], int]
    emulator: bool = False  # `penstock up`: the clock moves, and asks for no signature at home
    new_guid: Callable[[], str] = _guid
    body_limit: int = MIB
    body_within_s: float = 60.0
    bodies_limit: int = 64 * MIB  # bytes of all request bodies that are held at once
    url_limit: int = 16 * 1024
    lists_at_once: int = 4  # pages of lists that are made at a time; more wait for their turn
    list_limit: int = 16 * MIB  # bytes of one node's answer to a file listing
