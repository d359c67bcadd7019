"""The pattern language of output files: which files of a task are meant.

``*`` and ``?`` stay within one name, ``**`` as a whole name stands for any directories,
``[abc]``, ``[a-c]``, ``[!abc]`` for one character, and ``[*]`` for a star itself. A name that
starts with a dot is only found by a pattern that says the dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from penstock.domain.specs.common import OutputFile

_WILD: Final = re.compile(r"[*?\[]")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))|%(\w+)%")
_MOST_ENTRIES: Final = 1_000_000  # looked at for one pattern


def wanted_after(files: Sequence[OutputFile], *, failed: bool) -> bool:
    """Whether any of these is to be uploaded after such an end."""
    return any(is_wanted(file, failed=failed) for file in files)


def is_wanted(file: OutputFile, *, failed: bool) -> bool:
    condition = file.upload_options.upload_condition.lower()
    return condition in ("taskcompletion", "taskfailure" if failed else "tasksuccess")


def has_wildcard(pattern: str) -> bool:
    return _WILD.search(pattern) is not None


def expand(pattern: str, environment: Mapping[str, str]) -> str:
    """Put the values of ``$NAME``, ``${NAME}`` and ``%NAME%`` in; unknown names stay."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return environment.get(name, match[0])

    return _VARIABLE.sub(value, pattern)


@lru_cache(maxsize=512)
def _name_pattern(pattern: str) -> re.Pattern[str]:
    """Compile one name of a pattern. An unclosed bracket stands for itself."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if not parts or parts[-1] != "[^/]*":
                parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[" and (end := _closing(pattern, at)) is not None:
            parts.append(_one_of(pattern[at:end]))
            at = end + 1
        else:
            parts.append(re.escape(char))
    hidden = "" if pattern.startswith(".") else r"(?!\.)"
    return re.compile(hidden + "".join(parts), re.DOTALL)


def _closing(pattern: str, start: int) -> int | None:
    """Where the bracket that opened before `start` closes; a first ``]`` is a member."""
    first = start + 1 if pattern[start : start + 1] == "!" else start
    end = pattern.find("]", first + 1)
    return None if end < 0 else end


def _one_of(members: str) -> str:
    negated = members.startswith("!")
    body = members[1:] if negated else members
    text, at = "", 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body):
            low, high = body[at], body[at + 2]
            if low <= high:
                text += f"{re.escape(low)}-{re.escape(high)}"
            at += 3
        else:
            text += re.escape(body[at])
            at += 1
    if not text:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{text}]"


def matches(pattern: str, name: str) -> bool:
    """Whether a relative file name is meant by a relative pattern; ``/`` separates both."""
    return _match(tuple(pattern.split("/")), tuple(name.split("/")))


def _match(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Match name by name, remembering for each pattern part which suffixes it reaches."""
    reached = {0}
    for part in pattern:
        if part == "**":
            reached = {later for start in reached for later in _across(names, start)}
        else:
            compiled = _name_pattern(part)
            reached = {
                at + 1 for at in reached if at < len(names) and compiled.fullmatch(names[at])
            }
        if not reached:
            return False
    return len(names) in reached


def _across(names: tuple[str, ...], start: int) -> Iterator[int]:
    """The positions that ``**`` leads to: over any directories, none of them hidden."""
    yield start
    for at in range(start, len(names) - 1):
        if names[at].startswith("."):
            return
        yield at + 1
    if start < len(names) and not names[-1].startswith("."):
        yield len(names)


class LeavesNode(Exception):
    """A pattern that leads out of the node's root."""


def find(pattern: str, work: Path, root: Path) -> list[tuple[Path, str]]:
    """Find the files that a pattern means, each with its name for the container.

    The name is relative to `work`, or to the deepest directory that the pattern names in full
    when that lies outside of `work`. Sorted. Symbolic links are followed to files below `root`
    only, and never to directories. Raises `LeavesNode`.
    """
    base, rest = _split(pattern, work)
    if not base.is_relative_to(root):
        raise LeavesNode(pattern)
    prefix = base.relative_to(work).as_posix() + "/" if base.is_relative_to(work) else ""
    prefix = prefix.removeprefix("./")
    found: list[tuple[Path, str]] = []
    parts = tuple(rest)
    for seen, path in enumerate(_files(base, deep=len(parts) > 1 or "**" in parts)):
        if seen >= _MOST_ENTRIES:
            break
        name = path.relative_to(base).as_posix()
        if _match(parts, tuple(name.split("/"))) and _is_inside(path, root):
            found.append((path, prefix + name))
    return sorted(found, key=lambda pair: pair[1])


def _split(pattern: str, work: Path) -> tuple[Path, list[str]]:
    """Split into the directory that is named in full and the parts below it."""
    base = Path("/") if pattern.startswith("/") else work
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    while len(parts) > 1 and not has_wildcard(parts[0]):
        part = parts.pop(0)
        base = base.parent if part == ".." else base / part
    if ".." in parts:
        raise LeavesNode(pattern)
    return base, parts


def _files(base: Path, *, deep: bool) -> Iterator[Path]:
    """All files below a directory, or only those right in it."""
    waiting = [base]
    while waiting:
        try:
            entries = sorted(waiting.pop().iterdir())
        except OSError:
            continue  # not there, not a directory, or gone meanwhile: nothing to find
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                if deep:
                    waiting.append(entry)
            elif entry.is_file():
                yield entry


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False
