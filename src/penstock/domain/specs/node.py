"""What a user may say of work on a node; each body may be absent."""

from __future__ import annotations

from penstock.domain.specs.common import Spec


class RebootBody(Spec, frozen=True, kw_only=True):
    node_reboot_option: str | None = None


class ReimageBody(Spec, frozen=True, kw_only=True):
    node_reimage_option: str | None = None


class DeallocateBody(Spec, frozen=True, kw_only=True):
    node_deallocate_option: str | None = None


class DisableSchedulingBody(Spec, frozen=True, kw_only=True):
    node_disable_scheduling_option: str | None = None
