"""The tables of the documentation that are made from the code."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from penstock.wire.operations import OPERATIONS
from penstock.wire.routing import Operation
from penstock.wire.specs.unsupported import UNSUPPORTED
from tests.docs import compatibility
from tests.docs.diagrams import states
from tests.sim.invariants import HOLDS, Invariant
from tests.sim.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


def supported() -> str:
    """Operations by area: those that work, and those that are always refused."""
    works: dict[str, list[str]] = defaultdict(list)
    refused: dict[str, list[str]] = defaultdict(list)
    always = compatibility.refusals()
    for operation in OPERATIONS:
        (refused if operation.name in always else works)[_area(operation)].append(operation.name)
    areas = list(dict.fromkeys(_area(operation) for operation in OPERATIONS))
    rows = [f"| {area} | {_cell(works[area])} | {_cell(refused[area])} |" for area in areas]
    return "\n".join(["| | works | is refused so far |", "| --- | --- | --- |", *rows])


def refused_parts() -> str:
    """Properties that are refused, by the body that they are part of."""
    parts: dict[str, list[str]] = defaultdict(list)
    for part in UNSUPPORTED:
        parts[part.body].append(f"`{part.property}`")
    rows = [f"| {body} | {', '.join(names)} |" for body, names in parts.items()]
    return "\n".join(["| body | refused when set |", "| --- | --- |", *rows])


def invariants() -> str:
    """What the simulation holds to, when it looks, and the bugs that show that it does."""
    rows = [
        f"| {invariant} | {what} | {when} | {_cell(_bugs(invariant))} |"
        for invariant, (what, when) in HOLDS.items()
    ]
    head = ["| invariant | what holds | looked at | mutations |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _bugs(invariant: Invariant) -> list[str]:
    return [f"`{name}`" for name, bug in MUTATIONS.items() if bug.breaks is invariant]


def between(document: str, name: str) -> str:
    """The part of a document between the comments that name it."""
    text = (ROOT / document).read_text("utf-8")
    _, start, rest = text.partition(f"<!-- start: {name} -->\n")
    part, end, _ = rest.partition(f"\n<!-- end: {name} -->")
    assert start, f"{document} has no start of {name}"
    assert end, f"{document} has no end of {name}"
    return part


def _area(operation: Operation) -> str:
    parts = operation.path.strip("/").split("/")
    if "files" in parts:
        return "Files"
    named = {
        "events": "Service",
        "clock": "Service",
        "pools": "Pools",
        "jobs": "Jobs",
        "jobschedules": "Job schedules",
    }
    if parts[0] == "pools" and "nodes" in parts:
        return "Nodes"
    if parts[0] == "jobs" and {"tasks", "addtaskcollection"} & set(parts):
        return "Tasks"
    return named.get(parts[0], "Certificates" if parts[0] == "certificates" else "Account")


def _cell(names: list[str]) -> str:
    return ", ".join(names) or "–"


def put(document: str, name: str, table: str) -> None:
    """Write the part of a document between the comments that name it."""
    text = (ROOT / document).read_text("utf-8")
    before, start, rest = text.partition(f"<!-- start: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->")
    assert end, f"{document} has no part {name}"
    (ROOT / document).write_text(f"{before}{start}{table}\n{end}{after}", "utf-8")


def write() -> None:
    """Put the tables where they stand in the documents."""
    for document, name, table in (
        ("README.md", "operations", supported()),
        ("docs/limits.md", "refused parts", refused_parts()),
        ("tests/sim/README.md", "invariants", invariants()),
        ("docs/states.md", "states", states()),
    ):
        put(document, name, table)
    for name, make in compatibility.TABLES.items():
        put("docs/compatibility.md", name, make())


if __name__ == "__main__":
    write()
