"""The promise that every store keeps. One test suite holds all stores to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NewType, Protocol

import msgspec

from penstock.domain.changes import Change
from penstock.domain.metering import Lifetime, Meter, PoolUsage
from penstock.domain.queries import Filter, Query, UsageQuery
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
    WaitingTask,
)
from penstock.domain.usage import Totals

Revision = NewType("Revision", int)
"""How many commits the store has seen."""


class StaleRevision(Exception):
    """The store is not at the expected revision: another server took over."""


class StoreRefused(Exception):
    """The store can not be used, and why; nothing was changed. Its place is for the caller to say.

    It may have been written by a newer release, or be out of reach.
    """


class StoreDamaged(StoreRefused):
    """The store is not as it was written; what helps is a backup."""


class WriteFailed(Exception):
    """The commit did not happen; nothing of it was written. The disk may be full."""


class JobCounts(msgspec.Struct, frozen=True):
    """What `SetCounts` said last."""

    tasks: Counts
    slots: Counts


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the engine needs to go on from the last commit."""

    revision: Revision
    next_no: int
    pools: Sequence[PoolRecord]
    nodes: Sequence[NodeRecord]
    jobs: Sequence[JobRecord]
    counts: dict[int, JobCounts]  # by job number
    waiting: Iterable[WaitingTask]  # active and not sent ahead, oldest first; read once, lazily
    given: Sequence[TaskRecord]  # all others that are not completed
    satisfied: dict[int, list[str]]  # by job number: ids of completed tasks that satisfy
    satisfied_once: dict[int, dict[str, int]]  # by job number: what `KeepSatisfied` said last
    dropped: dict[int, int]  # dropped jobs: how many of their tasks are still to be removed
    chores: Sequence[Chore]
    subtasks: Sequence[SubtaskRecord] = ()  # of the given tasks, oldest first
    job_nodes: Sequence[JobNodeRecord] = ()  # of the jobs that are not completed, likewise
    schedules: Sequence[ScheduleRecord] = ()
    certificates: Sequence[CertificateRecord] = ()
    node_users: Sequence[NodeUserRecord] = ()
    clock_offset_us: int = 0
    totals: dict[int, Totals] = {}  # by number of job or schedule
    lifetimes: dict[str, Lifetime] = {}  # by account
    meters: dict[int, Meter] = {}  # by pool number


class Store(Protocol):
    """What must survive a restart. The engine is its only writer.

    Reads see committed state only, and may run while a commit does. Any of them raises
    `Unreadable` where it can not read what is there.
    """

    async def load(self) -> Saved:
        """Give everything the engine needs to go on from the last commit.

        Raises StoreRefused, then or as `waiting` is read, where it can not be read.
        """

    async def commit(self, changes: Sequence[Change], expect: Revision, next_no: int) -> Revision:
        """Write all changes, in order, or none, durably; return the new revision.

        `next_no` is the first number not yet used. Raises StaleRevision when the store is not
        at `expect`, WriteFailed when it could not write, StoreDamaged when it never will
        again; then nothing has changed.
        """

    async def pool(self, account: str, pool_id: str) -> PoolRecord | None:
        """Find a pool; the id in any case."""

    async def node(self, pool_no: int, node_id: str) -> NodeRecord | None:
        """Find a node; the id in any case."""

    async def recent_tasks(self, node_nos: Sequence[int]) -> dict[int, list[RecentTask]]:
        """Give what runs on each node and what ran there last, newest first, each task once.

        At most `RECENT_KEPT` of each node.
        """

    async def job(self, account: str, job_id: str) -> JobRecord | None:
        """Find a job; the id in any case."""

    async def counts(self, job_no: int) -> JobCounts:
        """Give the counts of a job; all 0 where none were set."""

    async def task(self, job_no: int, task_id: str) -> tuple[TaskRecord, bytes] | None:
        """Find a task and its specification; the id in any case."""

    async def tasks_by_no(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        """Find tasks and their specifications; numbers that are gone are left out."""

    async def existing(self, job_no: int, keys: Sequence[str]) -> set[str]:
        """Say which of these keys (lower-case ids) the job has tasks for."""

    async def list_pools(self, account: str, query: Query) -> Sequence[PoolRecord]:
        """List pools in order of key."""

    async def list_nodes(self, pool_no: int, query: Query) -> Sequence[NodeRecord]:
        """List nodes in order of key."""

    async def list_jobs(self, account: str, query: Query) -> Sequence[JobRecord]:
        """List jobs in order of key."""

    async def list_tasks(self, job_no: int, query: Query) -> Sequence[tuple[TaskRecord, bytes]]:
        """List tasks and their specifications in order of key."""

    async def files_due(self, now_us: int, limit: int) -> Sequence[TaskRecord]:
        """Completed tasks whose directories are due for removal, longest due first."""

    async def oldest_waiting(self, limit: int) -> Sequence[TaskRecord]:
        """Active tasks that no node has, of jobs that were dropped too, oldest first."""

    async def subtasks(self, task_no: int) -> Sequence[SubtaskRecord]:
        """Give the parts of a multi-instance task, in the order in which they were made."""

    async def list_job_nodes(self, job_no: int, query: Query) -> Sequence[JobNodeRecord]:
        """List what a job has done on nodes beside its tasks, oldest first.

        The key of each is its number in sixteen digits.
        """

    async def schedule(self, account: str, schedule_id: str) -> ScheduleRecord | None:
        """Find a job schedule; the id in any case."""

    async def list_schedules(self, account: str, query: Query) -> Sequence[ScheduleRecord]:
        """List job schedules in order of key."""

    async def list_jobs_of(self, schedule_no: int, query: Query) -> Sequence[JobRecord]:
        """List the jobs of a schedule in order of key."""

    async def certificate(self, account: str, certificate_id: str) -> CertificateRecord | None:
        """Find a certificate; the id in any case."""

    async def certificate_secret(self, no: int) -> bytes | None:
        """Give what a certificate was added with, still sealed."""

    async def list_certificates(self, account: str, query: Query) -> Sequence[CertificateRecord]:
        """List certificates in order of key."""

    async def events(self, after: int, limit: int) -> Sequence[EventRecord]:
        """Give the oldest events with numbers above `after`, of all accounts, in order."""

    async def events_before(self, newest: int) -> int | None:
        """Give the number below which all events but the `newest` ones lie; None: there are no
        others."""

    async def totals(self, numbers: Sequence[int]) -> dict[int, Totals]:
        """Give the totals of jobs and schedules; those that have none are left out."""

    async def lifetime(self, account: str) -> Lifetime | None:
        """Give what an account has used, if anything."""

    async def meters(self, pool_nos: Sequence[int]) -> dict[int, Meter]:
        """Give the meters of pools; those that have none are left out."""

    async def meters_of(self, account: str, wanted: Filter | None = None) -> Sequence[Meter]:
        """Give the meters of the pools of an account that are there and pass a filter."""

    async def pool_usage(self, account: str, query: UsageQuery) -> Sequence[PoolUsage]:
        """List spans that are over, in order of the key, then the number of the pool, then time."""

    async def retained_until(self, node_no: int) -> int | None:
        """Say when the last directory of a completed task on a node is due for removal."""

    async def close(self) -> None:
        """Let go of files and connections."""
