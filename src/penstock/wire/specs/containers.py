"""What users say of the containers of tasks: checked, and filled with defaults.

A start task, a task and the special tasks of a job have the same settings.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain.specs.common import BindMount, ContainerRegistry, ContainerSettings
from penstock.wire.specs.bodies import wrong
from penstock.wire.specs.checks import canonical, check_command, check_identity, check_text, each

WORKING_DIRECTORIES: Final = ("taskWorkingDirectory", "containerImageDefault")
SOURCES: Final = ("Shared", "Startup", "VfsMounts", "Task", "JobPrep", "Applications")


def container(value: ContainerSettings | None, name: str) -> ContainerSettings | None:
    """The container of a task; `name` is where it stands in the body."""
    if value is None:
        return None
    check_text(value.image_name, f"{name}.imageName")
    directory = canonical(value.working_directory, WORKING_DIRECTORIES, f"{name}.workingDirectory")
    return replace(
        value,
        registry=registry(value.registry, f"{name}.registry"),
        working_directory=directory or WORKING_DIRECTORIES[0],
        container_host_batch_bind_mounts=each(
            value.container_host_batch_bind_mounts, f"{name}.containerHostBatchBindMounts", _mount
        ),
    )


def check_command_of(command: str, inside: ContainerSettings | None, name: str) -> None:
    """A command line may be empty only where the image of a container has one."""
    if inside is None or command.strip():
        check_command(command, name)


def registry(value: ContainerRegistry | None, name: str) -> ContainerRegistry | None:
    """A registry is entered with a user and a password, or with an identity, or by anybody."""
    if value is None:
        return None
    check_identity(value.identity_reference, f"{name}.identityReference")
    if value.identity_reference is not None and (value.username or value.password):
        raise wrong(
            f"{name}.identityReference",
            value.identity_reference.resource_id,
            "cannot be given with username and password",
        )
    return value


def _mount(value: BindMount, name: str) -> BindMount:
    source = canonical(value.source, SOURCES, f"{name}.source")
    return replace(value, source=source, is_read_only=value.is_read_only or False)
