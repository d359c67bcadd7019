"""The public keys of issuers of tokens: fetched when they are needed, and kept.

An issuer changes its keys now and then, and whoever sends a token can name a key that was never
there. So an unknown name is a reason to fetch the keys anew, but not again and again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import jwt

from penstock.domain.refusals import ServerBusy

log = logging.getLogger("penstock.wire")

Fetch = Callable[[], Awaitable[bytes]]
"""Gives the JSON of a key set (JWKS). Raises OSError, with the reason, where it cannot."""

FETCH_WITHIN_S: Final = 5.0
KEEP_S: Final = 3600.0
"""After so long the keys are fetched anew, for one of them may have been withdrawn."""

TRUST_S: Final = 24 * 3600.0
"""For so long keys are good that cannot be fetched anew."""

MOST_KEYS: Final = 100
FEWEST_RSA_BITS: Final = 2048

_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")


class KeySet:
    """The keys of one issuer; keeps the promise of `settings.Keys`."""

    def __init__(
        self, issuer: str, fetch: Fetch, monotonic_s: Callable[[], float], pause_s: float
    ) -> None:
        """`pause_s` lies at least between two times that the keys are fetched."""
        self._issuer = issuer
        self._fetch = fetch
        self._now_s = monotonic_s
        self._pause_s = pause_s
        self._keys: list[Mapping[str, Any]] = []
        self._read: dict[tuple[str | None, str], object] = {}
        self._fetched_s = self._asked_s = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, name: str | None, algorithm: str) -> object | None:
        """See `settings.Keys`."""
        found, age_s = self._find(name, algorithm), self._age_s()
        if found is not None and age_s < KEEP_S:
            return found
        fetching = self._refresh()
        if found is not None and age_s < TRUST_S:
            return found
        if fetching is not None:
            await asyncio.shield(fetching)
        if self._age_s() >= TRUST_S:
            raise ServerBusy(Reason="the keys of the token's issuer cannot be had at present")
        return self._find(name, algorithm)

    def _age_s(self) -> float:
        return self._now_s() - self._fetched_s

    def _refresh(self) -> asyncio.Task[None] | None:
        """Fetch the keys, once for all who wait; None where that was tried a moment ago."""
        if self._fetching is None and self._now_s() - self._asked_s >= self._pause_s:
            self._asked_s = self._now_s()
            self._fetching = asyncio.create_task(self._take())
            self._fetching.add_done_callback(self._fetch_over)
        return self._fetching

    def _fetch_over(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(FETCH_WITHIN_S):
                self._keys = keys_of(await self._fetch())
        except (OSError, ValueError) as error:  # TimeoutError is one of the former
            reason = str(error) or type(error).__name__
            log.warning("token_keys_missing issuer=%s reason=%s", self._issuer, reason[:200])
            return
        self._read.clear()
        self._fetched_s = self._now_s()

    def _find(self, name: str | None, algorithm: str) -> object | None:
        asked = (name, algorithm)
        if asked not in self._read:
            fitting = [
                key
                for key in self._keys
                if _serves(key, algorithm) and (name is None or key.get("kid") == name)
            ]
            if len(fitting) != 1:
                return None
            self._read[asked] = _public_key(fitting[0], algorithm)
        return self._read[asked]


def keys_of(document: bytes) -> list[Mapping[str, Any]]:
    """The keys of a key set. Raises ValueError."""
    try:
        said = json.loads(document)
    except RecursionError:
        raise ValueError("the key set is nested too deeply") from None
    keys = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(keys, list):
        raise ValueError("the key set has no list of keys")
    return [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]


def _serves(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key is one to check signatures of this algorithm with."""
    return (
        key.get("kty") == _KINDS.get(algorithm[:2])
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (algorithm not in _CURVES or key.get("crv") == _CURVES[algorithm])
    )


def _public_key(key: Mapping[str, Any], algorithm: str) -> object | None:
    """The key itself; None where it is none, or too short to be trusted."""
    public = {name: key[name] for name in _PUBLIC if name in key}
    try:
        read: Any = jwt.get_algorithm_by_name(algorithm).from_jwk(public)
    except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    return None if getattr(read, "key_size", FEWEST_RSA_BITS) < _fewest_bits(algorithm) else read


def _fewest_bits(algorithm: str) -> int:
    return FEWEST_RSA_BITS if _KINDS[algorithm[:2]] == "RSA" else 0
