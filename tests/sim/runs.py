"""Many histories at once, on all cores: looking for one that breaks something, and for bugs."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from multiprocessing import get_context, resource_tracker
from typing import Any, Final, NamedTuple

from tests.sim.invariants import Broken, Invariant
from tests.sim.mutations import MUTATIONS
from tests.sim.story import play

MOST_SEEDS: Final = 60
"""Within so many histories each mutation must be noticed."""

FIRST_SEED: Final = 1000

_MISTAKES: Final = (TypeError, AttributeError, NameError, ImportError)
"""Of the mutation itself, rather than something that a check found."""


class Outcome(NamedTuple):
    """What one history came to."""

    seed: int
    hours: float = 0.0  # virtual ones
    turns: int = 0
    faults: tuple[tuple[str, int], ...] = ()
    lost: int = 0  # messages
    late: int = 0  # connections whose last words came after their end
    invariant: Invariant | None = None  # that did not hold
    story: str = ""  # of how it did not
    mistake: bool = False


class Catch(NamedTuple):
    """What became of a mutation."""

    name: str
    seed: int | None  # the first in which it breaks what it is to break
    besides: dict[str, int]  # what it broke in the seeds before
    wrong: str = ""  # why this does not count

    @property
    def caught(self) -> bool:
        return self.seed is not None and not self.wrong


class Totals:
    """What many histories came to."""

    def __init__(self) -> None:
        self.seeds = 0
        self.hours = 0.0
        self.turns = 0
        self.faults: Counter[str] = Counter()
        self.lost = 0
        self.late = 0
        self.broken: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.hours += outcome.hours
        self.turns += outcome.turns
        self.faults.update(dict(outcome.faults))
        self.lost += outcome.lost
        self.late += outcome.late
        if outcome.invariant is not None:
            self.broken.append(outcome)


def outcome_of(
    seed: int, bug: AbstractContextManager[Any] | None = None, fault: str | None = None
) -> Outcome:
    """Play one history, with a bug or without."""
    with bug or nullcontext():
        try:
            world = play(seed, fault=fault)
        except Broken as broken:
            mistake = isinstance(broken.__cause__, _MISTAKES)
            return Outcome(seed, invariant=broken.invariant, story=str(broken), mistake=mistake)
    hours = world.loop.elapsed_us / 3.6e9
    faults, network = tuple(world.faults.items()), world.network
    return Outcome(seed, hours, world.watch.turns, faults, network.lost, network.late)


def hunt(name: str) -> Catch:
    """Look for a history in which a bug breaks the invariant that it is to break."""
    mutation, besides = MUTATIONS[name], Counter[str]()
    seeds = [*range(FIRST_SEED, FIRST_SEED + MOST_SEEDS)]
    for seed in seeds if mutation.first is None else [mutation.first, *seeds]:
        outcome = outcome_of(seed, mutation.switched_on(), mutation.fault)
        if outcome.mistake:
            return Catch(name, None, dict(besides), outcome.story)
        if outcome.invariant is mutation.breaks:
            without = outcome_of(seed, fault=mutation.fault)
            wrong = "" if without.invariant is None else f"seed {seed} breaks without it too"
            return Catch(name, seed, dict(besides), wrong)
        if outcome.invariant is not None:
            besides[outcome.invariant] += 1
    return Catch(name, None, dict(besides), f"not caught in {MOST_SEEDS} histories")


@contextmanager
def pool(workers: int | None) -> Iterator[ProcessPoolExecutor]:
    """Processes that play, which end with the block whatever happens."""
    executor = ProcessPoolExecutor(
        workers or os.cpu_count() or 1, get_context("spawn"), _leave_signals
    )
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        _end_tracker()


def _end_tracker() -> None:
    """The helper of the pool would stay until this process ends."""
    tracker: Any = resource_tracker
    tracker._resource_tracker._stop()


def _leave_signals() -> None:
    """Ctrl-C is for the process that people see."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def explore(
    executor: ProcessPoolExecutor,
    minutes: float,
    first: int,
    told: Callable[[Totals, Outcome], None],
) -> Totals:
    """Play seeds from `first` on for so long; `told` hears of each when it is over."""
    end = time.monotonic() + 60 * minutes
    totals, seeds = Totals(), count(first)
    under_way: set[Future[Outcome]] = set()
    ahead = 2 * (os.cpu_count() or 1) + 2
    while True:
        while len(under_way) < ahead and time.monotonic() < end:
            under_way.add(executor.submit(outcome_of, next(seeds)))
        if not under_way:
            return totals
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            totals.add(outcome)
            told(totals, outcome)


def hunts(executor: ProcessPoolExecutor, names: Iterable[str]) -> Iterator[Catch]:
    """Hunt these mutations, all at once; gives what became of each, in their order."""
    yield from executor.map(hunt, names)
