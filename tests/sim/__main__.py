"""Replay a seed, or look for seeds that fail: ``python -m tests.sim --seed N | --minutes N``."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.sim.checks import Broken
from tests.sim.story import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one")
    parser.add_argument("--minutes", type=float, default=1.0, help="look for so long")
    parser.add_argument("--detail", action="store_true", help="tell all that is said on the link")
    parser.add_argument("--first", type=int, help="the seed to begin with; else a new one")
    given = parser.parse_args()
    if given.seed is not None:
        return 0 if _plays(given.seed, told=True, detail=given.detail) else 1
    end = time.monotonic() + 60 * given.minutes
    first = random.randrange(1 << 20, 1 << 31) if given.first is None else given.first
    seed, failed = first, 0
    while time.monotonic() < end:
        failed += not _plays(seed)
        seed += 1
    print(f"{seed - first} seeds from {first} on, {failed} failed")
    return 1 if failed else 0


def _plays(seed: int, *, told: bool = False, detail: bool = False) -> bool:
    try:
        world = play(seed, detail=detail)
    except Broken as broken:
        print(broken if told else str(broken).splitlines()[0][:300], flush=True)
        return False
    if told:
        print("\n".join(world.lines))
        print(f"seed {seed} holds: {world.watch.turns} turns, digest {world.digest:08x}")
    return True


if __name__ == "__main__":
    sys.exit(main())
