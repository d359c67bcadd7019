"""How many tasks a second can be added, durably, over one, four and sixteen connections."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from bench.report import Figure, Report
from bench.service import Bench, Refused, collections
from tests.e2e.signing import Wire

TASKS = 20_000
CONNECTIONS = (1, 4, 16)
LEAST_PER_S = 10_000


def run() -> Report:
    """Measure each number of connections with a job of its own, on a pool that is not there."""
    with Bench.started() as bench:
        rates = {count: _rate(bench, count) for count in CONNECTIONS}
    best = max(rates.values())
    return Report(
        f"adding {TASKS:,} tasks by the hundred",
        [
            *(
                Figure(name=f"{count} connections", value=rate, unit="/s")
                for count, rate in rates.items()
            ),
            Figure(name="the best of them", value=best, unit="/s", bar=LEAST_PER_S),
        ],
    )


def _rate(bench: Bench, connections: int) -> float:
    """Tasks per second; raises Refused where one was not added."""
    job = bench.job("no-such-pool")
    path = f"/jobs/{job}/addtaskcollection"
    waiting: SimpleQueue[bytes] = SimpleQueue()
    for body in collections(TASKS):
        waiting.put(json.dumps(body).encode())

    def add(wire: Wire) -> None:
        while True:
            try:
                body = waiting.get_nowait()
            except Empty:
                return
            answer = wire.send("POST", path, body)
            if answer.status_code != 200 or b"clienterror" in answer.content:
                raise Refused(f"{answer.status_code} {answer.text[:500]}")

    wires = [Wire.to(bench.service.ready) for _ in range(connections)]
    try:
        for wire in wires:
            wire.send("GET", f"/jobs/{job}")  # connect before the clock runs
        began = time.perf_counter()
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(add, wires))
        took_s = time.perf_counter() - began
    finally:
        for wire in wires:
            wire.client.close()
    counts = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
    if counts["active"] != TASKS:
        raise Refused(f"not all were added: {counts}")
    bench.remove(job)
    return TASKS / took_s
