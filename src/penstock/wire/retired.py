"""Operations that only older api-versions have, and that nothing took the place of unchanged."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

from penstock.domain.refusals import PoolNotEligibleForOSVersionUpgrade
from penstock.wire.account import passes
from penstock.wire.answers import Answer, Document, many
from penstock.wire.conditional import conditions
from penstock.wire.images import IMAGES, Image
from penstock.wire.odata import filter_of
from penstock.wire.paging import cut, query_of
from penstock.wire.pools import pool_of
from penstock.wire.request import Request

_AGENT = attrgetter("agent")


async def list_node_agents(request: Request) -> Answer:
    """GET /nodeagentskus: node agents with their images, before images were listed themselves."""
    wanted = filter_of("nodeagentskus", request.query.get("$filter"))
    query = query_of(request, "nodeagentskus")
    rows = [_shown_agent(agent, list(images)) for agent, images in _by_agent()]
    found = [
        row
        for row in rows
        if row["id"].lower() > query.after and (wanted is None or passes(wanted, row))
    ]
    page, link = cut(request, query, found[: query.limit], lambda row: str(row["id"]))
    return many(request, "nodeagentskus", page, link)


def _by_agent() -> groupby[str, Image]:
    return groupby(sorted(IMAGES, key=_AGENT), key=_AGENT)


def _shown_agent(agent: str, images: list[Image]) -> Document:
    return {
        "id": agent,
        "verifiedImageReferences": [
            {
                "publisher": image.publisher,
                "offer": image.offer,
                "sku": image.sku,
                "version": "latest",
            }
            for image in images
        ],
        "osType": "linux",
    }


async def upgrade_os(request: Request) -> Answer:
    """POST /pools/{pool}/upgradeos: nodes run on what their hosts run on, so it is refused."""
    when = conditions(request)
    pool = await pool_of(request)
    when.check(pool.modified_us)
    raise PoolNotEligibleForOSVersionUpgrade(
        Reason="nodes run on the operating system of their node host"
    )
