"""Documents, which have the newest names, in those of the api-version that is asked for.

What has to be done is found out once for each version and kind of object; where that is nothing,
nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from penstock.wire.versions.differences import DIFFERENCES, Has, Lacks, Named, Shaped
from penstock.wire.versions.parts import HOLDS, SHOWN, Part
from penstock.wire.versions.releases import covers

Document = dict[str, Any]
Show = Callable[[Document], Document]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one version does to one kind of object."""

    left_out: frozenset[str]
    names: dict[str, str]  # old by new
    shapes: tuple[Callable[[Document], None], ...]
    held: dict[str, Show]

    def show(self, document: Document) -> Document:
        """Give the document as the version has it; the given one stays as it is."""
        if not (self.names or self.shapes or self.held) and self.left_out.isdisjoint(document):
            return document
        shown: Document = {}
        for name, value in document.items():
            if name in self.left_out:
                continue
            below = self.held.get(name)
            shown[self.names.get(name, name)] = _each(below, value) if below else value
        for shape in self.shapes:
            shape(shown)
        return shown


def _each(show: Show, value: Any) -> Any:
    if isinstance(value, list):
        return [show(item) for item in value]
    return show(value) if isinstance(value, dict) else value


def shown_in(version: str, kind: str) -> Show | None:
    """How `version` shows what answers call `kind`; None where that is as it stands."""
    part = SHOWN.get(kind)
    return None if part is None else _show(version, part)


@cache
def _show(version: str, part: Part) -> Show | None:
    rules = DIFFERENCES.get(part, ())
    left_out = {
        name
        for rule in rules
        if isinstance(rule, Has) and not covers(version, rule.since, rule.until)
        for name in rule.names
    } | {
        rule.name
        for rule in rules
        if isinstance(rule, Lacks) and covers(version, rule.since, rule.until)
    }
    named = [each for each in rules if isinstance(each, Named)]
    shaped = [each for each in rules if isinstance(each, Shaped)]
    held = {name: _show(version, inner) for name, inner in HOLDS.get(part, {}).items()}
    plan = _Plan(
        frozenset(left_out),
        {each.new: each.old for each in named if covers(version, None, each.until)},
        tuple(each.shape.down for each in shaped if covers(version, None, each.until)),
        {name: show for name, show in held.items() if show is not None and name not in left_out},
    )
    return plan.show if plan.left_out or plan.names or plan.shapes or plan.held else None
