"""The `az` of azure-cli, run as its users run it: a process for each command.

As loading the program takes much longer than a command does, it can also be run many times in
one process, by its own entry point.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tests.clients.installs import Client, Install
from tests.clients.results import Step
from tests.clients.walk import SCRIPTS
from tests.clients.witness import Witness

AZURE_CLI: Final = Client(name="azure-cli", version="2.91.0", packages=("azure-cli==2.91.0",))
API_VERSION: Final = "2024-02-01.19.0"
NOT_FOUND, WRONG, MISUSED = 3, 1, 2
"""Its exit codes: the service has no such thing; any other error; words that it does not know."""

_COMMAND_S: Final = 120


@dataclass(frozen=True, slots=True)
class Said:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The service's error code, else the line that tells what went wrong."""
        told = re.search(r"^ERROR: \((\w+)\)", self.err, re.MULTILINE)
        lines = [line for line in self.err.splitlines() if line and not line.startswith("To check")]
        return told[1] if told else (lines[-1] if lines else "")


class Program(Protocol):
    """Runs `az` with some words."""

    def __call__(self, words: Sequence[str]) -> Said:
        """Run it to its end."""


class Processes:
    """A process for each command; all of the program's state is in one directory."""

    def __init__(self, install: Install, place: Path, environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.install = install
        self.place = place
        self.environment = {
            **kept,
            "HOME": str(place),
            "AZURE_CONFIG_DIR": str(place / "azure"),
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "AZURE_CORE_NO_COLOR": "true",
            "AZURE_CORE_SURVEY_MESSAGE": "false",
            **environment,
        }

    def __call__(self, words: Sequence[str]) -> Said:
        """Run a command in a process of its own."""
        return self.python("-m", "azure.cli", *words)

    def python(self, *words: str) -> Said:
        """Run the Python that the program is installed for."""
        done = subprocess.run(
            [self.install.runner, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.place,
            timeout=_COMMAND_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def as_one(self) -> Iterator[Program]:
        """Run all commands in one process."""
        process = subprocess.Popen(
            [self.install.runner, SCRIPTS / "az_calls.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.place,
        )

        def call(words: Sequence[str]) -> Said:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(words), file=process.stdin, flush=True)
            return Said(**json.loads(process.stdout.readline()))

        try:
            yield call
        finally:
            process.kill()
            process.communicate()


class Az:
    """`az batch`, and what it was asked for."""

    def __init__(
        self,
        program: Program,
        place: Path,
        *,
        first: Program | None = None,
        account: Sequence[str] = (),
        witness: Witness | None = None,
    ) -> None:
        self.used: set[str] = set()
        self.steps: list[Step] = []
        self._program = program
        self._first = first or program  # runs each command the first time
        self._place = place
        self._account = account
        self._witness = witness

    def __call__(self, command: str, *words: str) -> Any:
        """Run a command that succeeds, and give the JSON that it prints."""
        out = self.text(command, *words)
        return json.loads(out) if out.strip() else None

    def text(self, command: str, *words: str) -> str:
        """Run a command that succeeds, and give its text."""
        done = self.run(command, *words)
        assert done.code == 0, f"az batch {command} ended with {done.code}: {done.err}"
        return done.out

    def value(self, query: str, command: str, *words: str) -> str:
        """Run a command that succeeds, and give what a script would take from it."""
        return self.text(command, *words, "--query", query, "-o", "tsv").strip()

    def refused(self, code: int, error: str, command: str, *words: str) -> str:
        """Run a command that fails with an exit code and an error; give all that it told."""
        done = self.run(command, *words)
        assert (done.code, done.error) == (code, error), f"az batch {command}: {done}"
        assert done.out == ""
        return done.err

    def run(self, command: str, *words: str) -> Said:
        """Run a command."""
        program = self._program if command in self.used else self._first
        self.used.add(command)
        all_words = ["batch", *command.split(), *self._account, *words]
        if self._witness is None:
            return program(all_words)
        with self._witness.watching() as exchanges:
            said = program(all_words)
        failed = said.error if said.code else ""
        self.steps.append(Step(command, failed, failed, exchanges))
        return said

    def file(self, content: object) -> str:
        """Write a JSON file for the next command to read."""
        path = self._place / "request.json"
        path.write_text(json.dumps(content), "utf-8")
        return str(path)
