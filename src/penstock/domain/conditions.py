"""Conditional requests: If-Match and its three relatives."""

from __future__ import annotations

import msgspec

from penstock.domain.instants import SECOND_US, etag_text, http_date
from penstock.domain.refusals import ConditionNotMet, NotModified


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of a resource for the request to go on.

    Tags are bare (no quotes, no ``W/``); ``*`` stands for any. Times are instants.
    `reading` says that a failed "has it changed" condition is a 304, as on GET and HEAD.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    modified_since_us: int | None = None
    unmodified_since_us: int | None = None
    reading: bool = False

    def check(self, modified_us: int) -> None:
        """Raise `ConditionNotMet` or `NotModified` unless all hold for this state.

        Header times have whole seconds, so the resource's time is cut to seconds first.
        """
        tag = etag_text(modified_us)
        if self.if_match and "*" not in self.if_match and tag not in self.if_match:
            raise ConditionNotMet
        whole_us = modified_us - modified_us % SECOND_US
        if self.unmodified_since_us is not None and whole_us > self.unmodified_since_us:
            raise ConditionNotMet
        if self.if_none_match and ("*" in self.if_none_match or tag in self.if_none_match):
            raise _unchanged(modified_us) if self.reading else ConditionNotMet
        if self.modified_since_us is not None and whole_us <= self.modified_since_us:
            raise _unchanged(modified_us) if self.reading else ConditionNotMet


def _unchanged(modified_us: int) -> NotModified:
    """What the client has is what there is; the headers say which that is."""
    return NotModified(ETag=etag_text(modified_us), **{"Last-Modified": http_date(modified_us)})


ANY = Conditions()
"""No condition at all."""
