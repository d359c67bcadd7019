"""What a user may say of nodes: of work on one, where each body may be absent, and of its users."""

from __future__ import annotations

import msgspec

from penstock.domain.specs.common import Identity, Spec


class RebootBody(Spec, frozen=True, kw_only=True):
    node_reboot_option: str | None = None


class ReimageBody(Spec, frozen=True, kw_only=True):
    node_reimage_option: str | None = None


class DeallocateBody(Spec, frozen=True, kw_only=True):
    node_deallocate_option: str | None = None


class DisableSchedulingBody(Spec, frozen=True, kw_only=True):
    node_disable_scheduling_option: str | None = None


class NodeUserChange(Spec, frozen=True, kw_only=True):
    """How a user of a node logs in, and until when. Instants are text as clients sent it."""

    password: str | None = None
    ssh_public_key: str | None = None
    expiry_time: str | None = None


class NodeUserSpec(NodeUserChange, frozen=True, kw_only=True):
    """A user of a node."""

    name: str
    is_admin: bool | None = None


class NodeLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The same as it was understood."""

    password: str | None = None
    ssh_public_key: str | None = None
    expiry_us: int | None = None  # None: a day from now


class LogUpload(Spec, frozen=True, kw_only=True):
    """Which logs of a node are to be uploaded, and where to."""

    container_url: str
    start_time: str
    end_time: str | None = None
    identity_reference: Identity | None = None
