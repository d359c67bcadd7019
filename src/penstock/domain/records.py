"""What the service knows of each thing: the rows that the store keeps.

Records are frozen; a change makes a new one (`msgspec.structs.replace`). Numbers (`no`) come
from one sequence of the store, are never used twice, and are what the parts of the service call
things among themselves; ids are the users' names and compare without regard to case.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from penstock.domain.specs.job import JobSpec
from penstock.domain.specs.pool import PoolSpec, StartTask
from penstock.domain.specs.schedule import JobScheduleSpec
from penstock.domain.specs.task import Dependencies, ExitConditions
from penstock.domain.states import (
    AllocationState,
    CertificateState,
    JobState,
    NodeState,
    PoolState,
    ScheduleState,
    SchedulingState,
    SubtaskState,
    TaskResult,
    TaskState,
)
from penstock.domain.usage import Usage


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
    resize_us: int | None = None  # when the last resize began
    removal: Removal | None = None  # how it takes nodes away; None: it adds some
    auto: bool = False  # it was made for a job or a schedule

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
    subtask: int | None = None  # its index, of a part of a multi-instance task but the primary
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


class NodeWork(StrEnum):
    """What a user may have done with a node that stays in its pool."""

    REBOOT = "reboot"
    REIMAGE = "reimage"
    DEALLOCATE = "deallocate"


class NodeWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done with a node once its tasks allow it."""

    work: NodeWork
    how: Removal


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
    wish: NodeWish | None = None  # set until the work has begun
    boot: int = 0  # how often it was started anew
    wiped: int = 0  # the boot before which none of its files stays
    back_us: int | None = None  # when it may return; set until it has, once it was preempted
    start_spec: StartTask | msgspec.UnsetType | None = msgspec.UNSET  # as of this boot

    def start_task_in(self, pool: PoolRecord) -> StartTask | None:
        """The start task of this boot: changes of the pool's act at the next one."""
        # An older release did not note it, so one of its nodes has that of its pool.
        known = self.start_spec
        return pool.spec.start_task if known is msgspec.UNSET else known


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
    auto_pool: str | None = None  # id of the pool that was made for it
    schedule_no: int | None = None  # of the schedule that made it
    scheduling_error: Failure | None = None  # why its auto pool could not be made
    manager_no: int | None = None  # number of its job manager task
    released: bool = False  # its release tasks were started, or are not to be
    removing: bool = False  # its directories are being removed

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def pool_id(self) -> str:
        """The pool that it runs on, made for it or not; empty when there is none."""
        return self.auto_pool or self.spec.pool_info.pool_id or ""


class Ending(StrEnum):
    """Why a running task was told to stop; its record changes when it has stopped."""

    TERMINATED = "terminated"  # by a user, or with its job
    REQUEUED = "requeued"  # it is to run again
    FINISHED = "finished"  # its command is over, and the rest of its parts is ended
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
    instances: int = 0  # of a multi-instance task; 0: it is none
    manager: bool = False  # it is the manager of its job
    held: int = 0  # slots that it takes on each node, while a node has it; 0: `slots`
    command_over: bool = False  # of a multi-instance task: its command runs no more
    usage: Usage | None = None  # by all its runs that are over

    @property
    def waited_us(self) -> int:
        """How long it was in its state before, while it runs."""
        if self.start_us is None or self.previous_state_us is None:
            return 0
        return max(0, self.start_us - self.previous_state_us)


class WaitingTask(msgspec.Struct, frozen=True, gc=False):
    """What scheduling needs of a task that waits; there may be a million of them."""

    no: int
    job_no: int
    slots: int
    affinity: str | None = None
    depends: Dependencies | None = None
    instances: int = 0
    manager: bool = False
    again: bool = False  # a node had it before


class SubtaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a multi-instance task on one node: a run of its coordination command."""

    no: int  # names the run on the link, with the attempt
    task_no: int
    job_no: int
    attempt: int  # of the task
    index: int  # 0 is the primary, which clients are not shown
    node_no: int
    node_id: str
    pool_id: str
    state: SubtaskState
    state_us: int
    previous_state: SubtaskState | None = None
    previous_state_us: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    coordinated: bool = False  # its command has exited with 0


class SpecialRun(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of a job's preparation or release task on a node."""

    attempt: int
    running: bool
    start_us: int
    end_us: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    retry_count: int = 0
    last_retry_us: int | None = None
    stopping: bool = False  # it was told to end


class JobNodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has done on a node beside its tasks. It outlives the node."""

    no: int  # names the runs of the preparation task on the link
    release_no: int  # names those of the release task
    job_no: int
    pool_id: str
    node_no: int
    node_id: str
    boot: int  # of the node, when the preparation began
    preparation: SpecialRun | None = None
    release: SpecialRun | None = None

    @property
    def key(self) -> str:
        """What orders the list of these: the first came first."""
        return f"{self.no:016d}"

    @property
    def is_prepared(self) -> bool:
        """Whether the last preparation was a success."""
        run = self.preparation
        return run is not None and not run.running and run.failure is None


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job schedule."""

    no: int
    account: str
    spec: JobScheduleSpec
    state: ScheduleState
    state_us: int
    previous_state: ScheduleState | None = None
    previous_state_us: int | None = None
    created_us: int
    modified_us: int
    next_run_us: int | None = None  # when the next job is due, or was, while it waits for the last
    last_due_us: int | None = None  # when the last job was due, whether or not it was made
    end_us: int | None = None
    jobs_made: int = 0
    job_no: int | None = None  # of its job that is not completed
    recent_job: str | None = None  # id of the last job that it made
    auto_pool: str | None = None  # id of the pool that its jobs share
    forced: bool = False  # its jobs are deleted without waiting for their nodes

    @property
    def id(self) -> str:
        return self.spec.id


class CertificateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, without its data and password, which are kept sealed beside it."""

    no: int
    account: str
    thumbprint: str  # 40 hexadecimal digits, as the client wrote them
    algorithm: str  # sha1
    format: str  # pfx | cer
    public_data: str  # the certificate without any key: base64 of its DER form
    state: CertificateState
    state_us: int
    previous_state: CertificateState | None = None
    previous_state_us: int | None = None
    delete_error: Failure | None = None  # why the last attempt to delete it failed

    @property
    def id(self) -> str:
        """What names it within its account."""
        return certificate_id(self.algorithm, self.thumbprint)


def certificate_id(algorithm: str, thumbprint: str) -> str:
    """The name of a certificate, as the files on its nodes have it."""
    return f"{algorithm}-{thumbprint}"


class NodeUserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An account for logging in to a node."""

    no: int
    node_no: int
    name: str
    admin: bool = False
    expiry_us: int
    password: bytes | None = None  # sealed
    ssh_public_key: str | None = None


class EventRecord(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, as the log of events tells it."""

    no: int
    at_us: int
    account: str
    name: str
    body: bytes  # a JSON object


class Chore(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a node that is sent until the node says that it is done."""

    no: int
    node_no: int
    job_no: int  # the job that cannot be forgotten before this is done; 0: none
    message: bytes  # an encoded instruction of `penstock.messages`
