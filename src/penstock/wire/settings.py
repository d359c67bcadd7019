"""What the REST edge is told at its start."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MIB = 1024 * 1024

Ready = Callable[[], Awaitable[bool]]
"""Says whether a write would succeed now."""


class Keys(Protocol):
    """The public keys of an issuer of tokens."""

    async def key(self, name: str | None, algorithm: str) -> object | None:
        """The key of this name that serves the algorithm; without a name the only one that does.

        None where there is no such key. Raises ServerBusy when the keys cannot be had.
        """


Claims = Mapping[str, frozenset[str]]
"""By the name of a claim, the values of which one is enough; ``*`` is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Somebody whose tokens are taken. `accounts` are lower case; without any it is all."""

    name: str  # as in the claim `iss`
    audiences: frozenset[str]  # without a slash at the end
    algorithms: frozenset[str]
    accounts: frozenset[str]
    read: Claims
    write: Claims  # who may write may read
    keys: Keys


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
    issuers: Sequence[Issuer] = ()
    emulator: bool = False  # `penstock up`: the clock moves, and asks for no signature at home
    new_guid: Callable[[], str] = _guid
    body_limit: int = MIB
    body_within_s: float = 60.0
    bodies_limit: int = 64 * MIB  # bytes of all request bodies that are held at once
    url_limit: int = 16 * 1024
    lists_at_once: int = 4  # pages of lists that are made at a time; more wait for their turn
    list_limit: int = 16 * MIB  # bytes of one node's answer to a file listing
