"""How changes become rows: what each writes, through the connection that may."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import key_of
from penstock.store.cells import (
    certificate_cells,
    count_cells,
    job_cells,
    job_node_cells,
    node_cells,
    occupancy,
    pool_cells,
    schedule_cells,
    usage_cells,
)
from penstock.store.documents import TASK_COLUMNS, document, task_cells
from penstock.store.statements import SQL

_TASK: Final = ", ".join(TASK_COLUMNS)
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

_updated = itemgetter(
    *(TASK_COLUMNS.index(column) for column in TASK_COLUMNS if column not in _FIXED)
)
_INSERT_TASK = f"INSERT INTO task ({_TASK}, key) VALUES ({', '.join('?' for _ in TASK_COLUMNS)}, ?)"
_UPDATED = [column for column in TASK_COLUMNS if column not in _FIXED]
_UPDATE_TASK = f"UPDATE task SET {', '.join(f'{column} = ?' for column in _UPDATED)} WHERE no = ?"


class Writes:
    """Writes changes into a transaction that somebody else begins and ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._write = connection
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

    def apply(self, changes: Iterable[c.Change]) -> None:
        """Write changes, in order. Raises sqlite3.Error."""
        for kind, group in groupby(changes, type):
            self._writers[kind](list(group))

    def _many(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        self._write.executemany(SQL[name], rows)

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
