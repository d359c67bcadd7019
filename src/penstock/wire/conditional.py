"""Conditional headers to `Conditions`."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from penstock.domain.conditions import ANY, Conditions
from penstock.domain.instants import from_datetime, instant
from penstock.domain.refusals import InvalidHeaderValue, MultipleConditionHeadersNotSupported
from penstock.wire.request import Request

_HEADERS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_PAIRS: Final = (
    {"if-match", "if-unmodified-since"},
    {"if-none-match", "if-modified-since"},
)
"""Pairs that say the same in two ways, of which the tag decides; other combinations are refused."""


def conditions(request: Request) -> Conditions:
    """Read the conditional headers; `Conditions.reading` is set for GET and HEAD."""
    given = [name for name in _HEADERS if request.headers.get(name)]
    if not given:
        return ANY
    if len(given) > 1 and set(given) not in _PAIRS:
        raise MultipleConditionHeadersNotSupported(HeaderName=", ".join(given))
    modified_since_us = _time(request, "if-modified-since")
    unmodified_since_us = _time(request, "if-unmodified-since")
    return Conditions(
        if_match=_tags(request, "if-match"),
        if_none_match=_tags(request, "if-none-match"),
        modified_since_us=None if "if-none-match" in given else modified_since_us,
        unmodified_since_us=None if "if-match" in given else unmodified_since_us,
        reading=request.method in ("GET", "HEAD"),
    )


def _tags(request: Request, name: str) -> tuple[str, ...]:
    """Bare tags: no quotes, no ``W/``; clients send them as ``"0x…"`` or as the service does."""
    tags = []
    for part in request.headers.get(name, "").split(","):
        tag = part.strip().removeprefix("W/").strip("\"'")
        if tag:
            tags.append(tag)
    return tuple(tags)


def _time(request: Request, name: str) -> int | None:
    text = request.headers.get(name)
    if not text:
        return None
    try:
        return _instant(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        raise InvalidHeaderValue(
            HeaderName=name, HeaderValue=text[:256], Reason="must be a date as of RFC 1123"
        ) from None


@lru_cache(maxsize=256)
def _instant(text: str) -> int:
    """RFC 1123 and its older forms, or ISO 8601 as some clients send it; always UTC."""
    if text[:4].isdigit():
        return instant(text)
    at = parsedate_to_datetime(text)
    return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
