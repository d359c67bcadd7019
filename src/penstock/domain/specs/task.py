"""What a user may say of a task."""

from __future__ import annotations

from penstock.domain.specs.common import (
    AuthenticationTokenSettings,
    ContainerSettings,
    NameValue,
    OutputFile,
    PackageReference,
    ResourceFile,
    Spec,
    TaskConstraints,
    UserIdentity,
)


class ExitOptions(Spec, frozen=True, kw_only=True):
    job_action: str | None = None  # none | disable | terminate
    dependency_action: str | None = None  # satisfy | block


class ExitCodeMapping(Spec, frozen=True, kw_only=True):
    code: int
    exit_options: ExitOptions


class ExitCodeRangeMapping(Spec, frozen=True, kw_only=True):
    """Both ends belong to the range."""

    start: int
    end: int
    exit_options: ExitOptions


class ExitConditions(Spec, frozen=True, kw_only=True):
    exit_codes: list[ExitCodeMapping] | None = None
    exit_code_ranges: list[ExitCodeRangeMapping] | None = None
    pre_processing_error: ExitOptions | None = None
    file_upload_error: ExitOptions | None = None
    default: ExitOptions | None = None


class AffinityInfo(Spec, frozen=True, kw_only=True):
    affinity_id: str


class TaskIdRange(Spec, frozen=True, kw_only=True):
    """Both ends belong to the range."""

    start: int
    end: int


class Dependencies(Spec, frozen=True, kw_only=True):
    task_ids: list[str] | None = None
    task_id_ranges: list[TaskIdRange] | None = None


class MultiInstanceSettings(Spec, frozen=True, kw_only=True):
    number_of_instances: int | None = None
    coordination_command_line: str
    common_resource_files: list[ResourceFile] | None = None


class TaskSpec(Spec, frozen=True, kw_only=True):
    """A task as its user described it, with the defaults that the service adds."""

    id: str
    display_name: str | None = None
    command_line: str
    container_settings: ContainerSettings | None = None
    exit_conditions: ExitConditions | None = None
    resource_files: list[ResourceFile] | None = None
    output_files: list[OutputFile] | None = None
    environment_settings: list[NameValue] | None = None
    affinity_info: AffinityInfo | None = None
    constraints: TaskConstraints | None = None
    required_slots: int | None = None
    user_identity: UserIdentity | None = None
    multi_instance_settings: MultiInstanceSettings | None = None
    depends_on: Dependencies | None = None
    application_package_references: list[PackageReference] | None = None
    authentication_token_settings: AuthenticationTokenSettings | None = None
