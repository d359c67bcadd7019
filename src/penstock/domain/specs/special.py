"""What a user may say of the special tasks of a job: manager, preparation, release."""

from __future__ import annotations

from penstock.domain.instants import Duration
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


class JobManagerTask(Spec, frozen=True, kw_only=True):
    """The task that is made with its job and directs it."""

    id: str
    display_name: str | None = None
    command_line: str
    container_settings: ContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    output_files: list[OutputFile] | None = None
    environment_settings: list[NameValue] | None = None
    constraints: TaskConstraints | None = None
    required_slots: int | None = None
    kill_job_on_completion: bool | None = None
    user_identity: UserIdentity | None = None
    run_exclusive: bool | None = None
    application_package_references: list[PackageReference] | None = None
    authentication_token_settings: AuthenticationTokenSettings | None = None
    allow_low_priority_node: bool | None = None


class JobPreparationTask(Spec, frozen=True, kw_only=True):
    """What a node runs before the first task of the job there."""

    id: str | None = None
    command_line: str
    container_settings: ContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[NameValue] | None = None
    constraints: TaskConstraints | None = None
    wait_for_success: bool | None = None
    user_identity: UserIdentity | None = None
    rerun_on_node_reboot_after_success: bool | None = None


class JobReleaseTask(Spec, frozen=True, kw_only=True):
    """What a node that was prepared for the job runs when the job ends."""

    id: str | None = None
    command_line: str
    container_settings: ContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[NameValue] | None = None
    max_wall_clock_time: Duration | None = None
    retention_time: Duration | None = None
    user_identity: UserIdentity | None = None
