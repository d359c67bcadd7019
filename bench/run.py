"""Run benchmarks: `python -m bench.run [NAME ...]`, from the root of the repository.

A benchmark is a module here with a function `run() -> Report`, or one that gives several.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench.machine import facts
from bench.report import RESULTS, Report, append, progress, show

BENCHMARKS: Sequence[str] = (
    "throughput",
    "latency",
    "dependencies",
    "adding",
    "null",
    "core",
    "memory",
    "reading",
    "paging",
    "restart",
    "million",
)


def main() -> None:
    """Run those that are named, or all; print one table and append one line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the line goes")
    words = parser.parse_args()
    names = words.names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    machine = facts()
    progress(", ".join(f"{name} {value}" for name, value in machine.items()))
    reports: list[Report] = []
    failed: list[str] = []
    for number, name in enumerate(names, 1):
        progress(f"[{number}/{len(names)}] {name}")
        began = time.monotonic()
        try:
            reports += _reports(name)
        except Exception:  # what the others measured, for minutes perhaps, is not thrown away
            traceback.print_exc()
            failed.append(name)
        progress(f"[{number}/{len(names)}] {name}: {time.monotonic() - began:.0f} s")
    show(reports)
    append(reports, words.results, machine, failed)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _reports(name: str) -> Sequence[Report]:
    made = importlib.import_module(f"bench.{name}").run()
    return [made] if isinstance(made, Report) else list(made)


if __name__ == "__main__":
    main()
