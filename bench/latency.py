"""How soon things happen: to one task after the other on a node that has nothing else to do,
while the service is idle and while 1,000 other tasks a second pass through it.

Most machines cannot start 1,000 processes a second, so the others run on a node host that runs
nothing: the server has all its work with them, the processors little. What is measured is real:
the first act of the process ("running"), its end as the kernel sees it ("dead"), and the record
as a client sees it that asks without a pause ("completed"). Beside each stands what it cannot do
without, bare: a commit to disk, a spawn, a kill.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.floor import scratch
from bench.report import Figure, Report
from bench.service import Bench, Refused
from bench.stamps import Stamps
from bench.stream import Stream
from tests.e2e.harness import agent
from tests.e2e.waiting import eventually

IDLE, BUSY = 2000, 1000
WARM_UP = 20
PER_S = 1000
SLOTS = 4
PASSING_NODES = 10
LEAST_PASSED = 0.95  # of what was to pass; below it a busy figure means nothing
LONGEST_S = 30.0

RUNNING, COMPLETED, RELEASED, DEAD = (
    "add to running",
    "exit to completed",
    "release of a dependent",
    "terminate to dead",
)
AIMS_MS = {RUNNING: (10.0, 50.0), RELEASED: (20.0, None)}
"""For p50 and p99, of an idle service."""

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it is measured: a job on a node with real processes, and the bare means."""

    bench: Bench
    job: str
    stamps: Stamps
    disk: sqlite3.Connection


def run() -> Report:
    """Measure idle, then busy."""
    with _stage() as (stage, passing):
        _measure(stage, WARM_UP, "warm")
        idle = _measure(stage, IDLE, "idle")
        with Stream.to(stage.bench, passing, PER_S) as stream:
            busy = _measure(stage, BUSY, "busy")
        passed_s = _passed(stage.bench, passing, stream)
    floors = {name: values for name, values in idle.items() if name.startswith("bare")}
    figures = [_figures(name, idle[name], AIMS_MS.get(name)) for name in _names()]
    figures += [_figures(f"{name}, busy", busy[name], None) for name in _names()]
    figures += [_figures(name, values, None) for name, values in floors.items()]
    return Report(
        f"{IDLE:,} in turn idle, {BUSY:,} busy",
        [
            *(figure for group in figures for figure in group),
            *_ratios("", idle),
            *_ratios(", busy", busy),
            Figure(name="passed while busy", value=passed_s, unit="/s"),
        ],
    )


def _names() -> Sequence[str]:
    return (RUNNING, COMPLETED, RELEASED, DEAD)


def _figures(
    name: str, times: Sequence[float], aims: tuple[float | None, float | None] | None
) -> list[Figure]:
    cuts = statistics.quantiles(times, n=1000, method="inclusive")
    bars = [*(aims or (None, None)), None]
    return [
        Figure(name=f"{name}, {cut}", value=cuts[at], unit="ms", bar=bar, less_is_better=True)
        for cut, at, bar in zip(("p50", "p99", "p99.9"), (499, 989, 998), bars, strict=True)
    ]


def _ratios(when: str, found: Samples) -> list[Figure]:
    """How many times its floor each takes at p50, both measured at the same time."""
    floors = {
        RUNNING: ("bare commit", "bare spawn"),
        COMPLETED: ("bare commit",),
        RELEASED: ("bare commit", "bare spawn"),
        DEAD: ("bare commit", "bare kill"),
    }
    figures = []
    for name, parts in floors.items():
        least = sum(statistics.median(found[part]) for part in parts)
        what = " and ".join(part.removeprefix("bare ") for part in parts)
        ratio = statistics.median(found[name]) / least
        figures.append(Figure(name=f"{name}{when}, p50, of a bare {what}", value=ratio, unit="x"))
    return figures


# --- the stage -------------------------------------------------------------------------------


@contextmanager
def _stage() -> Iterator[tuple[Stage, str]]:
    """A service with a real host and one that runs nothing; and the job of those that pass.

    A new node goes to the host with the fewest, so the pool of those that pass is made while
    the null host is alone.
    """
    with scratch() as root, Bench.with_null_hosts() as bench, Stamps.below(root) as stamps:
        passing = bench.job(bench.pool(PASSING_NODES, SLOTS))
        with (
            agent("--join", str(bench.service.data), log=root / "agent.log"),
            closing(_disk(root / "bare.db")) as disk,
        ):
            eventually(lambda: _connected(root / "agent.log"), LONGEST_S, "a node host")
            pool = bench.pool(1, SLOTS)
            job = bench.job(pool, usesTaskDependencies=True)
            yield Stage(bench, job, stamps, disk), passing


def _connected(log: Path) -> bool:
    return "link_up" in log.read_text()


def _disk(path: Path) -> sqlite3.Connection:
    disk = sqlite3.connect(path, isolation_level=None)
    disk.execute("PRAGMA journal_mode = WAL")
    disk.execute("PRAGMA synchronous = FULL")
    disk.execute("CREATE TABLE written (no INTEGER PRIMARY KEY, text TEXT)")
    return disk


def _passed(bench: Bench, job: str, stream: Stream) -> float:
    """How many others passed in a second; raises Refused where those were too few."""

    def done() -> bool:
        counts = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
        return bool(counts["succeeded"] == stream.added)

    eventually(done, LONGEST_S, f"{stream.added} that passed")
    passed_s = stream.added / stream.took_s
    if passed_s < LEAST_PASSED * PER_S:
        raise Refused(f"only {passed_s:.0f} others passed in a second")
    return passed_s


# --- samples ---------------------------------------------------------------------------------


def _measure(stage: Stage, count: int, kind: str) -> Samples:
    """So many samples of everything, in turn, so that all meet the same moments."""
    found: Samples = {}
    for number in range(count):
        name = f"{kind}{number}"
        for part in (_lived, _released, _terminated, _bare):
            for what, value_ms in part(stage, name):
                found.setdefault(what, []).append(value_ms)
    return found


def _lived(stage: Stage, name: str) -> Iterator[tuple[str, float]]:
    """A task that ends with its first act."""
    added_ns = _add(stage, _task(stage, name))
    began_ns = stage.stamps.of(name).at_ns
    path = f"/jobs/{stage.job}/tasks/{name}"
    _until(lambda: bool(stage.bench.call("GET", path)["state"] == "completed"), name)
    seen_ns = time.time_ns()
    yield RUNNING, (began_ns - added_ns) / 1e6
    yield COMPLETED, (seen_ns - began_ns) / 1e6


def _released(stage: Stage, name: str) -> Iterator[tuple[str, float]]:
    """From the end of a task to the first act of the one that depends on it."""
    first, second = f"{name}-a", f"{name}-b"
    depends = {"dependsOn": {"taskIds": [first]}}
    _add(stage, _task(stage, first), {**_task(stage, second), **depends})
    ended_ns = stage.stamps.of(first).at_ns
    yield RELEASED, (stage.stamps.of(second).at_ns - ended_ns) / 1e6


def _terminated(stage: Stage, name: str) -> Iterator[tuple[str, float]]:
    """From the request to the end of the process."""
    name = f"{name}-t"
    _add(stage, _task(stage, name, stay=True))
    dead = stage.stamps.death(stage.stamps.of(name).pid)
    asked_ns = time.time_ns()
    stage.bench.call("POST", f"/jobs/{stage.job}/tasks/{name}/terminate", expect=204)
    yield DEAD, (dead.result() - asked_ns) / 1e6


def _bare(stage: Stage, name: str) -> Iterator[tuple[str, float]]:
    """The same without a service."""
    began_ns = time.time_ns()
    stage.disk.execute("INSERT INTO written (text) VALUES (?)", (name * 20,))
    yield "bare commit", (time.time_ns() - began_ns) / 1e6
    yield "bare spawn", stage.stamps.spawned_ms(f"{name}-s")
    yield "bare kill", stage.stamps.killed_ms(f"{name}-k")


def _task(stage: Stage, name: str, *, stay: bool = False) -> dict[str, object]:
    return {"id": name, "commandLine": " ".join(stage.stamps.words(name, stay=stay))}


def _add(stage: Stage, *tasks: dict[str, object]) -> int:
    """Add tasks in one request; give when it was sent."""
    sent_ns = time.time_ns()
    path = f"/jobs/{stage.job}/addtaskcollection"
    answer = stage.bench.call("POST", path, {"value": tasks})
    if any(item["status"] != "success" for item in answer["value"]):
        raise Refused(str(answer))
    return sent_ns


def _until(done: Callable[[], bool], name: str) -> None:
    eventually(done, LONGEST_S, f"{name} to be completed", every_s=0)
