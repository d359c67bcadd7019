"""Paths of properties, as refusals name them, in the names of an api-version."""

from __future__ import annotations

from penstock.wire.versions.differences import DIFFERENCES, Named
from penstock.wire.versions.parts import HOLDS, Part
from penstock.wire.versions.releases import covers


def path_in(version: str, part: Part, path: str) -> str:
    """Give ``startTask.resourceFiles[0].httpUrl`` with the names that `version` has for it."""
    names: list[str] = []
    here: Part | None = part
    for step in path.split("."):
        name, bracket, index = step.partition("[")
        names.append(f"{_name_in(version, here, name)}{bracket}{index}")
        here = HOLDS.get(here, {}).get(name) if here is not None else None
    return ".".join(names)


def _name_in(version: str, part: Part | None, name: str) -> str:
    for rule in DIFFERENCES.get(part, ()) if part is not None else ():
        if isinstance(rule, Named) and rule.new == name and covers(version, None, rule.until):
            return rule.old
    return name
