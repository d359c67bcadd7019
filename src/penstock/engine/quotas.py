"""What an account may have at most, where its operator set a bound."""

from __future__ import annotations

from penstock.domain.records import NodeRecord
from penstock.domain.refusals import ActiveJobAndScheduleQuotaReached, PoolQuotaReached
from penstock.domain.sizes import cores_of
from penstock.domain.states import JobState, ScheduleState
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn


def nodes_that_fit(
    turn: Turn,
    settings: EngineSettings,
    account: str,
    vm_size: str,
    *,
    dedicated: bool,
    wanted: int,
) -> int:
    """How many of the wanted nodes the quota of cores has room for."""
    quotas = settings.quotas_of(account)
    most = quotas.dedicated_cores if dedicated else quotas.low_priority_cores
    if not most:
        return wanted
    free = most - turn.state.roster.cores[account, dedicated]
    return max(0, min(wanted, free // cores_of(vm_size)))


def has_room(turn: Turn, settings: EngineSettings, node: NodeRecord) -> bool:
    """Whether a node that uses no cores now may use its cores again."""
    fits = nodes_that_fit(
        turn, settings, node.account, node.vm_size, dedicated=node.dedicated, wanted=1
    )
    return fits == 1


def check_pools(turn: Turn, settings: EngineSettings, account: str) -> None:
    """Refuse one pool more than the quota allows."""
    most = settings.quotas_of(account).pools
    if most and sum(pool.account == account for pool in turn.state.pools.values()) >= most:
        raise PoolQuotaReached(Quota=most)


def check_jobs(turn: Turn, settings: EngineSettings, account: str) -> None:
    """Refuse one job or job schedule more than the quota allows; completed ones do not count."""
    most = settings.quotas_of(account).active_jobs
    if not most:
        return
    active = sum(
        job.account == account and job.state is not JobState.COMPLETED
        for job in turn.state.jobs.values()
    )
    active += sum(
        schedule.account == account and schedule.state is not ScheduleState.COMPLETED
        for schedule in turn.state.schedules.values()
    )
    if active >= most:
        raise ActiveJobAndScheduleQuotaReached(Quota=most)
