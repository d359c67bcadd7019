"""Parts of bodies that this release refuses, because nothing would come of them.

Storing them would pretend an effect. The documentation's list of limits is made from this table.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final, NamedTuple

from penstock.domain.specs.common import Spec
from penstock.wire.bodies import wrong


class Part(NamedTuple):
    """A property that is refused when it is set: not absent, false or empty."""

    body: str  # pool, pool update, pool properties
    property: str  # its path on the wire
    attribute: str  # its path in the specification


_POOL: Final = (
    ("mountConfiguration", "mount_configuration"),
    ("startTask.containerSettings", "start_task.container_settings"),
    ("startTask.userIdentity.username", "start_task.user_identity.username"),
    (
        "virtualMachineConfiguration.containerConfiguration",
        "virtual_machine_configuration.container_configuration",
    ),
    ("virtualMachineConfiguration.extensions", "virtual_machine_configuration.extensions"),
)

UNSUPPORTED: Final[tuple[Part, ...]] = (
    Part("pool", "enableAutoScale", "enable_auto_scale"),
    Part("pool", "autoScaleFormula", "auto_scale_formula"),
    *(Part("pool", *part) for part in _POOL),
    *(Part("pool update", *part) for part in _POOL),
    *(Part("pool properties", *part) for part in _POOL if part[0].startswith("startTask")),
)

REASON: Final = "is not supported by this release"


def _parts(body: str) -> tuple[tuple[str, attrgetter[object], str], ...]:
    found = []
    for part in UNSUPPORTED:
        if part.body == body:
            first, _, rest = part.attribute.partition(".")
            found.append((part.property, attrgetter(first), rest))
    return tuple(found)


_BY_BODY: Final = {body: _parts(body) for body in {part.body for part in UNSUPPORTED}}


def refuse_unsupported(body: str, spec: Spec) -> None:
    """Refuse a body that sets one of the parts."""
    for name, first, rest in _BY_BODY[body]:
        value = first(spec)
        for attribute in rest.split(".") if rest and value is not None else ():
            value = getattr(value, attribute, None)
        if value is not None and value is not False and value != []:
            raise wrong(name, value, f"{name} {REASON}")
