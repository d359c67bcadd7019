"""The store on one SQLite file, in WAL mode with full synchronisation.

Rows are written on the loop's thread, where they are only memory; the COMMIT, which waits for
the disk, runs in a thread of its own and holds no lock of the interpreter while it waits. Reads
use a second connection, which sees committed rows only and never waits for the writer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
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
    counts_of,
    node_of,
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
    each_once,
    line_of,
    record,
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
from penstock.store.sqlite_writes import Writes
from penstock.store.statements import SQL, SQL_FILES

SCHEMA: Final = 4
"""The number of the newest migration; the file carries it as its user_version."""

_T = TypeVar("_T")
_TASK = ", ".join(TASK_COLUMNS)
_T_TASK = ", ".join(f"t.{column}" for column in TASK_COLUMNS)
_RUNNING = f"{int(TaskState.PREPARING)}, {int(TaskState.RUNNING)}"


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
        self._writes = Writes(write)

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
            if write.execute(SQL["set_revision"], (following, expect)).rowcount != 1:
                write.execute("ROLLBACK")
                raise StaleRevision(f"the store is not at revision {expect}")
            write.execute(SQL["set_next_no"], (next_no,))
            self._writes.apply(changes)
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

    # --- reading -----------------------------------------------------------------------------

    def _rows(self, name: str, *values: object) -> list[Any]:
        return self._read.execute(SQL[name], values).fetchall()

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
        (file for file in SQL_FILES.iterdir() if file.name[:4].isdigit()),
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
