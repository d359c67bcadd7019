"""Parts that several resources show: URLs, specifications, failures, runs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from penstock.domain.instants import instant_text
from penstock.domain.records import Failure
from penstock.domain.specs.common import Spec, encode_spec
from penstock.domain.unreadable import Unreadable
from penstock.wire.answers import Document

SECRETS: Final = frozenset(
    {"password", "sshPrivateKey", "accountKey", "sasKey", "protectedSettings"}
)
_FREE: Final = frozenset({"settings", "resourceTags"})
"""Public settings of extensions, and tags: in them any name is the user's."""

_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


_remembered = lru_cache(maxsize=1024)
"""A page of a list has the same few jobs, pools and nodes in it a thousand times."""


@_remembered
def pool_path(pool_id: str) -> str:
    return f"/pools/{quote(pool_id, safe='')}"


@_remembered
def node_path(pool_id: str, node_id: str) -> str:
    return f"{pool_path(pool_id)}/nodes/{quote(node_id, safe='')}"


@_remembered
def job_path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe=':')}"


@_remembered
def schedule_path(schedule_id: str) -> str:
    return f"/jobschedules/{quote(schedule_id, safe='')}"


def task_path(job_id: str, task_id: str) -> str:
    # only letters, digits, hyphens and underscores, none of which a URL quotes
    return f"{job_path(job_id)}/tasks/{task_id}"


def task_directory(job_id: str, task_id: str) -> str:
    """Where the files of a task are, below the root directory of its node."""
    schedule, _, job = job_id.partition(":")  # only a job of a schedule has one in its id
    return f"workitems/{schedule}/{job or 'job-1'}/{task_id}"


def time_or_none(at_us: int | None) -> str | None:
    return None if at_us is None else instant_text(at_us)


def shown_spec(spec: Spec | bytes) -> Document:
    """A specification as the object that clients see, but with its secrets."""
    try:
        return _DECODER.decode(spec if isinstance(spec, bytes) else encode_spec(spec))
    except msgspec.DecodeError as error:
        raise Unreadable(f"a specification is damaged: {error}", damaged=True) from error


def without_secrets(part: Any) -> Any:
    """Leave out what is never shown again, at any depth, but for parts whose names are free."""
    if isinstance(part, dict):
        return {
            name: value if name in _FREE else without_secrets(value)
            for name, value in part.items()
            if name not in SECRETS
        }
    if isinstance(part, list):
        return [without_secrets(item) for item in part]
    return part


def pairs(failure: Failure) -> list[Document] | None:
    """The details of a failure, absent where there are none."""
    if not failure.details:
        return None
    return [{"name": detail.name, "value": detail.value} for detail in failure.details]


def failure_info(failure: Failure | None) -> Document | None:
    """A failure as ``failureInfo`` shows it."""
    if failure is None:
        return None
    shown: Document = {
        "category": failure.category.lower(),
        "code": failure.code,
        "message": failure.message,
    }
    details = pairs(failure)
    if details:
        shown["details"] = details
    return shown
