"""Runs a client's script, one step at a time, while the witness looks on.

A script is a process of the client's own Python (or node), so that nothing of ours is in its way.
It prints lines of JSON: ``{"begin": NAME}``, and ``{"end": NAME}`` with ``failure`` and ``code``
where the step failed, and ``seen`` where it found out something. After each of them it waits for a
line from us, so that what it asks in between is not taken for a part of the step.
``{"check": TEXT}`` is what a script asserted in vain.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.clients.installs import Install
from tests.clients.results import Step
from tests.clients.witness import Exchange, Witness
from tests.e2e.harness import Ready

SCRIPTS: Final = Path(__file__).parent / "scripts"
WALK_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Walk:
    """All that a script did."""

    steps: Sequence[Step]
    complaints: Sequence[str]
    """What it asserted in vain, or could not go on for."""

    def expect(self, expected: Mapping[str, str]) -> None:
        """Fail, with all that went wrong, unless the walk went as it has to."""
        failures = self.failures(expected)
        if failures:
            raise AssertionError("\n".join(failures))

    def failures(self, expected: Mapping[str, str]) -> list[str]:
        """All that went wrong. `expected` has the steps that are to fail, and how."""
        lines = list(self.complaints)
        for step in self.steps:
            lines += [f"{step.name}: {each}" for each in step.exchanges if each.status >= 500]
            if step.failure != expected.get(step.name, ""):
                sent = "; ".join(map(str, step.exchanges))[-500:]
                lines.append(f"{step.name}: {step.failure or 'did not fail'} ({sent})")
        return lines


def walk(
    install: Install,
    script: str,
    witness: Witness,
    ready: Ready,
    *words: str,
    within_s: float = WALK_S,
) -> Walk:
    """Run a script to its end and give what it did. `words` are for the script itself."""
    steps: list[Step] = []
    complaints: list[str] = []
    before = 0
    with _running(install, script, witness, ready, words) as (process, errors):
        deadline = threading.Timer(within_s, process.kill)
        deadline.start()
        try:
            for said in map(json.loads, process.stdout or ()):
                if "check" in said:
                    complaints.append(f"{said['check']}: {said.get('seen')}")
                    continue
                if "begin" in said:
                    before = len(witness.exchanges)
                else:
                    witness.settle()
                    steps.append(_step(said, witness.exchanges[before:]))
                _go_on(process)
            code = process.wait()
        finally:
            deadline.cancel()
        if code:
            errors.seek(0)
            complaints.append(f"{script} ended with {code}: {errors.read()[-2000:]}")
    return Walk(steps, [*complaints, *witness.unreadable])


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended, which its exit code tells of
        process.stdin.write("\n")
        process.stdin.flush()


def _step(said: Mapping[str, Any], exchanges: Sequence[Exchange]) -> Step:
    return Step(
        str(said["end"]),
        str(said.get("failure", "")),
        str(said.get("code", "")),
        exchanges,
        said.get("seen", {}),
    )


@contextmanager
def _running(
    install: Install, script: str, witness: Witness, ready: Ready, words: Sequence[str]
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start the script; whatever happens, it does not outlive the block."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [install.runner, SCRIPTS / script, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(install, witness, ready),
            text=True,
        )
        try:
            yield process, errors
        finally:
            process.kill()
            process.communicate()


def environment(install: Install, witness: Witness, ready: Ready) -> dict[str, str]:
    """What a client's process gets: the account, and nothing of the Python that runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **kept,
        **install.environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BATCH_ENDPOINT": witness.endpoint,
        "BATCH_ACCOUNT": ready.account_name,
        "BATCH_KEY": ready.account_key,
    }
