"""How soon a task runs on an idle node: a hundred in turn, each alone.

Seen by the client, which adds a task and asks for it until it is no longer active; by the
record, whose start is the moment of the decision; and by the process, which prints the time at
which it began.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from datetime import datetime

from bench.report import Figure, Report
from bench.service import Bench
from tests.e2e.waiting import eventually

ROUNDS = 100
WARM_UP = 5
MOST_P50_MS = 25.0
AIM_P50_MS = 10.0
AIM_P99_MS = 50.0
LONGEST_S = 10.0


def run() -> Report:
    """Measure one task after the other."""
    seen: list[float] = []
    recorded: list[float] = []
    began: list[float] = []
    with Bench.started() as bench:
        job = bench.job(bench.pool(1, 1))
        for number in range(WARM_UP + ROUNDS):
            times = _one(bench, job, f"t{number}")
            if number >= WARM_UP:
                for values, value in zip((seen, recorded, began), times, strict=True):
                    values.append(value)
    return Report(
        f"add to running, {ROUNDS} in turn",
        [
            *_quantiles("seen by the client", seen, MOST_P50_MS, AIM_P99_MS),
            *_quantiles("by the record", recorded, None, None),
            *_quantiles("the process began", began, AIM_P50_MS, AIM_P99_MS),
        ],
    )


def _one(bench: Bench, job: str, task: str) -> tuple[float, float, float]:
    """Milliseconds from the add to: not active any more; start time; first line printed."""
    path = f"/jobs/{job}/tasks/{task}"
    body = {"id": task, "commandLine": "/bin/date +%s.%N"}

    def state() -> str:
        return str(bench.call("GET", path)["state"])

    sent_s = time.time()
    bench.call("POST", f"/jobs/{job}/tasks", body, 201)
    eventually(lambda: state() != "active", LONGEST_S, f"{task} to run", every_s=0)
    seen_s = time.time()
    eventually(lambda: state() == "completed", LONGEST_S, f"{task} to end", every_s=0.002)
    record = bench.call("GET", path)
    started = datetime.fromisoformat(record["executionInfo"]["startTime"]).timestamp()
    printed = float(bench.wire.send("GET", f"{path}/files/stdout.txt").text)
    return (seen_s - sent_s) * 1e3, (started - sent_s) * 1e3, (printed - sent_s) * 1e3


def _quantiles(
    name: str, times: Sequence[float], bar50: float | None, bar99: float | None
) -> list[Figure]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return [
        Figure(name=f"{name}, p50", value=cuts[49], unit="ms", bar=bar50, less_is_better=True),
        Figure(name=f"{name}, p99", value=cuts[98], unit="ms", bar=bar99, less_is_better=True),
    ]
