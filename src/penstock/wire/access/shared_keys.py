"""SharedKey: who sent this request, and is it what they signed?

All clients sign the same parts but not quite the same text. They differ in how the path is
quoted (as sent, quoted anew, ``%2F`` as ``/``), in whether the account segment of a local
endpoint is part of it, in the case of query names, and in the length of an empty body. So the
text is built in the variant that most clients use, and in the others only when that fails: first
those that differ in one thing, then in two, and so on up to a bound, for a wrong signature must
not cost the server much more than a right one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import product
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from penstock.domain.instants import MINUTE_US, from_datetime
from penstock.domain.refusals import (
    AuthenticationFailed,
    InvalidAuthenticationInfo,
    InvalidUri,
)

CLOCK_SKEW_US: Final = 15 * MINUTE_US
"""How far the time of a request may be off."""

MOST_QUERY_FIELDS: Final = 64
MOST_TEXTS: Final = 24
LONGEST_REQUOTED: Final = 2048
"""Characters of a path; a longer one is signed as it was sent."""

LONGEST_SHOWN: Final = 1024
"""Bytes of the text to sign that a client is shown whose signature is wrong."""

MOST_SIGNED_BYTES: Final = 64 * 1024
"""Of all texts that are tried for one request, but for the first three."""

_SIGNED: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_LENGTH_AT: Final = _SIGNED.index("content-length")
_TYPE_AT: Final = _SIGNED.index("content-type")
_DATE_AT: Final = _SIGNED.index("date")

_KEY_BYTES: Final = 64

Keys = Mapping[str, Sequence[str]]
"""By account name, all base64 keys that are valid for it."""


class SharedKeys:
    """The keys of all accounts."""

    def __init__(self, accounts: Keys) -> None:
        """Raises ValueError when a key is not base64."""
        self._strangers = [secrets.token_bytes(_KEY_BYTES) for _ in range(2)]
        self.change(accounts)

    def change(self, accounts: Keys) -> None:
        """From now on these keys are valid, and no others. Raises ValueError, likewise."""
        self._accounts = {
            name.lower(): (name, [base64.b64decode(key, validate=True) for key in keys])
            for name, keys in accounts.items()
        }

    def authenticate(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        credential: str,
        now_us: int,
    ) -> str:
        """Give the account that signed this request, or refuse it.

        `path` and `query` are as on the request line, header names are lower case, `credential`
        is ``account:signature``. An account that is not there costs as much time as one that
        is, and is refused in the same words.
        """
        name, signature = _taken_apart(credential)
        _check_time(headers, now_us)
        account, keys = self._accounts.get(name.lower(), (None, self._strangers))
        usual = b""
        for text in signed_texts(method, name, path, query, headers):
            usual = usual or text
            for key in keys:
                expected = hmac.digest(key, text, hashlib.sha256)
                if hmac.compare_digest(expected, signature) and account is not None:
                    return account
        raise _failed(
            "The account of the Authorization header is not known here, or the signature does"
            " not match the request and any key of the account. The text that should have been"
            f" signed is: '{usual[:LONGEST_SHOWN].decode(errors='replace')}'"
        )


def _failed(detail: str) -> AuthenticationFailed:
    return AuthenticationFailed(AuthenticationErrorDetail=detail)


def _taken_apart(credential: str) -> tuple[str, bytes]:
    name, colon, signature = credential.partition(":")
    if not name or not colon:
        raise InvalidAuthenticationInfo(
            HeaderName="Authorization", Reason="the form is: SharedKey account:signature"
        )
    try:
        return name, base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAuthenticationInfo(
            HeaderName="Authorization", Reason="the signature is not base64"
        ) from None


@lru_cache(maxsize=1024)
def _date_us(text: str) -> int:
    """Read RFC 1123. Raises ValueError."""
    at = parsedate_to_datetime(text)
    return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))


def _check_time(headers: Mapping[str, str], now_us: int) -> None:
    text = headers.get("ocp-date") or headers.get("date")
    if not text:
        raise _failed("The request has neither an ocp-date nor a Date header.")
    try:
        at_us = _date_us(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        raise _failed(f"The date {text[:64]!r} of the request cannot be read.") from None
    if abs(at_us - now_us) > CLOCK_SKEW_US:
        raise _failed("The date of the request is more than 15 minutes off the server's clock.")


def signed_texts(
    method: str, account: str, path: str, query: str, headers: Mapping[str, str]
) -> Iterator[bytes]:
    """The texts that a client may have signed for this request, the usual one first."""
    pairs = _pairs(query)
    ocp = _ocp(headers)
    values = [headers.get(name, "").strip() for name in _SIGNED]
    if not values[_LENGTH_AT] and method not in ("GET", "HEAD"):
        values[_LENGTH_AT] = "0"
    usual = f"{_head(method, values, ocp)}/{account}{path}{_lines(_firsts(pairs))}".encode()
    yield usual

    resources = _distinct(map(_lines, _resources(pairs)))
    paths = _distinct(_paths(account, path))
    heads = _distinct(_head(method, each, ocp) for each in _headers(method, headers))
    left = MOST_SIGNED_BYTES
    for number, (resource, signed_path, head) in enumerate(
        _nearest_first(len(resources), len(paths), len(heads))
    ):
        text = f"{heads[head]}/{account}{paths[signed_path]}{resources[resource]}".encode()
        left -= len(text)
        if left < 0 and number > 2:
            return
        if text != usual:
            yield text


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


@lru_cache(maxsize=256)
def _nearest_first(*counts: int) -> Sequence[tuple[int, ...]]:
    """Choices of a variant of each part, those with the fewest unusual variants first."""
    choices = product(*map(range, counts))
    ordered = sorted(choices, key=lambda choice: (sum(map(bool, choice)), sum(choice)))
    return ordered[:MOST_TEXTS]


def _ocp(headers: Mapping[str, str]) -> str:
    names = sorted(name for name in headers if name.startswith("ocp-"))
    return "".join(f"{name}:{headers[name].strip()}\n" for name in names)


def _head(method: str, values: Sequence[str], ocp: str) -> str:
    return "\n".join((method, *values)) + "\n" + ocp


def _headers(method: str, headers: Mapping[str, str]) -> Iterator[list[str]]:
    """The values of headers, for each length, type and date that clients may have signed."""
    values = [headers.get(name, "").strip() for name in _SIGNED]
    sent = values[_LENGTH_AT]
    usual = sent or ("" if method in ("GET", "HEAD") else "0")
    lengths = [usual] if usual not in ("", "0") else [usual, "0" if usual == "" else ""]
    types = [values[_TYPE_AT]]
    if lengths[1:] and types[0]:
        types.append("")  # a transport added the type after the client had signed
    dates = [values[_DATE_AT]]
    if dates[0] and headers.get("ocp-date"):
        dates.append("")  # likewise, where the client's own date is the other
    for date, kind, length in product(dates, types, lengths):
        values[_LENGTH_AT], values[_TYPE_AT], values[_DATE_AT] = length, kind, date
        yield values


def _paths(account: str, path: str) -> list[str]:
    """The path as sent, quoted anew, with slashes for ``%2F``; each without the account too."""
    again = path
    if len(path) <= LONGEST_REQUOTED:
        again = "/".join(quote(unquote(part), safe="") for part in path.split("/"))
    slashes = path
    for code in ("%2F", "%2f", "%5C", "%5c"):
        slashes = slashes.replace(code, "/")
    paths = [path, again, slashes]
    start = f"/{account.lower()}/"
    if path.lower().startswith(start):
        paths += [each[len(start) - 1 :] for each in paths]
    return paths


Pairs = Sequence[tuple[str, str]]


def _pairs(query: str) -> Pairs:
    if not query:
        return ()
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS)
    except ValueError:
        raise InvalidUri(Reason=f"more than {MOST_QUERY_FIELDS} query parameters") from None


def _firsts(pairs: Pairs) -> dict[str, str]:
    """The first value of each name that has one, as the Python SDKs sign."""
    return {name: value for name, value in reversed(pairs) if value}


def _resources(pairs: Pairs) -> Iterator[Mapping[str, str]]:
    """The query part of the resource, as the SDKs write it and as the documentation says."""
    lower = [(name.lower(), value) for name, value in pairs]
    yield _firsts(pairs)
    yield _firsts(lower)
    yield dict(reversed(pairs))  # with the names that have no value
    joined: dict[str, list[str]] = {}
    for name, value in lower:
        joined.setdefault(name, []).append(value)
    yield {name: ",".join(sorted(values)) for name, values in joined.items()}


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"\n{name}:{values[name]}" for name in sorted(values))
