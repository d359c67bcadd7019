"""How many trivial tasks a second go through the whole service, beside the floor and beside peers.

From the first add to the last task completed, over HTTP, with everything on disk. All take
turns, round by round, so that they meet the same machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median

from bench.floor import Loop, fresh, scratch
from bench.peers import PEERS, LeftOut, Rate, Setup
from bench.report import Beside, Figure, Report, beside, median_of, progress
from bench.service import Bench, Refused, collections

SETUPS = (Setup(nodes=1, slots=2), Setup(nodes=4, slots=4))
ROUNDS = 5
WARM_UP = 100
ROUND_S = 1.5
FEWEST, MOST = 100, 2000
"""Each runs about as many tasks as it can in `ROUND_S`: rates are compared, not times."""
FLOOR, BARE, OURS = "C loop, the floor", "os.posix_spawn loop", "Penstock"
AIM_OF_FLOOR, LEAST_OF_FLOOR = 0.5, 0.3
AIM_OF_BEST_PEER, LEAST_OF_BEST_PEER = 2.5, 1.0
LONGEST_S = 300.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.5


def run() -> Sequence[Report]:
    """Measure one node, then four."""
    with Bench.started() as bench, scratch() as root:
        return [_measured(bench, replace(setup, root=root)) for setup in SETUPS]


def _measured(bench: Bench, setup: Setup) -> Report:
    rounds: dict[str, list[float]] = {}
    with _contestants(bench, setup) as (contestants, notes):
        tasks = {name: _tasks(rate) for name, rate in contestants.items()}
        for number in range(ROUNDS):
            progress(f"    {_name(setup)}, round {number + 1} of {ROUNDS}")
            for name, rate in list(contestants.items()):
                os.sync()  # what the one before left to write is not this one's burden
                try:
                    rounds.setdefault(name, []).append(rate(tasks[name]))
                except LeftOut as reason:
                    notes.append(f"{name} is left out after round {number}: {reason}")
                    del contestants[name], rounds[name]
    counted = ", ".join(f"{name} {count}" for name, count in tasks.items())
    return Report(_name(setup), _figures(rounds), [*notes, f"tasks a round: {counted}"])


def _name(setup: Setup) -> str:
    nodes = "one node" if setup.nodes == 1 else f"{setup.nodes} nodes"
    return f"trivial tasks, {nodes} of {setup.slots} slots"


@contextmanager
def _contestants(bench: Bench, setup: Setup) -> Iterator[tuple[dict[str, Rate], list[str]]]:
    """All that can take part, ready to run; and who cannot."""
    with ExitStack() as stack:
        root, in_python = setup.root, Loop.in_python()
        in_c = Loop.in_c(fresh(root))
        pool = bench.pool(setup.nodes, setup.slots)
        contestants: dict[str, Rate] = {
            FLOOR: lambda tasks: in_c.rate(root, tasks, setup.at_once),
            BARE: lambda tasks: in_python.rate(root, tasks, setup.at_once),
            OURS: lambda tasks: _rate(bench, pool, tasks),
        }
        notes = []
        for name, peer in PEERS.items():
            try:
                contestants[name] = stack.enter_context(peer(setup))
            except LeftOut as reason:
                notes.append(f"{name} is left out: {reason}")
        yield contestants, notes


def _tasks(rate: Rate) -> int:
    """Warm up, and see how many tasks make a round."""
    rate(WARM_UP)
    wanted = rate(2 * WARM_UP) * ROUND_S
    return min(max(round(wanted / 100) * 100, FEWEST), MOST)


def _figures(rounds: Mapping[str, Sequence[float]]) -> Sequence[Figure]:
    ours = rounds[OURS]
    peers = [name for name in PEERS if name in rounds]
    compared = [
        beside(FLOOR, ours, rounds[FLOOR], aim=AIM_OF_FLOOR, bar=LEAST_OF_FLOOR),
        beside(BARE, ours, rounds[BARE]),
    ]
    return [
        median_of(OURS, ours, "/s", beside=[*compared, *_beside_peers(ours, rounds, peers)]),
        Figure(name=f"{OURS}, per task", value=1000 / median(ours), unit="ms"),
        *(median_of(name, rounds[name], "/s") for name in (FLOOR, BARE, *peers)),
    ]


def _beside_peers(
    ours: Sequence[float], rounds: Mapping[str, Sequence[float]], peers: Sequence[str]
) -> Iterator[Beside]:
    """The best peer has the aim; being ahead is asked of each."""
    best = max(peers, key=lambda name: median(rounds[name]), default=None)
    for name in peers:
        aim = AIM_OF_BEST_PEER if name == best else None
        yield beside(name, ours, rounds[name], aim=aim, bar=LEAST_OF_BEST_PEER)


def _rate(bench: Bench, pool: str, tasks: int) -> float:
    """Tasks per second of one job; raises Refused unless all succeeded."""
    job = bench.job(pool)
    bodies = [json.dumps(body).encode() for body in collections(tasks)]
    began = time.perf_counter()
    for body in bodies:
        bench.call("POST", f"/jobs/{job}/addtaskcollection", body)
    while (counts := _counts(bench, job))["completed"] < tasks:
        passed_s = time.perf_counter() - began
        if passed_s > LONGEST_S:
            raise Refused(f"not completed within {LONGEST_S} s: {counts}")
        time.sleep(_pause_s(counts["completed"] / tasks, passed_s))
    took_s = time.perf_counter() - began
    if counts["succeeded"] != tasks:
        raise Refused(f"not all succeeded: {counts}")
    return tasks / took_s


def _counts(bench: Bench, job: str) -> dict[str, int]:
    counts: dict[str, int] = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
    return counts


def _pause_s(done: float, passed_s: float) -> float:
    """Ask seldom at first and often near the end: a question costs as much as some tasks."""
    left_s = passed_s * (1 - done) / done if done else SHORTEST_PAUSE_S
    return min(max(left_s / 2, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
