"""What the service knows of each thing: the rows that the store keeps.

Records are frozen; a change makes a new one (`msgspec.structs.replace`). Numbers (`no`) come
from one sequence of the store, are never used twice, and are what the parts of the service call
things among themselves; ids are the users' names and compare without regard to case.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from penstock.domain.specs.job import JobSpec
from penstock.domain.specs.pool import PoolSpec
from penstock.domain.specs.task import Dependencies, ExitConditions
from penstock.domain.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    SchedulingState,
    TaskResult,
    TaskState,
)


def key_of(name: str) -> str:
    """The form in which ids are compared."""
    return name.lower()


class Detail(msgspec.Struct, frozen=True):
    """A name and a value in a list of details."""

    name: str
    value: str


class Failure(msgspec.Struct, frozen=True):
    """Why a task or a resize did not succeed. `category` is ``usererror`` or ``servererror``."""

    category: str
    code: str
    message: str
    details: tuple[Detail, ...] = ()


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A pool. Its current size is the number of its nodes, kept in the two counters."""

    no: int
    account: str
    spec: PoolSpec  # as created and updated; targets as last asked for
    state: PoolState
    state_us: int
    allocation: AllocationState
    allocation_us: int
    created_us: int
    modified_us: int
    dedicated_nodes: int = 0
    low_priority_nodes: int = 0
    resize_errors: tuple[Failure, ...] = ()
    resize_due_us: int | None = None  # when the running resize times out

    @property
    def id(self) -> str:
        return self.spec.id


class StartTaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of a node's start task."""

    running: bool
    start_us: int
    end_us: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    retry_count: int = 0
    last_retry_us: int | None = None


class RecentTask(msgspec.Struct, frozen=True, kw_only=True):
    """One line in a node's list of its last tasks, newest first."""

    job_id: str
    task_id: str
    state: TaskState
    start_us: int | None = None
    end_us: int | None = None
    exit_code: int | None = None
    result: TaskResult | None = None
    failure: Failure | None = None
    retry_count: int = 0
    requeue_count: int = 0


class Removal(StrEnum):
    """What becomes of the running tasks of a node that is to leave."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A compute node."""

    no: int
    pool_no: int
    account: str
    id: str
    dedicated: bool
    slots: int
    vm_size: str
    state: NodeState
    state_us: int
    scheduling: SchedulingState = SchedulingState.ENABLED
    allocated_us: int
    booted_us: int | None = None
    address: str | None = None
    host: str | None = None  # id of the node host that has it, once chosen
    agent_version: str | None = None
    start_task: StartTaskInfo | None = None
    tasks_run: int = 0
    tasks_succeeded: int = 0
    running_tasks: int = 0
    running_slots: int = 0
    errors: tuple[Failure, ...] = ()
    leaving: Removal | None = None  # set while it waits for its tasks before it leaves


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks (or slots of tasks) of a job are in which state. Failed + succeeded
    are the completed ones; preparing counts as running."""

    active: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    no: int
    account: str
    spec: JobSpec
    state: JobState
    state_us: int
    previous_state: JobState | None = None
    previous_state_us: int | None = None
    created_us: int
    modified_us: int
    end_us: int | None = None
    terminate_reason: str | None = None
    disable_how: str | None = None  # requeue | terminate | wait, while disabling
    moved: bool = False  # its pool was another one before, so its files may be there too

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def pool_id(self) -> str:
        return self.spec.pool_info.pool_id or ""


class Ending(StrEnum):
    """Why a running task was told to stop; its record changes when it has stopped."""

    TERMINATED = "terminated"  # by a user, or with its job
    REQUEUED = "requeued"  # it is to run again
    DELETED = "deleted"  # its record is to go


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task, without the specification, which is kept beside it."""

    no: int
    job_no: int
    id: str
    state: TaskState
    state_us: int
    created_us: int
    modified_us: int
    previous_state: TaskState | None = None
    previous_state_us: int | None = None
    slots: int = 1
    max_retries: int = 0  # -1: no limit
    retention_us: int | None = None  # None: for ever
    attempt: int = 0  # how often it was given to a node; numbers the runs
    retry_count: int = 0
    last_retry_us: int | None = None
    requeue_count: int = 0
    last_requeue_us: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    exit_code: int | None = None
    result: TaskResult | None = None
    failure: Failure | None = None
    pool_id: str | None = None  # of the last run
    node_id: str | None = None
    node_no: int | None = None
    ahead: bool = False  # active, but sent to its node, to begin as soon as slots are free
    ending: Ending | None = None
    files_until_us: int | None = None  # when its directory is to be removed
    files_gone: bool = False  # its directory was removed
    satisfies: bool = False  # completed in a way that lets its dependents run
    affinity: str | None = None
    depends: Dependencies | None = None
    exit_conditions: ExitConditions | None = None


class WaitingTask(msgspec.Struct, frozen=True, gc=False):
    """What scheduling needs of a task that waits; there may be a million of them."""

    no: int
    job_no: int
    slots: int
    affinity: str | None = None
    depends: Dependencies | None = None


class Chore(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a node that is sent until the node says that it is done."""

    no: int
    node_no: int
    job_no: int  # the job that cannot be forgotten before this is done; 0: none
    message: bytes  # an encoded instruction of `penstock.messages`
