"""Pools: from and to the wire."""

from __future__ import annotations

from functools import partial

from penstock.domain.instants import etag_text, instant_text
from penstock.domain.records import PoolRecord
from penstock.domain.refusals import PoolNotFound
from penstock.domain.sizes import size_of
from penstock.domain.specs.pool import PoolPatch
from penstock.domain.states import AllocationState
from penstock.wire.answers import Answer, Document, created, done, listed, one, without_none
from penstock.wire.conditional import conditions
from penstock.wire.paging import cut, query_of
from penstock.wire.request import Request
from penstock.wire.shown import pairs, pool_path, shown_spec, without_secrets
from penstock.wire.specs.bodies import wrong
from penstock.wire.specs.pools import (
    check_slots,
    pool_from_wire,
    pool_patch_from_wire,
    pool_properties_from_wire,
    removal_from_wire,
    resize_from_wire,
)
from penstock.wire.stats import wants_stats, with_meters


async def add_pool(request: Request) -> Answer:
    """POST /pools"""
    spec = pool_from_wire(await request.json_body())
    pool = await request.service.add_pool(request.account, spec)
    return created(request, pool_path(pool.id), pool.modified_us)


async def list_pools(request: Request) -> Answer:
    """GET /pools"""
    stats = wants_stats(request)
    query = query_of(request, "pools")
    async with request.lists:
        found = await request.service.store.list_pools(request.account, query)
        page, link = cut(request, query, found, lambda pool: pool.id)
        show = await with_meters(request, page, partial(shown_pool, request), stats=stats)
        return await listed(request, "pools", page, show, link)


async def pool_of(request: Request) -> PoolRecord:
    """Find the pool that the path names first."""
    pool = await request.service.store.pool(request.account, request.ids[0])
    if pool is None:
        raise PoolNotFound
    return pool


async def get_pool(request: Request) -> Answer:
    """GET /pools/{pool}"""
    stats = wants_stats(request)
    when = conditions(request)
    pool = await pool_of(request)
    when.check(pool.modified_us)
    show = await with_meters(request, [pool], partial(shown_pool, request), stats=stats)
    return one(request, "pools", show(pool), pool.modified_us)


async def pool_exists(request: Request) -> Answer:
    """HEAD /pools/{pool}"""
    when = conditions(request)
    pool = await pool_of(request)
    when.check(pool.modified_us)
    return done(request, 200, pool.modified_us)


async def patch_pool(request: Request) -> Answer:
    """PATCH /pools/{pool}"""
    when = conditions(request)
    patch = pool_patch_from_wire(await request.json_body())
    await _check_beside(request, patch)
    pool = await request.service.patch_pool(request.account, request.ids[0], patch, when)
    return done(request, 200, pool.modified_us)


async def _check_beside(request: Request, patch: PoolPatch) -> None:
    """Refuse parts of a patch that do not go with what the pool keeps."""
    machine = patch.virtual_machine_configuration
    if patch.task_slots_per_node is None and patch.vm_size is None and machine is None:
        return
    spec = (await pool_of(request)).spec
    slots, size = patch.task_slots_per_node, patch.vm_size
    check_slots(slots or spec.task_slots_per_node, size_of(size or spec.vm_size))
    if machine is not None and spec.cloud_service_configuration is not None:
        raise wrong(
            "virtualMachineConfiguration",
            machine.node_agent_sku_id,
            "the pool has a cloudServiceConfiguration",
        )


async def replace_properties(request: Request) -> Answer:
    """POST /pools/{pool}/updateproperties"""
    new = pool_properties_from_wire(await request.json_body())
    pool = await request.service.replace_pool_properties(request.account, request.ids[0], new)
    return done(request, 204, pool.modified_us)


async def delete_pool(request: Request) -> Answer:
    """DELETE /pools/{pool}"""
    await request.service.delete_pool(request.account, request.ids[0], conditions(request))
    return done(request, 202)


async def resize_pool(request: Request) -> Answer:
    """POST /pools/{pool}/resize"""
    when = conditions(request)
    resize = resize_from_wire(await request.json_body())
    pool = await request.service.resize_pool(request.account, request.ids[0], resize, when)
    return done(request, 202, pool.modified_us)


async def stop_resize(request: Request) -> Answer:
    """POST /pools/{pool}/stopresize"""
    when = conditions(request)
    pool = await request.service.stop_resize(request.account, request.ids[0], when)
    return done(request, 202, pool.modified_us)


async def remove_nodes(request: Request) -> Answer:
    """POST /pools/{pool}/removenodes"""
    when = conditions(request)
    removal = removal_from_wire(await request.json_body())
    pool = await request.service.remove_nodes(request.account, request.ids[0], removal, when)
    return done(request, 202, pool.modified_us)


def shown_pool(request: Request, pool: PoolRecord) -> Document:
    """A pool as clients see it."""
    spec: Document = without_secrets(shown_spec(pool.spec))
    if not pool.spec.certificate_references:
        spec.pop("certificateReferences", None)  # shown only where there is one
    return without_none(
        {
            "id": spec.pop("id"),
            "displayName": spec.pop("displayName", None),
            "url": request.base + pool_path(pool.id),
            "eTag": etag_text(pool.modified_us),
            "lastModified": instant_text(pool.modified_us),
            "creationTime": instant_text(pool.created_us),
            "state": pool.state.value,
            "stateTransitionTime": instant_text(pool.state_us),
            "allocationState": pool.allocation.value,
            "allocationStateTransitionTime": instant_text(pool.allocation_us),
            "resizeErrors": _resize_errors(pool),
            "currentDedicatedNodes": pool.dedicated_nodes,
            "currentLowPriorityNodes": pool.low_priority_nodes,
            "currentNodeCommunicationMode": "simplified",  # nodes dial out
            **spec,
        }
    )


def _resize_errors(pool: PoolRecord) -> list[Document] | None:
    """Absent when empty: some clients take the mere presence for a failure.

    Those of a resize are shown when it is over.
    """
    if pool.allocation is not AllocationState.STEADY:
        return None
    errors = [
        without_none({"code": each.code, "message": each.message, "values": pairs(each)})
        for each in pool.resize_errors
    ]
    return errors or None
