"""The states that pools, nodes, jobs, tasks and others go through, and the moves between them.

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

    PREPARES = "prepares"  # a node was chosen, and has to be prepared for the job first
    ASSIGNED = "assigned"  # a node was chosen and told, and is prepared
    EXITED = "exited"  # its last run ended, well or not
    RETRIED = "retried"  # bad exit code, retries left
    REQUEUED = "requeued"  # taken off its node through no fault of its own
    TERMINATED = "terminated"  # ended by a user before it could end by itself
    REACTIVATED = "reactivated"


TASK_MOVES: Final[Mapping[TaskState, Mapping[TaskEvent, TaskState]]] = {
    TaskState.ACTIVE: {
        TaskEvent.PREPARES: TaskState.PREPARING,
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


class SubtaskState(IntEnum):
    """What the part of a multi-instance task on one node is doing."""

    PREPARING = 1
    RUNNING = 2
    COMPLETED = 3

    @property
    def wire_name(self) -> str:
        return self.name.lower()


class SubtaskEvent(StrEnum):
    """What may happen to a part of a multi-instance task."""

    BEGAN = "began"  # its node was told to run it
    ENDED = "ended"  # nothing of it runs any more


SUBTASK_MOVES: Final[Mapping[SubtaskState, Mapping[SubtaskEvent, SubtaskState]]] = {
    SubtaskState.PREPARING: {
        SubtaskEvent.BEGAN: SubtaskState.RUNNING,
        SubtaskEvent.ENDED: SubtaskState.COMPLETED,
    },
    SubtaskState.RUNNING: {SubtaskEvent.ENDED: SubtaskState.COMPLETED},
    SubtaskState.COMPLETED: {},
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
    QUIET = "nothing of it runs any more"
    ENABLED = "enable requested"
    RESUMED = "its tasks are scheduled again"
    NO_POOL = "its auto pool could not be made"
    TERMINATED = "terminate requested"
    DELETED = "delete requested"


TERMINATE_OR_DELETE: Final = {
    JobEvent.TERMINATED: JobState.TERMINATING,
    JobEvent.DELETED: JobState.DELETING,
}

JOB_MOVES: Final[Mapping[JobState, Mapping[JobEvent, JobState]]] = {
    JobState.ACTIVE: {
        JobEvent.DISABLED: JobState.DISABLING,
        JobEvent.NO_POOL: JobState.COMPLETED,
        **TERMINATE_OR_DELETE,
    },
    JobState.DISABLING: {
        JobEvent.DISABLED: JobState.DISABLING,
        JobEvent.QUIET: JobState.DISABLED,
        JobEvent.ENABLED: JobState.ENABLING,
        **TERMINATE_OR_DELETE,
    },
    JobState.DISABLED: {
        JobEvent.DISABLED: JobState.DISABLING,
        JobEvent.ENABLED: JobState.ENABLING,
        **TERMINATE_OR_DELETE,
    },
    JobState.ENABLING: {
        JobEvent.RESUMED: JobState.ACTIVE,
        JobEvent.DISABLED: JobState.DISABLING,
        **TERMINATE_OR_DELETE,
    },
    JobState.TERMINATING: {
        JobEvent.QUIET: JobState.COMPLETED,
        JobEvent.DELETED: JobState.DELETING,
    },
    JobState.COMPLETED: {JobEvent.DELETED: JobState.DELETING},
    JobState.DELETING: {},
}


class ScheduleState(StrEnum):
    """What a job schedule is doing."""

    ACTIVE = "active"
    DISABLED = "disabled"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class ScheduleEvent(StrEnum):
    """What may happen to a job schedule."""

    DISABLED = "disable requested"
    ENABLED = "enable requested"
    TERMINATED = "terminate requested"
    QUIET = "its last job is completed"
    ENDED = "no job is left to be made"
    DELETED = "delete requested"


SCHEDULE_MOVES: Final[Mapping[ScheduleState, Mapping[ScheduleEvent, ScheduleState]]] = {
    ScheduleState.ACTIVE: {
        ScheduleEvent.DISABLED: ScheduleState.DISABLED,
        ScheduleEvent.ENDED: ScheduleState.COMPLETED,
        ScheduleEvent.TERMINATED: ScheduleState.TERMINATING,
        ScheduleEvent.DELETED: ScheduleState.DELETING,
    },
    ScheduleState.DISABLED: {
        ScheduleEvent.ENABLED: ScheduleState.ACTIVE,
        ScheduleEvent.TERMINATED: ScheduleState.TERMINATING,
        ScheduleEvent.DELETED: ScheduleState.DELETING,
    },
    ScheduleState.TERMINATING: {
        ScheduleEvent.QUIET: ScheduleState.COMPLETED,
        ScheduleEvent.DELETED: ScheduleState.DELETING,
    },
    ScheduleState.COMPLETED: {ScheduleEvent.DELETED: ScheduleState.DELETING},
    ScheduleState.DELETING: {},
}


class PoolState(StrEnum):
    """Whether a pool is there to stay."""

    ACTIVE = "active"
    DELETING = "deleting"


class PoolEvent(StrEnum):
    """What may happen to a pool."""

    DELETED = "delete requested"


POOL_MOVES: Final[Mapping[PoolState, Mapping[PoolEvent, PoolState]]] = {
    PoolState.ACTIVE: {PoolEvent.DELETED: PoolState.DELETING},
    PoolState.DELETING: {},
}


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
    OFFLINE = "offline"
    REBOOTING = "rebooting"
    REIMAGING = "reimaging"
    UNKNOWN = "unknown"
    UNUSABLE = "unusable"
    PREEMPTED = "preempted"
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"
    LEAVING_POOL = "leavingpool"


class NodeEvent(StrEnum):
    """What may happen to a compute node."""

    HOSTED = "a node host has it"
    START_TASK_BEGAN = "its start task began"
    START_TASK_FAILED = "its start task failed for good"
    READY = "nothing stands between it and tasks"
    TASK_BEGAN = "its first task began"
    TASKS_ENDED = "its last task ended"
    CLOSED = "scheduling on it is disabled and nothing runs"
    OPENED = "scheduling on it is enabled"
    REBOOTED = "reboot requested"
    REIMAGED = "reimage requested"
    PREEMPTED = "its machine was taken away"
    RETURNED = "a machine is there again"
    DEALLOCATED = "deallocate requested"
    STOPPED = "nothing of it is left on its host"
    STARTED = "start requested"
    LOST = "its host fell silent"
    BROKEN = "it cannot work"
    REMOVED = "it was asked to leave"


_ANY_TIME: Final = {
    NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    NodeEvent.PREEMPTED: NodeState.PREEMPTED,
    NodeEvent.LOST: NodeState.UNKNOWN,
    NodeEvent.BROKEN: NodeState.UNUSABLE,
}
_BOOT: Final = {
    NodeEvent.REBOOTED: NodeState.REBOOTING,
    NodeEvent.REIMAGED: NodeState.REIMAGING,
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
        **_ANY_TIME,
    },
    NodeState.WAITING_FOR_START_TASK: {
        NodeEvent.START_TASK_FAILED: NodeState.START_TASK_FAILED,
        NodeEvent.READY: NodeState.IDLE,
        **_ANY_TIME,
    },
    NodeState.START_TASK_FAILED: {**_BOOT, **_ANY_TIME},
    NodeState.IDLE: {
        NodeEvent.TASK_BEGAN: NodeState.RUNNING,
        NodeEvent.CLOSED: NodeState.OFFLINE,
        NodeEvent.DEALLOCATED: NodeState.DEALLOCATING,
        **_BOOT,
        **_ANY_TIME,
    },
    NodeState.RUNNING: {
        NodeEvent.TASKS_ENDED: NodeState.IDLE,
        NodeEvent.DEALLOCATED: NodeState.DEALLOCATING,
        **_BOOT,
        **_ANY_TIME,
    },
    NodeState.OFFLINE: {
        NodeEvent.OPENED: NodeState.IDLE,
        NodeEvent.DEALLOCATED: NodeState.DEALLOCATING,
        **_BOOT,
        **_ANY_TIME,
    },
    NodeState.REBOOTING: {NodeEvent.HOSTED: NodeState.STARTING, **_ANY_TIME},
    NodeState.REIMAGING: {NodeEvent.HOSTED: NodeState.STARTING, **_ANY_TIME},
    NodeState.UNKNOWN: {
        NodeEvent.HOSTED: NodeState.STARTING,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.UNUSABLE: {
        NodeEvent.HOSTED: NodeState.STARTING,
        NodeEvent.REIMAGED: NodeState.REIMAGING,
        NodeEvent.LOST: NodeState.UNKNOWN,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.PREEMPTED: {
        NodeEvent.RETURNED: NodeState.CREATING,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.DEALLOCATING: {
        NodeEvent.STOPPED: NodeState.DEALLOCATED,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.DEALLOCATED: {
        NodeEvent.STARTED: NodeState.STARTING,
        NodeEvent.REMOVED: NodeState.LEAVING_POOL,
    },
    NodeState.LEAVING_POOL: {},
}


class CertificateState(StrEnum):
    """Whether a certificate can be used."""

    ACTIVE = "active"
    DELETING = "deleting"
    DELETE_FAILED = "deletefailed"


class CertificateEvent(StrEnum):
    """What may happen to a certificate; one that nothing refers to is gone from deleting."""

    DELETED = "deleted"  # a user wants it gone
    REFERENCED = "referenced"  # something still refers to it
    KEPT = "kept"  # the user wants it no longer gone


CERTIFICATE_MOVES: Final[Mapping[CertificateState, Mapping[CertificateEvent, CertificateState]]] = {
    CertificateState.ACTIVE: {CertificateEvent.DELETED: CertificateState.DELETING},
    CertificateState.DELETING: {CertificateEvent.REFERENCED: CertificateState.DELETE_FAILED},
    CertificateState.DELETE_FAILED: {
        CertificateEvent.DELETED: CertificateState.DELETING,
        CertificateEvent.KEPT: CertificateState.ACTIVE,
    },
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
