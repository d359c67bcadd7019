"""Many small histories on bad hardware: what must hold holds in each of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.checks import Broken
from tests.sim.loop import NoProgress, VirtualLoop
from tests.sim.mutations import MUTATIONS
from tests.sim.story import play

SEEDS = range(40)

MOST_SEEDS = 60
"""Within so many histories each mutation must be noticed."""


@pytest.mark.parametrize("seed", SEEDS)
def test_all_holds_in_the_history_of(seed: int) -> None:
    play(seed)


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


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_bug_is_noticed(name: str) -> None:
    seed, broken = _first_noticed(name)
    mistakes = (TypeError, AttributeError, NameError)  # of the mutation, not found by a check
    assert not isinstance(broken.__cause__, mistakes), broken
    play(seed)  # it holds without the bug


def _first_noticed(name: str) -> tuple[int, Broken]:
    for seed in range(1000, 1000 + MOST_SEEDS):
        try:
            with MUTATIONS[name]():
                play(seed)
        except Broken as broken:
            return seed, broken
    pytest.fail(f"{name} was not noticed in {MOST_SEEDS} histories")


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
