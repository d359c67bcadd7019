"""The totals of jobs, job schedules and accounts, which grow with what a turn has seen used.

They are kept, not counted, so they tell of tasks and jobs that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.metering import Lifetime
from penstock.domain.records import JobRecord
from penstock.domain.usage import Growth, Totals
from penstock.engine.state import State


def grown(
    state: State, growths: Iterable[tuple[JobRecord, Growth]], now_us: int
) -> Iterator[c.Change]:
    """Each total that grew, once; those of jobs and schedules that are gone left out."""
    of_things: dict[int, Totals] = {}
    of_accounts: dict[str, Lifetime] = {}
    for job, growth in growths:
        more = growth.totals(now_us)
        for no in (job.no, job.schedule_no):
            if no in state.jobs or no in state.schedules:
                assert no is not None
                of_things[no] = more + of_things.get(no, state.totals.get(no, Totals()))
        known = of_accounts.get(job.account, state.lifetimes.get(job.account))
        lifetime = lifetime_since(known, job.created_us)
        of_accounts[job.account] = replace(lifetime, jobs=more + lifetime.jobs)
    for no, totals in of_things.items():
        yield c.SetTotals(no, totals)
    for account, lifetime in of_accounts.items():
        yield c.SetLifetime(account, lifetime)


def lifetime_since(known: Lifetime | None, at_us: int) -> Lifetime:
    """What an account has used from `at_us` on, or from longer ago."""
    if known is None:
        return Lifetime(since_us=at_us, jobs=Totals())
    return known if known.since_us <= at_us else replace(known, since_us=at_us)
