"""The tables of ``docs/compatibility.md``: operations by api-version and by client, and names.

Versions come from the tables of the code, what is always refused from the recorded answers, and
clients from what they did when they were run (``tests/clients/results``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.wire.operations import OPERATIONS
from penstock.wire.request import segments
from penstock.wire.routing import Operation, Router
from penstock.wire.versions.differences import (
    DIFFERENCES,
    Assumes,
    Has,
    Lacks,
    Named,
    Rule,
    Shaped,
    Takes,
)
from penstock.wire.versions.releases import VERSIONS, covers
from tests.wire import cases

TESTS: Final = Path(__file__).parents[1]
RESULTS: Final = TESTS / "clients/results"
RECORDED: Final = TESTS / "wire/recorded/operations"

WORKS: Final = "●"
LACKS: Final = "–"
NO_CALL: Final = "○"
NOT_TRIED: Final = "?"
RESULTS_KNOWN: Final = {"works", "refused", "not in client", "client fails"}

LEGEND: Final = {
    WORKS: "works",
    LACKS: "the version does not have it, and it is answered as an unknown path is",
    NO_CALL: "the version has it, but the client has no call for it",
    NOT_TRIED: "the tests with this client do not come to it",
}


class Notes:
    """Footnotes in the order in which they are first needed, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"({self._numbers.setdefault(text, len(self._numbers) + 1)})"

    def lines(self) -> list[str]:
        return [f"- ({number}) {text}" for text, number in self._numbers.items()]


def protocol() -> list[Operation]:
    """The operations that are not ours alone."""
    return [operation for operation in OPERATIONS if not operation.extension]


def short(version: str) -> str:
    """How a version is called at the head of a column."""
    return version.partition(".")[2].removesuffix(".0") or version[:4]


def refusals() -> Mapping[str, str]:
    """By name of operation, what every recorded answer to it is, where that is an error."""
    router = Router(OPERATIONS)
    good: set[str] = set()
    bad: dict[str, str] = {}
    for name, case in cases.OPERATIONS.items():
        if case.version is None:
            continue
        found, _ = router.find(case.method, segments(case.target.partition("?")[0]), case.version)
        answer = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))["answer"]
        if answer["status"] < 400:
            good.add(found.name)
        else:
            bad[found.name] = refusal_note(answer)
    return {name: note for name, note in bad.items() if name not in good}


def refusal_note(answer: Mapping[str, Any]) -> str:
    body = answer["body"]
    reasons = [each["value"] for each in body.get("values", ()) if each["key"] == "Reason"]
    because = f": {reasons[0]}" if reasons else ""
    return f"refused with {answer['status']} `{body['code']}`{because}"


def by_version() -> str:
    """Operations by api-version, with the legend."""
    notes, always = Notes(), refusals()
    heads = [short(version) for version in VERSIONS]

    def cell(operation: Operation, version: str) -> str:
        if not covers(version, operation.since, operation.until):
            return LACKS
        return notes.mark(always[operation.name]) if operation.name in always else WORKS

    rows = [[each.name, *(cell(each, version) for version in VERSIONS)] for each in protocol()]
    table = _table(["operation", *heads], rows)
    return "\n\n".join([table, _legend([WORKS, LACKS], notes)])


def headings() -> str:
    """Which api-version a column is."""
    pairs = [f"{short(version)}: `{version}`" for version in VERSIONS]
    return "\n".join(f"- {pair}" for pair in pairs)


def results() -> list[dict[str, Any]]:
    """What the clients did, by the names of the clients."""
    found = [json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    return sorted(found, key=lambda each: str(each["client"]))


def by_client() -> str:
    """Operations by client, with the legend and a note for each that does not work."""
    notes, clients = Notes(), results()
    if not clients:
        return "No client has been run yet."

    def cell(operation: Operation, client: Mapping[str, Any]) -> str:
        if not covers(client["apiVersion"], operation.since, operation.until):
            return LACKS
        did = client["operations"].get(operation.name)
        if did is None:
            return NOT_TRIED
        if did["result"] == "works":
            return WORKS
        if did["result"] == "not in client" and not did.get("note"):
            return NO_CALL
        return notes.mark(f"{did['result']}: {did['note']}")

    heads = [f"{client['client']}, {short(client['apiVersion'])}" for client in clients]
    rows = [[each.name, *(cell(each, client) for client in clients)] for each in protocol()]
    table = _table(["operation", *heads], rows)
    return "\n\n".join([table, _legend([WORKS, LACKS, NO_CALL, NOT_TRIED], notes, table)])


def differences() -> str:
    """What versions call things, have and assume, and in which objects."""
    parts: dict[tuple[str, str], list[str]] = {}
    for part, rules in DIFFERENCES.items():
        for rule in rules:
            parts.setdefault(_difference(rule), []).append(str(part))
    rows = [[", ".join(where), when, what] for (when, what), where in parts.items()]
    return _table(["in", "versions", "difference"], rows)


def _difference(rule: Rule) -> tuple[str, str]:
    """When it holds, and what it is."""
    match rule:
        case Has(names, since, until):
            return _span(since, until), f"has {_quoted(names)}"
        case Lacks(name, since, until):
            return _span(since, until), f"lacks {_quoted([name])}"
        case Takes(names, since):
            return _span(since, None), f"takes {_quoted(names)}; ignored before"
        case Named(new, old, until):
            return _span(None, until), f"`{old}` for `{new}`"
        case Shaped(shape, until):
            return _span(None, until), shape.says
        case Assumes(path, value, until):
            return _span(None, until), f"`{'.'.join(path)}` is {json.dumps(value)} when left out"


def _span(since: str | None, until: str | None) -> str:
    if since is None:
        return f"to {short(until or '')}"
    return f"from {short(since)}" + (f" to {short(until)}" if until else "")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _legend(marks: Iterable[str], notes: Notes, table: str | None = None) -> str:
    used = [mark for mark in marks if table is None or f" {mark} " in table]
    return "\n".join([*(f"- {mark} {LEGEND[mark]}" for mark in used), *notes.lines()])


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "headings": headings,
    "operations by version": by_version,
    "operations by client": by_client,
    "differences": differences,
}
"""By the name that each has in the document."""
