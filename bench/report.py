"""What a benchmark says: figures with their bars, as a table and as one line of JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from penstock import __version__

RESULTS = Path(__file__).with_name("results.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; `bar` is the least (or most, where less is better) that will do."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None  # least and most of the rounds
    bar: float | None = None
    less_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.less_is_better else self.value >= self.bar


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one benchmark."""

    name: str
    figures: Sequence[Figure]


def median_of(name: str, rounds: Sequence[float], unit: str, *, bar: float | None = None) -> Figure:
    """The median of rounds, with their spread."""
    spread = (min(rounds), max(rounds))
    return Figure(name=name, value=statistics.median(rounds), unit=unit, spread=spread, bar=bar)


def show(reports: Iterable[Report]) -> None:
    """Print one table."""
    table = Table("benchmark", "figure", "value", "least to most", "bar", "")
    for report in reports:
        for number, figure in enumerate(report.figures):
            table.add_row(report.name if number == 0 else "", *_cells(figure))
        table.add_section()
    Console(width=110).print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = bar = verdict = ""
    if figure.spread is not None:
        spread = f"{figure.spread[0]:,.4g} to {figure.spread[1]:,.4g}"
    if figure.bar is not None:
        bar = f"{'at most' if figure.less_is_better else 'at least'} {figure.bar:,g}"
        verdict = "[green]met[/]" if figure.met else "[red]not met[/]"
    return (figure.name, f"{figure.value:,.4g} {figure.unit}", spread, bar, verdict)


def append(reports: Iterable[Report], file: Path) -> None:
    """Add the run to the results, one line for all of it."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "reports": [
            {
                "name": report.name,
                "figures": [{**asdict(figure), "met": figure.met} for figure in report.figures],
            }
            for report in reports
        ],
    }
    with file.open("a") as results:
        results.write(json.dumps(line) + "\n")
