"""Why a task does not run: the codes, and what is said with each.

The engine gathers the facts from the very structures that schedule; the modules beside this one
say what they mean: `task_reasons`, `job_reasons`, `dependency_reasons`, `pool_reasons`,
`node_reasons` and `queue_reasons`, by whose the cause is.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from penstock.domain.records import Detail
from penstock.domain.states import JobState


class Code(StrEnum):
    """Each cause, for programs. They are documented in docs/explain.md, and stay."""

    # the task itself
    RUNNING = "Running"
    COMPLETED = "Completed"
    PREPARATION_RUNNING = "PreparationRunning"
    BEING_REQUEUED = "BeingRequeued"
    BEING_TERMINATED = "BeingTerminated"
    NEXT_ON_NODE = "NextOnNode"
    RETRY_PENDING = "RetryPending"
    REQUEUED = "Requeued"
    # its job
    JOB_DISABLED = "JobDisabled"
    JOB_ENABLING = "JobEnabling"
    JOB_ENDING = "JobEnding"
    JOB_COMPLETED = "JobCompleted"
    AUTO_POOL_FAILED = "AutoPoolFailed"
    MAX_PARALLEL_TASKS = "MaxParallelTasks"
    # what it depends on
    DEPENDENCY_FAILED = "DependencyFailed"
    DEPENDENCY_BLOCKED = "DependencyBlocked"
    DEPENDENCY_CIRCLE = "DependencyCircle"
    DEPENDENCY_MISSING = "DependencyMissing"
    DEPENDENCY_UNFINISHED = "DependencyUnfinished"
    # its pool
    POOL_MISSING = "PoolMissing"
    POOL_DELETING = "PoolDeleting"
    POOL_EMPTY = "PoolEmpty"
    POOL_RESIZING = "PoolResizing"
    QUOTA_REACHED = "QuotaReached"
    RESIZE_TIMED_OUT = "ResizeTimedOut"
    RESIZE_STOPPED = "ResizeStopped"
    RESIZE_FAILED = "ResizeFailed"
    TOO_MANY_SLOTS = "TooManySlots"
    NO_INTER_NODE_COMMUNICATION = "NoInterNodeCommunication"
    SLOTS_PER_NODE_NOT_ONE = "SlotsPerNodeNotOne"
    TOO_FEW_NODES = "TooFewNodes"
    NO_DEDICATED_NODE = "NoDedicatedNode"
    # its nodes
    NODES_CREATING = "NodesCreating"
    NODES_STARTING = "NodesStarting"
    START_TASK_RUNNING = "StartTaskRunning"
    START_TASK_FAILED = "StartTaskFailed"
    NODES_UNUSABLE = "NodesUnusable"
    NODES_UNKNOWN = "NodesUnknown"
    NODES_AWAY = "NodesAway"
    NODES_REBOOTING = "NodesRebooting"
    NODES_REIMAGING = "NodesReimaging"
    NODES_PREEMPTED = "NodesPreempted"
    NODES_DEALLOCATED = "NodesDeallocated"
    NODES_CLOSED = "NodesClosed"
    NODES_CLOSING = "NodesClosing"
    NODES_LEAVING = "NodesLeaving"
    PREPARATION_FAILED = "PreparationFailed"
    # its place among those that wait
    MANAGER_FIRST = "ManagerFirst"
    NODES_HELD = "NodesHeld"
    HELD_FOR_ANOTHER = "HeldForAnother"
    NODES_TAKEN = "NodesTaken"
    SLOTS_TAKEN = "SlotsTaken"
    WAITS_ITS_TURN = "WaitsItsTurn"


class Reason(msgspec.Struct, frozen=True, rename="camel"):
    """One cause. `code` and `details` are for programs; `remedy` says what would change it."""

    code: str
    message: str
    remedy: str
    details: tuple[Detail, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """Waiting tasks of a job that have the same first cause; the reason is that of one of them.

    Where none waits, what is wrong with the job itself.
    """

    reason: Reason
    count: int
    task_id: str | None


class Summary(msgspec.Struct, frozen=True):
    """Why the tasks of a job wait: those that have waited for longest, up to a number."""

    job_id: str
    job_state: JobState
    waiting: int  # in all
    looked_at: int
    groups: Sequence[Group]  # the largest first


def because(code: Code, message: str, remedy: str, **details: object) -> Reason:
    """Give a cause; details that are None are left out, their names become camel case."""
    told = tuple(
        Detail(_camel(name), str(value)) for name, value in details.items() if value is not None
    )
    return Reason(code.value, message, remedy, told)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def counted(count: int, what: str) -> str:
    """A number of things: ``1 node``, ``2 nodes``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def some_are(count: int, total: int, what: str = "node") -> str:
    """Some of several things, as the beginning of a sentence: ``2 of 3 nodes are``."""
    if count == total:
        return f"The only {what} is" if total == 1 else f"All {total} {what}s are"
    return f"{count} of {total} {what}s {'is' if count == 1 else 'are'}"
