"""SharedKey: every way in which a real client signs, and every way to be refused."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from penstock.domain.instants import MINUTE_US, http_date
from penstock.domain.refusals import (
    AuthenticationFailed,
    InvalidAuthenticationInfo,
    InvalidUri,
    Refusal,
)
from penstock.wire.access.shared_keys import MOST_TEXTS, SharedKeys, signed_texts
from tests.wire.edge import ACCOUNT, KEY, SECOND_KEY, sign, text_to_sign

NOW_US = 1_704_110_400_000_000
DATE = {"ocp-date": http_date(NOW_US)}
KEYS = SharedKeys({ACCOUNT: [KEY, SECOND_KEY]})


def check(method: str, target: str, headers: Mapping[str, str], text: str, key: str = KEY) -> str:
    """Authenticate a request whose client signed `text`."""
    path, _, query = target.partition("?")
    credential = f"{ACCOUNT}:{sign(text, key)}"
    return KEYS.authenticate(method, path, query, headers, credential, NOW_US)


def usual(method: str, target: str, headers: Mapping[str, str]) -> str:
    return text_to_sign(method, target, headers, ACCOUNT)


@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/pools?api-version=2025-06-01&timeOut=30", {}),
        ("HEAD", "/pools/p?api-version=2025-06-01", {}),
        ("POST", "/pools?api-version=1", {"content-length": "7", "content-type": "text/json"}),
        ("GET", "/jobs/j/tasks/t/files/a%2Fb?api-version=1", {"ocp-range": "bytes=0-4"}),
        ("PATCH", "/jobs/j?api-version=1", {"if-match": '"0x8D"', "content-length": "2"}),
        ("GET", "/jobs?$filter=id%20eq%20%27a%27&$select=id,state", {}),
    ],
)
def test_what_the_newest_sdk_signs(
    key: str, method: str, target: str, headers: Mapping[str, str]
) -> None:
    sent = {**DATE, **headers}

    assert check(method, target, sent, usual(method, target, sent), key) == ACCOUNT


VARIANTS: dict[str, tuple[str, str, Mapping[str, str], Callable[[str], str]]] = {
    "zero is signed for a body that is not there": (
        "DELETE", "/jobs/j?v=1", {}, lambda text: text.replace("DELETE\n\n\n\n", "DELETE\n\n\n0\n"),
    ),
    "nothing is signed where a zero is sent": (
        "POST", "/jobs/j/enable?v=1", {"content-length": "0"},
        lambda text: text.replace("\n0\n", "\n\n"),
    ),
    "zero is signed for HEAD": (
        "HEAD", "/pools/p?v=1", {}, lambda text: text.replace("HEAD\n\n\n\n", "HEAD\n\n\n0\n"),
    ),
    "a transport adds a content type": (
        "POST", "/jobs/j/enable?v=1",
        {"content-length": "0", "content-type": "application/octet-stream"},
        lambda text: text.replace("application/octet-stream", ""),
    ),
    "names of the query in lower case": (
        "GET", "/pools?api-version=1&timeOut=3", {},
        lambda text: text.replace("timeOut", "timeout"),
    ),
    "an empty value is signed": (
        "GET", "/pools?a=&b=1", {}, lambda text: text.replace("\nb:1", "\na:\nb:1"),
    ),
    "slashes for the codes in the path": (
        "GET", "/jobs/j/tasks/t/files/wd%2Fa%5Cb?v=1", {},
        lambda text: text.replace("wd%2Fa%5Cb", "wd/a/b"),
    ),
    "the path quoted whole, sent in part": (
        "GET", "/jobs/j/tasks/t/files/a%2Bb&c.txt?v=1", {},
        lambda text: text.replace("a%2Bb&c.txt", "a%2Bb%26c.txt"),
    ),
    "the account segment of a local endpoint left out": (
        "GET", f"/{ACCOUNT}/pools?v=1", {},
        lambda text: text.replace(f"/{ACCOUNT}/{ACCOUNT}/", f"/{ACCOUNT}/"),
    ),
    "the account segment signed as sent": ("GET", f"/{ACCOUNT}/pools?v=1", {}, lambda text: text),
    "repeated values joined": (
        "GET", "/pools?a=2&a=1", {}, lambda text: text.replace("\na:2", "\na:1,2"),
    ),
    "only the first of repeated values, with names in lower case": (
        "GET", "/pools?A=2&a=1", {}, lambda text: text.replace("\nA:2\na:1", "\na:2"),
    ),
    "values that need no codes, sent with codes": (
        "GET", "/jobs?$filter=id%20eq%20%27%61%27&v=1", {}, lambda text: text,
    ),
    "an account name before the path, its file quoted anew, and no length": (
        "DELETE", f"/{ACCOUNT}/jobs/j/tasks/t/files/a&b?v=1", {"content-length": "0"},
        lambda text: text.replace("\n0\n", "\n\n").replace("a&b", "a%26b"),
    ),
    "lower case names, zero for a body that is not there": (
        "DELETE", "/jobs/j?api-version=1&timeOut=3", {},
        lambda text: text.replace("DELETE\n\n\n\n", "DELETE\n\n\n0\n").replace("Out", "out"),
    ),
    "a date that a transport added": (
        "GET", "/pools?v=1", {"date": DATE["ocp-date"]},
        lambda text: text.replace(f"\n{DATE['ocp-date']}\n\n", "\n\n\n"),
    ),
    "slashes for the codes, zero for a body that is not there": (
        "DELETE", "/jobs/j/tasks/t/files/wd%2Fa?v=1", {},
        lambda text: text.replace("DELETE\n\n\n\n", "DELETE\n\n\n0\n").replace("%2F", "/"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_what_other_clients_sign(name: str) -> None:
    method, target, headers, change = VARIANTS[name]
    sent = {**DATE, **headers}
    text = change(usual(method, target, sent))

    assert check(method, target, sent, text) == ACCOUNT


def test_the_date_header_serves_where_there_is_no_other() -> None:
    sent = {"date": http_date(NOW_US)}

    assert check("GET", "/pools?v=1", sent, usual("GET", "/pools?v=1", sent)) == ACCOUNT


def test_the_name_of_the_account_is_taken_in_any_case_and_given_as_it_is() -> None:
    text = text_to_sign("GET", "/pools", DATE, ACCOUNT.upper())
    credential = f"{ACCOUNT.upper()}:{sign(text)}"

    assert KEYS.authenticate("GET", "/pools", "", DATE, credential, NOW_US) == ACCOUNT


@pytest.mark.parametrize(
    "changed",
    [
        ("DELETE", "/pools?v=1", DATE),
        ("GET", "/jobs?v=1", DATE),
        ("GET", "/pools?v=2", DATE),
        ("GET", "/pools?v=1", {**DATE, "if-match": "x"}),
        ("GET", "/pools?v=1", {**DATE, "ocp-range": "bytes=0-1"}),
        ("GET", "/pools?v=1", {"ocp-date": http_date(NOW_US + MINUTE_US)}),
    ],
)
def test_a_request_that_is_not_the_one_that_was_signed(
    changed: tuple[str, str, Mapping[str, str]],
) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        check(*changed, usual("GET", "/pools?v=1", DATE))
    assert "signature" in raised.value.values["AuthenticationErrorDetail"]


def test_a_body_of_another_length() -> None:
    sent = {**DATE, "content-length": "5"}
    text = usual("POST", "/pools", sent)

    with pytest.raises(AuthenticationFailed):
        check("POST", "/pools", {**DATE, "content-length": "6"}, text)
    with pytest.raises(AuthenticationFailed):
        check("POST", "/pools", sent, usual("POST", "/pools", DATE))


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_near_enough(minutes: int) -> None:
    sent = {"ocp-date": http_date(NOW_US + minutes * MINUTE_US)}

    assert check("GET", "/pools", sent, usual("GET", "/pools", sent))


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_off(minutes: int) -> None:
    sent = {"ocp-date": http_date(NOW_US + minutes * MINUTE_US)}

    with pytest.raises(AuthenticationFailed) as raised:
        check("GET", "/pools", sent, usual("GET", "/pools", sent))
    assert "15 minutes" in raised.value.values["AuthenticationErrorDetail"]


@pytest.mark.parametrize("date", [{}, {"date": "yesterday"}, {"ocp-date": "Mon, 99 Foo"}])
def test_a_date_that_cannot_be_read(date: Mapping[str, str]) -> None:
    with pytest.raises(AuthenticationFailed):
        check("GET", "/pools", date, usual("GET", "/pools", date))


@pytest.mark.parametrize(
    ("credential", "refusal"),
    [
        ("", InvalidAuthenticationInfo),
        ("name", InvalidAuthenticationInfo),
        (":c2ln", InvalidAuthenticationInfo),
        (f"{ACCOUNT}:no base64!", InvalidAuthenticationInfo),
        ("stranger:c2ln", AuthenticationFailed),
        (f"{ACCOUNT}:", AuthenticationFailed),
    ],
)
def test_a_credential_that_is_none(credential: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        KEYS.authenticate("GET", "/pools", "", DATE, credential, NOW_US)


def refused_text(name: str, target: str = "/pools?b=1&a=2") -> str:
    path, _, query = target.partition("?")
    with pytest.raises(AuthenticationFailed) as raised:
        KEYS.authenticate("GET", path, query, DATE, f"{name}:{sign('x')}", NOW_US)
    return raised.value.values["AuthenticationErrorDetail"]


def test_an_account_that_is_not_there_is_refused_in_the_words_of_a_wrong_signature() -> None:
    assert refused_text("stranger").replace("stranger", ACCOUNT) == refused_text(ACCOUNT)


def test_a_client_is_shown_what_it_should_have_signed() -> None:
    text = usual("GET", "/pools?b=1&a=2", DATE)

    assert refused_text(ACCOUNT).endswith(f"signed is: '{text}'")
    assert len(refused_text(ACCOUNT, f"/pools?a={'x' * 5000}")) < 1500


def test_an_account_that_is_not_there_is_looked_at_as_closely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What takes time is to make signatures, so that is what is counted."""
    made: list[int] = []
    true_digest = hmac.digest

    def digest(key: bytes, text: bytes, kind: Any) -> bytes:
        made[-1] += 1
        return true_digest(key, text, kind)

    monkeypatch.setattr(hmac, "digest", digest)
    for name in (ACCOUNT, "stranger"):
        made.append(0)
        with pytest.raises(AuthenticationFailed):
            KEYS.authenticate("POST", "/pools", "A=1", DATE, f"{name}:{'c2ln'}", NOW_US)
    assert made[0] == made[1] > 2


WORST = (
    f"/{ACCOUNT}/jobs/a%2Fb&c",
    "api-version=1&timeOut=30&a=&b=2&b=1",
    {**DATE, "date": DATE["ocp-date"], "content-length": "0", "content-type": "text/plain"},
)
"""A request that could have been signed in the greatest number of ways."""


def test_a_wrong_signature_costs_a_bounded_number_of_tries() -> None:
    path, query, headers = WORST
    texts = list(signed_texts("POST", ACCOUNT, path, query, headers))

    assert len(texts) == len(set(texts)) == MOST_TEXTS


def test_of_a_long_request_fewer_variants_are_tried() -> None:
    path, query, headers = WORST
    long = {**headers, "ocp-range": "x" * 40_000}
    texts = list(signed_texts("POST", ACCOUNT, path, query, long))

    assert 1 < len(texts) < 5


@pytest.mark.parametrize("accounts", [{}, {ACCOUNT: [SECOND_KEY]}])
def test_a_key_that_was_taken_back_signs_no_more(accounts: dict[str, list[str]]) -> None:
    keys = SharedKeys({ACCOUNT: [KEY, SECOND_KEY]})
    credential = f"{ACCOUNT}:{sign(usual('GET', '/pools', DATE))}"
    assert keys.authenticate("GET", "/pools", "", DATE, credential, NOW_US) == ACCOUNT

    keys.change(accounts)

    with pytest.raises(AuthenticationFailed):
        keys.authenticate("GET", "/pools", "", DATE, credential, NOW_US)


def test_too_many_query_parameters() -> None:
    query = "&".join(f"a{number}=1" for number in range(100))

    with pytest.raises(InvalidUri):
        check("GET", f"/pools?{query}", DATE, "x")


def test_a_key_that_is_not_base64_is_found_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"base64|padding|characters"):
        SharedKeys({"a": ["not base64!"]})
