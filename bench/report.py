"""What a benchmark says: figures beside a floor or a peer, as a table and as one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

RESULTS = Path(__file__).with_name("results.jsonl")
WIDTH = 150

Spread = tuple[float, float]
"""The least and the most of the rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a number should be, and what it has to be at least (or at most)."""

    value: float
    aim: float | None = None
    bar: float | None = None
    less_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the aim is met, or the bar where there is no aim; None without either."""
        return self._reaches(self.bar if self.aim is None else self.aim)

    @property
    def bar_met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        return self._reaches(self.bar)

    def _reaches(self, goal: float | None) -> bool | None:
        if goal is None:
            return None
        return self.value <= goal if self.less_is_better else self.value >= goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Something else that did the same work in the same run, and our share of it.

    `ratio` is ours by theirs: the median of the rounds, each of them interleaved. Aim and bar
    are the ratio's.
    """

    name: str
    value: float
    ratio: float
    spread: Spread | None = None
    aim: float | None = None
    bar: float | None = None
    less_is_better: bool = False

    @property
    def goal(self) -> Goal:
        return Goal(
            value=self.ratio, aim=self.aim, bar=self.bar, less_is_better=self.less_is_better
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value. `aim` is what it should be; `bar` is the least (or most, where less
    is better) that will do. `beside` may have aims of its own."""

    name: str
    value: float
    unit: str
    spread: Spread | None = None
    bar: float | None = None
    less_is_better: bool = False
    aim: float | None = None
    beside: Sequence[Beside] = ()

    @property
    def goal(self) -> Goal:
        return Goal(
            value=self.value, aim=self.aim, bar=self.bar, less_is_better=self.less_is_better
        )

    @property
    def met(self) -> bool | None:
        """Whether the aim is met, or the bar where there is no aim; None without either."""
        return self.goal.met


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one benchmark. `notes` say what was left out, and why."""

    name: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


def median_of(
    name: str,
    rounds: Sequence[float],
    unit: str,
    *,
    bar: float | None = None,
    aim: float | None = None,
    less_is_better: bool = False,
    beside: Sequence[Beside] = (),
) -> Figure:
    """The median of rounds, with their spread."""
    return Figure(
        name=name,
        value=median(rounds),
        unit=unit,
        spread=(min(rounds), max(rounds)),
        bar=bar,
        aim=aim,
        less_is_better=less_is_better,
        beside=beside,
    )


def beside(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    aim: float | None = None,
    bar: float | None = None,
    less_is_better: bool = False,
) -> Beside:
    """Compare round by round, so that what the machine did meanwhile cancels out."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Beside(
        name=name,
        value=median(theirs),
        ratio=median(ratios),
        spread=(min(ratios), max(ratios)),
        aim=aim,
        bar=bar,
        less_is_better=less_is_better,
    )


def progress(line: str) -> None:
    """Tell a person what is being measured; results go elsewhere."""
    print(line, file=sys.stderr, flush=True)


# --- the table -----------------------------------------------------------------------------------


def show(reports: Iterable[Report]) -> None:
    """Print one table. Colours appear on a terminal only; elsewhere the width is fixed."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    names = Column("figure", no_wrap=True)
    others = ("value", "least to most", "beside", "ratio", "aim", "least", "")
    table = Table(names, *others, box=SIMPLE, pad_edge=False)
    notes: list[str] = []
    for report in reports:
        table.add_row(f"[bold]{escape(report.name)}[/]")
        for figure in report.figures:
            for cells in _rows(figure):
                table.add_row(*cells)
        table.add_section()
        notes += [f"{report.name}: {note}" for note in report.notes]
    console.print(table)
    for note in notes:
        console.print(escape(note), highlight=False)


def _rows(figure: Figure) -> Iterator[tuple[str, ...]]:
    """A row for the value, or one for each thing beside it."""
    value = (
        escape(f"  {figure.name}"),
        f"{_number(figure.value)} {figure.unit}".rstrip(),
        _spread(figure.spread),
    )
    if figure.met is not None or not figure.beside:
        yield (*value, "", "", *_goal_cells(figure.goal))
        value = ("", "", "")
    for other in figure.beside:
        ratio = _number(other.ratio)
        if other.spread is not None:
            ratio += f" ({_spread(other.spread)})"
        shown = escape(f"{other.name} {_number(other.value)}")
        yield (*value, shown, ratio, *_goal_cells(other.goal))
        value = ("", "", "")


def _goal_cells(goal: Goal) -> tuple[str, str, str]:
    """Aim, bar, and whether they are met: `not met` of an aim may still be enough."""
    sign = "≤ " if goal.less_is_better else "≥ "
    aim = "" if goal.aim is None else f"{sign}{goal.aim:,g}"
    bar = "" if goal.bar is None else f"{sign}{goal.bar:,g}"
    if goal.met is None:
        return aim, bar, ""
    if goal.met:
        return aim, bar, "[green]met[/]"
    if goal.bar_met:
        return aim, bar, "[yellow]not met (least met)[/]"
    return aim, bar, "[red]not met[/]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else f"{_number(spread[0])} to {_number(spread[1])}"


# --- the line ------------------------------------------------------------------------------------


def append(
    reports: Iterable[Report], file: Path, facts: Mapping[str, Any], failed: Sequence[str] = ()
) -> None:
    """Add the run to the results: one line for all of it, with what is known of the machine."""
    line = {**facts, "reports": [_plain(report) for report in reports], "failed": failed}
    with file.open("a") as results:
        results.write(json.dumps(line) + "\n")


def _plain(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "figures": [
            {
                **asdict(figure),
                "met": figure.met,
                "beside": [{**asdict(one), "met": one.goal.met} for one in figure.beside],
            }
            for figure in report.figures
        ],
        "notes": report.notes,
    }
