"""Which operation a verb and a path mean.

A path has at most eight parts, so a tree of dictionaries finds its operation in a microsecond.
The last part of a file's path is open: it takes all parts that follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from penstock.domain.refusals import (
    ResourceNotFound,
    UnsupportedHttpVerb,
)
from penstock.wire.answers import Answer
from penstock.wire.request import Request
from penstock.wire.versions.parts import Part
from penstock.wire.versions.releases import covers

Handler = Callable[[Request], Awaitable[Answer]]

ID: Final = "*"
REST: Final = "**"
_CERTIFICATE: Final = "certificates("


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table of operations."""

    verb: str
    path: str  # "/pools/*/nodes": a star stands for an id, two for the rest of the path
    name: str
    handler: Handler
    since: str | None = None
    until: str | None = None
    takes: Part | None = None  # its body, where versions differ in it
    extension: bool = False  # ours, not the protocol's: no api-version is needed
    unsigned_at_home: bool = False  # under `penstock up` and from this machine


@dataclass(slots=True)
class _Branch:
    names: dict[str, _Branch] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    rest: dict[str, Operation] = field(default_factory=dict)


class Router:
    """Finds operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Branch()
        for operation in operations:
            branch = self._root
            parts = operation.path.strip("/").split("/")
            for part in parts:
                if part != REST:
                    branch = branch.names.setdefault(part, _Branch())
            found = branch.rest if parts[-1] == REST else branch.operations
            assert operation.verb not in found, f"two operations for {operation}"
            found[operation.verb] = operation

    def begins(self, part: str) -> bool:
        """Say whether a path may start with this part."""
        return part.lower() in self._root.names or part.lower().startswith(_CERTIFICATE)

    def find(
        self, verb: str, parts: Sequence[str], version: str
    ) -> tuple[Operation, tuple[str, ...]]:
        """Give the operation and the open parts of its path.

        Raises ResourceNotFound for an unknown path, UnsupportedHttpVerb for another verb.
        """
        found, ids = self._walk(_with_certificate(parts))
        known = {name: op for name, op in found.items() if covers(version, op.since, op.until)}
        if not known:
            raise ResourceNotFound
        if verb not in known:
            raise UnsupportedHttpVerb(HttpVerb=verb, SupportedHttpVerbs=", ".join(sorted(known)))
        return known[verb], ids

    def extension(self, verb: str, parts: Sequence[str]) -> Operation | None:
        """Give the operation where it is one that the protocol does not have."""
        try:
            operation = self._walk(parts)[0].get(verb)
        except ResourceNotFound:
            return None
        return operation if operation is not None and operation.extension else None

    def _walk(self, parts: Sequence[str]) -> tuple[dict[str, Operation], tuple[str, ...]]:
        branch = self._root
        ids: list[str] = []
        for index, part in enumerate(parts):
            following = branch.names.get(part.lower())
            if following is None or part == ID:
                following = branch.names.get(ID)
                if following is None or not part:
                    if branch.rest:
                        return branch.rest, (*ids, "/".join(parts[index:]))
                    raise ResourceNotFound
                ids.append(part)
            branch = following
        return branch.operations, tuple(ids)


def _with_certificate(parts: Sequence[str]) -> Sequence[str]:
    """Take ``certificates(thumbprintAlgorithm=a,thumbprint=t)`` as a name and an id in brackets."""
    if parts and parts[0].lower().startswith(_CERTIFICATE):
        return ("certificates", parts[0][len(_CERTIFICATE) - 1 :], *parts[1:])
    return parts


async def carry_out(operation: Operation, request: Request) -> Answer:
    """Call the handler; the body is read as what the operation takes."""
    request.takes = operation.takes
    return await operation.handler(request)
