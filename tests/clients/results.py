"""What was measured of a client, and the files that keep it.

`docs/compatibility.md` is made from these files, so a run that measures anything else fails until
they are written anew, which PENSTOCK_RECORD=1 does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from penstock.wire.operations import OPERATIONS
from penstock.wire.versions.releases import covers
from tests.clients.witness import Exchange

DIRECTORY: Final = Path(__file__).parent / "results"

Outcome = Literal["works", "refused", "not in client", "client fails"]
Entry = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a client was asked to do, and what came of it."""

    name: str
    failure: str = ""
    """How the client told that it failed; empty where it did not."""
    code: str = ""
    """The service's error code, where the client shows it."""
    exchanges: Sequence[Exchange] = ()
    seen: Mapping[str, Any] = field(default_factory=dict)
    """What the step found out."""


def measured(
    client: str,
    version: str,
    steps: Sequence[Step],
    broken: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Sum up the steps by operation. `version` is the api-version that the client should speak.

    `broken` names, by operation, a step that shows a fault of the client's own: what fails there
    has failed before anything was sent.
    """
    found = _by_operation(steps)
    faults = {step.name: step for step in steps if step.failure}
    operations = {}
    for operation in OPERATIONS:
        if operation.extension or not covers(version, operation.since, operation.until):
            continue
        entry = _summed(found.get(operation.name, ()))
        fault = faults.get((broken or {}).get(operation.name, ""))
        if fault is not None and not fault.exchanges:
            after = "; called otherwise it works" if entry["result"] == "works" else ""
            entry = _entry("client fails", f"{fault.name}: {fault.failure}{after}")
        operations[operation.name] = entry
    return {"client": client, "apiVersion": version, "operations": operations}


def _by_operation(steps: Iterable[Step]) -> dict[str, list[tuple[Step, Exchange]]]:
    found: dict[str, list[tuple[Step, Exchange]]] = {}
    for step in steps:
        for exchange in step.exchanges:
            if exchange.operation is not None:
                found.setdefault(exchange.operation, []).append((step, exchange))
    return found


def _summed(seen: Sequence[tuple[Step, Exchange]]) -> Entry:
    """One success is enough; else what went wrong, the client's own faults first."""
    if not seen:
        return _entry("not in client")
    good = [step for step, exchange in seen if exchange.status < 400 or _asked_for(step, exchange)]
    if any(not step.failure for step in good):
        return _entry("works")
    if good:
        return _entry("client fails", good[0].failure)
    codes = {f"{exchange.status} {exchange.code}".rstrip() for _, exchange in seen}
    return _entry("refused", ", ".join(sorted(codes)))


def _asked_for(step: Step, exchange: Exchange) -> bool:
    """Whether the client waited for a thing's end; whether it still saw it before is chance."""
    return not step.failure and exchange.status == 404 and exchange.verb in ("GET", "HEAD")


def _entry(result: Outcome, note: str = "") -> Entry:
    return {"result": result, "note": note}


def check(name: str, found: Mapping[str, Any]) -> None:
    """Compare with the stored file, or write it where PENSTOCK_RECORD is set."""
    file = DIRECTORY / f"{name}.json"
    if os.environ.get("PENSTOCK_RECORD"):
        DIRECTORY.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        return
    assert file.exists(), f"{file} is missing: PENSTOCK_RECORD=1 writes it"
    differences = _differences(json.loads(file.read_text("utf-8")), found)
    assert not differences, "\n".join([f"not as in {file.name}:", *differences])


def _differences(stored: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Where two results differ, a line each."""
    lines = [
        f"{name}: stored {stored.get(name)!r}, found {found[name]!r}"
        for name in ("client", "apiVersion")
        if stored.get(name) != found[name]
    ]
    before, now = stored["operations"], found["operations"]
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            lines.append(f"{name}: stored {before.get(name)}, found {now.get(name)}")
    return lines
