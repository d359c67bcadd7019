"""The states that pools, nodes, jobs and tasks go through, and the moves between them.

Each machine is one table: state, then event, then the state that follows. Everything that may
move a thing stands in its table, so the diagrams and the tests are made from the tables too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, TypeVar

S = TypeVar("S")
E = TypeVar("E")


class IllegalMove(Exception):
    """A move that no table allows: a bug of ours, never a mistake of a client."""


class TaskState(IntEnum):
    """What a task is doing. Stored as a number; `wire_name` is what clients see."""

    ACTIVE = 0
    PREPARING = 1
    RUNNING = 2
    COMPLETED = 3

    @property
    def wire_name(self) -> str:
        return self.name.lower()


class TaskResult(IntEnum):
    """How a completed task ended."""

    SUCCESS = 0
    FAILURE = 1

    @property
    def wire_name(self) -> str:
        return self.name.lower()


class TaskEvent(StrEnum):
    """What may happen to a task."""

    ASSIGNED = "assigned"  # a node was chosen and told
    EXITED = "exited"  # its last run ended, well or not
    RETRIED = "retried"  # bad exit code, retries left
    REQUEUED = "requeued"  # taken off its node through no fault of its own
    TERMINATED = "terminated"  # ended by a user before it could end by itself
    REACTIVATED = "reactivated"


TASK_MOVES: Final[Mapping[TaskState, Mapping[TaskEvent, TaskState]]] = {
    TaskState.ACTIVE: {
        TaskEvent.ASSIGNED: TaskState.RUNNING,
        TaskEvent.TERMINATED: TaskState.COMPLETED,
    },
    TaskState.PREPARING: {
        TaskEvent.ASSIGNED: TaskState.RUNNING,
        TaskEvent.REQUEUED: TaskState.ACTIVE,
        TaskEvent.TERMINATED: TaskState.COMPLETED,
    },
    TaskState.RUNNING: {
        TaskEvent.EXITED: TaskState.COMPLETED,
        TaskEvent.RETRIED: TaskState.ACTIVE,
        TaskEvent.REQUEUED: TaskState.ACTIVE,
        TaskEvent.TERMINATED: TaskState.COMPLETED,
    },
    TaskState.COMPLETED: {TaskEvent.REACTIVATED: TaskState.ACTIVE},
}


class JobState(StrEnum):
    """What a job is doing."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class JobEvent(StrEnum):
    """What may happen to a job."""

    DISABLED = "disable requested"
    QUIET = "none of its tasks runs any more"
    ENABLED = "enabled"
    TERMINATED = "terminate requested"
    DELETED = "delete requested"


TERMINATE_OR_DELETE: Final = {
    JobEvent.TERMINATED: JobState.TERMINATING,
    JobEvent.DELETED: JobState.DELETING,
}

JOB_MOVES: Final[Mapping[JobState, Mapping[JobEvent, JobState]]] = {
    JobState.ACTIVE: {JobEvent.DISABLED: JobState.DISABLING, **TERMINATE_OR_DELETE},
    JobState.DISABLING: {
        JobEvent.DISABLED: JobState.DISABLING,
        JobEvent.QUIET: JobState.DISABLED,
        JobEvent.ENABLED: JobState.ACTIVE,
        **TERMINATE_OR_DELETE,
    },
    JobState.DISABLED: {
        JobEvent.DISABLED: JobState.DISABLING,
        JobEvent.ENABLED: JobState.ACTIVE,
        **TERMINATE_OR_DELETE,
    },
    JobState.ENABLING: {JobEvent.ENABLED: JobState.ACTIVE, **TERMINATE_OR_DELETE},
    JobState.TERMINATING: {
        JobEvent.QUIET: JobState.COMPLETED,
        JobEvent.DELETED: JobState.DELETING,
    },
    JobState.COMPLETED: {JobEvent.DELETED: JobState.DELETING},
    JobState.DELETING: {},
}


class PoolState(StrEnum):
    """Whether a pool is there to stay."""

    ACTIVE = "active"
    DELETING = "deleting"


class AllocationState(StrEnum):
    """Whether the number of nodes of a pool is changing."""

    STEADY = "steady"
    RESIZING = "resizing"
    STOPPING = "stopping"


class AllocationEvent(StrEnum):
    """What may happen to the size of a pool."""

    RESIZED = "new targets"
    STOPPED = "stop requested"
    SETTLED = "nothing left to add or remove"


ALLOCATION_MOVES: Final[Mapping[AllocationState, Mapping[AllocationEvent, AllocationState]]] = {
    AllocationState.STEADY: {AllocationEvent.RESIZED: AllocationState.RESIZING},
    AllocationState.RESIZING: {
        AllocationEvent.STOPPED: AllocationState.STOPPING,
        AllocationEvent.SETTLED: AllocationState.STEADY,
    },
    AllocationState.STOPPING: {AllocationEvent.SETTLED: AllocationState.STEADY},
}


class NodeState(StrEnum):
    """What a compute node is doing."""

    CREATING = "creating"
    STARTING = "starting"
    WAITING_FOR_START_TASK = "waitingforstarttask"
    START_TASK_FAILED = "starttaskfailed"
    IDLE = "idle"
    RUNNING = "running"
    UNKNOWN = "unknown"
    UNUSABLE = "unusable"
    LEAVING_POOL = "leavingpool"


class NodeEvent(StrEnum):
    """What may happen to a compute node."""

    HOSTED = "a node host took it"
    START_TASK_BEGAN = "its start task began"
    START_TASK_FAILED = "its start task failed for good"
    READY = "nothing stands between it and tasks"
    TASK_BEGAN = "its first task began"
    TASKS_ENDED = "its last task ended"
    LOST = "its host fell silent"
    BROKEN = "it cannot work"
    REMOVED = "it was asked to leave"


_LEAVE_OR_LOST: Final = {
    NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    NodeEvent.LOST: NodeState.UNKNOWN,
    NodeEvent.BROKEN: NodeState.UNUSABLE,
}

NODE_MOVES: Final[Mapping[NodeState, Mapping[NodeEvent, NodeState]]] = {
    NodeState.CREATING: {
        NodeEvent.HOSTED: NodeState.STARTING,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
        NodeEvent.BROKEN: NodeState.UNUSABLE,
    },
    NodeState.STARTING: {
        NodeEvent.START_TASK_BEGAN: NodeState.WAITING_FOR_START_TASK,
        NodeEvent.READY: NodeState.IDLE,
        **_LEAVE_OR_LOST,
    },
    NodeState.WAITING_FOR_START_TASK: {
        NodeEvent.START_TASK_FAILED: NodeState.START_TASK_FAILED,
        NodeEvent.READY: NodeState.IDLE,
        **_LEAVE_OR_LOST,
    },
    NodeState.START_TASK_FAILED: {**_LEAVE_OR_LOST},
    NodeState.IDLE: {NodeEvent.TASK_BEGAN: NodeState.RUNNING, **_LEAVE_OR_LOST},
    NodeState.RUNNING: {NodeEvent.TASKS_ENDED: NodeState.IDLE, **_LEAVE_OR_LOST},
    NodeState.UNKNOWN: {
        NodeEvent.HOSTED: NodeState.STARTING,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.UNUSABLE: {
        NodeEvent.HOSTED: NodeState.STARTING,
        NodeEvent.LOST: NodeState.UNKNOWN,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.LEAVING_POOL: {},
}


class SchedulingState(StrEnum):
    """Whether a node may be given tasks."""

    ENABLED = "enabled"
    DISABLED = "disabled"


def after(table: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    """The state that follows. No row means a bug in our code, so fail loudly."""
    try:
        return table[state][event]
    except KeyError:
        raise IllegalMove(f"no move for {event!r} in state {state!r}") from None
