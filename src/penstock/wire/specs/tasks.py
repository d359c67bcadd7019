"""What users say of tasks: checked, and filled with the defaults that the service echoes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from penstock.domain.instants import INFINITE, Duration
from penstock.domain.refusals import (
    Refusal,
    TaskDependencyListTooLong,
    TaskDependencyRangesTooLong,
)
from penstock.domain.sizes import MOST_SLOTS
from penstock.domain.specs.common import Spec, TaskConstraints
from penstock.domain.specs.task import (
    Dependencies,
    ExitCodeMapping,
    ExitCodeRangeMapping,
    ExitConditions,
    ExitOptions,
    MultiInstanceSettings,
    TaskSpec,
)
from penstock.wire.specs.bodies import body_of, items_of, wrong
from penstock.wire.specs.checks import (
    LARGEST_INT,
    POOL_NONADMIN,
    canonical,
    check_command,
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

MOST_IN_COLLECTION: Final = 100
MOST_INSTANCES: Final = 10_000
"""A pool has no more nodes of a kind."""

LONGEST_DEPENDENCIES: Final = 64_000
"""Characters of all ids that one task depends on, and of all numbers in its ranges."""

RETENTION: Final = Duration.of_seconds(7 * 86_400)
LEAST_TIME: Final = Duration(1)
ZERO: Final = Duration(0)
JOB_ACTIONS: Final = ("none", "disable", "terminate")
DEPENDENCY_ACTIONS: Final = ("satisfy", "block")

NO_CONSTRAINTS: Final = TaskConstraints(max_wall_clock_time=INFINITE, retention_time=RETENTION)
"""Without a retry count: a task takes its job's."""


class ConstraintsBody(Spec, frozen=True, kw_only=True):
    """The body of PUT /jobs/{id}/tasks/{id}."""

    constraints: TaskConstraints | None = None


class _Named(msgspec.Struct, frozen=True):
    """As much of a task as its answer needs when the rest cannot be read."""

    id: str = ""


class _Collection(Spec, frozen=True, kw_only=True):
    value: list[TaskSpec]


def task_from_wire(document: bytes) -> TaskSpec:
    """The body of POST /jobs/{id}/tasks."""
    return checked_task(body_of(TaskSpec, document))


def constraints_from_wire(document: bytes) -> TaskConstraints:
    """The body of PUT /jobs/{id}/tasks/{id}: absent constraints take their defaults."""
    return task_constraints(body_of(ConstraintsBody, document).constraints)


def tasks_from_wire(document: bytes) -> Sequence[TaskSpec | tuple[str, Refusal]]:
    """The body of addtaskcollection: each task, or its id and what is wrong with it.

    The whole body is refused only when it is not a list of 1 to 100 things.
    """
    try:
        specs: Sequence[TaskSpec | bytes] = body_of(_Collection, document).value
    except Refusal:
        specs = items_of(document)  # raises when it is not for the sake of an item
    if not 1 <= len(specs) <= MOST_IN_COLLECTION:
        raise wrong("value", f"{len(specs)} tasks", f"must have 1 to {MOST_IN_COLLECTION} tasks")
    return [_item(spec) for spec in specs]


def _item(spec: TaskSpec | bytes) -> TaskSpec | tuple[str, Refusal]:
    name = spec.id if isinstance(spec, TaskSpec) else ""
    try:
        return checked_task(spec) if isinstance(spec, TaskSpec) else task_from_wire(spec)
    except Refusal as refusal:
        return name or _id_of(spec), refusal


def _id_of(item: TaskSpec | bytes) -> str:
    try:
        return msgspec.json.decode(item, type=_Named).id if isinstance(item, bytes) else item.id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def checked_task(spec: TaskSpec) -> TaskSpec:
    """Check a task and fill in the defaults, but for the retry count, which is the job's."""
    check_id(spec.id)
    check_command_of(spec.command_line, spec.container_settings, "commandLine")
    check_display_name(spec.display_name)
    check_range(spec.required_slots, 1, MOST_SLOTS, "requiredSlots")
    if spec.application_package_references:
        check_packages(spec.application_package_references)
    if spec.affinity_info is not None and not spec.affinity_info.affinity_id:
        raise wrong("affinityInfo.affinityId", "", "must not be empty")
    if spec.depends_on is not None:
        _check_dependencies(spec.depends_on)
    instances = spec.multi_instance_settings
    if instances is not None and (spec.required_slots or 1) != 1:
        raise wrong("requiredSlots", spec.required_slots, "must be 1 for a multi-instance task")
    return replace(
        spec,
        container_settings=container(spec.container_settings, "containerSettings"),
        exit_conditions=_exit_conditions(spec.exit_conditions),
        resource_files=each(spec.resource_files, "resourceFiles", resource_file),
        output_files=each(spec.output_files, "outputFiles", output_file),
        environment_settings=environment(spec.environment_settings, "environmentSettings"),
        multi_instance_settings=_instances(instances),
        constraints=task_constraints(spec.constraints),
        required_slots=spec.required_slots or 1,
        user_identity=POOL_NONADMIN if spec.user_identity is None else identity(spec.user_identity),
        authentication_token_settings=token_settings(spec.authentication_token_settings),
    )


def _instances(given: MultiInstanceSettings | None) -> MultiInstanceSettings | None:
    if given is None:
        return None
    name = "multiInstanceSettings"
    check_range(given.number_of_instances, 1, MOST_INSTANCES, f"{name}.numberOfInstances")
    check_command(given.coordination_command_line, f"{name}.coordinationCommandLine")
    return replace(
        given,
        number_of_instances=given.number_of_instances or 1,
        common_resource_files=each(
            given.common_resource_files, f"{name}.commonResourceFiles", resource_file
        ),
    )


def task_constraints(given: TaskConstraints | None, name: str = "constraints") -> TaskConstraints:
    """The constraints of a task of any kind, filled in but for the retry count."""
    if given is None:
        return NO_CONSTRAINTS
    check_duration(given.max_wall_clock_time, LEAST_TIME, f"{name}.maxWallClockTime")
    check_duration(given.retention_time, ZERO, f"{name}.retentionTime")
    check_range(given.max_task_retry_count, -1, LARGEST_INT, f"{name}.maxTaskRetryCount")
    return TaskConstraints(
        max_wall_clock_time=given.max_wall_clock_time or INFINITE,
        retention_time=RETENTION if given.retention_time is None else given.retention_time,
        max_task_retry_count=given.max_task_retry_count,
    )


def _check_dependencies(depends: Dependencies) -> None:
    length = 0
    for index, name in enumerate(depends.task_ids or ()):
        length += len(name)
        if not name:
            raise wrong(f"dependsOn.taskIds[{index}]", name, "must not be empty")
    if length > LONGEST_DEPENDENCIES:
        raise TaskDependencyListTooLong(
            PropertyName="dependsOn.taskIds",
            PropertyValue=f"{length} characters",
            Reason=f"must have {LONGEST_DEPENDENCIES} characters at most",
        )
    _check_ranges(depends)


def _check_ranges(depends: Dependencies) -> None:
    ranges = depends.task_id_ranges or ()
    length = sum(len(str(ids.start)) + len(str(ids.end)) for ids in ranges)
    if length > LONGEST_DEPENDENCIES:
        raise TaskDependencyRangesTooLong(
            PropertyName="dependsOn.taskIdRanges",
            PropertyValue=f"{length} characters",
            Reason=f"must have {LONGEST_DEPENDENCIES} characters at most",
        )
    for index, ids in enumerate(ranges):
        name = f"dependsOn.taskIdRanges[{index}]"
        check_range(ids.start, 0, LARGEST_INT, f"{name}.start")
        check_range(ids.end, 0, LARGEST_INT, f"{name}.end")
        if ids.start > ids.end:
            raise wrong(f"{name}.end", ids.end, "must not be less than start")


def _exit_conditions(given: ExitConditions | None) -> ExitConditions | None:
    if given is None:
        return None
    name = "exitConditions"
    return ExitConditions(
        exit_codes=each(given.exit_codes, f"{name}.exitCodes", _exit_code),
        exit_code_ranges=each(given.exit_code_ranges, f"{name}.exitCodeRanges", _exit_range),
        pre_processing_error=_options(given.pre_processing_error, f"{name}.preProcessingError"),
        file_upload_error=_options(given.file_upload_error, f"{name}.fileUploadError"),
        default=_options(given.default, f"{name}.default"),
    )


def _exit_code(mapping: ExitCodeMapping, name: str) -> ExitCodeMapping:
    check_range(mapping.code, -LARGEST_INT - 1, LARGEST_INT, f"{name}.code")
    return replace(mapping, exit_options=_actions(mapping.exit_options, f"{name}.exitOptions"))


def _exit_range(mapping: ExitCodeRangeMapping, name: str) -> ExitCodeRangeMapping:
    check_range(mapping.start, -LARGEST_INT - 1, LARGEST_INT, f"{name}.start")
    check_range(mapping.end, -LARGEST_INT - 1, LARGEST_INT, f"{name}.end")
    if mapping.start > mapping.end:
        raise wrong(f"{name}.end", mapping.end, "must not be less than start")
    return replace(mapping, exit_options=_actions(mapping.exit_options, f"{name}.exitOptions"))


def _options(given: ExitOptions | None, name: str) -> ExitOptions | None:
    return None if given is None else _actions(given, name)


def _actions(given: ExitOptions, name: str) -> ExitOptions:
    return ExitOptions(
        job_action=canonical(given.job_action, JOB_ACTIONS, f"{name}.jobAction"),
        dependency_action=canonical(
            given.dependency_action, DEPENDENCY_ACTIONS, f"{name}.dependencyAction"
        ),
    )
