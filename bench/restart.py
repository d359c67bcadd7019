"""How soon a server is ready that finds very many tasks, and where the time goes.

As many waiting as completed, in two jobs. Start to ready is of real processes, `penstock up` from
its first instruction to the ready file, and beside it with an empty database; the parts are of the
same code in this process. The floor is the bare query for the waiting rows, and reading the file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from bench.crowd import complete, crowd
from bench.report import Figure, Report, median_of
from bench.service import Bench
from penstock.engine.state import State
from penstock.store.sqlite import SqliteStore

TASKS = 100_000 if os.environ.get("BENCH_QUICK") else 1_000_000
ROUNDS = 5
MOST_S = 10.0

T = TypeVar("T")


def run() -> Report:
    """Fill a database, then start on it again and again."""
    with Bench.started() as bench:
        empty = [_start_s(bench) for _ in range(ROUNDS)]
        with Bench.beside(bench.service) as again:  # each start has another port
            waiting, over = again.job("no-such-pool"), again.job("no-such-pool")
            crowd(again, waiting, TASKS)
            crowd(again, over, TASKS)
        bench.service.terminate()
        complete(bench.database, over, TASKS)
        parts: dict[str, list[float]] = {}
        starts: list[float] = []
        for _ in range(ROUNDS):
            bench.service.start()
            starts.append(bench.service.start_s)
            bench.service.terminate()
            for name, taken_s in _parts(bench.database).items():
                parts.setdefault(name, []).append(taken_s)
        bench.service.start()
    full = median_of("start to ready", starts, "s")
    return Report(
        f"restart, {TASKS:,} waiting and as many completed",
        [
            *(median_of(name, times, "s") for name, times in parts.items()),
            median_of("start to ready, empty database", empty, "s"),
            Figure(
                name=full.name,
                value=full.value,
                unit="s",
                spread=full.spread,
                aim=MOST_S,
                less_is_better=True,
            ),
        ],
    )


def _start_s(bench: Bench) -> float:
    bench.service.restart()
    return bench.service.start_s


def _parts(database: Path) -> dict[str, float]:
    """Seconds of each part of a start, on the database of a stopped server."""
    taken: dict[str, float] = {}

    def timed(name: str, act: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = act()
        taken[name] = time.perf_counter() - began
        return result

    timed("floor: read the file", lambda: _read(database))
    timed("floor: the waiting rows, bare", lambda: _select(database))
    store = timed("open the database", lambda: SqliteStore.open(database))
    saved = timed("load all but what waits", lambda: asyncio.run(store.load()))
    rows = timed("the waiting rows, as values", lambda: list(saved.waiting))
    again = asyncio.run(store.load())
    del rows
    timed("load and restore the state", lambda: State.restored(again))
    asyncio.run(store.close())
    return taken


def _read(database: Path) -> int:
    with database.open("rb", buffering=0) as file:
        part = bytearray(1 << 20)
        seen = 0
        while count := file.readinto(part):
            seen += count
    return seen


def _select(database: Path) -> Sequence[object]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as found:
        return found.execute(
            "SELECT no, job_no, slots, affinity, depends FROM task"
            " WHERE state = 0 AND ahead = 0 ORDER BY no"
        ).fetchall()
