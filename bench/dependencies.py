"""Tasks that wait for others: how soon they begin, and what many edges do to a turn.

A chain and a diamond run for real. A release is timed from the end of the task before, as it is
in the record, to the first act of the process that waited for it, as that tells itself; so report,
commit, order and start are all in it. The order is checked: a figure of a wrong order is none.

The turns are those of the engine in this process, with its store on disk and a host that ends
at once what it is given. Each is measured by the time that it keeps its processor busy, without the
commit, which costs what its rows cost; beside the longest turn where tasks wait for nobody.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from bench.floor import scratch
from bench.report import Figure, Report, beside, median_of, progress
from bench.service import COLLECTION, Bench, Refused, pour
from bench.stamps import Stamps
from penstock.domain.specs.task import Dependencies, TaskIdRange, TaskSpec
from penstock.engine.engine import Engine
from penstock.engine.loop import Command
from penstock.engine.turn import Turn
from penstock.messages import RunTask, TaskEnded
from penstock.store.sqlite import SqliteStore
from tests.e2e.waiting import eventually
from tests.records import ACCOUNT
from tests.unit.engine.house import House

QUICK = bool(os.environ.get("BENCH_QUICK"))
CHAIN = 200 if QUICK else 1_000
MIDDLE = 1_998 if QUICK else 9_998
EDGES = 20_000 if QUICK else 100_000
ROUNDS = 3
NODES, SLOTS = 4, 4
STAMPED = 20  # of the middle of a diamond: those that are added first, and so begin first
AIM_MS = 20.0
MOST_OF_PLAIN = 3.0
LONGEST_S = 300.0
LENGTH_US = 60_000_000  # of tasks that run nothing: too long to be sent ahead

Body = dict[str, Any]


def run() -> Sequence[Report]:
    """Measure with real processes, then the turns alone."""
    return [_real(), _turns()]


# --- with real processes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """A service with idle nodes, a program that tells when it begins, and a bare disk."""

    bench: Bench
    pool: str
    stamps: Stamps
    disk: sqlite3.Connection

    @classmethod
    @contextmanager
    def built(cls) -> Iterator[Stage]:
        """Start it all; removed at the end."""
        with (
            scratch() as root,
            Bench.started() as bench,
            Stamps.below(root) as stamps,
            closing(sqlite3.connect(root / "bare.db", isolation_level=None)) as disk,
        ):
            disk.execute("PRAGMA journal_mode = WAL")
            disk.execute("PRAGMA synchronous = FULL")
            disk.execute("CREATE TABLE written (no INTEGER PRIMARY KEY, text TEXT)")
            yield cls(bench, bench.pool(NODES, SLOTS), stamps, disk)

    def stamped(self, name: str, task_id: str, wants: Body | None = None) -> Body:
        """A task that tells under a name that it begins."""
        return _task(task_id, wants, " ".join(self.stamps.words(name)))

    def told_ns(self, names: Iterable[str]) -> list[int]:
        """Wait until all these have told that they begin; give when each did."""
        return [self.stamps.of(name).at_ns for name in names]

    def bare_ms(self, name: str) -> float:
        """What no release can do without: a commit, and a start."""
        began = time.perf_counter()
        self.disk.execute("INSERT INTO written (text) VALUES (?)", (name * 20,))
        return (time.perf_counter() - began) * 1e3 + self.stamps.spawned_ms(name)


def _task(task_id: str, wants: Body | None = None, command: str = "/bin/true") -> Body:
    task = {"id": task_id, "commandLine": command}
    return task if wants is None else {**task, "dependsOn": wants}


@dataclass(frozen=True, slots=True)
class Times:
    """Start and end of every task of a job, in microseconds, as they are in the record."""

    by_id: Mapping[str, tuple[int, int]]
    took_s: float

    def ended_ns(self, task_ids: Iterable[str]) -> int:
        """When the last of these ended."""
        return max(self.by_id[task_id][1] for task_id in task_ids) * 1000

    def check(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Raise Refused where a task began before the end of all that it waits for."""
        ended_us = max(self.by_id[task_id][1] for task_id in before)
        if early := [task_id for task_id in after if self.by_id[task_id][0] < ended_us]:
            raise Refused(f"began too early: {early[:10]}")


def _run_all(stage: Stage, tasks: Sequence[Body], listen: Callable[[], None]) -> Times:
    """Run tasks of a job of their own to the end of all. Raises Refused unless all succeeded.

    `listen` takes in what they tell while they run: one that is not heard waits.
    """
    job = stage.bench.job(stage.pool, usesTaskDependencies=True)
    parts = [tasks[at : at + COLLECTION] for at in range(0, len(tasks), COLLECTION)]
    began = time.perf_counter()
    pour(stage.bench, job, [{"value": part} for part in parts], 1)
    listen()
    _done(stage.bench, job, len(tasks))
    took_s = time.perf_counter() - began
    path = f"file:{stage.bench.database}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as database:
        (no,) = database.execute("SELECT no FROM job WHERE key = ?", (job,)).fetchone()
        rows = database.execute("SELECT id, start_us, end_us FROM task WHERE job_no = ?", (no,))
        return Times({task_id: (start, end) for task_id, start, end in rows}, took_s)


def _to_nobody() -> None:
    """Listen to tasks that tell nothing."""


def _done(bench: Bench, job: str, count: int) -> None:
    def done() -> bool:
        counts = bench.call("GET", f"/jobs/{job}/taskcounts")["taskCounts"]
        if counts["failed"]:
            raise Refused(f"some failed: {counts}")
        return bool(counts["succeeded"] == count)

    eventually(done, LONGEST_S, f"{count} tasks that succeeded", every_s=0.05)


def _real() -> Report:
    releases: list[float] = []
    bare: list[float] = []
    rates: dict[str, list[float]] = {"chain": [], "diamond": [], "plain": []}
    ends: dict[str, list[float]] = {"first": [], "last": []}
    with Stage.built() as stage:
        for number in range(ROUNDS):
            progress(f"    round {number + 1} of {ROUNDS}")
            releases += _chain(stage, number, rates["chain"])
            bare += [stage.bare_ms(f"bare-{number}-{link}") for link in range(CHAIN)]
            first, last = _diamond(stage, number, rates["diamond"])
            ends["first"].append(first)
            ends["last"].append(last)
            plain = [_task(str(link)) for link in range(MIDDLE + 2)]
            rates["plain"].append(len(plain) / _run_all(stage, plain, _to_nobody).took_s)
    p50, p99 = (statistics.quantiles(releases, n=100)[at] for at in (49, 98))
    floor = statistics.median(bare)
    near = beside("a bare commit and start", [p50], [floor], less_is_better=True)
    return Report(
        f"{NODES} nodes of {SLOTS} slots, real processes",
        [
            Figure(
                name=f"release in a chain of {CHAIN:,}, p50",
                value=p50,
                unit="ms",
                aim=AIM_MS,
                less_is_better=True,
                beside=[near],
            ),
            Figure(name=f"release in a chain of {CHAIN:,}, p99", value=p99, unit="ms"),
            median_of(f"chain of {CHAIN:,}", rates["chain"], "/s"),
            median_of(
                f"diamond of {MIDDLE + 2:,}",
                rates["diamond"],
                "/s",
                beside=[beside("without dependencies", rates["diamond"], rates["plain"])],
            ),
            median_of("its first one to those that follow", ends["first"], "ms"),
            median_of("those to its last one", ends["last"], "ms"),
        ],
    )


def _chain(stage: Stage, number: int, rates: list[float]) -> list[float]:
    """One after the other; give the length of each release in milliseconds."""
    names = [f"chain-{number}-{link}" for link in range(CHAIN)]
    links = [
        stage.stamped(name, str(link), {"taskIds": [str(link - 1)]} if link else None)
        for link, name in enumerate(names)
    ]
    links.reverse()  # nothing begins before all are added
    stamps: list[int] = []
    times = _run_all(stage, links, lambda: stamps.extend(stage.told_ns(names)))
    ids = [str(link) for link in range(CHAIN)]
    for before, after in pairwise(ids):
        times.check([before], [after])
    rates.append(CHAIN / ((stamps[-1] - stamps[0]) / 1e9))
    return [
        (stamp - times.ended_ns([task_id])) / 1e6
        for task_id, stamp in zip(ids, stamps[1:], strict=False)
    ]


def _diamond(stage: Stage, number: int, rates: list[float]) -> tuple[float, float]:
    """One, many, one; give how long the first and the last release took."""
    middle = [str(link) for link in range(1, MIDDLE + 1)]
    names = {task_id: f"diamond-{number}-{task_id}" for task_id in (*middle[:STAMPED], "last")}
    after_all = {"taskIdRanges": [{"start": 1, "end": MIDDLE}]}
    tasks = [stage.stamped(names["last"], "last", after_all)]
    for task_id in middle:
        wants = {"taskIds": ["first"]}
        if task_id in names:
            tasks.append(stage.stamped(names[task_id], task_id, wants))
        else:
            tasks.append(_task(task_id, wants))
    tasks.append(_task("first"))
    stamps: list[int] = []
    last = names.pop("last")
    times = _run_all(stage, tasks, lambda: stamps.extend(stage.told_ns(names.values())))
    (last_ns,) = stage.told_ns([last])
    times.check(["first"], middle)
    times.check(middle, ["last"])
    rates.append(len(tasks) / times.took_s)
    return (
        (min(stamps) - times.ended_ns(["first"])) / 1e6,
        (last_ns - times.ended_ns(middle)) / 1e6,
    )


# --- turns ---------------------------------------------------------------------------------------


class TimedEngine(Engine):
    """An engine that remembers its longest turn, the commit left out."""

    longest_s = 0.0
    committing_s = 0.0

    async def _take_turn(self, batch: list[Command]) -> None:
        self.committing_s = 0.0
        began = time.thread_time()
        await super()._take_turn(batch)
        took_s = time.thread_time() - began - self.committing_s
        self.longest_s = max(self.longest_s, took_s)

    async def _commit(self, turn: Turn) -> None:
        began = time.thread_time()
        await super()._commit(turn)
        self.committing_s = time.thread_time() - began


class TimedHouse(House):
    """An engine with its store on disk and a host that runs nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.disk = SqliteStore.open(path)
        self.engine = self.timed = TimedEngine(
            self.disk, lambda: self.now_us, Random(1), self.settings, lambda: self.passed_us
        )
        self.host.engine = self.engine

    async def run_all(self, count: int) -> None:
        """End what the host is given until so many have ended."""
        while count:
            await self.engine._submit(lambda _turn: None)
            runs = self.host.take(RunTask)
            count -= len(runs)
            for at in range(0, len(runs), COLLECTION):
                await self.host.report(*map(self._end, runs[at : at + COLLECTION]))

    def _end(self, run: RunTask) -> TaskEnded:
        return TaskEnded(
            report=self.host.number(),
            task_no=run.task_no,
            attempt=run.attempt,
            start_us=self.now_us - LENGTH_US,
            end_us=self.now_us,
            exit_code=0,
            failure=None,
        )


Wants = tuple[str, Dependencies | None]


def _shapes() -> Mapping[str, Sequence[Wants]]:
    """Jobs with so many edges; the last one has none."""
    chance, tenth = Random(1), EDGES // 10
    numbers = [str(number) for number in range(1, tenth + 1)]
    hundredth = [(number, None) for number in numbers[: EDGES // 100]]
    after_range = Dependencies(task_id_ranges=[TaskIdRange(start=1, end=EDGES // 100)])
    return {
        f"{EDGES:,} after one": [
            ("first", None),
            *((str(n), Dependencies(task_ids=["first"])) for n in range(EDGES)),
        ],
        f"10 after {tenth:,} ids": [
            *((number, None) for number in numbers),
            *((f"after-{n}", Dependencies(task_ids=numbers)) for n in range(10)),
        ],
        f"100 after a range of {EDGES // 100:,}": [
            *hundredth,
            *((f"after-{n}", after_range) for n in range(100)),
        ],
        f"{tenth:,} after 10 of the 1,000 before": [
            *((f"0-{n}", None) for n in range(10)),
            *(
                (
                    number,
                    Dependencies(
                        task_ids=chance.sample(
                            [f"0-{n}" for n in range(10)] + numbers[max(0, at - 1000) : at], 10
                        )
                    ),
                )
                for at, number in enumerate(numbers)
            ),
        ],
        f"{tenth:,} that wait for nobody": [(number, None) for number in numbers],
    }


async def _longest(path: Path, tasks: Sequence[Wants]) -> float:
    """The longest turn while a job runs, in milliseconds of processor time."""
    house = TimedHouse(path)
    await house.open()
    try:
        await house.pool(nodes=10, slots=10)  # as many at once as one request adds
        await house.job(uses_task_dependencies=True)
        for at in range(0, len(tasks), COLLECTION):
            specs = [
                TaskSpec(id=task_id, command_line="true", depends_on=wants)
                for task_id, wants in tasks[at : at + COLLECTION]
            ]
            await house.engine.add_tasks(ACCOUNT, "job", specs)
        await house.run_all(len(tasks))
        return house.timed.longest_s * 1e3
    finally:
        await house.close()
        await house.disk.close()


def _turns() -> Report:
    shapes = _shapes()
    found: dict[str, list[float]] = {name: [] for name in shapes}
    # As the server has it, so that the collector does not look at this program in between.
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        for number in range(ROUNDS):
            progress(f"    turns, round {number + 1} of {ROUNDS}")
            for name, tasks in shapes.items():
                with scratch() as root:
                    found[name].append(asyncio.run(_longest(root / "penstock.db", tasks)))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    *shaped, plain = found
    near = partial(beside, "none", theirs=found[plain], aim=MOST_OF_PLAIN, less_is_better=True)
    return Report(
        f"the longest turn of jobs with {EDGES:,} edges",
        [
            *(
                median_of(name, found[name], "ms", beside=[near(ours=found[name])])
                for name in shaped
            ),
            median_of(plain, found[plain], "ms"),
        ],
    )
