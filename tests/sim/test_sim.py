"""Many small histories on bad hardware: what must hold holds in each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.sim.invariants import HOLDS, Invariant
from tests.sim.loop import NoProgress, VirtualLoop
from tests.sim.mutations import MUTATIONS
from tests.sim.runs import Catch, Outcome, hunt, outcome_of, pool

SEEDS = range(40)


class Played:
    """All histories that this run of the tests asks for, played at once on all cores."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Future[Outcome]] = {}
        self.catches: dict[str, Future[Catch]] = {}


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    asked: list[dict[str, Any]] = [
        item.callspec.params
        for item in request.session.items
        if hasattr(item, "callspec") and item.path == request.path
    ]
    found = Played()
    with pool(None) as executor:
        for params in asked:
            if "name" in params:
                found.catches[params["name"]] = executor.submit(hunt, params["name"])
        for params in asked:
            if "seed" in params:
                found.outcomes[params["seed"]] = executor.submit(outcome_of, params["seed"])
        yield found


@pytest.mark.parametrize("seed", SEEDS)
def test_all_holds_in_the_history_of(seed: int, played: Played) -> None:
    outcome = played.outcomes[seed].result()
    assert outcome.invariant is None, outcome.story


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_bug_is_noticed(name: str, played: Played) -> None:
    catch = played.catches[name].result()
    assert catch.caught, f"{catch.wrong} {catch.besides}"


@pytest.mark.parametrize("invariant", Invariant)
def test_each_invariant_can_fail(invariant: Invariant) -> None:
    assert invariant in HOLDS
    assert [name for name, mutation in MUTATIONS.items() if mutation.breaks is invariant]


def test_one_seed_is_one_history() -> None:
    """Whatever order a hash gives to a set, and wherever objects lie in memory."""
    told = "from tests.sim.story import play; print([play(seed).digest for seed in (52, 82)])"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    digests = {
        subprocess.run(
            [sys.executable, "-c", told],
            env=here | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_world_in_which_nothing_is_due_is_stuck() -> None:
    loop = VirtualLoop()
    try:
        with pytest.raises(NoProgress, match="nothing is due"):
            loop.run_until_complete(loop.create_future())
    finally:
        loop.close()


def test_a_world_that_stands_still_is_stuck() -> None:
    loop = VirtualLoop(most_at_once=10)

    def again() -> None:
        loop.call_soon(again)

    again()
    try:
        with pytest.raises(NoProgress, match="stands still"):
            loop.run_forever()
    finally:
        loop.close()
