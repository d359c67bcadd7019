"""The floor of the machine: the same work without any service, in C and in bare Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
LONGEST_S = 120


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory on the file system that everything is measured on."""
    root = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    try:
        yield root
    finally:
        shutil.rmtree(root)


def fresh(root: Path) -> Path:
    """A new empty directory below `root`, which stays until that goes.

    For some seconds after many files were deleted, ext4 is several times slower at making new
    ones, so what a round leaves is removed when nobody is measured any more.
    """
    return Path(tempfile.mkdtemp(dir=root))


@dataclass(frozen=True, slots=True)
class Loop:
    """A program that runs `/bin/true` some times and prints the seconds that it took."""

    command: Sequence[str]

    @classmethod
    def in_c(cls, into: Path) -> Self:
        """Compile the floor. Raises CalledProcessError without a C compiler that works."""
        program = into / "floor"
        source = HERE / "floor.c"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
        return cls([str(program)])

    @classmethod
    def in_python(cls) -> Self:
        """The same loop in Python, without anything around it."""
        return cls([sys.executable, str(HERE / "bare.py")])

    def rate(self, root: Path, processes: int, at_once: int = 2) -> float:
        """Processes per second, with their directories below `root`."""
        done = subprocess.run(
            [*self.command, str(fresh(root)), str(processes), str(at_once)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=LONGEST_S,
        )
        return processes / float(done.stdout)
