"""What a turn is going to commit: the last word on each thing, kind by kind.

Kinds go to the store one after the other, so that it writes each with one statement. Their order
lets an id be given anew in the turn in which it became free: tasks are dropped before others are
added, and a pool or job that is put in the place of an older one replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import SubtaskRecord

_ORDER: Final = (
    c.DropTask,
    c.PutPool,
    c.PutNode,
    c.OccupyNode,
    c.RanOn,
    c.PutJob,
    c.PutSchedule,
    c.PutCertificate,
    c.PutNodeUser,
    c.AddTask,
    c.SetTask,
    c.DropSubtasks,
    c.PutSubtask,
    c.PutJobNode,
    c.SetCounts,
    c.PutChore,
    c.DropChore,
    c.DropNodeUser,
    c.DropNode,
    c.KeepSatisfied,
    c.DropJob,
    c.SweepJob,
    c.DropSchedule,
    c.DropPool,
    c.SetTotals,
    c.SetLifetime,
    c.PutMeter,
    c.DropMeter,
    c.AddPoolUsage,
    c.TrimPoolUsage,
    c.DropCertificate,
    c.AddEvent,
    c.TrimEvents,
    c.SetClock,
)


class ChangeSet:
    """The changes of one turn."""

    def __init__(self) -> None:
        self._kept: dict[type, dict[Any, Any]] = {kind: {} for kind in _ORDER}
        self._nodes: dict[int, c.PutNode] = self._kept[c.PutNode]
        self._occupies: dict[int, c.OccupyNode] = self._kept[c.OccupyNode]
        self._adds: dict[int, c.AddTask] = self._kept[c.AddTask]
        self._sets: dict[int, c.SetTask] = self._kept[c.SetTask]
        self._drops: dict[int, c.DropTask] = self._kept[c.DropTask]

    def keep(self, change: c.Change) -> None:
        """Take a change in."""
        _KEEP[type(change)](self, change)

    def all(self) -> list[c.Change]:
        """All changes, in the order in which a store is to write them."""
        return list(chain.from_iterable(kept.values() for kept in self._kept.values()))

    def set_of(self, task_no: int) -> c.SetTask | None:
        """What the turn made of a task that was there before."""
        return self._sets.get(task_no)

    def subtasks_of(self, task_no: int) -> list[SubtaskRecord]:
        """What the turn made of the parts of a multi-instance task."""
        puts = self._kept[c.PutSubtask].values()
        return [put.subtask for put in puts if put.subtask.task_no == task_no]

    def drops_subtasks(self, task_no: int) -> bool:
        """Whether the turn forgets the parts that a task had before."""
        return task_no in self._kept[c.DropSubtasks]

    def drops(self, task_no: int) -> bool:
        """Whether the turn drops a task."""
        return task_no in self._drops

    def _put_node(self, change: c.PutNode) -> None:
        self._occupies.pop(change.node.no, None)
        self._nodes[change.node.no] = change

    def _occupy_node(self, change: c.OccupyNode) -> None:
        no = change.node.no
        if no in self._nodes:  # it is written whole in any case
            self._nodes[no] = c.PutNode(change.node)
        else:
            self._occupies[no] = change

    def _add(self, change: c.AddTask) -> None:
        self._adds[change.task.no] = change

    def _set(self, change: c.SetTask) -> None:
        no, spec = change.task.no, change.spec
        added, before = self._adds.get(no), self._sets.get(no)
        if added is not None:  # it stays an addition
            self._adds[no] = c.AddTask(change.task, added.spec if spec is None else spec)
        elif before is not None and spec is None and before.spec is not None:
            self._sets[no] = c.SetTask(change.task, change.was, before.spec)
        else:
            self._sets[no] = change

    def _put_certificate(self, change: c.PutCertificate) -> None:
        kept, no = self._kept[c.PutCertificate], change.certificate.no
        added = kept.get(no)
        if added is not None and change.secret is None:
            change = c.PutCertificate(change.certificate, added.secret)
        kept[no] = change

    def _drop_subtasks(self, change: c.DropSubtasks) -> None:
        subtasks = self._kept[c.PutSubtask]
        for no in [no for no, put in subtasks.items() if put.subtask.task_no == change.task_no]:
            del subtasks[no]
        self._kept[c.DropSubtasks][change.task_no] = change

    def _drop(self, change: c.DropTask) -> None:
        no = change.task.no
        self._adds.pop(no, None)
        self._sets.pop(no, None)
        self._drops[no] = change


def _by(number: Callable[[Any], object]) -> Callable[[ChangeSet, Any], None]:
    def keep(self: ChangeSet, change: Any) -> None:
        self._kept[type(change)][number(change)] = change

    return keep


_KEEP: Final[dict[type, Callable[[ChangeSet, Any], None]]] = {
    c.AddTask: ChangeSet._add,
    c.SetTask: ChangeSet._set,
    c.DropTask: ChangeSet._drop,
    c.PutPool: _by(lambda change: change.pool.no),
    c.PutNode: ChangeSet._put_node,
    c.OccupyNode: ChangeSet._occupy_node,
    c.RanOn: _by(lambda change: (change.node_no, change.count)),
    c.PutJob: _by(lambda change: change.job.no),
    c.PutChore: _by(lambda change: change.chore.no),
    c.SetCounts: _by(lambda change: change.job_no),
    c.DropPool: _by(lambda change: change.no),
    c.DropNode: _by(lambda change: change.no),
    c.DropJob: _by(lambda change: change.no),
    c.SweepJob: _by(lambda change: change.no),
    c.KeepSatisfied: _by(lambda change: (change.job_no, change.task_id)),
    c.DropChore: _by(lambda change: change.no),
    c.PutSubtask: _by(lambda change: change.subtask.no),
    c.DropSubtasks: ChangeSet._drop_subtasks,
    c.PutJobNode: _by(lambda change: change.job_node.no),
    c.PutSchedule: _by(lambda change: change.schedule.no),
    c.DropSchedule: _by(lambda change: change.no),
    c.PutCertificate: ChangeSet._put_certificate,
    c.DropCertificate: _by(lambda change: change.no),
    c.PutNodeUser: _by(lambda change: change.user.no),
    c.DropNodeUser: _by(lambda change: change.no),
    c.AddEvent: _by(lambda change: change.event.no),
    c.TrimEvents: _by(lambda _: 0),
    c.SetClock: _by(lambda _: 0),
    c.SetTotals: _by(lambda change: change.no),
    c.SetLifetime: _by(lambda change: change.account),
    c.PutMeter: _by(lambda change: change.meter.pool_no),
    c.DropMeter: _by(lambda change: change.pool_no),
    c.AddPoolUsage: _by(lambda change: (change.usage.pool_no, change.usage.start_us)),
    c.TrimPoolUsage: _by(lambda _: 0),
}
