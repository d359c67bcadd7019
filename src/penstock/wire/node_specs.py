"""What users say of work on nodes: what becomes of the tasks there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from penstock.domain.records import Removal
from penstock.domain.specs.node import (
    DeallocateBody,
    DisableSchedulingBody,
    RebootBody,
    ReimageBody,
)
from penstock.wire.bodies import body_of
from penstock.wire.checks import canonical

OPTIONS: Final = tuple(Removal)
SCHEDULING_OPTIONS: Final = (Removal.REQUEUE, Removal.TERMINATE, Removal.TASK_COMPLETION)


def reboot_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/reboot."""
    body = body_of(RebootBody, document, optional=True)
    return _option(body.node_reboot_option, "nodeRebootOption")


def reimage_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/reimage."""
    body = body_of(ReimageBody, document, optional=True)
    return _option(body.node_reimage_option, "nodeReimageOption")


def deallocate_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/deallocate."""
    body = body_of(DeallocateBody, document, optional=True)
    return _option(body.node_deallocate_option, "nodeDeallocateOption")


def disable_scheduling_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/disablescheduling."""
    body = body_of(DisableSchedulingBody, document, optional=True)
    name = "nodeDisableSchedulingOption"
    return _option(body.node_disable_scheduling_option, name, SCHEDULING_OPTIONS)


def _option(value: str | None, name: str, choices: Collection[str] = OPTIONS) -> Removal:
    return Removal(canonical(value, choices, name) or Removal.REQUEUE)
