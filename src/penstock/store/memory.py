"""The store in memory: for tests, and as the plainest reading of the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from penstock.domain import changes as c
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
    key_of,
)
from penstock.domain.states import JobState, TaskState
from penstock.domain.usage import Totals
from penstock.store.contract import JobCounts, Revision, Saved, StaleRevision, WriteFailed
from penstock.store.documents import each_once, line_of
from penstock.store.filters import POOL_USAGE, PROPERTIES, passes

_T = TypeVar("_T")
_RUNNING = (TaskState.PREPARING, TaskState.RUNNING)


class MemoryStore:
    """A `Store` that forgets when its process ends."""

    def __init__(self) -> None:
        self.revision = Revision(0)
        self.next_no = 1
        self.pools: dict[int, PoolRecord] = {}
        self.nodes: dict[int, NodeRecord] = {}
        self.jobs: dict[int, JobRecord] = {}
        self.job_counts: dict[int, JobCounts] = {}
        self.tasks: dict[int, TaskRecord] = {}
        self.specs: dict[int, bytes] = {}
        self.chores: dict[int, Chore] = {}
        self.recent: dict[int, dict[int, RecentTask]] = {}
        self.once: dict[int, dict[str, int]] = {}
        self.dropped: dict[int, int] = {}
        self.parts: dict[int, SubtaskRecord] = {}
        self.job_nodes: dict[int, JobNodeRecord] = {}
        self.schedules: dict[int, ScheduleRecord] = {}
        self.certificates: dict[int, CertificateRecord] = {}
        self.secrets: dict[int, bytes] = {}
        self.node_users: dict[int, NodeUserRecord] = {}
        self.log: dict[int, EventRecord] = {}
        self.clock_offset_us = 0
        self.all_totals: dict[int, Totals] = {}
        self.lifetimes: dict[str, Lifetime] = {}
        self.all_meters: dict[int, Meter] = {}
        self.spans: dict[tuple[int, int], PoolUsage] = {}  # by pool and start
        self.by_key: dict[tuple[int, str], int] = {}
        self.full = False  # a test sets it to make commits fail
        self.commits_refused = 0

    async def load(self) -> Saved:
        """See `Store.load`."""
        dependent = [job.no for job in self.jobs.values() if job.spec.uses_task_dependencies]
        return Saved(
            revision=self.revision,
            next_no=self.next_no,
            pools=list(self.pools.values()),
            nodes=list(self.nodes.values()),
            jobs=list(self.jobs.values()),
            counts=dict(self.job_counts),
            waiting=[
                _waiting(task)
                for _, task in sorted(self.tasks.items())
                if task.state is TaskState.ACTIVE and not task.ahead
            ],
            given=[
                task
                for _, task in sorted(self.tasks.items())
                if task.ahead or task.state in (TaskState.PREPARING, TaskState.RUNNING)
            ],
            satisfied={
                no: [t.id for t in self.tasks.values() if t.job_no == no and t.satisfies]
                for no in dependent
            },
            satisfied_once={no: dict(once) for no, once in self.once.items()},
            dropped=dict(self.dropped),
            chores=list(self.chores.values()),
            subtasks=[
                part
                for _, part in sorted(self.parts.items())
                if self.tasks[part.task_no].state in (TaskState.PREPARING, TaskState.RUNNING)
            ],
            job_nodes=[
                job_node
                for _, job_node in sorted(self.job_nodes.items())
                if self.jobs[job_node.job_no].state is not JobState.COMPLETED
            ],
            schedules=list(self.schedules.values()),
            certificates=list(self.certificates.values()),
            node_users=list(self.node_users.values()),
            clock_offset_us=self.clock_offset_us,
            totals=dict(self.all_totals),
            lifetimes=dict(self.lifetimes),
            meters=dict(self.all_meters),
        )

    async def commit(self, changes: Sequence[c.Change], expect: Revision, next_no: int) -> Revision:
        """See `Store.commit`."""
        if expect != self.revision:
            raise StaleRevision(f"the store is not at revision {expect}")
        if self.full:
            self.commits_refused += 1
            raise WriteFailed("no space left")
        for change in changes:
            self._write(change)
        self.revision = Revision(expect + 1)
        self.next_no = next_no
        return self.revision

    def _write(self, change: c.Change) -> None:
        match change:
            case c.PutPool(pool):
                self.pools[pool.no] = pool
            case c.DropPool(no):
                self.pools.pop(no, None)
            case c.PutNode(node) | c.OccupyNode(node):
                self.nodes[node.no] = node
            case c.RanOn(node_no, count, task):
                self.recent.setdefault(node_no, {})[count] = task
                self.recent[node_no].pop(count - c.RECENT_KEPT, None)
            case c.DropNode(no):
                self.nodes.pop(no, None)
                self.recent.pop(no, None)
                self.chores = {k: v for k, v in self.chores.items() if v.node_no != no}
                self.node_users = {k: v for k, v in self.node_users.items() if v.node_no != no}
            case c.PutJob(job):
                self.jobs[job.no] = job
            case c.DropJob(no, left):
                self._drop_job(no)
                if left:
                    self.dropped[no] = left
            case c.SweepJob(no, most):
                self.dropped[no] -= most
                if self.dropped[no] <= 0:
                    del self.dropped[no]
            case c.KeepSatisfied(job_no, task_id, before_no):
                self.once.setdefault(job_no, {})[task_id] = before_no
            case c.AddTask(task, spec):
                self.tasks[task.no] = task
                self.specs[task.no] = spec
                self.by_key[task.job_no, key_of(task.id)] = task.no
            case c.SetTask(task, _, spec):
                self.tasks[task.no] = task
                if spec is not None:
                    self.specs[task.no] = spec
            case c.DropTask(task):
                self._drop_task(task)
            case c.SetCounts(job_no, tasks, slots):
                self.job_counts[job_no] = JobCounts(tasks, slots)
            case c.PutChore(chore):
                self.chores[chore.no] = chore
            case c.DropChore(no):
                self.chores.pop(no, None)
            case _:
                self._write_more(change)

    def _write_more(self, change: c.Change) -> None:
        match change:
            case c.PutSubtask(part):
                self.parts[part.no] = part
            case c.DropSubtasks(task_no):
                self.parts = {k: v for k, v in self.parts.items() if v.task_no != task_no}
            case c.PutJobNode(job_node):
                self.job_nodes[job_node.no] = job_node
            case c.PutSchedule(schedule):
                self.schedules[schedule.no] = schedule
            case c.DropSchedule(no):
                self.schedules.pop(no, None)
                self.all_totals.pop(no, None)
            case c.PutCertificate(certificate, secret):
                self.certificates[certificate.no] = certificate
                if secret is not None:
                    self.secrets[certificate.no] = secret
            case c.DropCertificate(no):
                self.certificates.pop(no, None)
                self.secrets.pop(no, None)
            case c.PutNodeUser(user):
                self.node_users[user.no] = user
            case c.DropNodeUser(no):
                self.node_users.pop(no, None)
            case c.AddEvent(event):
                self.log[event.no] = event
            case c.TrimEvents(before_no):
                self.log = {k: v for k, v in self.log.items() if k >= before_no}
            case c.SetClock(offset_us):
                self.clock_offset_us = offset_us
            case _:
                self._write_statistics(change)

    def _write_statistics(self, change: c.Change) -> None:
        match change:
            case c.SetTotals(no, totals):
                self.all_totals[no] = totals
            case c.SetLifetime(account, lifetime):
                self.lifetimes[account] = lifetime
            case c.PutMeter(meter):
                self.all_meters[meter.pool_no] = meter
            case c.DropMeter(pool_no):
                self.all_meters.pop(pool_no, None)
            case c.AddPoolUsage(usage):
                self.spans[usage.pool_no, usage.start_us] = usage
            case c.TrimPoolUsage(until_us):
                self.spans = {k: v for k, v in self.spans.items() if v.end_us > until_us}

    def _drop_job(self, no: int) -> None:
        for task in [task for task in self.tasks.values() if task.job_no == no]:
            self._drop_task(task)
        self.job_counts.pop(no, None)
        self.all_totals.pop(no, None)
        self.once.pop(no, None)
        self.parts = {k: v for k, v in self.parts.items() if v.job_no != no}
        self.job_nodes = {k: v for k, v in self.job_nodes.items() if v.job_no != no}
        self.jobs.pop(no, None)

    def _drop_task(self, task: TaskRecord) -> None:
        if self.tasks.pop(task.no, None) is not None:
            del self.specs[task.no]
            del self.by_key[task.job_no, key_of(task.id)]

    async def pool(self, account: str, pool_id: str) -> PoolRecord | None:
        """See `Store.pool`."""
        return _named(self.pools.values(), pool_id, lambda pool: pool.account == account)

    async def node(self, pool_no: int, node_id: str) -> NodeRecord | None:
        """See `Store.node`."""
        return _named(self.nodes.values(), node_id, lambda node: node.pool_no == pool_no)

    async def recent_tasks(self, node_nos: Sequence[int]) -> dict[int, list[RecentTask]]:
        """See `Store.recent_tasks`."""
        found: dict[int, list[RecentTask]] = {}
        running = [task for task in self.tasks.values() if task.state in _RUNNING]
        for task in sorted(running, key=lambda task: -(task.start_us or 0)):
            if task.node_no in node_nos:
                line = line_of(task, self.jobs[task.job_no].id)
                found.setdefault(task.node_no or 0, []).append(line)
        for no in node_nos:
            for _, ended in sorted(self.recent.get(no, {}).items(), reverse=True):
                found.setdefault(no, []).append(ended)
        return {no: each_once(tasks)[: c.RECENT_KEPT] for no, tasks in found.items()}

    async def job(self, account: str, job_id: str) -> JobRecord | None:
        """See `Store.job`."""
        return _named(self.jobs.values(), job_id, lambda job: job.account == account)

    async def counts(self, job_no: int) -> JobCounts:
        """See `Store.counts`."""
        return self.job_counts.get(job_no, JobCounts(Counts(), Counts()))

    async def task(self, job_no: int, task_id: str) -> tuple[TaskRecord, bytes] | None:
        """See `Store.task`."""
        no = self.by_key.get((job_no, key_of(task_id)))
        return None if no is None else (self.tasks[no], self.specs[no])

    async def tasks_by_no(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        """See `Store.tasks_by_no`."""
        return {no: (self.tasks[no], self.specs[no]) for no in numbers if no in self.tasks}

    async def existing(self, job_no: int, keys: Sequence[str]) -> set[str]:
        """See `Store.existing`."""
        return {key for key in keys if (job_no, key) in self.by_key}

    async def list_pools(self, account: str, query: Query) -> Sequence[PoolRecord]:
        """See `Store.list_pools`."""
        return _page([pool for pool in self.pools.values() if pool.account == account], query)

    async def list_nodes(self, pool_no: int, query: Query) -> Sequence[NodeRecord]:
        """See `Store.list_nodes`."""
        return _page([node for node in self.nodes.values() if node.pool_no == pool_no], query)

    async def list_jobs(self, account: str, query: Query) -> Sequence[JobRecord]:
        """See `Store.list_jobs`."""
        return _page([job for job in self.jobs.values() if job.account == account], query)

    async def list_tasks(self, job_no: int, query: Query) -> Sequence[tuple[TaskRecord, bytes]]:
        """See `Store.list_tasks`."""
        tasks = _page([task for task in self.tasks.values() if task.job_no == job_no], query)
        return [(task, self.specs[task.no]) for task in tasks]

    async def files_due(self, now_us: int, limit: int) -> Sequence[TaskRecord]:
        """See `Store.files_due`."""
        due = [
            (task.files_until_us, task.no, task)
            for task in self.tasks.values()
            if task.files_until_us is not None and task.files_until_us <= now_us
        ]
        return [task for _, _, task in sorted(due)[:limit]]

    async def oldest_waiting(self, limit: int) -> Sequence[TaskRecord]:
        """See `Store.oldest_waiting`."""
        tasks = sorted(self.tasks.values(), key=lambda task: task.no)
        waiting = (task for task in tasks if task.state is TaskState.ACTIVE and not task.ahead)
        return list(islice(waiting, limit))

    async def subtasks(self, task_no: int) -> Sequence[SubtaskRecord]:
        """See `Store.subtasks`."""
        return [part for _, part in sorted(self.parts.items()) if part.task_no == task_no]

    async def list_job_nodes(self, job_no: int, query: Query) -> Sequence[JobNodeRecord]:
        """See `Store.list_job_nodes`."""
        found = [job_node for job_node in self.job_nodes.values() if job_node.job_no == job_no]
        return _page(found, query, lambda job_node: job_node.key)

    async def schedule(self, account: str, schedule_id: str) -> ScheduleRecord | None:
        """See `Store.schedule`."""
        found = self.schedules.values()
        return _named(found, schedule_id, lambda schedule: schedule.account == account)

    async def list_schedules(self, account: str, query: Query) -> Sequence[ScheduleRecord]:
        """See `Store.list_schedules`."""
        return _page([s for s in self.schedules.values() if s.account == account], query)

    async def list_jobs_of(self, schedule_no: int, query: Query) -> Sequence[JobRecord]:
        """See `Store.list_jobs_of`."""
        return _page([j for j in self.jobs.values() if j.schedule_no == schedule_no], query)

    async def certificate(self, account: str, certificate_id: str) -> CertificateRecord | None:
        """See `Store.certificate`."""
        found = self.certificates.values()
        return _named(found, certificate_id, lambda certificate: certificate.account == account)

    async def certificate_secret(self, no: int) -> bytes | None:
        """See `Store.certificate_secret`."""
        return self.secrets.get(no)

    async def list_certificates(self, account: str, query: Query) -> Sequence[CertificateRecord]:
        """See `Store.list_certificates`."""
        return _page([it for it in self.certificates.values() if it.account == account], query)

    async def events(self, after: int, limit: int) -> Sequence[EventRecord]:
        """See `Store.events`."""
        return [event for no, event in sorted(self.log.items()) if no > after][:limit]

    async def events_before(self, newest: int) -> int | None:
        """See `Store.events_before`."""
        older = sorted(self.log)[: max(0, len(self.log) - newest)]
        return older[-1] + 1 if older else None

    async def totals(self, numbers: Sequence[int]) -> dict[int, Totals]:
        """See `Store.totals`."""
        return {no: self.all_totals[no] for no in numbers if no in self.all_totals}

    async def lifetime(self, account: str) -> Lifetime | None:
        """See `Store.lifetime`."""
        return self.lifetimes.get(account)

    async def meters(self, pool_nos: Sequence[int]) -> dict[int, Meter]:
        """See `Store.meters`."""
        return {no: self.all_meters[no] for no in pool_nos if no in self.all_meters}

    async def meters_of(self, account: str, wanted: Filter | None = None) -> Sequence[Meter]:
        """See `Store.meters_of`."""
        found = [meter for meter in self.all_meters.values() if meter.account == account]
        return [m for m in found if wanted is None or passes(POOL_USAGE, wanted, m)]

    async def pool_usage(self, account: str, query: UsageQuery) -> Sequence[PoolUsage]:
        """See `Store.pool_usage`."""
        after = (query.after_key, query.after_no)
        found = []
        for span in self.spans.values():
            pool = (key_of(span.pool_id), span.pool_no)
            follows = pool > after or (pool == after and span.end_us > query.after_us)
            within = span.start_us < query.until_us and span.end_us > query.from_us
            passing = query.filter is None or passes(POOL_USAGE, query.filter, span)
            if span.account == account and follows and within and passing:
                found.append((*pool, span.start_us, span))
        return [span for *_, span in sorted(found, key=lambda row: row[:3])[: query.limit]]

    async def retained_until(self, node_no: int) -> int | None:
        """See `Store.retained_until`."""
        of_node = (task for task in self.tasks.values() if task.node_no == node_no)
        until = [task.files_until_us for task in of_node if task.files_until_us is not None]
        return max(until, default=None)

    async def close(self) -> None:
        """See `Store.close`."""


def _named(records: Iterable[_T], name: str, of: Callable[[_T], bool]) -> _T | None:
    key = key_of(name)
    found: Iterable[Any] = (record for record in records if of(record))
    return next((record for record in found if key_of(record.id) == key), None)


def _waiting(task: TaskRecord) -> WaitingTask:
    return WaitingTask(
        task.no,
        task.job_no,
        task.slots,
        task.affinity,
        task.depends,
        task.instances,
        task.manager,
        task.attempt > 0,
    )


def _id_key(record: Any) -> str:
    return key_of(record.id)


def _page(
    records: Sequence[_T], query: Query, key_of_record: Callable[[Any], str] = _id_key
) -> Sequence[_T]:
    keyed: list[tuple[str, Any]] = [(key_of_record(record), record) for record in _any(records)]
    return [
        record
        for key, record in sorted(keyed, key=lambda pair: pair[0])
        if key > query.after
        and (query.filter is None or passes(PROPERTIES[type(record)], query.filter, record))
    ][: query.limit]


def _any(records: Sequence[Any]) -> Sequence[Any]:
    return records
