"""What a waiting task, and an idle local node, cost in resident memory.

Tasks: the server's process before and after they were added over HTTP, and after a restart, when
nothing is left of the work of adding them; beside a plain Python deque of as many numbers. Nodes:
all local processes together, the server, the node host and what that has started, with ten nodes
and with a hundred more.
"""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from bench.crowd import crowd, server_bytes
from bench.report import Figure, Report
from bench.service import Bench

TASKS = 200_000 if os.environ.get("BENCH_QUICK") else 1_000_000
FEW, MORE = 10, 100
MOST_PER_TASK = 500.0
MOST_PER_NODE_MB = 2.0

_DEQUE = """
import collections, pathlib
def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
kept = collections.deque(range({count}))
print((resident() - before) / {count})
"""


def run() -> Report:
    """Measure both, each with a service of its own."""
    return Report("resident memory", [*_of_tasks(), *_of_nodes()])


def _of_tasks() -> list[Figure]:
    words = [sys.executable, "-c", _DEQUE.format(count=TASKS)]
    bare = float(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    with Bench.started() as bench:
        job = bench.job("no-such-pool")
        crowd(bench, bench.job("no-such-pool"), TASKS // 100)  # what the first requests leave
        empty = bench.service.restart()
        before = server_bytes(empty)
        with Bench.beside(bench.service) as again:
            crowd(again, job, TASKS)
        added = server_bytes(empty)
        started = server_bytes(bench.service.restart())
    names = {"after adding": added - before, "after a restart": started - before}
    return [
        Figure(name="a number in a Python deque", value=bare, unit="bytes"),
        *(
            Figure(
                name=f"waiting task of {TASKS:,}, {name}",
                value=taken / TASKS,
                unit="bytes",
                aim=MOST_PER_TASK,
                less_is_better=True,
            )
            for name, taken in names.items()
        ),
    ]


def _of_nodes() -> list[Figure]:
    with Bench.started() as bench:
        bench.pool(FEW, 1)
        before = _all_bytes(bench)
        bench.pool(MORE, 1)
        taken = _all_bytes(bench) - before
    return [
        Figure(
            name=f"idle local node of {FEW + MORE}",
            value=taken / MORE / 2**20,
            unit="MB",
            aim=MOST_PER_NODE_MB,
            less_is_better=True,
        )
    ]


def _all_bytes(bench: Bench) -> int:
    """Of all processes of the data directory."""
    living: list[psutil.Process] = bench.service.living()
    return sum(int(process.memory_info().rss) for process in living)
