"""Tokens of issuers: which are good, and what for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from penstock.domain.instants import SECOND_US
from penstock.wire.access.key_sets import KeySet
from penstock.wire.settings import Issuer
from tests.wire.edge import ACCOUNT, Edge
from tests.wire.fakes import NOON_US
from tests.wire.issuer import AUDIENCE, NAME, TokenIssuer, jwk, new_key, public_pem, unsigned

NOW_S = NOON_US // SECOND_US
ALGORITHMS = ("RS256", "ES256", "PS384", "RS512", "ES384", "ES512", "EdDSA")
ISSUER = TokenIssuer(*ALGORITHMS)
WRITE = {"roles": ["Writer"]}
READ = {"scp": "openid Batch.Read"}


def keys(key_set: bytes = b"") -> KeySet:
    async def fetch() -> bytes:
        return key_set or ISSUER.key_set()

    return KeySet(NAME, fetch, lambda: 0.0, 10.0)


def issuer(**changed: Any) -> Issuer:
    usual: dict[str, Any] = {
        "name": NAME,
        "audiences": frozenset({AUDIENCE.rstrip("/")}),
        "algorithms": frozenset(ALGORITHMS),
        "accounts": frozenset(),
        "read": {"scp": frozenset({"Batch.Read"}), "roles": frozenset({"Reader"})},
        "write": {"roles": frozenset({"Writer"}), "appid": frozenset({"app-1"})},
        "keys": keys(),
    }
    return Issuer(**{**usual, **changed})


def ask(
    token: str,
    method: str = "GET",
    target: str = f"/{ACCOUNT}/pools",
    *issuers: Issuer,
    host: str = "batch.test:10643",
    scheme: str = "https",
) -> httpx.Response:
    edge = Edge(issuers=issuers or (issuer(),))
    headers = {"authorization": f"Bearer {token}", "host": host}
    body = {"id": "p", "vmSize": "x"} if method == "POST" else None
    return edge.ask(method, target, body, headers=headers, signed=False, scheme=scheme)


def detail(answer: httpx.Response, code: str = "AuthenticationFailed") -> str:
    said = answer.json()
    assert (answer.status_code, said["code"]) == (403, code)
    (value,) = said["values"]
    assert value["key"] == ("AuthenticationErrorDetail" if "Failed" in code else "Reason")
    return str(value["value"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_by_each_algorithm(algorithm: str) -> None:
    claims = {"iss": NAME, "aud": AUDIENCE, "exp": NOW_S + 60, **WRITE}

    assert ask(ISSUER.sign(claims, f"key-of-{algorithm}")).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": AUDIENCE},
        {"aud": AUDIENCE.rstrip("/")},
        {"aud": f"{AUDIENCE}/"},
        {"aud": ["https://other.example", AUDIENCE]},
        {"exp": NOW_S - 59},
        {"nbf": NOW_S + 59},
        {"nbf": None},
        {"roles": ["Other", "Writer"]},
        {"roles": "Writer"},
        {"roles": None, "appid": "app-1"},
        {"roles": None, **READ},
        {"roles": ["Reader"]},
    ],
)
def test_claims_that_are_good(claims: dict[str, Any]) -> None:
    assert ask(ISSUER.token(NOW_S, **{**WRITE, **claims})).status_code == 200


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://other.example/"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"a": 1}}, "audience"),
        ({"iss": "https://other.example/"}, "issuer"),
        ({"iss": NAME + "/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": [NAME]}, "issuer"),
        ({"exp": NOW_S - 61}, "expired"),
        ({"exp": None}, "until when"),
        ({"exp": "tomorrow"}, "until when"),
        ({"exp": 10**400}, "until when"),
        ({"exp": float("inf")}, "until when"),
        ({"exp": float("nan")}, "until when"),
        ({"exp": True}, "until when"),
        ({"nbf": NOW_S + 61}, "not good yet"),
        ({"nbf": [1]}, "until when"),
    ],
)
def test_claims_that_are_not(claims: dict[str, Any], reason: str) -> None:
    assert reason in detail(ask(ISSUER.token(NOW_S, **{**WRITE, **claims})))


GOOD = {"iss": NAME, "aud": AUDIENCE, "exp": NOW_S + 60, **WRITE}


def forged(alg: str, claims: dict[str, Any] | None = None, **header: Any) -> str:
    """A token with a signature by the published key, taken for a shared secret."""
    pem = public_pem(ISSUER.keys["key-of-RS256"][1])
    parts = ({"alg": alg, "kid": "key-of-RS256", **header}, claims or GOOD)
    text = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    )
    seal = hmac.digest(pem, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def spoiled(token: str) -> str:
    """The same token with other claims under its signature."""
    head, _, seal = token.split(".")
    claims = base64.urlsafe_b64encode(json.dumps({**GOOD, "sub": "x"}).encode()).decode()
    return f"{head}.{claims.rstrip('=')}.{seal}"


STRANGER = TokenIssuer("RS256", "ES256")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", ""),
        ("x", "not a signed JWT"),
        ("a.b.c", "not a signed JWT"),
        ("é.è.ê", "not a signed JWT"),
        (unsigned(GOOD), "algorithm"),
        (forged("HS256"), "algorithm"),
        (forged("None"), "algorithm"),
        (forged("RS256"), "signature"),
        (forged("RS256", kid=None), "not a signed JWT"),
        (forged("RS256", kid=7), "not a signed JWT"),
        (forged("RS256", kid="key-of-ES256"), "not published"),
        (forged("RS256", crit=["x"], x=1), "not a signed JWT"),
        (spoiled(ISSUER.sign(GOOD)), "signature"),
        (STRANGER.sign(GOOD), "signature"),
        (STRANGER.sign(GOOD, headers={"kid": "other"}), "not published"),
        (STRANGER.sign(GOOD, headers={"jwk": jwk(None, "RS256", new_key("RS256"))}), "signature"),
        (STRANGER.sign(GOOD, headers={"jku": "https://stranger.example"}), "signature"),
        (ISSUER.sign({**GOOD, "long": "x" * 20_000}), "characters"),
    ],
)  # fmt: skip
def test_tokens_that_nobody_vouches_for(token: str, reason: str) -> None:
    answer = ask(token)
    if not token:
        assert answer.json()["code"] == "InvalidAuthenticationInfo"
    else:
        assert reason in detail(answer)


def test_an_algorithm_that_is_not_allowed_to_the_issuer() -> None:
    only = issuer(algorithms=frozenset({"ES256"}))

    assert "algorithm" in detail(ask(ISSUER.sign(GOOD), "GET", f"/{ACCOUNT}/pools", only))


def test_a_key_that_is_too_short_to_be_trusted() -> None:
    short = TokenIssuer("RS256")
    short.keys = {"short": ("RS256", new_key("RS256", bits=1024))}
    with pytest.warns(UserWarning, match="key"):
        token = short.sign(GOOD)

    answer = ask(token, "GET", f"/{ACCOUNT}/pools", issuer(keys=keys(short.key_set())))

    assert "not published" in detail(answer)


def test_the_only_key_needs_no_name() -> None:
    one = TokenIssuer("ES256")
    claims, unnamed = GOOD, {"kid": None}
    token = one.sign(claims, headers=unnamed)

    only = issuer(keys=keys(json.dumps({"keys": [_unnamed(one)]}).encode()))

    assert ask(token, "GET", f"/{ACCOUNT}/pools", only).status_code == 200


def _unnamed(one: TokenIssuer) -> dict[str, Any]:
    (algorithm, key), *_ = one.keys.values()
    return jwk(None, algorithm, key)


@pytest.mark.parametrize(
    ("claims", "method", "allowed"),
    [
        (READ, "GET", True),
        (READ, "HEAD", True),
        (READ, "POST", False),
        (READ, "PATCH", False),
        (READ, "DELETE", False),
        ({"scp": "Batch.ReadAll"}, "GET", False),
        ({"roles": ["writer"]}, "GET", False),
        ({"roles": [1]}, "GET", False),
        ({}, "GET", False),
        (WRITE, "GET", True),
        (WRITE, "POST", True),
        (WRITE, "DELETE", True),
    ],
)
def test_who_may_read_and_who_may_write(claims: dict[str, Any], method: str, allowed: bool) -> None:
    target = f"/{ACCOUNT}/pools" + ("" if method in ("GET", "POST") else "/missing")

    answer = ask(ISSUER.token(NOW_S, **claims), method, target)

    assert (answer.status_code != 403) is allowed
    if not allowed and method != "HEAD":
        assert answer.json()["code"] == "InsufficientAccountPermissions"


@pytest.mark.parametrize(
    ("host", "target", "status"),
    [
        (f"{ACCOUNT}.localhost:10643", "/pools", 200),
        (f"{ACCOUNT.upper()}.westus.batch.example", "/pools", 200),
        ("127.0.0.1:10643", f"/{ACCOUNT}/pools", 200),
        ("127.0.0.1:10643", "/another/pools", 403),
        ("another.localhost", "/pools", 403),
        ("another.localhost", f"/{ACCOUNT}/pools", 403),
        ("127.0.0.1:10643", "/pools", 403),
    ],
)
def test_which_account_is_meant(host: str, target: str, status: int) -> None:
    mine = issuer(accounts=frozenset({ACCOUNT}))

    assert ask(ISSUER.token(NOW_S, **WRITE), "GET", target, mine, host=host).status_code == status


def test_an_account_of_others_is_refused_like_one_that_is_not_there() -> None:
    mine, other = issuer(accounts=frozenset({"gone"})), issuer(accounts=frozenset({"another"}))
    token = ISSUER.token(NOW_S, **WRITE)

    said = [
        detail(ask(token, "GET", f"/{ACCOUNT}/pools", entry), "InsufficientAccountPermissions")
        for entry in (mine, other)
    ]

    assert said[0] == said[1]


def test_several_entries_of_one_issuer() -> None:
    reads = issuer(accounts=frozenset({ACCOUNT}), write={}, read={"sub": frozenset({"*"})})
    writes = issuer(accounts=frozenset({"another"}), write={"sub": frozenset({"*"})})
    token = ISSUER.token(NOW_S, sub="anybody")

    statuses = [
        ask(token, method, f"/{account}/pools", reads, writes).status_code
        for account in (ACCOUNT, "another")
        for method in ("GET", "POST")
    ]

    assert statuses[:3] == [200, 403, 200]
    assert statuses[3] != 403


def test_on_plain_http_no_token_is_read() -> None:
    answer = ask(ISSUER.token(NOW_S, **WRITE), scheme="http")

    assert "https" in detail(answer)


def test_without_issuers_there_are_no_tokens() -> None:
    edge = Edge()
    headers = {"authorization": f"Bearer {ISSUER.token(NOW_S, **WRITE)}"}

    answer = edge.ask("GET", "/pools", headers=headers, signed=False, scheme="https")

    assert "issuer" in detail(answer)


def test_without_keys_the_client_is_told_to_come_again() -> None:
    async def fetch() -> bytes:
        raise OSError("no route")

    gone = KeySet(NAME, fetch, lambda: 0.0, 10.0)
    answer = ask(ISSUER.token(NOW_S, **WRITE), "GET", f"/{ACCOUNT}/pools", issuer(keys=gone))

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
