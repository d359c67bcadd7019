"""When the keys of an issuer are fetched, and which of them serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.domain.refusals import ServerBusy
from penstock.wire.access import key_sets
from penstock.wire.access.key_sets import KEEP_S, TRUST_S, KeySet, keys_of
from tests.wire.issuer import TokenIssuer, jwk, new_key

PAUSE_S = 10.0
ONE, TWO = TokenIssuer("RS256"), TokenIssuer("ES256")


class Published:
    """An issuer's address: what it answers, and how often it was asked. Time is pretended."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer or ONE.key_set()
        self.error: Exception | None = None
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.now_s = 0.0
        self.keys = KeySet("issuer", self._fetch, lambda: self.now_s, PAUSE_S)

    async def _fetch(self) -> bytes:
        self.asked += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.answer

    async def one(self) -> object | None:
        return await self.keys.key("key-of-RS256", "RS256")

    async def two(self) -> object | None:
        return await self.keys.key("key-of-ES256", "ES256")

    async def settled(self) -> None:
        """Let a fetch in the background end."""
        for _ in range(10):
            await asyncio.sleep(0)


def run(test: Callable[[Published], Awaitable[None]]) -> None:
    async def inside() -> None:
        await test(Published())

    asyncio.run(inside())


def test_keys_are_fetched_once_for_all_who_wait() -> None:
    async def test(published: Published) -> None:
        assert all(await asyncio.gather(*(published.one() for _ in range(20))))
        assert published.asked == 1

    run(test)


def test_a_key_that_is_missing_is_looked_for_but_not_again_and_again() -> None:
    async def test(published: Published) -> None:
        assert await published.one()
        published.answer = TWO.key_set()
        assert await published.two() is None  # that was a moment ago
        published.now_s = PAUSE_S
        assert await published.two()
        assert await published.one() is None  # it was withdrawn
        for _ in range(50):
            assert await published.keys.key("stranger", "RS256") is None
        assert published.asked == 2

    run(test)


def test_keys_are_fetched_anew_in_time_while_the_old_ones_serve() -> None:
    async def test(published: Published) -> None:
        first = await published.one()
        published.now_s = KEEP_S
        published.open.clear()
        assert await published.one() is first
        published.open.set()
        await published.settled()
        assert published.asked == 2
        assert await published.one() is not first

    run(test)


def test_an_issuer_that_is_away_costs_nothing_for_a_day() -> None:
    async def test(published: Published) -> None:
        assert await published.one()
        published.error = OSError("no route")
        published.now_s = TRUST_S - 1
        assert await published.one()
        await published.settled()
        published.now_s = TRUST_S + PAUSE_S
        with pytest.raises(ServerBusy):
            await published.one()
        published.error = None
        published.now_s += PAUSE_S
        assert await published.one()

    run(test)


@pytest.mark.parametrize(
    "broken", [OSError("no route"), b"", b"[]", b"{}", b'{"keys": 1}', b"\xff", b"[" * 100_000]
)
def test_without_keys_nobody_waits_long(broken: Exception | bytes) -> None:
    async def test(published: Published) -> None:
        if isinstance(broken, bytes):
            published.answer = broken
        else:
            published.error = broken
        for _ in range(5):
            with pytest.raises(ServerBusy):
                await published.one()
        assert published.asked == 1
        published.now_s, published.error, published.answer = PAUSE_S, None, ONE.key_set()
        assert await published.one()

    run(test)


def test_an_issuer_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "FETCH_WITHIN_S", 0.01)

    async def test(published: Published) -> None:
        published.open.clear()
        with pytest.raises(ServerBusy):
            await published.one()

    run(test)


def test_who_goes_away_does_not_end_the_fetch_of_others() -> None:
    async def test(published: Published) -> None:
        published.open.clear()
        gone, waits = (asyncio.ensure_future(published.one()) for _ in range(2))
        await published.settled()
        gone.cancel()
        await published.settled()
        published.open.set()
        assert await waits

    run(test)


RSA = jwk("k", "RS256", new_key("RS256"))


@pytest.mark.parametrize(
    ("changed", "algorithm"),
    [
        ({"use": "enc"}, "RS256"),
        ({"alg": "RS512"}, "RS256"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "RS256"),
        ({"kty": "EC"}, "RS256"),
        ({"n": "!"}, "RS256"),
        ({"n": 7}, "RS256"),
        ({"n": None}, "RS256"),
        ({"e": "AA"}, "RS256"),
        ({}, "ES256"),
    ],
)
def test_a_key_that_does_not_serve(changed: dict[str, Any], algorithm: str) -> None:
    async def test(published: Published) -> None:
        published.answer = json.dumps({"keys": [{**RSA, **changed}, 7]}).encode()
        assert await published.keys.key("k", algorithm) is None

    run(test)


def test_a_curve_serves_its_own_algorithm_only() -> None:
    async def test(published: Published) -> None:
        key = jwk("k", "ES384", new_key("ES384"))
        published.answer = json.dumps({"keys": [key]}).encode()
        assert await published.keys.key("k", "ES256") is None
        assert await published.keys.key("k", "ES384")

    run(test)


def test_of_two_keys_without_a_name_neither_is_guessed() -> None:
    async def test(published: Published) -> None:
        keys = [jwk(None, "RS256", new_key("RS256")) for _ in range(2)]
        published.answer = json.dumps({"keys": keys}).encode()
        assert await published.keys.key(None, "RS256") is None

    run(test)


def test_a_private_key_that_was_published_is_used_as_a_public_one() -> None:
    async def test(published: Published) -> None:
        import jwt

        private = new_key("RS256")
        said: Any = jwt.get_algorithm_by_name("RS256")
        published.answer = json.dumps({"keys": [said.to_jwk(private, as_dict=True)]}).encode()
        found = await published.keys.key(None, "RS256")
        assert found is not None
        assert not hasattr(found, "private_numbers")

    run(test)


def test_of_very_many_keys_the_first_count() -> None:
    assert len(keys_of(json.dumps({"keys": [RSA] * 1000}).encode())) == key_sets.MOST_KEYS
