"""A signature is good for the request that was signed, and for no other."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from penstock.domain.instants import http_date
from penstock.domain.refusals import AuthenticationFailed, Refusal
from penstock.wire.access.shared_keys import SharedKeys, signed_texts
from tests.wire.edge import ACCOUNT, KEY, sign, text_to_sign

NOW_US = 1_704_110_400_000_000
KEYS = SharedKeys({ACCOUNT: [KEY]})

values = st.text(st.characters(codec="ascii", exclude_characters="&#?\r\n+% ="), max_size=8)
segments = values.map(lambda text: text.replace("/", "%2F"))
requests = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.dictionaries(st.sampled_from(["api-version", "timeOut", "$filter", "x"]), values),
    st.dictionaries(
        st.sampled_from(["content-length", "content-type", "if-match", "ocp-range", "ocp-date-2"]),
        values.map(str.strip),
    ),
)
Sent = tuple[str, str, dict[str, str], dict[str, str]]


def taken_apart(request: Sent) -> tuple[str, str, str, dict[str, str]]:
    method, path, pairs, headers = request
    query = "&".join(f"{name}={value}" for name, value in pairs.items())
    return method, path, query, {"ocp-date": http_date(NOW_US), **headers}


def text_of(request: Sent) -> str:
    """What the newest SDK would sign; it signs a length of 0 for a body that is not there."""
    method, path, query, headers = taken_apart(request)
    if method not in ("GET", "HEAD") and not headers.get("content-length"):
        headers["content-length"] = "0"
    return text_to_sign(method, f"{path}?{query}", headers, ACCOUNT)


def authenticated(request: Sent, signature: str) -> str:
    method, path, query, headers = taken_apart(request)
    return KEYS.authenticate(method, path, query, headers, f"{ACCOUNT}:{signature}", NOW_US)


@settings(max_examples=200, deadline=None)
@given(requests)
def test_what_was_signed_is_accepted(request: Sent) -> None:
    assert authenticated(request, sign(text_of(request))) == ACCOUNT


@settings(max_examples=200, deadline=None)
@given(requests, requests)
def test_a_signature_is_not_good_for_another_request(one: Sent, other: Sent) -> None:
    text = text_of(one)
    method, path, query, headers = taken_apart(other)
    assume(text.encode() not in set(signed_texts(method, ACCOUNT, path, query, headers)))

    with pytest.raises(AuthenticationFailed):
        authenticated(other, sign(text))


@settings(max_examples=200, deadline=None)
@given(requests, requests)
def test_two_requests_share_a_signed_text_only_when_they_ask_the_same(
    one: Sent, other: Sent
) -> None:
    """Variants forgive how a thing is written, never what is asked: verb, conditions, range."""
    (method, *_, headers), (other_method, *_, other_headers) = one, other
    shared = set(signed_texts(*with_account(one))) & set(signed_texts(*with_account(other)))
    told_apart = ("if-match", "ocp-range", "ocp-date-2")
    if method != other_method or any(
        headers.get(name, "") != other_headers.get(name, "")
        for name in told_apart
        if headers.get(name) or other_headers.get(name)
    ):
        assert not shared


def with_account(request: Sent) -> tuple[str, str, str, str, dict[str, str]]:
    method, path, query, headers = taken_apart(request)
    return method, ACCOUNT, path, query, headers


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=40))
def test_no_header_is_our_fault(credential: str, date: str) -> None:
    with pytest.raises(Refusal):
        KEYS.authenticate("GET", "/pools", "", {"ocp-date": date}, credential, NOW_US)
