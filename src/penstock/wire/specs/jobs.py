"""What users say of jobs: checked, and filled with the defaults that the service echoes."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from msgspec.structs import replace

from penstock.domain.instants import INFINITE, Duration
from penstock.domain.specs.common import Spec
from penstock.domain.specs.job import (
    AutoPool,
    JobConstraints,
    JobNetwork,
    JobPatch,
    JobSpec,
    JobTemplate,
    PoolInfo,
)
from penstock.wire.specs.bodies import below, body_of, missing, storable, wrong
from penstock.wire.specs.checks import (
    LARGEST_INT,
    canonical,
    check_display_name,
    check_duration,
    check_id,
    check_range,
    environment,
    metadata,
    required,
)
from penstock.wire.specs.pools import filled_pool
from penstock.wire.specs.special import special_tasks

JobT = TypeVar("JobT", bound=JobTemplate)

ON_ALL_TASKS_COMPLETE: Final = ("noaction", "terminatejob")
ON_TASK_FAILURE: Final = ("noaction", "performexitoptionsjobaction")
DISABLE_TASKS: Final = ("requeue", "terminate", "wait")
LIFETIMES: Final = ("job", "jobschedule")
AUTO_POOL: Final = "poolInfo.autoPoolSpecification"
_SUBNET: Final = re.compile(
    r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/[^/\s]+"
    r"/virtualNetworks/[^/\s]+/subnets/[^/\s]+",
    re.IGNORECASE,
)
LONGEST_PREFIX: Final = 20
LEAST_TIME: Final = Duration(1)
NO_CONSTRAINTS: Final = JobConstraints(max_wall_clock_time=INFINITE, max_task_retry_count=0)


class DisableBody(Spec, frozen=True, kw_only=True):
    """The body of POST /jobs/{id}/disable."""

    disable_tasks: str


class TerminateBody(Spec, frozen=True, kw_only=True):
    """The body of POST /jobs/{id}/terminate; it may be left out."""

    terminate_reason: str | None = None


LONGEST_REASON: Final = 1024


def job_from_wire(document: bytes) -> JobSpec:
    """The body of POST /jobs."""
    spec = storable(body_of(JobSpec, document))
    check_id(spec.id)
    return filled_job(spec)


def filled_job(spec: JobT, *, of_schedule: bool = False) -> JobT:
    """Check a job, or what a schedule is to make jobs from, and fill in the defaults."""
    check_display_name(spec.display_name)
    _check_numbers(spec.priority, spec.max_parallel_tasks)
    return replace(
        spec,
        pool_info=_pool_info(spec.pool_info, of_schedule=of_schedule),
        uses_task_dependencies=spec.uses_task_dependencies or False,
        priority=spec.priority or 0,
        allow_task_preemption=spec.allow_task_preemption or False,
        max_parallel_tasks=-1 if spec.max_parallel_tasks is None else spec.max_parallel_tasks,
        constraints=_constraints(spec.constraints) or NO_CONSTRAINTS,
        common_environment_settings=environment(
            spec.common_environment_settings, "commonEnvironmentSettings"
        ),
        on_all_tasks_complete=_on_complete(spec.on_all_tasks_complete) or "noaction",
        on_task_failure=canonical(spec.on_task_failure, ON_TASK_FAILURE, "onTaskFailure")
        or "noaction",
        network_configuration=_network(spec.network_configuration),
        metadata=metadata(spec.metadata),
        **special_tasks(spec),
    )


def job_patch_from_wire(document: bytes) -> JobPatch:
    """The body of PATCH /jobs/{id}; what is absent stays as it is."""
    patch = storable(body_of(JobPatch, document))
    _check_numbers(patch.priority, patch.max_parallel_tasks)
    return replace(
        patch,
        pool_info=_pool_update(patch.pool_info) if patch.pool_info else None,
        on_all_tasks_complete=_on_complete(patch.on_all_tasks_complete),
        constraints=_constraints(patch.constraints),
        network_configuration=_network(patch.network_configuration),
        metadata=metadata(patch.metadata),
    )


def job_update_from_wire(document: bytes) -> JobPatch:
    """The body of PUT /jobs/{id}; what is absent takes its default, but a pool is needed."""
    new = job_patch_from_wire(document)
    if new.pool_info is None:
        raise missing("poolInfo")
    return new


def disable_from_wire(document: bytes) -> str:
    """What becomes of the running tasks of a job that is disabled."""
    return required(body_of(DisableBody, document).disable_tasks, DISABLE_TASKS, "disableTasks")


def terminate_reason_from_wire(document: bytes) -> str | None:
    """The reason that a user gives for the end of a job."""
    reason = body_of(TerminateBody, document, optional=True).terminate_reason
    if reason is not None and len(reason) > LONGEST_REASON:
        raise wrong("terminateReason", reason, f"must have {LONGEST_REASON} characters at most")
    return reason


def _check_numbers(priority: int | None, parallel: int | None) -> None:
    check_range(priority, -1000, 1000, "priority")
    if parallel is not None and parallel != -1:
        if parallel < 1:
            raise wrong("maxParallelTasks", parallel, "must be -1 (no limit), or 1 at least")
        check_range(parallel, 1, LARGEST_INT, "maxParallelTasks")


def _network(network: JobNetwork | None) -> JobNetwork | None:
    """A network has a subnet. Nodes do not join it; it is stored and returned."""
    if network is None:
        return None
    if _SUBNET.fullmatch(network.subnet_id) is None:
        raise wrong(
            "networkConfiguration.subnetId",
            network.subnet_id,
            "must be /subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}"
            "/virtualNetworks/{network}/subnets/{subnet}",
        )
    return replace(network, skip_withdraw_from_v_net=network.skip_withdraw_from_v_net or False)


def _pool_info(info: PoolInfo, *, of_schedule: bool) -> PoolInfo:
    """A job names a pool, or describes one."""
    auto = _one_pool(info)
    if auto is None:
        return info
    if auto.pool is None:
        raise missing(f"{AUTO_POOL}.pool")
    return PoolInfo(auto_pool_specification=_auto_pool(auto, of_schedule=of_schedule))


def _pool_update(info: PoolInfo) -> PoolInfo:
    """Likewise; of an auto pool, what is left out stays. The job may be one of a schedule."""
    auto = _one_pool(info)
    return PoolInfo(auto_pool_specification=_auto_pool(auto, of_schedule=True)) if auto else info


def _one_pool(info: PoolInfo) -> AutoPool | None:
    auto = info.auto_pool_specification
    if info.pool_id is None and auto is None:
        raise missing("poolInfo.poolId")
    if info.pool_id is not None:
        check_id(info.pool_id, "poolInfo.poolId")
        if auto is not None:
            raise wrong(
                AUTO_POOL, info.pool_id, "poolId and autoPoolSpecification exclude each other"
            )
    return auto


def _auto_pool(auto: AutoPool, *, of_schedule: bool) -> AutoPool:
    lifetime = required(auto.pool_lifetime_option, LIFETIMES, f"{AUTO_POOL}.poolLifetimeOption")
    if lifetime == "jobschedule" and not of_schedule:
        raise wrong(
            f"{AUTO_POOL}.poolLifetimeOption",
            lifetime,
            "only jobs of a job schedule can share a pool; the lifetime must be job",
        )
    prefix = auto.auto_pool_id_prefix
    if prefix:
        check_id(prefix, f"{AUTO_POOL}.autoPoolIdPrefix")
        if len(prefix) > LONGEST_PREFIX:
            raise wrong(
                f"{AUTO_POOL}.autoPoolIdPrefix",
                prefix,
                f"must have {LONGEST_PREFIX} characters at most",
            )
    with below(f"{AUTO_POOL}.pool"):
        pool = filled_pool(auto.pool) if auto.pool else None
    return replace(
        auto, pool_lifetime_option=lifetime, keep_alive=auto.keep_alive or False, pool=pool
    )


def _on_complete(value: str | None) -> str | None:
    return canonical(value, ON_ALL_TASKS_COMPLETE, "onAllTasksComplete")


def _constraints(given: JobConstraints | None) -> JobConstraints | None:
    """Constraints are replaced as a whole, so each gets its default."""
    if given is None:
        return None
    check_duration(given.max_wall_clock_time, LEAST_TIME, "constraints.maxWallClockTime")
    check_range(given.max_task_retry_count, -1, LARGEST_INT, "constraints.maxTaskRetryCount")
    return JobConstraints(
        max_wall_clock_time=given.max_wall_clock_time or INFINITE,
        max_task_retry_count=given.max_task_retry_count or 0,
    )
