"""Parts of bodies that this release refuses, because nothing would come of them.

Storing them would pretend an effect. The documentation's list of limits is made from this table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.domain.specs.common import Spec
from penstock.wire.specs.bodies import wrong


class Part(NamedTuple):
    """A property that is refused when it is set: not absent, false or empty."""

    body: str  # pool, autoscale settings
    property: str  # its name on the wire
    attribute: str  # its name in the specification


UNSUPPORTED: Final[tuple[Part, ...]] = (
    Part("pool", "autoScaleFormula", "auto_scale_formula"),
    Part("autoscale settings", "autoScaleFormula", "auto_scale_formula"),
)

REASON: Final = "is not supported by this release"


def refuse_unsupported(body: str, spec: Spec) -> None:
    """Refuse a body that sets one of the parts."""
    for part in UNSUPPORTED:
        if part.body == body:
            value = getattr(spec, part.attribute)
            if value is not None and value is not False and value != []:
                raise wrong(part.property, value, f"{part.property} {REASON}")
