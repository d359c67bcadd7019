"""Whether accounts have no more than they may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from penstock.domain import changes as c
from penstock.domain.sizes import cores_of
from penstock.domain.states import JobState, NodeState, ScheduleState
from penstock.engine.settings import Quotas
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant

_USE_NO_CORES = (NodeState.LEAVING_POOL, NodeState.DEALLOCATED, NodeState.PREEMPTED)


def quotas_are_kept(
    store: Disk, quotas: Quotas, changes: Sequence[c.Change], known_jobs: Collection[int]
) -> None:
    """Look at what a commit made of the accounts. `known_jobs` were there before."""
    used: Counter[tuple[str, bool]] = Counter()
    for node in store.nodes.values():
        if node.state not in _USE_NO_CORES:
            used[node.account, node.dedicated] += cores_of(node.vm_size)
    for (account, dedicated), cores in used.items():
        most = quotas.dedicated_cores if dedicated else quotas.low_priority_cores
        if most and cores > most:
            raise Broken(Invariant.QUOTA, f"account {account} has {cores} cores of {most}")
    for change in changes:
        if not isinstance(change, c.PutJob) or change.job.no in known_jobs:
            continue
        if quotas.active_jobs and change.job.schedule_no is None:
            _may_be_made(store, change.job.account, quotas.active_jobs)


def _may_be_made(store: Disk, account: str, most: int) -> None:
    jobs, schedules = store.jobs.values(), store.schedules.values()
    live = [job.account for job in jobs if job.state is not JobState.COMPLETED]
    live += [it.account for it in schedules if it.state is not ScheduleState.COMPLETED]
    count = live.count(account)
    if count > most:
        raise Broken(Invariant.QUOTA, f"account {account} has {count} jobs of {most}")
