"""Replay a seed, look for seeds that fail, and see that bugs are noticed.

``python -m tests.sim --seed N | --minutes N | --mutations``, as `make sim` says them.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.sim.invariants import Broken
from tests.sim.mutations import MUTATIONS
from tests.sim.runs import Outcome, Totals, explore, hunts, outcome_of, pool
from tests.sim.story import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one")
    parser.add_argument(
        "--mutation", choices=list(MUTATIONS), help="with this bug; or hunt only it"
    )
    parser.add_argument("--detail", action="store_true", help="tell all that is said on the link")
    parser.add_argument("--minutes", type=float, help="look for so long, then hunt the mutations")
    parser.add_argument("--mutations", action="store_true", help="only hunt the mutations")
    parser.add_argument("--first", type=int, help="the seed to begin with; else a new one")
    parser.add_argument("--workers", type=int, help="processes; else one per core")
    given = parser.parse_args()
    if given.seed is not None:
        return _replay(given.seed, given.mutation, detail=given.detail)
    names = [given.mutation] if given.mutation else list(MUTATIONS)
    with pool(given.workers) as executor:
        try:
            holds = given.mutations or _explore(executor, given.minutes or 1.0, given.first)
            return 0 if _hunt(executor, names) and holds else 1
        except KeyboardInterrupt:
            print("\nstopped")
            return 130


def _replay(seed: int, mutation: str | None, *, detail: bool) -> int:
    if mutation is not None:
        bug = MUTATIONS[mutation]
        outcome = outcome_of(seed, bug.switched_on(), bug.fault)
        print(outcome.story or f"seed {seed} holds with {mutation}")
        return 0 if outcome.invariant is None else 1
    try:
        world = play(seed, detail=detail)
    except Broken as broken:
        print(f"{broken.invariant}: {broken}")
        return 1
    print("\n".join(world.lines))
    hours = world.loop.elapsed_us / 3.6e9
    print(f"seed {seed} holds: {world.watch.turns} turns in {hours:.2f} virtual hours", end=", ")
    print(f"digest {world.digest:08x}")
    return 0


def _explore(executor: ProcessPoolExecutor, minutes: float, first: int | None) -> bool:
    first = random.randrange(1 << 20, 1 << 31) if first is None else first
    began, live = time.monotonic(), sys.stdout.isatty()
    back = "\r" if live else ""

    def told(totals: Totals, outcome: Outcome) -> None:
        if outcome.invariant is not None:
            print(f"{back}{outcome.invariant}: {outcome.story}\n", flush=True)
        if live:
            passed_s = int(time.monotonic() - began)
            line = f"{passed_s // 60}:{passed_s % 60:02} of {minutes:g} min, {_short(totals)}"
            print(f"\r{line:<78}", end="", flush=True)

    totals = explore(executor, minutes, first, told)
    print(back, end="")
    _report(totals, first)
    return not totals.broken


def _short(totals: Totals) -> str:
    hours = f"{totals.hours:,.0f} virtual hours"
    return f"{totals.seeds:,} seeds, {hours}, {len(totals.broken)} violations"


def _report(totals: Totals, first: int) -> None:
    faults = ", ".join(f"{name} {number:,}" for name, number in totals.faults.most_common())
    broken = ", ".join(f"{it.seed} ({it.invariant})" for it in totals.broken)
    print(f"seeds          {totals.seeds:,} from {first} on")
    print(f"virtual hours  {totals.hours:,.0f}")
    print(f"turns          {totals.turns:,}")
    print(f"faults         {totals.faults.total():,}: {faults}")
    print(f"messages lost  {totals.lost:,}, and last words late on {totals.late:,} connections")
    print(f"violations     {len(totals.broken)}{': ' if broken else ''}{broken}", flush=True)


def _hunt(executor: ProcessPoolExecutor, names: Sequence[str]) -> bool:
    missed = 0
    for catch in hunts(executor, names):
        mutation = MUTATIONS[catch.name]
        missed += not catch.caught
        how = f"seed {catch.seed}" if catch.caught else f"{catch.wrong} {catch.besides or ''}"
        verdict = "caught" if catch.caught else "MISSED"
        print(f"{verdict}  {catch.name:<36} {mutation.breaks:<10} {how}", flush=True)
    print(f"mutations      {len(names)}, {missed} missed")
    return not missed


if __name__ == "__main__":
    sys.exit(main())
