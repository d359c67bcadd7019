"""Parts that pools, jobs and tasks share."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from penstock.domain.instants import Duration
from penstock.domain.unreadable import Unreadable

JsonObject = dict[str, Any]
"""A part that this service stores and returns as it came."""


SpecT = TypeVar("SpecT", bound="Spec")


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of all specifications. Encoded, a part that is None is left out."""


class NameValue(Spec, frozen=True, kw_only=True):
    """An environment setting, or a metadata item."""

    name: str
    value: str | None = None


class AutoUser(Spec, frozen=True, kw_only=True):
    scope: str | None = None  # pool | task
    elevation_level: str | None = None  # nonadmin | admin


class UserIdentity(Spec, frozen=True, kw_only=True):
    """Exactly one of the two."""

    username: str | None = None
    auto_user: AutoUser | None = None


class Identity(Spec, frozen=True, kw_only=True):
    """A managed identity, by ARM id."""

    resource_id: str | None = None


class ContainerRegistry(Spec, frozen=True, kw_only=True):
    """Where images come from, with a user and a password or with a managed identity."""

    username: str | None = None
    password: str | None = None
    registry_server: str | None = None
    identity_reference: Identity | None = None


class BindMount(Spec, frozen=True, kw_only=True):
    """A directory of the node that a container sees."""

    source: str | None = None  # Shared | Startup | VfsMounts | Task | JobPrep | Applications
    is_read_only: bool | None = None


class ContainerSettings(Spec, frozen=True, kw_only=True):
    """The container that a task is to run in."""

    container_run_options: str | None = None
    image_name: str
    registry: ContainerRegistry | None = None
    working_directory: str | None = None  # taskWorkingDirectory | containerImageDefault
    container_host_batch_bind_mounts: list[BindMount] | None = None  # None: all; empty: none


class AuthenticationTokenSettings(Spec, frozen=True, kw_only=True):
    """What the token of a task may be used for; the newest api-version has none of it."""

    access: list[str] | None = None  # job


class ResourceFile(Spec, frozen=True, kw_only=True):
    """A file, or a container of files, that a task gets. Exactly one source is set."""

    http_url: str | None = None
    storage_container_url: str | None = None
    auto_storage_container_name: str | None = None
    blob_prefix: str | None = None
    file_path: str | None = None
    file_mode: str | None = None
    identity_reference: Identity | None = None


class UploadHeader(Spec, frozen=True, kw_only=True):
    name: str
    value: str | None = None


class OutputContainer(Spec, frozen=True, kw_only=True):
    container_url: str
    path: str | None = None
    identity_reference: Identity | None = None
    upload_headers: list[UploadHeader] | None = None


class OutputDestination(Spec, frozen=True, kw_only=True):
    container: OutputContainer | None = None


class UploadOptions(Spec, frozen=True, kw_only=True):
    upload_condition: str  # tasksuccess | taskfailure | taskcompletion


class OutputFile(Spec, frozen=True, kw_only=True):
    """Files to upload when a task's process has ended."""

    file_pattern: str
    destination: OutputDestination
    upload_options: UploadOptions


class TaskConstraints(Spec, frozen=True, kw_only=True):
    max_wall_clock_time: Duration | None = None
    retention_time: Duration | None = None
    max_task_retry_count: int | None = None


class PackageReference(Spec, frozen=True, kw_only=True):
    application_id: str
    version: str | None = None


_text_of = lru_cache(maxsize=1024)(str)
_duration_of = lru_cache(maxsize=1024)(Duration.parse)
"""Nearly all tasks say the same few durations, and each is written and read several times."""


def enc_hook(value: object) -> str:
    """Encode what msgspec does not know: durations."""
    if isinstance(value, Duration):
        return _text_of(value)
    raise NotImplementedError(type(value))  # how msgspec wants to be told: a bug of ours


def dec_hook(kind: type, value: object) -> object:
    """Decode what `enc_hook` encoded."""
    if kind is Duration:
        if not isinstance(value, str):
            raise ValueError("a duration is text, such as PT15M")
        return _duration_of(value)
    raise NotImplementedError(kind)  # likewise; a TypeError would pass for bad input


_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook)
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def encode_spec(spec: Spec) -> bytes:
    """Write a specification as the JSON object that clients are shown; None is left out."""
    return _ENCODER.encode(spec)


def decode_spec(kind: type[SpecT], document: bytes) -> SpecT:
    """Read what `encode_spec` wrote. Lax about numbers in strings; unknown names are ignored.

    Raises msgspec.ValidationError, whose message ends in the path of the bad property.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, dec_hook=dec_hook, strict=False)
    spec: SpecT = decoder.decode(document)
    return spec


def stored_spec(kind: type[SpecT], document: bytes) -> SpecT:
    """Read a specification that was stored. Raises Unreadable."""
    try:
        return decode_spec(kind, document)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"a specification is damaged: {error}", damaged=True) from error
