"""The extensions of nodes: those that their pool asks for, and that none of them is installed."""

from __future__ import annotations

from typing import Any, Final

from penstock.domain.instants import instant_text
from penstock.domain.records import NodeRecord, PoolRecord, key_of
from penstock.domain.refusals import ResourceNotFound
from penstock.wire.answers import Answer, Document, many, one
from penstock.wire.nodes import node_of
from penstock.wire.paging import next_link, page_size, start_of
from penstock.wire.request import Request
from penstock.wire.shown import shown_spec, without_secrets

_SET: Final = "extensions"


async def list_extensions(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/extensions"""
    size, start = page_size(request), start_of(request)
    pool, node = await node_of(request)
    found = sorted(_extensions(pool).items())
    rest = [(key, extension) for key, extension in found if key > start]
    link = next_link(request, rest[size - 1][0]) if len(rest) > size else None
    return many(request, _SET, [_shown(node, extension) for _, extension in rest[:size]], link)


async def get_extension(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/extensions/{extension}"""
    pool, node = await node_of(request)
    extension = _extensions(pool).get(key_of(request.ids[2]))
    if extension is None:
        raise ResourceNotFound(ExtensionName=request.ids[2][:256])
    return one(request, _SET, _shown(node, extension))


def _extensions(pool: PoolRecord) -> dict[str, Document]:
    """What the pool says of its extensions, by the lower-case name."""
    machine = pool.spec.virtual_machine_configuration
    if machine is None or not machine.extensions:
        return {}
    found: list[Any] = without_secrets(shown_spec(machine))["extensions"]
    return {key_of(extension["name"]): extension for extension in found}


def _shown(node: NodeRecord, extension: Document) -> Document:
    status = {
        "code": "ProvisioningState/notinstalled",
        "displayStatus": "Not installed",
        "level": "Warning",
        "message": "This service installs no extensions on its nodes.",
        "time": instant_text(node.allocated_us),
    }
    return {
        "provisioningState": "NotInstalled",
        "vmExtension": extension,
        "instanceView": {"name": extension["name"], "statuses": [status]},
    }
