"""What users say of the special tasks of jobs: checked, and filled with defaults."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.records import key_of
from penstock.domain.sizes import MOST_SLOTS
from penstock.domain.specs.common import Spec, TaskConstraints
from penstock.domain.specs.job import JobTemplate
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.wire.specs.bodies import missing, wrong
from penstock.wire.specs.checks import (
    check_display_name,
    check_duration,
    check_id,
    check_packages,
    check_range,
    each,
    environment,
    identity,
    output_file,
    resource_file,
    token_settings,
)
from penstock.wire.specs.containers import check_command_of, container
from penstock.wire.specs.tasks import LEAST_TIME, RETENTION, ZERO, task_constraints

SpecT = TypeVar("SpecT", bound=Spec)

LONGEST_RELEASE: Final = Duration.of_seconds(15 * 60)

MANAGER: Final = "jobManagerTask"
PREPARATION: Final = "jobPreparationTask"
RELEASE: Final = "jobReleaseTask"


def special_tasks(spec: JobTemplate, prefix: str = "") -> dict[str, Any]:
    """The special tasks of a job, checked; `prefix` leads to the job in its body."""
    manager, preparation, release = (
        spec.job_manager_task,
        spec.job_preparation_task,
        spec.job_release_task,
    )
    if release is not None and preparation is None:
        raise missing(f"{prefix}{PREPARATION}")
    tasks: dict[str, Any] = {}
    if manager is not None:
        tasks["job_manager_task"] = _manager(manager, f"{prefix}{MANAGER}")
    if preparation is not None:
        tasks["job_preparation_task"] = _preparation(preparation, f"{prefix}{PREPARATION}")
    if release is not None:
        tasks["job_release_task"] = _release(release, f"{prefix}{RELEASE}")
    _check_names(tasks, prefix)
    return tasks


def _check_names(tasks: dict[str, Any], prefix: str) -> None:
    """Each has a name of its own: their directories lie beside each other."""
    names = {"job_preparation_task": PREPARATION, "job_release_task": RELEASE}
    taken = {key_of(tasks["job_manager_task"].id)} if "job_manager_task" in tasks else set()
    for part, name in names.items():
        task = tasks.get(part)
        if task is None:
            continue
        if key_of(task.id) in taken:
            raise wrong(f"{prefix}{name}.id", task.id, "another task of the job has this id")
        taken.add(key_of(task.id))


def _manager(task: JobManagerTask, name: str) -> JobManagerTask:
    check_id(task.id, f"{name}.id")
    check_display_name(task.display_name, f"{name}.displayName")
    check_range(task.required_slots, 1, MOST_SLOTS, f"{name}.requiredSlots")
    if task.application_package_references:
        check_packages(task.application_package_references)
    return replace(
        _common(task, name),
        output_files=each(task.output_files, f"{name}.outputFiles", output_file),
        constraints=_constraints(task.constraints, f"{name}.constraints"),
        required_slots=task.required_slots or 1,
        kill_job_on_completion=task.kill_job_on_completion is not False,
        run_exclusive=task.run_exclusive is not False,
        allow_low_priority_node=task.allow_low_priority_node is not False,
        authentication_token_settings=token_settings(
            task.authentication_token_settings, f"{name}.authenticationTokenSettings"
        ),
    )


def _preparation(task: JobPreparationTask, name: str) -> JobPreparationTask:
    check_id(task.id if task.id is not None else "jobpreparation", f"{name}.id")
    return replace(
        _common(task, name),
        id="jobpreparation" if task.id is None else task.id,
        constraints=_constraints(task.constraints, f"{name}.constraints"),
        wait_for_success=task.wait_for_success is not False,
        rerun_on_node_reboot_after_success=task.rerun_on_node_reboot_after_success is not False,
    )


def _release(task: JobReleaseTask, name: str) -> JobReleaseTask:
    check_id(task.id if task.id is not None else "jobrelease", f"{name}.id")
    limit = task.max_wall_clock_time
    check_duration(limit, LEAST_TIME, f"{name}.maxWallClockTime")
    if limit is not None and limit > LONGEST_RELEASE:
        raise wrong(f"{name}.maxWallClockTime", str(limit), f"must be {LONGEST_RELEASE} at most")
    check_duration(task.retention_time, ZERO, f"{name}.retentionTime")
    return replace(
        _common(task, name),
        id="jobrelease" if task.id is None else task.id,
        max_wall_clock_time=limit or LONGEST_RELEASE,
        retention_time=RETENTION if task.retention_time is None else task.retention_time,
    )


def _common(task: SpecT, name: str) -> SpecT:
    """What all of them have."""
    given: Any = task
    check_command_of(given.command_line, given.container_settings, f"{name}.commandLine")
    filled: SpecT = replace(
        given,
        container_settings=container(given.container_settings, f"{name}.containerSettings"),
        resource_files=each(given.resource_files, f"{name}.resourceFiles", resource_file),
        environment_settings=environment(given.environment_settings, f"{name}.environmentSettings"),
        user_identity=identity(given.user_identity, f"{name}.userIdentity"),
    )
    return filled


def _constraints(given: TaskConstraints | None, name: str) -> TaskConstraints:
    filled = task_constraints(given, name)
    return replace(filled, max_task_retry_count=filled.max_task_retry_count or 0)
