"""What ``clients.json`` says, by api-version; `extract` makes that file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.wire.facts.extract import FILE

_FACTS: Final[dict[str, Any]] = json.loads(Path(FILE).read_text("utf-8"))

VERSIONS: Final[tuple[str, ...]] = tuple(_FACTS["versions"])

Tree = dict[str, "Tree"]
"""The properties of an object, each with those of the object or the objects that it holds."""


class Call(NamedTuple):
    """One operation of a client: the models that it sends and reads, where it does."""

    verb: str
    path: str
    status: int
    request: str | None
    response: str | None


def _verb_and_path(name: str) -> tuple[str, str]:
    verb, _, path = name.partition(" ")
    return verb, path


def _is_in(version: str, spans: Iterable[tuple[int, int]]) -> bool:
    place = VERSIONS.index(version)
    return any(first <= place <= last for first, last in spans)


@cache
def calls(version: str) -> list[Call]:
    """All operations of the client of a version."""
    return [
        Call(*_verb_and_path(name), status, request, response)
        for name, status, request, response, spans in _FACTS["operations"]
        if _is_in(version, spans)
    ]


def call(version: str, name: str) -> Call | None:
    """One operation, by verb and path."""
    return next((each for each in calls(version) if f"{each.verb} {each.path}" == name), None)


@cache
def tree(version: str, model: str | None) -> Tree:
    """All properties of a model, at any depth."""
    if model is None:
        return {}
    return {
        name: tree(version, held or None)
        for name, kinds in _FACTS["models"].get(model, {}).items()
        for held, spans in kinds
        if _is_in(version, spans)
    }
