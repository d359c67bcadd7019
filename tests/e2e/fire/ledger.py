"""What really happened, written by the tasks themselves and outside the service.

Each task has a file under its mark. A run appends a line when it begins and one when it ends,
and holds a lock that goes with its last process, so that two runs at once are told.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.e2e.things import shell


class Runs(NamedTuple):
    """How many runs began, and how many came to their end."""

    begun: int
    ended: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """A directory of such files."""

    root: Path

    @classmethod
    def below(cls, directory: Path) -> Ledger:
        """An empty one."""
        (directory / "ledger").mkdir()
        return cls(directory / "ledger")

    def line(
        self,
        mark: str,
        *,
        seconds: float = 0.2,
        failing: int = 0,
        exit_code: int = 0,
        after: Iterable[str] = (),
    ) -> str:
        """The command line of a task that keeps this ledger.

        Its first `failing` runs to the end exit with 1, the following ones with `exit_code`. It
        complains where one with a mark in `after` has not come to its end.
        """
        checks = "".join(
            f"grep -qs ended {other} || echo {mark} before {other} >> complaints; "
            for other in after
        )
        fails = f"[ $(grep -c ended {mark}) -gt {failing} ] || exit 1; " if failing else ""
        return shell(
            f"cd {shlex.quote(str(self.root))} && exec 9>>{mark} || exit 99; "
            f"flock -n 9 || echo {mark} twice at once >> complaints; {checks}"
            f"echo started >&9; sleep {seconds}; echo ended >&9; {fails}exit {exit_code}"
        )

    def starts(self, mark: str) -> int:
        """How often a task really began."""
        return self._words(mark)["started"]

    def ends(self, mark: str) -> int:
        """How often it really came to its end."""
        return self._words(mark)["ended"]

    def runs(self) -> Runs:
        """All runs of all tasks until now."""
        words = sum((self._words(file.name) for file in self.root.iterdir()), Counter[str]())
        return Runs(words["started"], words["ended"])

    def complaints(self) -> list[str]:
        """Runs of one task at the same time, and runs that came too early."""
        file = self.root / "complaints"
        return file.read_text().splitlines() if file.exists() else []

    def _words(self, mark: str) -> Counter[str]:
        file = self.root / mark
        return Counter(file.read_text().split()) if file.exists() else Counter()
