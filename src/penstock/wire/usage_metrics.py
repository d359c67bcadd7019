"""Usage metrics: the core hours of each pool, by intervals of half an hour.

A page goes through pools by id, and through the intervals of each by time. The last interval is
the one under way, with what was used so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from penstock.domain.instants import instant, instant_text
from penstock.domain.metering import INTERVAL_US, Meter, PoolUsage, start_of
from penstock.domain.queries import Filter, UsageQuery
from penstock.domain.records import key_of
from penstock.domain.refusals import InvalidQueryParameterValue
from penstock.wire.answers import Answer, Document, many
from penstock.wire.odata import filter_of
from penstock.wire.paging import next_link, page_size
from penstock.wire.paging import start_of as token_of
from penstock.wire.request import Request

_HOUR_S: Final = 3600.0
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class _Place(NamedTuple):
    """Where a page begins: after this time of this pool, then at the pools that follow."""

    key: str = ""
    pool_no: int = 0
    end_us: int = 0


async def list_usage(request: Request) -> Answer:
    """GET /poolusagemetrics"""
    wanted = filter_of("poolusagemetrics", request.query.get("$filter"))
    size, after = page_size(request), _place(request)
    now_us = request.service.clock.now_us()
    query = _query(request, wanted, now_us, after, size + 1)
    store = request.service.store
    over = await store.pool_usage(request.account, query)
    meters = await store.meters_of(request.account, wanted)
    spans = sorted(chain(over, *(_since(meter, now_us) for meter in meters)), key=_order)
    found = list(islice(_intervals(spans, query, after), size + 1))
    page, link = found[:size], None
    if len(found) > size:
        last = page[-1]
        token = f"{key_of(last.pool_id)}/{last.pool_no}/{last.end_us}"
        link = next_link(request, token)
    return many(request, "poolusagemetrics", list(map(_shown, page)), link)


def _query(
    request: Request, wanted: Filter | None, now_us: int, after: _Place, limit: int
) -> UsageQuery:
    """What is asked for: whole intervals, of which at least a part is in the range."""
    last_us = start_of(now_us)
    from_us, until_us = _time(request, "starttime"), _time(request, "endtime")
    if from_us is not None and from_us > now_us:
        raise _refused(request, "starttime", "must not be in the future")
    if from_us is not None and until_us is not None and from_us > until_us:
        raise _refused(request, "starttime", "must not be later than endtime")
    end_us = last_us + INTERVAL_US if until_us is None else -start_of(-until_us)
    if from_us is None:
        from_us = min(last_us, end_us - INTERVAL_US)
    return UsageQuery(
        filter=wanted,
        from_us=start_of(from_us),
        until_us=end_us,
        after_key=after.key,
        after_no=after.pool_no,
        after_us=after.end_us,
        limit=limit,
    )


def _time(request: Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return instant(text)
    except (ValueError, OverflowError):
        raise _refused(request, name, "must be an ISO 8601 date and time") from None


def _refused(request: Request, name: str, reason: str) -> InvalidQueryParameterValue:
    return InvalidQueryParameterValue(
        QueryParameterName=name, QueryParameterValue=request.query[name][:64], Reason=reason
    )


def _place(request: Request) -> _Place:
    token = token_of(request)
    if not token:
        return _Place()
    key, _, rest = token.partition("/")
    pool_no, _, end_us = rest.partition("/")
    if not (_NUMBER.fullmatch(pool_no) and _NUMBER.fullmatch(end_us)):
        raise InvalidQueryParameterValue(
            QueryParameterName="$skiptoken",
            QueryParameterValue=request.query["$skiptoken"][:256],
            Reason="is not one that this service gave",
        )
    return _Place(key, int(pool_no), int(end_us))


def _since(meter: Meter, now_us: int) -> Iterator[PoolUsage]:
    """What a pool that is there has used since its last change."""
    read, over = meter.at(now_us)
    yield from over
    yield read.open_span()


def _order(span: PoolUsage) -> tuple[str, int, int]:
    return key_of(span.pool_id), span.pool_no, span.start_us


def _intervals(spans: Iterable[PoolUsage], query: UsageQuery, after: _Place) -> Iterator[PoolUsage]:
    """The intervals of spans that a page may have, in order."""
    for span in spans:
        pool = key_of(span.pool_id), span.pool_no
        if pool < after[:2]:
            continue
        first_us = max(span.start_us, query.from_us)
        if pool == after[:2]:
            first_us = max(first_us, after.end_us)
        count = (span.end_us - span.start_us) // INTERVAL_US
        for start_us in range(first_us, min(span.end_us, query.until_us), INTERVAL_US):
            yield PoolUsage(
                account=span.account,
                pool_no=span.pool_no,
                pool_id=span.pool_id,
                vm_size=span.vm_size,
                start_us=start_us,
                end_us=start_us + INTERVAL_US,
                core_s=span.core_s / count,
            )


def _shown(usage: PoolUsage) -> Document:
    return {
        "poolId": usage.pool_id,
        "startTime": instant_text(usage.start_us),
        "endTime": instant_text(usage.end_us),
        "vmSize": usage.vm_size,
        "totalCoreHours": usage.core_s / _HOUR_S,
    }
