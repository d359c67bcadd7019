"""Rules for the parts that pools, jobs and tasks share.

Each check takes the decoded part with its name on the wire, and gives it back with values in
their canonical spelling and defaults filled in, or refuses it. Parts that are already as they
should be are given back as they are: most tasks of a large collection pass without a copy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.refusals import (
    EmptyMetadataKey,
    InvalidApplicationPackageReferences,
    MetadataTooLarge,
)
from penstock.domain.specs.common import (
    AuthenticationTokenSettings,
    AutoUser,
    Identity,
    NameValue,
    OutputFile,
    PackageReference,
    ResourceFile,
    UserIdentity,
)
from penstock.wire.specs.bodies import missing, wrong

ItemT = TypeVar("ItemT")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODE: Final = re.compile(r"(?:0o)?[0-7]{1,5}")
_URL: Final = re.compile(r"https?://[^/\s\x00-\x1f]+\S*", re.IGNORECASE)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTAINER: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9-]{0,62}")

_SPLITTABLE: Final = re.compile(r"""(?:[^'"\\]++|\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+")*+""", re.DOTALL)
"""Command lines that the node host can divide into words."""

LONGEST_NAME: Final = 1024
LARGEST_INT: Final = 2**31 - 1

LARGEST_METADATA: Final = 65_536
"""Characters of all names and values together."""

SCOPES: Final = ("pool", "task")
LEVELS: Final = ("nonadmin", "admin")
ACCESS: Final = ("job",)
UPLOAD_CONDITIONS: Final = ("tasksuccess", "taskfailure", "taskcompletion")
POOL_NONADMIN: Final = UserIdentity(auto_user=AutoUser(scope="pool", elevation_level="nonadmin"))
"""Whom a task runs as when it does not say."""


def check_id(value: str, name: str = "id") -> None:
    """Refuse what can not name a pool, a job or a task."""
    if _ID.fullmatch(value) is None:
        raise wrong(name, value, "must be 1 to 64 letters, digits, hyphens and underscores")


def check_display_name(value: str | None, name: str = "displayName") -> None:
    if value is not None and len(value) > LONGEST_NAME:
        raise wrong(name, value, f"must have {LONGEST_NAME} characters at most")


def check_text(value: str, name: str) -> None:
    """Refuse a text that says nothing, or that no program can be given."""
    if not value.strip() or "\0" in value:
        raise wrong(name, value, "must not be empty, nor contain a NUL character")


def check_command(value: str, name: str = "commandLine") -> None:
    """A command line is not empty and can be handed to a process."""
    if not value.strip():
        raise wrong(name, value, "must not be empty")
    if "\0" in value:
        raise wrong(name, value, "must not contain a NUL character")
    if _SPLITTABLE.fullmatch(value) is None:
        raise wrong(name, value, "has a quote that is not closed, or ends in a backslash")


def canonical(value: str | None, choices: Collection[str], name: str) -> str | None:
    """Give a value of an enumeration in its own spelling, in whatever case the client wrote it."""
    if value is None or value in choices:
        return value
    lower = value.lower()
    for choice in choices:
        if choice.lower() == lower:
            return choice
    raise wrong(name, value, f"must be one of {', '.join(choices)}")


def required(value: str | None, choices: Collection[str], name: str) -> str:
    """Like `canonical`, for a value that must be there."""
    found = canonical(value, choices, name)
    if found is None:
        raise missing(name)
    return found


def check_range(value: int | None, least: int, most: int, name: str, unit: str = "") -> None:
    """Refuse a number outside of the bounds, both allowed."""
    if value is not None and not least <= value <= most:
        raise wrong(name, value, f"must be from {least} to {most}{unit}")


def check_duration(value: Duration | None, least: Duration, name: str) -> None:
    if value is not None and value < least:
        raise wrong(name, str(value), f"must be {least} at least")


def each(
    items: list[ItemT] | None, name: str, check: Callable[[ItemT, str], ItemT]
) -> list[ItemT] | None:
    """Check every item of a list under its name with its index; copy only what changes."""
    if not items:
        return items
    checked = [check(item, f"{name}[{index}]") for index, item in enumerate(items)]
    return items if all(map(_same, items, checked)) else checked


def _same(one: object, other: object) -> bool:
    return one is other


def environment(items: list[NameValue] | None, name: str) -> list[NameValue] | None:
    """Environment settings: names without ``=``, no NUL anywhere."""
    for index, item in enumerate(items or ()):
        if not item.name or "=" in item.name or "\0" in item.name:
            raise wrong(
                f"{name}[{index}].name", item.name, "must not be empty, nor contain = or NUL"
            )
        if item.value is not None and "\0" in item.value:
            raise wrong(f"{name}[{index}].value", item.value, "must not contain a NUL character")
    return items


def metadata(items: list[NameValue] | None) -> list[NameValue] | None:
    """Metadata: names are not empty, a value that is null is empty text."""
    if not items:
        return items
    length = 0
    for index, item in enumerate(items):
        if not item.name:
            raise EmptyMetadataKey(PropertyName=f"metadata[{index}].name")
        length += len(item.name) + len(item.value or "")
    if length > LARGEST_METADATA:
        raise MetadataTooLarge(
            PropertyName="metadata",
            PropertyValue=f"{length} characters",
            Reason=f"must have {LARGEST_METADATA} characters at most",
        )
    return [item if item.value is not None else replace(item, value="") for item in items]


def identity(value: UserIdentity | None, name: str = "userIdentity") -> UserIdentity:
    """Whom to run as; a part that is not given takes its default."""
    if value is None:
        return POOL_NONADMIN
    if value.username is not None and value.auto_user is not None:
        raise wrong(name, value.username, "username and autoUser exclude each other")
    if value.username is not None:
        check_text(value.username, f"{name}.username")
        return value
    auto = value.auto_user or AutoUser()
    scope = canonical(auto.scope, SCOPES, f"{name}.autoUser.scope") or "pool"
    level = canonical(auto.elevation_level, LEVELS, f"{name}.autoUser.elevationLevel")
    return UserIdentity(auto_user=AutoUser(scope=scope, elevation_level=level or "nonadmin"))


def check_identity(value: Identity | None, name: str) -> None:
    """A reference to a managed identity has the id of one."""
    if value is not None and not value.resource_id:
        raise missing(f"{name}.resourceId")


def token_settings(
    value: AuthenticationTokenSettings | None, name: str = "authenticationTokenSettings"
) -> AuthenticationTokenSettings | None:
    """What the token of a task is for; there is only the job to have access to."""
    if value is None or value.access is None:
        return value
    access = [
        required(item, ACCESS, f"{name}.access[{at}]") for at, item in enumerate(value.access)
    ]
    return AuthenticationTokenSettings(access=list(dict.fromkeys(access)))


def resource_file(item: ResourceFile, name: str) -> ResourceFile:
    """A resource file has one source, and does not lead out of the working directory."""
    sources = (item.http_url, item.storage_container_url, item.auto_storage_container_name)
    if sum(source is not None for source in sources) != 1:
        raise wrong(
            name,
            item.file_path or "",
            "needs exactly one of httpUrl, storageContainerUrl, autoStorageContainerName",
        )
    _check_source(item, name)
    check_identity(item.identity_reference, f"{name}.identityReference")
    if item.file_path is not None:
        check_file_path(item.file_path, f"{name}.filePath")
    if item.http_url is not None:
        if not item.file_path:
            raise missing(f"{name}.filePath")
        if item.file_path.endswith(("/", "/.")) or item.file_path == ".":
            raise wrong(f"{name}.filePath", item.file_path, "must name a file")
        if item.blob_prefix is not None:
            raise wrong(f"{name}.blobPrefix", item.blob_prefix, "cannot be given with httpUrl")
    if item.file_mode is not None and _MODE.fullmatch(item.file_mode) is None:
        raise wrong(f"{name}.fileMode", item.file_mode, "must be an octal mode such as 0770")
    return item


def _check_source(item: ResourceFile, name: str) -> None:
    for part, url in (
        ("httpUrl", item.http_url),
        ("storageContainerUrl", item.storage_container_url),
    ):
        if url is not None and _URL.fullmatch(url) is None:
            raise wrong(f"{name}.{part}", url, "must be an http or https URL")
    container = item.auto_storage_container_name
    if container is not None and _CONTAINER.fullmatch(container) is None:
        raise wrong(f"{name}.autoStorageContainerName", container, "is not a container name")


def check_file_path(path: str, name: str) -> None:
    """Refuse what could lead out of the directory that it is relative to, on any system."""
    parts = re.split(r"[/\\]", path)
    if "\0" in path:
        raise wrong(name, path, "must not contain a NUL character")
    if ".." in parts or path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        raise wrong(name, path, "must be relative, without .. in it")


def output_file(item: OutputFile, name: str) -> OutputFile:
    """An output file has a pattern, a container and a condition."""
    if not item.file_pattern or "\0" in item.file_pattern:
        raise wrong(f"{name}.filePattern", item.file_pattern, "must not be empty or contain NUL")
    container = item.destination.container
    if container is None:
        raise missing(f"{name}.destination.container")
    where = f"{name}.destination.container"
    if _URL.fullmatch(container.container_url) is None:
        raise wrong(
            f"{where}.containerUrl", container.container_url, "must be an http or https URL"
        )
    check_identity(container.identity_reference, f"{where}.identityReference")
    if container.path is not None and "\0" in container.path:
        raise wrong(f"{where}.path", container.path, "must not contain a NUL character")
    for index, header in enumerate(container.upload_headers or ()):
        if _HEADER.fullmatch(header.name) is None:
            raise wrong(f"{where}.uploadHeaders[{index}].name", header.name, "is not a header")
        if _CONTROLS.search(header.value or ""):
            raise wrong(
                f"{where}.uploadHeaders[{index}].value",
                header.value,
                "must not contain control characters",
            )
    given = item.upload_options.upload_condition
    condition = required(given, UPLOAD_CONDITIONS, f"{name}.uploadOptions.uploadCondition")
    if condition == given:
        return item
    return replace(item, upload_options=replace(item.upload_options, upload_condition=condition))


def check_packages(references: Sequence[PackageReference] | None) -> None:
    """No application exists yet, so no reference to one can be satisfied."""
    for index, reference in enumerate(references or ()):
        raise InvalidApplicationPackageReferences(
            PropertyName=f"applicationPackageReferences[{index}].applicationId",
            PropertyValue=reference.application_id[:256],
            Reason="there is no such application",
        )
