"""What a decision may alter. The store writes changes; the state in memory applies them."""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.domain.metering import Lifetime, Meter, PoolUsage
from penstock.domain.records import (
    CertificateRecord,
    Chore,
    Counts,
    EventRecord,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    NodeUserRecord,
    PoolRecord,
    RecentTask,
    ScheduleRecord,
    SubtaskRecord,
    TaskRecord,
)
from penstock.domain.states import TaskState
from penstock.domain.usage import Totals

RECENT_KEPT: Final = 10


class PutPool(msgspec.Struct, frozen=True, gc=False):
    """Add the pool, or replace the record with its number."""

    pool: PoolRecord


class DropPool(msgspec.Struct, frozen=True, gc=False):
    """Forget the pool. Its nodes are dropped before."""

    no: int


class PutNode(msgspec.Struct, frozen=True, gc=False):
    """Add the node, or replace the record with its number."""

    node: NodeRecord


class OccupyNode(msgspec.Struct, frozen=True, gc=False):
    """Replace the record of a node of which only state, times of it and counts have changed."""

    node: NodeRecord


class RanOn(msgspec.Struct, frozen=True, gc=False):
    """A task has run on a node, as the `count`-th there; the last `RECENT_KEPT` are remembered."""

    node_no: int
    count: int
    task: RecentTask


class DropNode(msgspec.Struct, frozen=True, gc=False):
    """Forget the node, its chores, its users and what ran on it."""

    no: int


class PutJob(msgspec.Struct, frozen=True, gc=False):
    """Add the job, or replace the record with its number."""

    job: JobRecord


class DropJob(msgspec.Struct, frozen=True, gc=False):
    """Forget the job with its counts and all its tasks; these are removed by `SweepJob`."""

    no: int
    tasks: int  # how many it has


class SweepJob(msgspec.Struct, frozen=True, gc=False):
    """Remove up to `most` tasks of a dropped job, which nobody sees any more."""

    no: int
    most: int


class KeepSatisfied(msgspec.Struct, frozen=True, gc=False):
    """A task that had ended well is gone or runs again; for older tasks it has ended well."""

    job_no: int
    task_id: str
    before_no: int  # tasks with a smaller number are older


class AddTask(msgspec.Struct, frozen=True, gc=False):
    """Add a task with its specification, an encoded `TaskSpec`."""

    task: TaskRecord
    spec: bytes


class SetTask(msgspec.Struct, frozen=True, gc=False):
    """Replace the record of a task that was in the state `was`; `spec` too, where it is given."""

    task: TaskRecord
    was: TaskState
    spec: bytes | None = None


class DropTask(msgspec.Struct, frozen=True, gc=False):
    """Forget a task."""

    task: TaskRecord


class SetCounts(msgspec.Struct, frozen=True, gc=False):
    """The counts of a job: of its tasks, and of the slots that these ask for."""

    job_no: int
    tasks: Counts
    slots: Counts


class PutChore(msgspec.Struct, frozen=True, gc=False):
    """Remember something to be done on a node."""

    chore: Chore


class DropChore(msgspec.Struct, frozen=True, gc=False):
    """It is done."""

    no: int


class PutSubtask(msgspec.Struct, frozen=True, gc=False):
    """Add a part of a multi-instance task, or replace the record with its number."""

    subtask: SubtaskRecord


class DropSubtasks(msgspec.Struct, frozen=True, gc=False):
    """Forget the parts of a multi-instance task."""

    task_no: int


class PutJobNode(msgspec.Struct, frozen=True, gc=False):
    """Add what a job has done on a node, or replace the record with its number."""

    job_node: JobNodeRecord


class PutSchedule(msgspec.Struct, frozen=True, gc=False):
    """Add the job schedule, or replace the record with its number."""

    schedule: ScheduleRecord


class DropSchedule(msgspec.Struct, frozen=True, gc=False):
    """Forget the job schedule. Its jobs are dropped before."""

    no: int


class PutCertificate(msgspec.Struct, frozen=True, gc=False):
    """Add the certificate, or replace the record with its number.

    `secret` is its sealed data and password, given when it is added.
    """

    certificate: CertificateRecord
    secret: bytes | None = None


class DropCertificate(msgspec.Struct, frozen=True, gc=False):
    """Forget the certificate with its secret."""

    no: int


class PutNodeUser(msgspec.Struct, frozen=True, gc=False):
    """Add a user of a node, or replace the record with its number."""

    user: NodeUserRecord


class DropNodeUser(msgspec.Struct, frozen=True, gc=False):
    """Forget a user of a node."""

    no: int


class AddEvent(msgspec.Struct, frozen=True, gc=False):
    """Write a line of the log of events."""

    event: EventRecord


class TrimEvents(msgspec.Struct, frozen=True, gc=False):
    """Forget the events with smaller numbers."""

    before_no: int


class SetTotals(msgspec.Struct, frozen=True, gc=False):
    """What the tasks of a job or a job schedule have used. They go with it."""

    no: int
    totals: Totals


class SetLifetime(msgspec.Struct, frozen=True, gc=False):
    """What an account has used since it was first used."""

    account: str
    lifetime: Lifetime


class PutMeter(msgspec.Struct, frozen=True, gc=False):
    """Add the meter of a pool, or replace it."""

    meter: Meter


class DropMeter(msgspec.Struct, frozen=True, gc=False):
    """Forget the meter of a pool. The spans that it has told of stay."""

    pool_no: int


class AddPoolUsage(msgspec.Struct, frozen=True, gc=False):
    """Write down a span of a pool that is over."""

    usage: PoolUsage


class TrimPoolUsage(msgspec.Struct, frozen=True, gc=False):
    """Forget the spans that were over by then."""

    until_us: int


class SetClock(msgspec.Struct, frozen=True, gc=False):
    """How far the time of the service is ahead of the machine's."""

    offset_us: int


Change = (
    PutPool
    | DropPool
    | PutNode
    | OccupyNode
    | RanOn
    | DropNode
    | PutJob
    | DropJob
    | SweepJob
    | KeepSatisfied
    | AddTask
    | SetTask
    | DropTask
    | SetCounts
    | PutChore
    | DropChore
    | PutSubtask
    | DropSubtasks
    | PutJobNode
    | PutSchedule
    | DropSchedule
    | PutCertificate
    | DropCertificate
    | PutNodeUser
    | DropNodeUser
    | AddEvent
    | TrimEvents
    | SetTotals
    | SetLifetime
    | PutMeter
    | DropMeter
    | AddPoolUsage
    | TrimPoolUsage
    | SetClock
)
