"""Questions about lists: which items, from where on, how many.

`wire` makes a `Query` of ``$filter``, ``$skiptoken`` and ``maxresults``; stores answer it. A
property is named by its wire path (``executionInfo/exitCode``); a store maps paths to columns.
Values have the type of the property: instants are ints in microseconds, states and results are
their wire names. An item without the property fails every comparison but ``ne``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Operator = Literal["eq", "ne", "gt", "ge", "lt", "le"]
Value = str | int | bool


class Compare(msgspec.Struct, frozen=True):
    """``property op value``. Text compares without regard to case."""

    path: str
    operator: Operator
    value: Value


class StartsWith(msgspec.Struct, frozen=True):
    """``startswith(property, 'prefix')``, without regard to case."""

    path: str
    prefix: str


class Both(msgspec.Struct, frozen=True):
    """Logical and."""

    left: Filter
    right: Filter


class Either(msgspec.Struct, frozen=True):
    """Logical or."""

    left: Filter
    right: Filter


Filter = Compare | StartsWith | Both | Either


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Items that pass `filter`, in order of their lower-case id, following the key `after`."""

    filter: Filter | None = None
    after: str = ""
    limit: int = 1000


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Spans of pools that pass `filter` and reach into the time between `from_us` and `until_us`.

    They follow the pool that `after_key` and `after_no` name, or are of it and end after
    `after_us`.
    """

    filter: Filter | None = None
    from_us: int
    until_us: int
    after_key: str = ""
    after_no: int = 0
    after_us: int = 0
    limit: int = 1000


PATHS: dict[str, frozenset[str]] = {
    "pools": frozenset(
        {
            "id",
            "state",
            "stateTransitionTime",
            "allocationState",
            "allocationStateTransitionTime",
            "creationTime",
            "lastModified",
            "enableAutoScale",
            "enableInterNodeCommunication",
            "vmSize",
        }
    ),
    "nodes": frozenset(
        {
            "state",
            "stateTransitionTime",
            "lastBootTime",
            "allocationTime",
            "startTaskInfo/state",
            "startTaskInfo/result",
            "startTaskInfo/exitCode",
            "startTaskInfo/startTime",
            "startTaskInfo/endTime",
        }
    ),
    "jobs": frozenset(
        {
            "id",
            "state",
            "stateTransitionTime",
            "creationTime",
            "lastModified",
            "executionInfo/startTime",
            "executionInfo/endTime",
            "executionInfo/poolId",
        }
    ),
    "jobschedules": frozenset(
        {
            "id",
            "state",
            "stateTransitionTime",
            "creationTime",
            "lastModified",
            "executionInfo/endTime",
            "schedule/doNotRunUntil",
            "schedule/doNotRunAfter",
        }
    ),
    "certificates": frozenset({"state", "stateTransitionTime"}),
    "tasks": frozenset(
        {
            "id",
            "state",
            "stateTransitionTime",
            "creationTime",
            "lastModified",
            "lastModifiedTime",
            "executionInfo/startTime",
            "executionInfo/endTime",
            "executionInfo/exitCode",
            "executionInfo/result",
        }
    ),
}
"""Every path that a store must answer, by list."""
