"""Showing a person how far a long copy is; nothing is shown where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of the progress."""

    copied: Callable[[int, int], None] = _silent  # pages, and of how many
    checking: Callable[[], None] = _silent  # the copy is there, and is looked through


@contextmanager
def shown(title: str, out: TextIO = sys.stderr) -> Iterator[Watch]:
    """A bar on a terminal, gone at the end."""
    if not out.isatty():
        yield Watch()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out), transient=True) as bars:
        bar = bars.add_task(title, total=None)

        def copied(pages: int, of: int) -> None:
            bars.update(bar, completed=pages, total=of)

        def checking() -> None:
            bars.update(bar, visible=False)
            bars.add_task("Checking", total=None)

        yield Watch(copied, checking)
