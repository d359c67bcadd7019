"""What a user may say of a job."""

from __future__ import annotations

from penstock.domain.instants import Duration
from penstock.domain.specs.common import JsonObject, NameValue, Spec


class JobConstraints(Spec, frozen=True, kw_only=True):
    max_wall_clock_time: Duration | None = None
    max_task_retry_count: int | None = None


class PoolInfo(Spec, frozen=True, kw_only=True):
    """Exactly one of the two."""

    pool_id: str | None = None
    auto_pool_specification: JsonObject | None = None


class JobSpec(Spec, frozen=True, kw_only=True):
    """A job as its user described it, with the defaults that the service adds."""

    id: str
    display_name: str | None = None
    uses_task_dependencies: bool | None = None
    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    constraints: JobConstraints | None = None
    job_manager_task: JsonObject | None = None
    job_preparation_task: JsonObject | None = None
    job_release_task: JsonObject | None = None
    common_environment_settings: list[NameValue] | None = None
    pool_info: PoolInfo
    on_all_tasks_complete: str | None = None  # noaction | terminatejob
    on_task_failure: str | None = None  # noaction | performexitoptionsjobaction
    network_configuration: JsonObject | None = None
    metadata: list[NameValue] | None = None


class JobPatch(Spec, frozen=True, kw_only=True):
    """What PATCH may change; None leaves the part as it is."""

    priority: int | None = None
    max_parallel_tasks: int | None = None
    allow_task_preemption: bool | None = None
    on_all_tasks_complete: str | None = None
    constraints: JobConstraints | None = None
    pool_info: PoolInfo | None = None
    metadata: list[NameValue] | None = None
    network_configuration: JsonObject | None = None
