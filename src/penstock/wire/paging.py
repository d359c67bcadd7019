"""Pages of lists: how many, from where on, and the link to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import unquote_plus

from penstock.domain.queries import Query
from penstock.domain.records import key_of
from penstock.domain.refusals import InvalidQueryParameterValue, OutOfRangeQueryParameterValue
from penstock.wire.odata import filter_of
from penstock.wire.request import Request

MOST: Final = 1000
"""The largest page, and the usual one."""

ItemT = TypeVar("ItemT")


def query_of(request: Request, kind: str, default: int = MOST) -> Query:
    """Read filter, page size and start; the limit is one more than the page, to see the end."""
    return Query(
        filter=filter_of(kind, request.query.get("$filter")),
        after=start_of(request),
        limit=page_size(request, default) + 1,
    )


def page_size(request: Request, default: int = MOST) -> int:
    """Read ``maxresults``."""
    text = request.query.get("maxresults")
    if not text:
        return default
    shown = {"QueryParameterName": "maxresults", "QueryParameterValue": text[:64]}
    try:
        size = int(text[:32])
    except ValueError:
        raise InvalidQueryParameterValue(**shown, Reason="must be an integer") from None
    if size < 0:
        raise InvalidQueryParameterValue(**shown, Reason="must not be negative")
    if not 1 <= size <= MOST:
        raise OutOfRangeQueryParameterValue(**shown, MinimumAllowed=1, MaximumAllowed=MOST)
    return size


def start_of(request: Request) -> str:
    """Read ``$skiptoken``: the key after which the page starts, or nothing."""
    token = request.query.get("$skiptoken", "")
    try:
        padded = token + "=" * (-len(token) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidQueryParameterValue(
            QueryParameterName="$skiptoken",
            QueryParameterValue=token[:256],
            Reason="is not one that this service gave",
        ) from None


def cut(
    request: Request, query: Query, found: Sequence[ItemT], key: Callable[[ItemT], str]
) -> tuple[Sequence[ItemT], str | None]:
    """Divide what was found into the page and the link to the next one, if more follow."""
    if len(found) < query.limit:
        return found, None
    page = found[: query.limit - 1]
    return page, next_link(request, key_of(key(page[-1])))


def next_link(request: Request, last: str) -> str:
    """The URL of the page that follows `last`: the same query, on the host the client used."""
    token = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")
    kept = [
        part
        for part in request.query_text.split("&")
        if part and unquote_plus(part.partition("=")[0]).lower() != "$skiptoken"
    ]
    return f"{request.base}{request.path}?{'&'.join([*kept, f'$skiptoken={token}'])}"
