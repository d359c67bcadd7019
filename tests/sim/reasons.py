"""Whether what a waiting task is said to wait for is so, by the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.domain.states import JobState, PoolState, SchedulingState, TaskResult, TaskState
from penstock.engine.state import OPEN_NODE_STATES, State
from penstock.scheduler.reasons import _NOT_READY, Reason
from tests.sim.picture import Picture, Wanted, names_of


class Case:
    """One waiting task, and all that may bear on it."""

    def __init__(
        self, picture: Picture, state: State, task: TaskRecord, unmet: list[Wanted]
    ) -> None:
        self.picture = picture
        self.unmet = unmet
        self.task = task
        self.job: JobRecord = picture.job(task)
        self.pool = picture.pool_of(self.job)
        no = self.pool.no if self.pool is not None else 0
        self.nodes = [node for node in picture.store.nodes.values() if node.pool_no == no]
        self.linked = state.linked
        self.more_to_place = picture.pool_of(self.job) is not None and bool(state.hot)

    @property
    def ready(self) -> list[NodeRecord]:
        return [node for node in self.nodes if node.state in OPEN_NODE_STATES]

    @property
    def takers(self) -> list[NodeRecord]:
        """Nodes that take tasks."""
        return [node for node in self.ready if node.host in self.linked and not _is_closed(node)]

    def blockers(self) -> list[TaskRecord | None]:
        """The tasks that it still waits for; None for one that is not there."""
        there = self.picture.tasks_of(self.task.job_no)
        return [
            next((other for other in there if wanted in names_of(other.id)), None)
            for wanted in self.unmet
        ]


def is_true(case: Case, reason: Reason) -> bool:
    """Whether this reason holds. One that is not known here does not."""
    test = _TESTS.get(reason.code)
    return test is not None and test(case, reason)


def _is_closed(node: NodeRecord) -> bool:
    return node.scheduling is not SchedulingState.ENABLED or node.leaving is not None


def _unready(case: Case, reason: Reason) -> bool:
    for state, (why, _) in _NOT_READY.items():
        count = sum(node.state is state for node in case.nodes)
        if count and reason.message == f"{count} nodes take no tasks: {why}.":
            return True
    return False


def _slots_taken(case: Case) -> bool:
    free = [case.picture.free(node) for node in case.takers]
    return bool(free) and max(free) < case.task.slots


def _failed(task: TaskRecord | None) -> bool:
    return task is not None and task.result is TaskResult.FAILURE


def _unfinished(task: TaskRecord | None) -> bool:
    return task is not None and task.state is not TaskState.COMPLETED


_TESTS: Final[Mapping[str, Callable[[Case, Reason], bool]]] = {
    "JobDisabled": lambda c, _: c.job.state in (JobState.DISABLED, JobState.DISABLING),
    "JobEnabling": lambda c, _: c.job.state is JobState.ENABLING,
    "JobEnding": lambda c, _: (
        c.job.state in (JobState.TERMINATING, JobState.COMPLETED, JobState.DELETING)
    ),
    "MaxParallelTasks": lambda c, _: c.picture.is_capped(c.job),
    "DependencyMissing": lambda c, _: None in c.blockers(),
    "DependencyFailed": lambda c, _: any(_failed(task) for task in c.blockers()),
    "DependencyUnfinished": lambda c, _: any(_unfinished(task) for task in c.blockers()),
    "PoolMissing": lambda c, _: c.pool is None,
    "PoolDeleting": lambda c, _: c.pool is not None and c.pool.state is PoolState.DELETING,
    "PoolEmpty": lambda c, _: c.pool is not None and not c.nodes,
    "TooManySlots": lambda c, _: (
        c.pool is not None and c.task.slots > (c.pool.spec.task_slots_per_node or 1)
    ),
    "NodesNotReady": _unready,
    "NodesAway": lambda c, _: any(node.host not in c.linked for node in c.ready),
    "NodesClosed": lambda c, _: any(_is_closed(node) for node in c.ready),
    "SlotsTaken": lambda c, _: _slots_taken(c),
    "NextOnNode": lambda c, _: c.task.ahead,
    "WaitsItsTurn": lambda c, _: c.more_to_place,
}
