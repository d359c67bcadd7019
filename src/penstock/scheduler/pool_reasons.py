"""What the pool of a job cannot give to a task as it stands, whoever else wants it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from penstock.domain.records import Failure, JobRecord, PoolRecord
from penstock.domain.states import AllocationState, PoolState
from penstock.scheduler.demands import Demand
from penstock.scheduler.reasons import Code, Reason, because, counted


class CoreQuota(msgspec.Struct, frozen=True):
    """The cores that an account may use of one kind, and those that it does."""

    kind: str  # dedicated or low-priority
    most: int
    used: int


_OF_ERRORS: Final = {
    "AllocationTimedout": (
        Code.RESIZE_TIMED_OUT,
        "Start node hosts with room for more nodes, then resize the pool again.",
    ),
    "ResizeStopped": (Code.RESIZE_STOPPED, "Resize the pool again."),
}
_QUOTAS: Final = {
    "AccountCoreQuotaReached": "dedicated",
    "AccountLowPriorityCoreQuotaReached": "low-priority",
    "AccountSpotCoreQuotaReached": "low-priority",
}
"""Codes of resize errors, with the kind of cores that there are too few of."""


def of_missing(job: JobRecord) -> Reason:
    """There is no pool."""
    if not job.pool_id:
        return because(
            Code.POOL_MISSING,
            f"Job {job.id!r} has no pool yet: its auto pool is not made.",
            "It is made with the job; see the job's schedulingError.",
            job=job.id,
        )
    if job.auto_pool is not None:
        return because(
            Code.POOL_MISSING,
            f"The auto pool {job.pool_id!r} of the job is gone.",
            "Nothing: add the job anew.",
            pool=job.pool_id,
        )
    return because(
        Code.POOL_MISSING,
        f"There is no pool {job.pool_id!r}.",
        "Create it, or disable the job and give it another pool.",
        pool=job.pool_id,
    )


def target_of(pool: PoolRecord) -> int:
    """How many nodes a pool is to have."""
    spec = pool.spec
    return (spec.target_dedicated_nodes or 0) + (spec.target_low_priority_nodes or 0)


def of_pool(pool: PoolRecord, nodes: int, quotas: Sequence[CoreQuota]) -> Iterator[Reason]:
    """What keeps every task of a pool that has so many nodes."""
    target = target_of(pool)
    if pool.state is PoolState.DELETING:
        yield because(
            Code.POOL_DELETING,
            f"Pool {pool.id!r} is being deleted.",
            "Create it anew when it is gone.",
            pool=pool.id,
        )
    elif not nodes and not target:
        yield because(
            Code.POOL_EMPTY,
            f"Pool {pool.id!r} has no nodes and its target is 0.",
            "Resize the pool.",
            pool=pool.id,
            target=0,
        )
    elif not nodes and pool.resize_errors:
        yield from of_errors(pool, nodes, quotas)
    elif not nodes and pool.allocation is AllocationState.STEADY:
        yield because(
            Code.POOL_EMPTY,
            f"Pool {pool.id!r} has none of its {target} nodes, and adds none.",
            "Resize the pool.",
            pool=pool.id,
            target=target,
        )
    elif not nodes:
        yield because(
            Code.POOL_RESIZING,
            f"Pool {pool.id!r} is {pool.allocation}, and has none of its {target} nodes yet.",
            "Wait until its nodes are there.",
            pool=pool.id,
            target=target,
        )


def of_errors(pool: PoolRecord, nodes: int, quotas: Sequence[CoreQuota]) -> Iterator[Reason]:
    """Why a pool has fewer nodes than its targets say."""
    target = target_of(pool)
    for error in pool.resize_errors:
        code, remedy = _OF_ERRORS.get(
            error.code, (Code.RESIZE_FAILED, "See the pool's resize errors, and resize it.")
        )
        told = f"{error.code}: {error.message}"
        quota = _quota(error, quotas)
        if error.code in _QUOTAS:
            code = Code.QUOTA_REACHED
            remedy = "Free cores in other pools, or raise the quota; then resize the pool again."
            if quota is not None:
                told += f" ({quota.used} of {quota.most} {quota.kind} cores are in use)"
        yield because(
            code,
            f"Pool {pool.id!r} has {nodes} of its {target} nodes: {told}.",
            remedy,
            pool=pool.id,
            nodes=nodes,
            target=target,
            error=error.code,
            quota=None if quota is None else quota.most,
            cores_used=None if quota is None else quota.used,
        )


def _quota(error: Failure, quotas: Sequence[CoreQuota]) -> CoreQuota | None:
    kind = _QUOTAS.get(error.code)
    return next((quota for quota in quotas if quota.kind == kind), None)


def of_fit(pool: PoolRecord, nodes: int, slots: int, demand: Demand | None) -> Iterator[Reason]:
    """What of the pool is too small for a task, or of the wrong kind. `nodes` are all that the
    pool has or is to have."""
    most = pool.spec.task_slots_per_node or 1
    if slots > most:
        yield because(
            Code.TOO_MANY_SLOTS,
            f"It needs {counted(slots, 'slot')} and no node of pool {pool.id!r} has more than"
            f" {most}.",
            "Use a pool with a larger taskSlotsPerNode.",
            pool=pool.id,
            required_slots=slots,
            slots_per_node=most,
        )
    if demand is not None and demand.is_gang:
        yield from _of_gang(pool, nodes, demand)


def _of_gang(pool: PoolRecord, nodes: int, demand: Demand) -> Iterator[Reason]:
    if not pool.spec.enable_inter_node_communication:
        yield because(
            Code.NO_INTER_NODE_COMMUNICATION,
            f"It is a multi-instance task, and the nodes of pool {pool.id!r} may not speak with"
            " each other.",
            "Use a pool with enableInterNodeCommunication.",
            pool=pool.id,
        )
    most = pool.spec.task_slots_per_node or 1
    if most != 1:
        yield because(
            Code.SLOTS_PER_NODE_NOT_ONE,
            f"It is a multi-instance task, and the nodes of pool {pool.id!r} have {most} slots.",
            "Use a pool whose taskSlotsPerNode is 1.",
            pool=pool.id,
            slots_per_node=most,
        )
    if nodes < demand.nodes:
        yield because(
            Code.TOO_FEW_NODES,
            f"It needs {demand.nodes} nodes at once and pool {pool.id!r} has no more than {nodes}.",
            "Resize the pool.",
            pool=pool.id,
            instances=demand.nodes,
            nodes=nodes,
            target=target_of(pool),
        )
