"""The store on one SQLite file, in WAL mode with full synchronisation.

Rows are written on the loop's thread, where they are only memory; the COMMIT, which waits for
the disk, runs in a thread of its own and holds no lock of the interpreter while it waits. Reads
use a second connection, which sees committed rows only and never waits for the writer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

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
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import TaskState
from penstock.domain.usage import Totals
from penstock.store import sqlite_file
from penstock.store.cells import (
    OCCUPANCY,
    USAGE,
    certificate_cells,
    count_cells,
    counts_of,
    job_cells,
    job_node_cells,
    node_cells,
    node_of,
    occupancy,
    pool_cells,
    schedule_cells,
    usage_cells,
    usage_of,
)
from penstock.store.committer import Committer
from penstock.store.contract import (
    JobCounts,
    Revision,
    Saved,
    StaleRevision,
    StoreDamaged,
    WriteFailed,
)
from penstock.store.damage import answered, loaded, loaded_rows
from penstock.store.documents import (
    TASK_COLUMNS,
    document,
    each_once,
    line_of,
    record,
    task_cells,
    task_of,
)
from penstock.store.filters import (
    CERTIFICATES,
    JOB_NODES,
    JOBS,
    NODES,
    POOL_USAGE,
    POOLS,
    SCHEDULES,
    condition,
    passes,
)
from penstock.store.lists import TaskLists

SCHEMA: Final = 4
"""The number of the newest migration; the file carries it as its user_version."""

_T = TypeVar("_T")
_TASK = ", ".join(TASK_COLUMNS)
_T_TASK = ", ".join(f"t.{column}" for column in TASK_COLUMNS)
_FIXED = (
    "no",
    "job_no",
    "id",
    "created_us",
    "slots",
    "affinity",
    "exit_conditions",
    "instances",
    "manager",
)
"""SQLite writes the indexes of all that is set, changed or not."""

_RUNNING = f"{int(TaskState.PREPARING)}, {int(TaskState.RUNNING)}"
_updated = itemgetter(
    *(TASK_COLUMNS.index(column) for column in TASK_COLUMNS if column not in _FIXED)
)
_INSERT_TASK = f"INSERT INTO task ({_TASK}, key) VALUES ({', '.join('?' for _ in TASK_COLUMNS)}, ?)"
_UPDATED = [column for column in TASK_COLUMNS if column not in _FIXED]
_UPDATE_TASK = f"UPDATE task SET {', '.join(f'{column} = ?' for column in _UPDATED)} WHERE no = ?"


def _statements(text: str) -> dict[str, str]:
    parts = text.split("-- name: ")[1:]
    return {name.strip(): sql.strip() for name, _, sql in (part.partition("\n") for part in parts)}


_SQL_FILES = resources.files("penstock.store") / "sql"
_SQL: Final = _statements((_SQL_FILES / "sqlite.sql").read_text("utf-8"))


class SqliteStore:
    """A `Store` in one file (and its two WAL companions)."""

    def __init__(
        self,
        path: Path,
        write: sqlite3.Connection,
        read: sqlite3.Connection,
        commit_delay_s: float,
    ) -> None:
        self.path = path
        self._commit_delay_s = commit_delay_s
        self._write = write
        self._read = read
        self._lists = TaskLists(read)
        self._committer = Committer(self._commit_rows)
        self._revision = Revision(0)
        self._writers: dict[type, Callable[[list[Any]], None]] = {
            c.PutPool: self._put_pools,
            c.DropPool: lambda group: self._many("drop_pool", ((x.no,) for x in group)),
            c.PutNode: self._put_nodes,
            c.OccupyNode: self._occupy_nodes,
            c.RanOn: self._ran_on,
            c.DropNode: self._drop_nodes,
            c.PutJob: self._put_jobs,
            c.DropJob: self._drop_jobs,
            c.SweepJob: self._sweep_jobs,
            c.KeepSatisfied: self._keep_satisfied,
            c.AddTask: self._add_tasks,
            c.SetTask: self._set_tasks,
            c.DropTask: self._drop_tasks,
            c.SetCounts: self._set_counts,
            c.PutChore: self._put_chores,
            c.DropChore: lambda group: self._many("drop_chore", ((x.no,) for x in group)),
            c.PutSubtask: self._put_subtasks,
            c.DropSubtasks: self._drop_subtasks,
            c.PutJobNode: self._put_job_nodes,
            c.PutSchedule: self._put_schedules,
            c.DropSchedule: self._drop_schedules,
            c.PutCertificate: self._put_certificates,
            c.DropCertificate: self._drop_certificates,
            c.PutNodeUser: self._put_node_users,
            c.DropNodeUser: lambda group: self._many("drop_node_user", ((x.no,) for x in group)),
            c.AddEvent: self._add_events,
            c.TrimEvents: lambda group: self._many("trim_events", ((x.before_no,) for x in group)),
            c.SetTotals: self._set_totals,
            c.SetLifetime: self._set_lifetimes,
            c.PutMeter: self._put_meters,
            c.DropMeter: lambda group: self._many("drop_meter", ((x.pool_no,) for x in group)),
            c.AddPoolUsage: self._add_pool_usage,
            c.TrimPoolUsage: lambda group: self._many(
                "trim_pool_usage", ((x.until_us,) for x in group)
            ),
            c.SetClock: lambda group: self._many("set_clock", ((x.offset_us,) for x in group)),
        }

    @classmethod
    def open(cls, path: Path, commit_delay_s: float = 0.0) -> SqliteStore:
        """Open the file, making or migrating it as needed.

        Each commit takes `commit_delay_s` longer than it has to, as on a disk that is slow.
        Raises StoreRefused, and then has changed nothing, when it is damaged, is no database, or
        was written by a newer release.
        """
        if not sqlite_file.check(path, SCHEMA):
            sqlite_file.create(path, _migrate)
        try:
            write = _connect(path)
            _migrate(write)
            read = _connect(path)
            read.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise sqlite_file.refusal(error) from error
        return cls(path, write, read, commit_delay_s)

    # --- writing -----------------------------------------------------------------------------

    @loaded
    async def load(self) -> Saved:
        """See `Store.load`."""
        meta = dict(self._rows("meta"))
        self._revision = Revision(meta["revision"])
        jobs = [record(JobRecord, row[0]) for row in self._rows("jobs")]
        dependent = [job.no for job in jobs if job.spec.uses_task_dependencies]
        once: dict[int, dict[str, int]] = {}
        for job_no, task_id, before_no in self._rows("satisfied_once"):
            once.setdefault(job_no, {})[task_id] = before_no
        return Saved(
            revision=self._revision,
            next_no=meta["next_no"],
            pools=[record(PoolRecord, row[0]) for row in self._rows("pools")],
            nodes=[node_of(row) for row in self._rows("nodes")],
            jobs=jobs,
            counts={row[0]: counts_of(row) for row in self._rows("all_counts")},
            waiting=loaded_rows(self._waiting()),
            given=[
                task_of(row)
                for where in (f"state IN ({_RUNNING})", "ahead = 1")
                for row in self._read.execute(f"SELECT {_TASK} FROM task WHERE {where} ORDER BY no")
            ],
            satisfied={no: [row[0] for row in self._rows("satisfied", no)] for no in dependent},
            satisfied_once=once,
            dropped=dict(self._rows("dropped")),
            subtasks=[record(SubtaskRecord, row[0]) for row in self._rows("given_subtasks")],
            job_nodes=[record(JobNodeRecord, row[0]) for row in self._rows("job_nodes")],
            schedules=[record(ScheduleRecord, row[0]) for row in self._rows("schedules")],
            certificates=[record(CertificateRecord, row[0]) for row in self._rows("certificates")],
            node_users=[record(NodeUserRecord, row[0]) for row in self._rows("node_users")],
            clock_offset_us=meta.get("clock_offset_us", 0),
            totals={no: record(Totals, text) for no, text in self._rows("all_totals")},
            lifetimes={name: record(Lifetime, text) for name, text in self._rows("lifetimes")},
            meters={
                meter.pool_no: meter
                for meter in (record(Meter, row[0]) for row in self._rows("all_meters"))
            },
            chores=[
                Chore(no=no, node_no=node_no, job_no=job_no, message=message)
                for no, node_no, job_no, message in self._rows("chores")
            ],
        )

    def _waiting(self) -> Iterator[WaitingTask]:
        for no, job_no, slots, affinity, depends, instances, manager, again in self._read.execute(
            "SELECT no, job_no, slots, affinity, depends, instances, manager, attempt > 0 FROM task"
            f" WHERE state = {int(TaskState.ACTIVE)} AND ahead = 0"
            " AND job_no NOT IN (SELECT no FROM dropped_job) ORDER BY no"
        ):
            wants = None if depends is None else record(Dependencies, depends)
            yield WaitingTask(
                no, job_no, slots, affinity, wants, instances, bool(manager), bool(again)
            )

    async def commit(self, changes: Sequence[c.Change], expect: Revision, next_no: int) -> Revision:
        """See `Store.commit`."""
        write = self._write
        following = Revision(expect + 1)
        try:
            write.execute("BEGIN IMMEDIATE")
            if write.execute(_SQL["set_revision"], (following, expect)).rowcount != 1:
                write.execute("ROLLBACK")
                raise StaleRevision(f"the store is not at revision {expect}")
            write.execute(_SQL["set_next_no"], (next_no,))
            for kind, group in groupby(changes, type):
                self._writers[kind](list(group))
            await self._committer()
        except sqlite3.Error as error:
            if write.in_transaction:
                write.execute("ROLLBACK")
            if sqlite_file.is_damage(error):
                raise StoreDamaged(f"it is damaged: {error}") from error
            raise WriteFailed(str(error)) from error
        self._revision = following
        return following

    def _commit_rows(self) -> None:
        if self._commit_delay_s:
            time.sleep(self._commit_delay_s)
        self._write.execute("COMMIT")

    def _many(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        self._write.executemany(_SQL[name], rows)

    def _put_pools(self, group: list[c.PutPool]) -> None:
        self._many("put_pool", (pool_cells(change.pool) for change in group))

    def _put_nodes(self, group: list[c.PutNode]) -> None:
        self._many("put_node", (node_cells(change.node) for change in group))

    def _occupy_nodes(self, group: list[c.OccupyNode]) -> None:
        self._many("occupy_node", ((*occupancy(x.node), x.node.no) for x in group))

    def _ran_on(self, group: list[c.RanOn]) -> None:
        self._many(
            "ran_on",
            ((x.node_no, x.count % c.RECENT_KEPT, x.count, document(x.task)) for x in group),
        )

    def _drop_nodes(self, group: list[c.DropNode]) -> None:
        for name in ("drop_node", "drop_node_chores", "drop_node_users", "drop_node_recent"):
            self._many(name, ((change.no,) for change in group))

    def _put_jobs(self, group: list[c.PutJob]) -> None:
        self._many("put_job", (job_cells(change.job) for change in group))

    def _drop_jobs(self, group: list[c.DropJob]) -> None:
        for name in (
            "drop_job_satisfied",
            "drop_job_counts",
            "drop_job_subtasks",
            "drop_job_nodes",
            "drop_totals",
            "drop_job",
        ):
            self._many(name, ((change.no,) for change in group))
        self._many("leave_to_sweep", ((x.no, x.tasks) for x in group if x.tasks))

    def _sweep_jobs(self, group: list[c.SweepJob]) -> None:
        for name in ("sweep_specs", "sweep_tasks"):
            self._many(name, ((x.no, x.most) for x in group))
        self._many("count_swept", ((x.most, x.no) for x in group))
        self._many("end_sweep", ((x.no,) for x in group))

    def _keep_satisfied(self, group: list[c.KeepSatisfied]) -> None:
        self._many("keep_satisfied", ((x.job_no, x.task_id, x.before_no) for x in group))

    def _add_tasks(self, group: list[c.AddTask]) -> None:
        self._write.executemany(
            _INSERT_TASK, ((*task_cells(x.task), key_of(x.task.id)) for x in group)
        )
        self._many("put_spec", ((change.task.no, change.spec) for change in group))

    def _set_tasks(self, group: list[c.SetTask]) -> None:
        self._write.executemany(
            _UPDATE_TASK,
            ((*_updated(cells), cells[0]) for cells in (task_cells(x.task) for x in group)),
        )
        self._many("put_spec", ((x.task.no, x.spec) for x in group if x.spec is not None))

    def _drop_tasks(self, group: list[c.DropTask]) -> None:
        for name in ("drop_task", "drop_task_spec"):
            self._many(name, ((change.task.no,) for change in group))

    def _set_counts(self, group: list[c.SetCounts]) -> None:
        self._many(
            "set_counts", ((x.job_no, *count_cells(x.tasks), *count_cells(x.slots)) for x in group)
        )

    def _put_chores(self, group: list[c.PutChore]) -> None:
        chores = (change.chore for change in group)
        self._many("put_chore", ((x.no, x.node_no, x.job_no, x.message) for x in chores))

    def _put_subtasks(self, group: list[c.PutSubtask]) -> None:
        subtasks = (change.subtask for change in group)
        self._many("put_subtask", ((x.no, x.task_no, x.job_no, document(x)) for x in subtasks))

    def _drop_subtasks(self, group: list[c.DropSubtasks]) -> None:
        self._many("drop_subtasks", ((change.task_no,) for change in group))

    def _put_job_nodes(self, group: list[c.PutJobNode]) -> None:
        self._many("put_job_node", (job_node_cells(change.job_node) for change in group))

    def _put_schedules(self, group: list[c.PutSchedule]) -> None:
        self._many("put_schedule", (schedule_cells(change.schedule) for change in group))

    def _put_certificates(self, group: list[c.PutCertificate]) -> None:
        self._many("put_certificate", (certificate_cells(change.certificate) for change in group))
        secrets = ((x.certificate.no, x.secret) for x in group if x.secret is not None)
        self._many("put_certificate_secret", secrets)

    def _drop_certificates(self, group: list[c.DropCertificate]) -> None:
        for name in ("drop_certificate", "drop_certificate_secret"):
            self._many(name, ((change.no,) for change in group))

    def _put_node_users(self, group: list[c.PutNodeUser]) -> None:
        users = (change.user for change in group)
        self._many("put_node_user", ((x.no, x.node_no, key_of(x.name), document(x)) for x in users))

    def _add_events(self, group: list[c.AddEvent]) -> None:
        events = (change.event for change in group)
        self._many("add_event", ((x.no, x.at_us, x.account, x.name, x.body) for x in events))

    def _drop_schedules(self, group: list[c.DropSchedule]) -> None:
        for name in ("drop_totals", "drop_schedule"):
            self._many(name, ((change.no,) for change in group))

    def _set_totals(self, group: list[c.SetTotals]) -> None:
        self._many("set_totals", ((x.no, document(x.totals)) for x in group))

    def _set_lifetimes(self, group: list[c.SetLifetime]) -> None:
        self._many("set_lifetime", ((x.account, document(x.lifetime)) for x in group))

    def _put_meters(self, group: list[c.PutMeter]) -> None:
        meters = (change.meter for change in group)
        self._many("put_meter", ((x.pool_no, x.account, document(x)) for x in meters))

    def _add_pool_usage(self, group: list[c.AddPoolUsage]) -> None:
        self._many("add_pool_usage", (usage_cells(change.usage) for change in group))

    # --- reading -----------------------------------------------------------------------------

    def _rows(self, name: str, *values: object) -> list[Any]:
        return self._read.execute(_SQL[name], values).fetchall()

    def _one(self, kind: type[_T], name: str, *values: object) -> _T | None:
        rows = self._rows(name, *values)
        return record(kind, rows[0][0]) if rows else None

    @answered
    async def pool(self, account: str, pool_id: str) -> PoolRecord | None:
        """See `Store.pool`."""
        return self._one(PoolRecord, "pool", account, key_of(pool_id))

    @answered
    async def node(self, pool_no: int, node_id: str) -> NodeRecord | None:
        """See `Store.node`."""
        rows = self._rows("node", pool_no, key_of(node_id))
        return node_of(rows[0]) if rows else None

    @answered
    async def recent_tasks(self, node_nos: Sequence[int]) -> dict[int, list[RecentTask]]:
        """See `Store.recent_tasks`."""
        found: dict[int, list[RecentTask]] = {}
        for part in _parts(node_nos):
            for job_id, *cells in self._read.execute(
                f"SELECT json_extract(CAST(j.document AS TEXT), '$.spec.id'), {_T_TASK}"
                f" FROM task t JOIN job j ON j.no = t.job_no WHERE t.state IN ({_RUNNING})"
                f" AND t.node_no IN ({_marks(part)}) ORDER BY t.start_us DESC",
                part,
            ):
                task = task_of(cells)
                found.setdefault(task.node_no or 0, []).append(line_of(task, job_id))
            for node_no, text in self._read.execute(
                f"SELECT node_no, document FROM recent_task WHERE node_no IN ({_marks(part)})"
                " ORDER BY count DESC",
                part,
            ):
                found.setdefault(node_no, []).append(record(RecentTask, text))
        return {no: each_once(tasks)[: c.RECENT_KEPT] for no, tasks in found.items()}

    @answered
    async def job(self, account: str, job_id: str) -> JobRecord | None:
        """See `Store.job`."""
        return self._one(JobRecord, "job", account, key_of(job_id))

    @answered
    async def counts(self, job_no: int) -> JobCounts:
        """See `Store.counts`."""
        rows = self._rows("counts", job_no)
        return counts_of(rows[0]) if rows else JobCounts(Counts(), Counts())

    def _tasks(self, where: str, values: Sequence[Any]) -> list[tuple[TaskRecord, bytes]]:
        rows = self._read.execute(
            f"SELECT s.spec, {_T_TASK} FROM task t JOIN task_spec s USING (no) WHERE {where}",
            values,
        )
        return [(task_of(cells), spec) for spec, *cells in rows]

    @answered
    async def task(self, job_no: int, task_id: str) -> tuple[TaskRecord, bytes] | None:
        """See `Store.task`."""
        found = self._tasks("t.job_no = ? AND t.key = ?", (job_no, key_of(task_id)))
        return found[0] if found else None

    @answered
    async def tasks_by_no(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        """See `Store.tasks_by_no`."""
        found: dict[int, tuple[TaskRecord, bytes]] = {}
        for part in _parts(numbers):
            for task, spec in self._tasks(f"t.no IN ({_marks(part)})", part):
                found[task.no] = (task, spec)
        return found

    @answered
    async def existing(self, job_no: int, keys: Sequence[str]) -> set[str]:
        """See `Store.existing`."""
        found: set[str] = set()
        for part in _parts(keys):
            rows = self._read.execute(
                f"SELECT key FROM task WHERE job_no = ? AND key IN ({_marks(part)})",
                (job_no, *part),
            )
            found.update(row[0] for row in rows)
        return found

    @answered
    async def list_pools(self, account: str, query: Query) -> Sequence[PoolRecord]:
        """See `Store.list_pools`."""
        where, values = _where("account", account, POOLS, query)
        rows = self._read.execute(f"SELECT document FROM pool {where}", values)
        return [record(PoolRecord, row[0]) for row in rows]

    @answered
    async def list_nodes(self, pool_no: int, query: Query) -> Sequence[NodeRecord]:
        """See `Store.list_nodes`."""
        where, values = _where("pool_no", pool_no, NODES, query)
        rows = self._read.execute(f"SELECT document, {OCCUPANCY} FROM node {where}", values)
        return [node_of(row) for row in rows]

    @answered
    async def list_jobs(self, account: str, query: Query) -> Sequence[JobRecord]:
        """See `Store.list_jobs`."""
        where, values = _where("account", account, JOBS, query)
        rows = self._read.execute(f"SELECT document FROM job {where}", values)
        return [record(JobRecord, row[0]) for row in rows]

    @answered
    async def list_tasks(self, job_no: int, query: Query) -> Sequence[tuple[TaskRecord, bytes]]:
        """See `Store.list_tasks`."""
        return await self._lists.page(job_no, query)

    @answered
    async def files_due(self, now_us: int, limit: int) -> Sequence[TaskRecord]:
        """See `Store.files_due`."""
        rows = self._read.execute(
            f"SELECT {_TASK} FROM task WHERE files_until_us <= ? ORDER BY files_until_us LIMIT ?",
            (now_us, limit),
        )
        return [task_of(row) for row in rows]

    @answered
    async def oldest_waiting(self, limit: int) -> Sequence[TaskRecord]:
        """See `Store.oldest_waiting`."""
        rows = self._read.execute(
            f"SELECT {_TASK} FROM task WHERE state = 0 AND ahead = 0 ORDER BY no LIMIT ?", (limit,)
        )
        return [task_of(row) for row in rows]

    @answered
    async def subtasks(self, task_no: int) -> Sequence[SubtaskRecord]:
        """See `Store.subtasks`."""
        return [record(SubtaskRecord, row[0]) for row in self._rows("subtasks", task_no)]

    @answered
    async def list_job_nodes(self, job_no: int, query: Query) -> Sequence[JobNodeRecord]:
        """See `Store.list_job_nodes`."""
        where, values = _where("job_no", job_no, JOB_NODES, query)
        rows = self._read.execute(f"SELECT document FROM job_node {where}", values)
        return [record(JobNodeRecord, row[0]) for row in rows]

    @answered
    async def schedule(self, account: str, schedule_id: str) -> ScheduleRecord | None:
        """See `Store.schedule`."""
        return self._one(ScheduleRecord, "schedule", account, key_of(schedule_id))

    @answered
    async def list_schedules(self, account: str, query: Query) -> Sequence[ScheduleRecord]:
        """See `Store.list_schedules`."""
        where, values = _where("account", account, SCHEDULES, query)
        rows = self._read.execute(f"SELECT document FROM schedule {where}", values)
        return [record(ScheduleRecord, row[0]) for row in rows]

    @answered
    async def list_jobs_of(self, schedule_no: int, query: Query) -> Sequence[JobRecord]:
        """See `Store.list_jobs_of`."""
        where, values = _where("schedule_no", schedule_no, JOBS, query)
        rows = self._read.execute(f"SELECT document FROM job {where}", values)
        return [record(JobRecord, row[0]) for row in rows]

    @answered
    async def certificate(self, account: str, certificate_id: str) -> CertificateRecord | None:
        """See `Store.certificate`."""
        return self._one(CertificateRecord, "certificate", account, key_of(certificate_id))

    @answered
    async def certificate_secret(self, no: int) -> bytes | None:
        """See `Store.certificate_secret`."""
        rows = self._rows("certificate_secret", no)
        return rows[0][0] if rows else None

    @answered
    async def list_certificates(self, account: str, query: Query) -> Sequence[CertificateRecord]:
        """See `Store.list_certificates`."""
        where, values = _where("account", account, CERTIFICATES, query)
        rows = self._read.execute(f"SELECT document FROM certificate {where}", values)
        return [record(CertificateRecord, row[0]) for row in rows]

    @answered
    async def events(self, after: int, limit: int) -> Sequence[EventRecord]:
        """See `Store.events`."""
        return [EventRecord(*row) for row in self._rows("events", after, limit)]

    @answered
    async def events_before(self, newest: int) -> int | None:
        """See `Store.events_before`."""
        rows = self._rows("event_at", newest)
        return rows[0][0] + 1 if rows else None

    @answered
    async def totals(self, numbers: Sequence[int]) -> dict[int, Totals]:
        """See `Store.totals`."""
        return {
            no: record(Totals, text)
            for part in _parts(numbers)
            for no, text in self._read.execute(
                f"SELECT no, document FROM totals WHERE no IN ({_marks(part)})", part
            )
        }

    @answered
    async def lifetime(self, account: str) -> Lifetime | None:
        """See `Store.lifetime`."""
        return self._one(Lifetime, "lifetime", account)

    @answered
    async def meters(self, pool_nos: Sequence[int]) -> dict[int, Meter]:
        """See `Store.meters`."""
        return {
            no: record(Meter, text)
            for part in _parts(pool_nos)
            for no, text in self._read.execute(
                f"SELECT pool_no, document FROM meter WHERE pool_no IN ({_marks(part)})", part
            )
        }

    @answered
    async def meters_of(self, account: str, wanted: Filter | None = None) -> Sequence[Meter]:
        """See `Store.meters_of`."""
        found = [record(Meter, row[0]) for row in self._rows("meters_of", account)]
        return [m for m in found if wanted is None or passes(POOL_USAGE, wanted, m)]

    @answered
    async def pool_usage(self, account: str, query: UsageQuery) -> Sequence[PoolUsage]:
        """See `Store.pool_usage`."""
        where = "account = ? AND start_us < ? AND end_us > ? AND (key, pool_no) >= (?, ?)"
        values = [account, query.until_us, query.from_us, query.after_key, query.after_no]
        if query.filter is not None:
            sql, more = condition(POOL_USAGE, query.filter)
            where, values = f"{where} AND {sql}", [*values, *more]
        rows = self._read.execute(
            f"SELECT {USAGE} FROM pool_usage WHERE {where}"
            " AND NOT (key = ? AND pool_no = ? AND end_us <= ?)"
            " ORDER BY key, pool_no, start_us LIMIT ?",
            [*values, query.after_key, query.after_no, query.after_us, query.limit],
        )
        return [usage_of(row) for row in rows]

    @answered
    async def retained_until(self, node_no: int) -> int | None:
        """See `Store.retained_until`."""
        until_us: int | None = self._rows("retained_until", node_no)[0][0]
        return until_us

    async def close(self) -> None:
        """See `Store.close`."""
        self._committer.close()
        self._read.close()
        self._write.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _migrate(write: sqlite3.Connection) -> None:
    found = write.execute("PRAGMA user_version").fetchone()[0]
    scripts = sorted(
        (file for file in _SQL_FILES.iterdir() if file.name[:4].isdigit()),
        key=lambda file: file.name,
    )
    for script in scripts:
        number = int(script.name[:4])
        if number > found:
            write.executescript(
                f"BEGIN; {script.read_text('utf-8')}; PRAGMA user_version = {number}; COMMIT;"
            )


def _where(column: str, value: object, properties: Any, query: Query) -> tuple[str, list[Any]]:
    where, values = f"WHERE {column} = ? AND key > ?", [value, query.after]
    if query.filter is not None:
        sql, more = condition(properties, query.filter)
        where, values = f"{where} AND {sql}", [*values, *more]
    return f"{where} ORDER BY key LIMIT ?", [*values, query.limit]


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Split what goes into one IN list; SQLite bounds the number of parameters."""
    for start in range(0, len(values), 500):
        yield values[start : start + 500]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
