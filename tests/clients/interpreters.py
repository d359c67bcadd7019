"""Which Python runs a client: old clients want one of their time, where the machine has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

_PROBE: Final = (
    "import ensurepip, ssl, sqlite3, sys, venv; "
    "print(sys.implementation.name, *sys.version_info[:3])"
)
_PROBE_S: Final = 20
_PLACES: Final = (
    "~/.pyenv/versions/*/bin",
    "~/.local/share/uv/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "/opt/python/*/bin",
    "/usr/local/bin",
    "/usr/bin",
)
"""Where interpreters are that no PATH names; a shim on the PATH may lead nowhere."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that makes virtual environments."""

    path: Path
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


def nearest(wanted: str | None) -> Interpreter:
    """The running interpreter, or of all on this machine the one nearest to ``3.8``.

    Of two equally near, the newer; among those of one minor version, the running one first.
    """
    running = Interpreter(Path(sys.executable), sys.version_info[:3])
    if wanted is None:
        return running
    minor = int(wanted.removeprefix("3."))
    return min(
        (running, *_found()), key=lambda each: (abs(each.version[1] - minor), -each.version[1])
    )


@lru_cache
def _found() -> tuple[Interpreter, ...]:
    tried = dict.fromkeys(path.resolve() for path in _candidates())
    return tuple(found for path in tried if (found := _probed(path)))


def _candidates() -> Iterator[Path]:
    on_path = (Path(place) for place in os.get_exec_path())
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/*/bin")
    for place in chain(on_path, pyenv, *map(_matching, _PLACES)):
        yield from sorted(place.glob("python3.[0-9]")) + sorted(place.glob("python3.[0-9][0-9]"))


def _matching(pattern: str) -> Iterable[Path]:
    path = Path(pattern).expanduser()
    return sorted(Path("/").glob(str(path.relative_to("/"))))


def _probed(path: Path) -> Interpreter | None:
    """Ask it: it may be a shim without what it stands for, or lack what a client needs."""
    try:
        said = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    if said[0] != "cpython":
        return None
    major, minor, micro = map(int, said[1:])
    return Interpreter(path, (major, minor, micro)) if major == 3 else None
