"""What the account has: images that pools may use, and nodes by state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq, ne
from typing import Final

from penstock.domain.queries import Both, Compare, Either, Filter, Query, StartsWith
from penstock.domain.records import PoolRecord, key_of
from penstock.domain.refusals import ApplicationNotFound
from penstock.engine.roster import NodeCounts
from penstock.wire.answers import Answer, Document, many
from penstock.wire.images import IMAGES, Image
from penstock.wire.odata import filter_of
from penstock.wire.paging import cut, next_link, page_size, query_of, start_of
from penstock.wire.request import Request

NODE_COUNT_PAGE: Final = 10

_COUNTED: Final = (
    "creating",
    "deallocated",
    "deallocating",
    "idle",
    "leavingPool",
    "offline",
    "preempted",
    "rebooting",
    "reimaging",
    "running",
    "startTaskFailed",
    "starting",
    "unknown",
    "unusable",
    "upgradingOS",
    "waitingForStartTask",
)
"""Names of the counts; in lower case they are the states."""

_COMPARE: Final[dict[str, Callable[[object, object], bool]]] = {
    "eq": eq,
    "ne": ne,
}


async def list_supported_images(request: Request) -> Answer:
    """GET /supportedimages"""
    wanted = filter_of("supportedimages", request.query.get("$filter"))
    size, start = page_size(request), start_of(request)
    rows = [
        (f"{number:04}", _shown_image(image))
        for number, image in enumerate(IMAGES)
        if wanted is None or passes(wanted, _shown_image(image))
    ]
    following = [row for row in rows if row[0] > start]
    page = following[:size]
    link = next_link(request, page[-1][0]) if len(following) > size else None
    return many(request, "supportedimages", [document for _, document in page], link)


async def list_applications(request: Request) -> Answer:
    """GET /applications: there are none, as only a management plane could make them."""
    page_size(request)
    start_of(request)
    return many(request, "applications", [])


async def get_application(request: Request) -> Answer:
    """GET /applications/{application}"""
    raise ApplicationNotFound(ApplicationId=request.ids[0][:64])


def _shown_image(image: Image) -> Document:
    return {
        "nodeAgentSKUId": image.agent,
        "imageReference": {
            "publisher": image.publisher,
            "offer": image.offer,
            "sku": image.sku,
            "version": "latest",
        },
        "osType": "linux",
        "capabilities": [],
        "verificationType": "verified",
    }


def passes(wanted: Filter, document: Document) -> bool:
    match wanted:
        case Both(left, right):
            return passes(left, document) and passes(right, document)
        case Either(left, right):
            return passes(left, document) or passes(right, document)
        case Compare(path, operator, value):
            return _COMPARE[operator](document[path].lower(), value)
        case StartsWith(path, prefix):
            return str(document[path]).lower().startswith(prefix.lower())


async def list_node_counts(request: Request) -> Answer:
    """GET /nodecounts: pools in order, with their nodes counted by state."""
    query = query_of(request, "nodecounts", NODE_COUNT_PAGE)
    page, link = cut(request, query, await _pools(request, query), lambda pool: pool.id)
    counts = await request.service.count_nodes([pool.no for pool in page])
    return many(request, "poolnodecounts", list(map(_shown_counts, page, counts)), link)


async def _pools(request: Request, query: Query) -> Sequence[PoolRecord]:
    """As many pools as the query asks for; its filter can only name them."""
    store, account = request.service.store, request.account
    names = _pool_wanted(query.filter)
    if names is None:
        return await store.list_pools(account, Query(after=query.after, limit=query.limit))
    following = sorted(name for name in map(key_of, names) if name > query.after)
    found = [await store.pool(account, name) for name in following]
    return [pool for pool in found if pool is not None][: query.limit]


def _pool_wanted(wanted: Filter | None) -> list[str] | None:
    """The ids that a filter by pool lets through; None lets all through."""
    match wanted:
        case None:
            return None
        case Compare(value=str(name)):
            return [name]
        case Either(left, right):
            names = [*(_pool_wanted(left) or ()), *(_pool_wanted(right) or ())]
            return list({name.lower(): name for name in names}.values())
        case Both(left, right):
            both = {name.lower() for name in _pool_wanted(right) or ()}
            return [name for name in _pool_wanted(left) or () if name.lower() in both]
        case _:
            return []


def _shown_counts(pool: PoolRecord, counts: NodeCounts) -> Document:
    def of(dedicated: bool) -> dict[str, int]:
        by_state = {name: counts.get((dedicated, name.lower()), 0) for name in _COUNTED}
        return {**by_state, "total": sum(by_state.values())}

    return {"poolId": pool.id, "dedicated": of(True), "lowPriority": of(False)}
