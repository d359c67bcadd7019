"""Run benchmarks: `python -m bench.run [NAME ...]`, from the root of the repository."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import (
    adding,
    core,
    latency,
    memory,
    million,
    null,
    reading,
    restart,
    throughput,
)
from bench.report import RESULTS, Report, append, show

BENCHMARKS: Mapping[str, Callable[[], Report]] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "adding": adding.run,
    "null": null.run,
    "core": core.run,
    "memory": memory.run,
    "reading": reading.run,
    "restart": restart.run,
    "million": million.run,
}


def main() -> None:
    """Run those that are named, or all; print one table and append one line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the line goes")
    words = parser.parse_args()
    names = words.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    reports = [BENCHMARKS[name]() for name in names]
    show(reports)
    append(reports, words.results)


if __name__ == "__main__":
    main()
