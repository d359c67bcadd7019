"""Fuzz a server of its own: `python -m tests.fuzz --requests 1000000`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.harness import Penstock
from tests.fuzz.campaign import Result, rate, run

GROWTH = 0.25
"""The server may be so much larger in the last quarter of a run than in the first."""


def main() -> None:
    """Run, and say what was met; exit code 1 when something must not be."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="the time, by default")
    words = parser.parse_args()
    seed = int(time.time()) if words.seed is None else words.seed
    print(f"seed {seed}, {words.requests:,} requests", flush=True)
    with tempfile.TemporaryDirectory() as scratch, Penstock(Path(scratch) / "data") as service:
        began = time.monotonic()

        def progress(done: int) -> None:
            if done % 20_000 == 0:
                print(f"  {done:,}, {done / (time.monotonic() - began):,.0f} a second", flush=True)

        result = asyncio.run(run(service.ready, words.requests, seed, progress))
        _tell(result, began)
        if result.growth() > GROWTH:
            sys.exit(f"the server grew by {result.growth():.0%}")


def _tell(result: Result, began: float) -> None:
    statuses = ", ".join(
        f"{status}: {count:,}" for status, count in sorted(result.statuses.items())
    )
    print(f"{result.requests:,} requests at {rate(result, began):,.0f} a second")
    print(f"statuses {statuses}; {result.unanswered:,} had no answer, cut short as they were")
    print(f"{len(result.operations)} operations; {result.compared:,} comparisons after a refusal")
    tenth = max(1, len(result.memory) // 10)
    sizes = ", ".join(f"{size / 2**20:.0f}" for size in result.memory[::tenth])
    print(f"memory of the server in MiB as it went: {sizes}")


if __name__ == "__main__":
    main()
