"""What tasks have used, added up beside the server: its totals must be the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from penstock.domain import changes as c
from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskResult
from penstock.domain.usage import NOTHING, Totals, Usage
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant

_Row = list[int]
"""The numbers of a usage, then how many tasks succeeded and failed."""


class Used:
    """All tasks that ever were, by jobs, schedules and accounts."""

    def __init__(self) -> None:
        self.store: Disk
        self._tasks: dict[int, _Row] = {}
        self._sums: defaultdict[int | str, _Row] = defaultdict(lambda: _row(NOTHING, 0, 0))
        self._changed: set[int | str] = set()

    def commits(self, changes: Sequence[c.Change]) -> None:
        """The store is about to take these."""
        made = {change.job.no: change.job for change in changes if isinstance(change, c.PutJob)}
        for change in changes:
            if not isinstance(change, c.AddTask | c.SetTask | c.DropTask):
                continue
            job = self.store.jobs.get(change.task.job_no) or made[change.task.job_no]
            for key in (job.no, job.schedule_no, job.account):
                if key is not None:
                    self._add(key, change.task)
            self._tasks[change.task.no] = _of(change.task)

    def _add(self, key: int | str, task: TaskRecord) -> None:
        before, now = self._tasks.get(task.no), _of(task)
        rows = zip(self._sums[key], before or [0] * len(now), now, strict=True)
        self._sums[key] = [kept - old + new for kept, old, new in rows]
        self._changed.add(key)

    def committed(self) -> None:
        """The store has taken them."""
        for key in self._changed:
            kept = self._kept(key)
            if kept is not None and kept != self._sums[key]:
                what = f"{key} is said to have used {kept}, and its tasks {self._sums[key]}"
                raise Broken(Invariant.USED, what)
        self._changed.clear()

    def _kept(self, key: int | str) -> _Row | None:
        """What the store says; None of what is gone."""
        if isinstance(key, str):
            lifetime = self.store.lifetimes.get(key)
            totals = lifetime.jobs if lifetime else Totals()
        elif key in self.store.jobs or key in self.store.schedules:
            totals = self.store.all_totals.get(key, Totals())
        else:
            return None
        return _row(totals.usage, totals.succeeded, totals.failed)


def _of(task: TaskRecord) -> _Row:
    succeeded, failed = task.result is TaskResult.SUCCESS, task.result is TaskResult.FAILURE
    return _row(task.usage or NOTHING, int(succeeded), int(failed))


def _row(usage: Usage, succeeded: int, failed: int) -> _Row:
    return [
        usage.user_us,
        usage.kernel_us,
        usage.reads,
        usage.writes,
        usage.read_bytes,
        usage.written_bytes,
        usage.wall_us,
        usage.wait_us,
        succeeded,
        failed,
    ]
