"""Bodies in the names of any api-version, brought to the newest ones before they are decoded.

Nearly all bodies have the newest names already, and tasks come by the hundred thousand. So a body
is searched for the quoted names that would have to change, and only where one is found, or the
version means something by leaving a property out, is it taken apart and written anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

from penstock.wire.versions.differences import (
    DIFFERENCES,
    Assumes,
    Has,
    Named,
    Shaped,
    Takes,
)
from penstock.wire.versions.parts import HOLDS, Part
from penstock.wire.versions.releases import covers, is_after
from penstock.wire.versions.shapes import Shape

Document = dict[str, Any]

_BOM: Final = b"\xef\xbb\xbf"
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done to one kind of object that came under one version."""

    names: dict[str, str]  # new by old
    shapes: tuple[Shape, ...]
    ignored: frozenset[str]
    assumed: tuple[Assumes, ...]
    held: dict[str, _Plan]

    def apply(self, part: Any) -> None:
        """Change an object, or each of a list, in place; anything else is refused elsewhere."""
        for document in part if isinstance(part, list) else (part,):
            if isinstance(document, dict):
                self._apply(document)

    def _apply(self, document: Document) -> None:
        for old, new in self.names.items():
            if old in document:
                document.setdefault(new, document.pop(old))
        for shape in self.shapes:
            if not document.keys().isdisjoint(shape.old):
                shape.up(document)
        for name in self.ignored & document.keys():
            del document[name]
        for assumed in self.assumed:
            _assume(document, assumed)
        for name, plan in self.held.items():
            if name in document:
                plan.apply(document[name])

    def words(self) -> Iterator[str]:
        """The names for which a body has to be taken apart."""
        yield from self.names
        yield from self.ignored
        for shape in self.shapes:
            yield from shape.old
        for plan in self.held.values():
            yield from plan.words()

    def assumes(self) -> bool:
        """Whether something is meant by what is not there."""
        return bool(self.assumed) or any(plan.assumes() for plan in self.held.values())


def _assume(document: Document, assumed: Assumes) -> None:
    *way, last = assumed.path
    at: Any = document
    for name in way:
        if at.get(name) is None:
            at[name] = {}
        at = at[name]
        if not isinstance(at, dict):
            return
    if at.get(last) is None:
        at[last] = assumed.value


class Reader:
    """Brings one kind of body from one version to the newest names."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._always = plan.assumes()
        self._words = tuple(f'"{word}"'.encode() for word in sorted(set(plan.words())))

    def read(self, document: bytes) -> bytes:
        """Give the body with the newest names. One that is not JSON is given back as it is."""
        if not self._always and not any(word in document for word in self._words):
            return document
        try:
            body = _DECODER.decode(document.removeprefix(_BOM))
            self._plan.apply(body)
            return _ENCODER.encode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError):
            return document  # refused where it is read, with what is wrong


@cache
def reader(version: str, part: Part) -> Reader:
    """The reader for bodies of a kind that come under a version."""
    return Reader(_plan(version, part))


@cache
def _plan(version: str, part: Part) -> _Plan:
    rules = DIFFERENCES.get(part, ())
    gone = {
        name
        for rule in rules
        if isinstance(rule, Has) and is_after(version, rule.until)
        for name in rule.names
    }
    early = {
        name
        for rule in rules
        if isinstance(rule, Takes) and not covers(version, rule.since, None)
        for name in rule.names
    }
    held = {name: _plan(version, inner) for name, inner in HOLDS.get(part, {}).items()}
    return _Plan(
        {each.old: each.new for each in rules if isinstance(each, Named)},
        tuple(each.shape for each in rules if isinstance(each, Shaped) and each.shape.old),
        frozenset(gone | early),
        tuple(
            each
            for each in rules
            if isinstance(each, Assumes) and covers(version, None, each.until)
        ),
        held,
    )
