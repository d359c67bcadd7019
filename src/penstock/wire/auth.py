"""SharedKey: who sent this request, and is it what they signed?

All clients sign the same parts but not quite the same text. They differ in how the path is
quoted (as sent, quoted anew, ``%2F`` as ``/``), in whether the account segment of a local
endpoint is part of it, in the case of query names, and in the length of an empty body. So the
text is built in the variant that most clients use, and in the others only when that fails.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
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
    MissingRequiredHeader,
)

CLOCK_SKEW_US: Final = 15 * MINUTE_US
"""How far the time of a request may be off."""

MOST_QUERY_FIELDS: Final = 64

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


class SharedKeys:
    """The keys of all accounts."""

    def __init__(self, accounts: Mapping[str, Sequence[str]]) -> None:
        """Raises ValueError when a key is not base64."""
        self._accounts = {
            name.lower(): (name, [base64.b64decode(key, validate=True) for key in keys])
            for name, keys in accounts.items()
        }

    def authenticate(
        self, method: str, path: str, query: str, headers: Mapping[str, str], now_us: int
    ) -> str:
        """Give the account that signed this request, or refuse it.

        `path` and `query` are as on the request line, header names are lower case.
        """
        name, signature = _credential(headers)
        _check_time(headers, now_us)
        known = self._accounts.get(name.lower())
        if known is None:
            raise _failed("The account of the Authorization header is not known here.")
        account, keys = known
        for text in signed_texts(method, name, path, query, headers):
            for key in keys:
                expected = hmac.digest(key, text, hashlib.sha256)
                if hmac.compare_digest(expected, signature):
                    return account
        raise _failed("The signature does not match the request and any key of the account.")


def _failed(detail: str) -> AuthenticationFailed:
    return AuthenticationFailed(AuthenticationErrorDetail=detail)


def _credential(headers: Mapping[str, str]) -> tuple[str, bytes]:
    """Split ``SharedKey account:signature``."""
    authorization = headers.get("authorization", "").strip()
    if not authorization:
        raise MissingRequiredHeader(HeaderName="Authorization")
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        raise _failed("Tokens are not accepted here; sign the request with an account key.")
    name, colon, signature = rest.strip().partition(":")
    if scheme.lower() != "sharedkey" or not name or not colon:
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
    """Every text that a client may have signed for this request, the usual one first."""
    seen = set()
    choices = product(
        _resources(query),
        _paths(account, path),
        _heads(method, headers),
    )
    for resource, signed_path, head in choices:
        text = f"{head}/{account}{signed_path}{resource}"
        if text not in seen:
            seen.add(text)
            yield text.encode()


def _heads(method: str, headers: Mapping[str, str]) -> list[str]:
    """Verb and headers, for each length and type that may stand for an empty body."""
    values = [headers.get(name, "").strip() for name in _SIGNED]
    ocp = "".join(
        f"{name}:{headers[name].strip()}\n"
        for name in sorted(name for name in headers if name.startswith("ocp-"))
    )
    sent = values[_LENGTH_AT]
    usual = sent or ("" if method in ("GET", "HEAD") else "0")
    lengths = [usual] if usual not in ("", "0") else [usual, "0" if usual == "" else ""]
    types = [values[_TYPE_AT]]
    if lengths[1:] and types[0]:
        types.append("")  # a transport added the type after the client had signed
    heads = []
    for kind, length in product(types, lengths):
        values[_LENGTH_AT], values[_TYPE_AT] = length, kind
        heads.append("\n".join((method, *values)) + "\n" + ocp)
    return heads


def _paths(account: str, path: str) -> list[str]:
    """The path as sent, quoted anew, with slashes for ``%2F``; each without the account too."""
    again = "/".join(quote(unquote(part), safe="") for part in path.split("/"))
    slashes = path
    for code, char in (("%2F", "/"), ("%2f", "/"), ("%5C", "/"), ("%5c", "/")):
        slashes = slashes.replace(code, char)
    paths = [path, again, slashes]
    start = f"/{account.lower()}/"
    if path.lower().startswith(start):
        paths += [each[len(start) - 1 :] for each in paths]
    return paths


def _resources(query: str) -> list[str]:
    """The query part of the resource, as the SDKs write it and as the documentation says."""
    if not query:
        return [""]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS)
    except ValueError:
        raise InvalidUri(Reason=f"more than {MOST_QUERY_FIELDS} query parameters") from None
    first: dict[str, str] = {}
    lower: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            first.setdefault(name, value)
        lower.setdefault(name.lower(), []).append(value)
    joined = {name: ",".join(sorted(values)) for name, values in lower.items()}
    firsts = {name: next(filter(None, values), "") for name, values in lower.items()}
    return [
        _lines(first),
        _lines({name: value for name, value in firsts.items() if value}),
        _lines(joined),
        _lines(dict(reversed(pairs))),
    ]


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"\n{name}:{values[name]}" for name in sorted(values))
