"""Pools that are made for a job, or for all jobs of a schedule, and go with them.

Each is an ordinary pool with an id that nobody chose. Each function is part of a decision within
a turn.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec.structs import replace

from penstock.domain.conditions import ANY
from penstock.domain.records import (
    Detail,
    Failure,
    JobRecord,
    PoolRecord,
    ScheduleRecord,
)
from penstock.domain.refusals import InvalidPropertyValue, Refusal
from penstock.domain.specs.job import AutoPool, PoolInfo
from penstock.domain.specs.pool import PoolSpec, PoolTemplate
from penstock.domain.states import PoolState
from penstock.engine import pools
from penstock.engine.turn import Turn

FOR_SCHEDULE: Final = "jobschedule"
"""The lifetime of a pool that the jobs of a schedule share."""

_CODES: Final = {
    "PoolQuotaReached": "AutoPoolCreationFailedWithQuotaReached",
    "InvalidApplicationPackageReferences": "InvalidApplicationPackageReferencesInAutoPool",
    "InvalidCertificateReferences": "InvalidCertificatesInAutoPool",
}
"""What a job is told instead of the refusal that its pool met."""


def make(
    turn: Turn, account: str, info: PoolInfo, schedule: ScheduleRecord | None
) -> str | Failure | None:
    """Have the pool of a job that is being made: its id, or why it cannot be.

    None when the job names a pool. A job of a schedule takes the pool that its schedule has.
    """
    wanted = info.auto_pool_specification
    if wanted is None or wanted.pool is None:
        return None
    if schedule is not None and is_shared(info):
        shared = _there(turn, account, schedule.auto_pool)
        if shared is not None:
            return shared.id
    spec = _pool_spec(wanted.pool, _new_id(turn, wanted.auto_pool_id_prefix))
    try:
        return pools.add_pool(turn, turn.settings, account, spec, auto=True).id
    except Refusal as refusal:
        return _why_not(refusal)


def is_shared(info: PoolInfo) -> bool:
    """Whether the jobs of a schedule share the pool."""
    auto = info.auto_pool_specification
    return auto is not None and auto.pool_lifetime_option == FOR_SCHEDULE


def job_over(turn: Turn, job: JobRecord) -> None:
    """A job is completed or forgotten: a pool that was made for it alone goes."""
    if not is_shared(job.spec.pool_info):
        _let_go(turn, job.account, job.auto_pool, job.spec.pool_info)


def schedule_over(turn: Turn, schedule: ScheduleRecord) -> None:
    """A job schedule is completed or forgotten: the pool that its jobs shared goes."""
    info = schedule.spec.job_specification.pool_info
    _let_go(turn, schedule.account, schedule.auto_pool, info if is_shared(info) else None)


def changed(job: JobRecord, new: PoolInfo) -> PoolInfo:
    """What becomes of the pool of a job; of an auto pool, only whether it is kept may change.

    Parts of its description that are left out stay.
    """
    old = job.spec.pool_info.auto_pool_specification
    auto = new.auto_pool_specification
    if old is None and auto is None:
        return new
    if old is None or auto is None:
        raise _refused(job, "a job cannot change between an auto pool and a pool of its user's")
    merged = _merged(old, auto)
    if replace(merged, keep_alive=old.keep_alive) != old:
        raise _refused(job, "of an auto pool only keepAlive can be changed")
    if merged != old and old.pool_lifetime_option == FOR_SCHEDULE:
        raise _refused(job, "keepAlive can be changed only where the lifetime of the pool is job")
    return PoolInfo(auto_pool_specification=merged)


def _merged(old: AutoPool, new: AutoPool) -> AutoPool:
    return AutoPool(
        auto_pool_id_prefix=old.auto_pool_id_prefix
        if new.auto_pool_id_prefix is None
        else new.auto_pool_id_prefix,
        pool_lifetime_option=new.pool_lifetime_option,
        keep_alive=new.keep_alive,
        pool=old.pool if new.pool is None else new.pool,
    )


def _refused(job: JobRecord, reason: str) -> InvalidPropertyValue:
    return InvalidPropertyValue(
        PropertyName="poolInfo.autoPoolSpecification", PropertyValue=job.pool_id, Reason=reason
    )


def _new_id(turn: Turn, prefix: str | None) -> str:
    guid = str(UUID(int=turn.random.getrandbits(128), version=4)).upper()
    return f"{prefix}_{guid}" if prefix else guid


def _pool_spec(template: PoolTemplate, pool_id: str) -> PoolSpec:
    parts = {name: getattr(template, name) for name in PoolTemplate.__struct_fields__}
    return PoolSpec(id=pool_id, **parts)


def _why_not(refusal: Refusal) -> Failure:
    details = [Detail("PoolError", refusal.code)]
    details += [Detail(name, value) for name, value in refusal.values.items()]
    return Failure(
        "usererror",
        _CODES.get(refusal.code, "InvalidAutoPoolSettings"),
        f"The auto pool could not be made. {refusal.message}",
        tuple(details),
    )


def _there(turn: Turn, account: str, pool_id: str | None) -> PoolRecord | None:
    """Find a pool that is there to stay."""
    pool = None if pool_id is None else turn.state.pool(account, pool_id)
    return pool if pool is not None and pool.state is PoolState.ACTIVE else None


def _let_go(turn: Turn, account: str, pool_id: str | None, info: PoolInfo | None) -> None:
    """Delete a pool, unless it is to be kept or a user was quicker."""
    auto = None if info is None else info.auto_pool_specification
    if auto is not None and auto.keep_alive:
        return
    if pool_id is not None and _there(turn, account, pool_id) is not None:
        pools.delete_pool(turn, account, pool_id, ANY)
