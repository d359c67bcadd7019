"""What users say of nodes: of work on them, of their users, of their logs."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from penstock.domain.instants import instant
from penstock.domain.records import Removal
from penstock.domain.specs.node import (
    DeallocateBody,
    DisableSchedulingBody,
    LogUpload,
    NodeLogin,
    NodeUserChange,
    NodeUserSpec,
    RebootBody,
    ReimageBody,
)
from penstock.wire.specs.bodies import body_of, missing, wrong
from penstock.wire.specs.checks import canonical

OPTIONS: Final = tuple(Removal)
SCHEDULING_OPTIONS: Final = (Removal.REQUEUE, Removal.TERMINATE, Removal.TASK_COMPLETION)

LONGEST_PASSWORD: Final = 256
LONGEST_KEY: Final = 16_384
_URL: Final = re.compile(r"https?://[^/\s\x00-\x1f]+/\S+", re.IGNORECASE)
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_KEY: Final = re.compile(
    r"(?:[a-z0-9@.-]+ )?AAAA[A-Za-z0-9+/]*={0,2}(?: [^\x00-\x1f]*)?|[A-Za-z0-9+/]{16,}={0,2}"
)
"""One line as OpenSSH has it, with type, base64 and comment, or base64 alone. What the line encodes
begins with a short length, so the text begins with AAAA."""

_WINDOWS: Final = "batch.node.windows"


def reboot_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/reboot."""
    body = body_of(RebootBody, document, optional=True)
    return _option(body.node_reboot_option, "nodeRebootOption")


def reimage_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/reimage."""
    body = body_of(ReimageBody, document, optional=True)
    return _option(body.node_reimage_option, "nodeReimageOption")


def deallocate_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/deallocate."""
    body = body_of(DeallocateBody, document, optional=True)
    return _option(body.node_deallocate_option, "nodeDeallocateOption")


def disable_scheduling_from_wire(document: bytes) -> Removal:
    """The body of POST /pools/{pool}/nodes/{node}/disablescheduling."""
    body = body_of(DisableSchedulingBody, document, optional=True)
    name = "nodeDisableSchedulingOption"
    return _option(body.node_disable_scheduling_option, name, SCHEDULING_OPTIONS)


def _option(value: str | None, name: str, choices: Collection[str] = OPTIONS) -> Removal:
    return Removal(canonical(value, choices, name) or Removal.REQUEUE)


# --- users -----------------------------------------------------------------------------------


def node_user_from_wire(document: bytes) -> tuple[NodeUserSpec, NodeLogin]:
    """The body of POST /pools/{pool}/nodes/{node}/users."""
    user = body_of(NodeUserSpec, document)
    if _USER.fullmatch(user.name) is None:
        reason = "must be 1 to 32 letters, digits, dots, hyphens and underscores"
        raise wrong("name", user.name, f"{reason}, and begin with a letter or underscore")
    return user, _login(user)


def node_user_update_from_wire(document: bytes) -> NodeLogin:
    """The body of PUT /pools/{pool}/nodes/{node}/users/{user}."""
    return _login(body_of(NodeUserChange, document))


def _login(change: NodeUserChange) -> NodeLogin:
    password, key = change.password, change.ssh_public_key
    if password is not None and not 1 <= len(password) <= LONGEST_PASSWORD:
        raise wrong("password", "", f"must have 1 to {LONGEST_PASSWORD} characters")
    if password is not None and re.search(r"[\x00-\x1f]", password):
        raise wrong("password", "", "must not contain control characters")
    if key is not None and (len(key) > LONGEST_KEY or _KEY.fullmatch(key.strip()) is None):
        raise wrong("sshPublicKey", key, "must be one public key, as OpenSSH writes it")
    return NodeLogin(
        password=password,
        ssh_public_key=None if key is None else key.strip(),
        expiry_us=_instant(change.expiry_time, "expiryTime"),
    )


def check_login(login: NodeLogin, node_agent: str) -> None:
    """What a node's operating system, of which its agent tells, lets a user log in with."""
    if not node_agent.lower().startswith(_WINDOWS):
        return
    if login.ssh_public_key is not None:
        reason = "can be given only for nodes that run on Linux"
        raise wrong("sshPublicKey", login.ssh_public_key, reason)
    if login.password is None:
        raise missing("password")


def _instant(text: str | None, name: str) -> int | None:
    try:
        return None if text is None else instant(text)
    except (ValueError, OverflowError):
        raise wrong(name, text, "must be a time such as 2024-01-31T08:00:00Z") from None


# --- logs ------------------------------------------------------------------------------------


def check_log_upload(document: bytes) -> None:
    """The body of POST /pools/{pool}/nodes/{node}/uploadbatchservicelogs."""
    upload = body_of(LogUpload, document)
    if _URL.fullmatch(upload.container_url) is None:
        raise wrong("containerUrl", upload.container_url, "must be an http or https URL")
    start_us = _instant(upload.start_time, "startTime")
    end_us = _instant(upload.end_time, "endTime")
    if start_us is not None and end_us is not None and end_us < start_us:
        raise wrong("endTime", upload.end_time, "must not be before startTime")
    identity = upload.identity_reference
    if identity is not None and not identity.resource_id:
        raise missing("identityReference.resourceId")
