"""From a command line to a program and its arguments, without a shell."""

from __future__ import annotations

import os
import re
import shlex
from typing import Final

_PLAIN: Final = re.compile(r"[^'\"\\]*")
_WORD: Final = re.compile(
    r"""([ \t\r\n]+)|((?:[^ \t\r\n"'\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)""", re.DOTALL
)
_QUOTED: Final = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)""", re.DOTALL)
_IN_DOUBLE: Final = re.compile(r'\\(["\\])')
_BLANKS: Final = re.compile(r"[^ \t\r\n]+")


def split(line: str) -> list[str]:
    """Split as `shlex.split` does, several times faster. Raises ValueError on an open quote."""
    if _PLAIN.fullmatch(line):
        return _BLANKS.findall(line)
    words: list[str] = []
    at = 0
    while at < len(line):
        match = _WORD.match(line, at)
        if match is None:
            return shlex.split(line)  # says what is wrong
        if match[2] is not None:
            words.append(_QUOTED.sub(_unquoted, match[2]))
        at = match.end()
    return words


def _unquoted(match: re.Match[str]) -> str:
    single, double, escaped = match.groups()
    if single is not None:
        return str(single)
    if double is not None:
        return _IN_DOUBLE.sub(r"\1", double)
    return str(escaped)


class Programs:
    """Finds programs on a PATH as `execvp` does, and remembers where they were."""

    _MOST: Final = 4096

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def find(self, name: str, path: str) -> str:
        """Give the file to execute; relative names are left to the working directory.

        Raises FileNotFoundError, or PermissionError when only files that cannot be executed
        bear the name.
        """
        if "/" in name:
            return name
        known = self._known.get((name, path))
        if known is not None:
            return known
        denied = False
        for directory in path.split(":"):
            candidate = f"{directory or '.'}/{name}"
            if os.path.isfile(candidate):  # noqa: PTH113
                if os.access(candidate, os.X_OK):
                    return self._remember(name, path, candidate)
                denied = True
        raise PermissionError(name) if denied else FileNotFoundError(name)

    def forget(self, name: str, path: str) -> bool:
        """Look again next time. Says whether the place had been remembered."""
        return self._known.pop((name, path), None) is not None

    def _remember(self, name: str, path: str, candidate: str) -> str:
        if candidate.startswith("/"):
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[name, path] = candidate
        return candidate
