"""What a user may say of a job."""

from __future__ import annotations

from penstock.domain.instants import Duration
from penstock.domain.specs.common import NameValue, Spec
from penstock.domain.specs.pool import PoolTemplate
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask


class JobConstraints(Spec, frozen=True, kw_only=True):
    max_wall_clock_time: Duration | None = None
    max_task_retry_count: int | None = None


class JobNetwork(Spec, frozen=True, kw_only=True):
    """The subnet that the nodes of a job are to join while they run its tasks."""

    subnet_id: str
    skip_withdraw_from_v_net: bool | None = None


class AutoPool(Spec, frozen=True, kw_only=True):
    """A pool that is made for a job, or for the jobs of a schedule."""

    auto_pool_id_prefix: str | None = None
    pool_lifetime_option: str  # job | jobschedule
    keep_alive: bool | None = None
    pool: PoolTemplate | None = None


class PoolInfo(Spec, frozen=True, kw_only=True):
    """Exactly one of the two."""

    pool_id: str | None = None
    auto_pool_specification: AutoPool | None = None


class JobTemplate(Spec, frozen=True, kw_only=True):
    """A job without an id, as a schedule describes those that it makes."""

    display_name: str | None = None
    uses_task_dependencies: bool | None = None
    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    constraints: JobConstraints | None = None
    job_manager_task: JobManagerTask | None = None
    job_preparation_task: JobPreparationTask | None = None
    job_release_task: JobReleaseTask | None = None
    common_environment_settings: list[NameValue] | None = None
    pool_info: PoolInfo
    on_all_tasks_complete: str | None = None  # noaction | terminatejob
    on_task_failure: str | None = None  # noaction | performexitoptionsjobaction
    network_configuration: JobNetwork | None = None
    metadata: list[NameValue] | None = None


class JobSpec(JobTemplate, frozen=True, kw_only=True):
    """A job as its user described it, with the defaults that the service adds."""

    id: str


class JobPatch(Spec, frozen=True, kw_only=True):
    """What PATCH may change; None leaves the part as it is."""

    priority: int | None = None
    max_parallel_tasks: int | None = None
    allow_task_preemption: bool | None = None
    on_all_tasks_complete: str | None = None
    constraints: JobConstraints | None = None
    pool_info: PoolInfo | None = None
    metadata: list[NameValue] | None = None
    network_configuration: JobNetwork | None = None
