"""Whether what a task is said to wait for is so, by the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

from penstock.domain.records import Ending, JobRecord, NodeRecord, TaskRecord, key_of
from penstock.domain.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    SchedulingState,
    TaskResult,
    TaskState,
)
from penstock.engine.state import OPEN_NODE_STATES, State
from penstock.scheduler.reasons import Code, Reason
from tests.sim.picture import Picture, Wanted, names_of, wants


class Case:
    """One task that does not run, and all that may bear on it."""

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
        self.more_to_place = self.pool is not None and bool(state.hot)

    @property
    def takers(self) -> list[NodeRecord]:
        """Nodes that take tasks."""
        return [
            node
            for node in self.nodes
            if node.state in OPEN_NODE_STATES and node.host in self.linked and not _is_closed(node)
        ]

    @property
    def target(self) -> int:
        spec = self.pool.spec if self.pool is not None else None
        if spec is None:
            return 0
        return (spec.target_dedicated_nodes or 0) + (spec.target_low_priority_nodes or 0)

    @property
    def slots_per_node(self) -> int:
        return (self.pool.spec.task_slots_per_node or 1) if self.pool is not None else 1

    def task_named(self, name: str) -> TaskRecord | None:
        """The task of its job that has this id, or spells this number."""
        wanted: Wanted = int(name) if name.isdigit() else key_of(name)
        there = self.picture.tasks_of(self.task.job_no)
        same = (task for task in there if key_of(task.id) == key_of(name))
        return next(same, next((task for task in there if wanted in names_of(task.id)), None))

    def waits_for(self, name: str) -> bool:
        return any(wanted in self.unmet for wanted in names_of(name))

    def rivals(self) -> list[TaskRecord]:
        """Tasks of other jobs that wait for the same pool."""
        key = self.picture.key_of_job(self.job)
        return [
            task
            for task in self.picture.waiting
            if task.job_no != self.job.no
            and self.picture.key_of_job(self.picture.job(task)) == key
            and self.picture.job(task).state is JobState.ACTIVE
        ]

    def manager(self) -> TaskRecord | None:
        no = self.job.manager_no
        return None if no is None else self.picture.store.tasks.get(no)


def is_true(case: Case, reason: Reason) -> bool:
    """Whether this reason holds. One that is not known here does not."""
    test = _TESTS.get(reason.code)
    return test is not None and test(case, said(reason))


def said(reason: Reason) -> dict[str, str]:
    """The details of a reason."""
    return {detail.name: detail.value for detail in reason.details}


Said = Mapping[str, str]
Test = Callable[[Case, Said], bool]


def _is_closed(node: NodeRecord) -> bool:
    return (
        node.scheduling is not SchedulingState.ENABLED
        or node.leaving is not None
        or node.wish is not None
    )


# --- dependencies --------------------------------------------------------------------------------


def _failed(task: TaskRecord | None) -> bool:
    return task is not None and task.result is TaskResult.FAILURE and not task.satisfies


def _direct(end: Callable[[TaskRecord | None], bool]) -> Test:
    """It waits for a task that is at such an end."""
    return lambda c, said: c.waits_for(said["task"]) and end(c.task_named(said["task"]))


def _unfinished(c: Case, said: Said) -> bool:
    root = c.task_named(said["root"])
    return c.waits_for(said["task"]) and root is not None and root.state is not TaskState.COMPLETED


def _blocked(c: Case, said: Said) -> bool:
    names, root = said["chain"].split(", "), c.task_named(said["root"])
    linked = all(_depends(c, *pair) for pair in pairwise(names))
    return c.waits_for(said["task"]) and linked and (root is None or _failed(root))


def _depends(c: Case, name: str, on: str) -> bool:
    task = c.task_named(name)
    if task is None or task.depends is None or task.state is not TaskState.ACTIVE:
        return False
    wanted = names_of(on)
    return any(one in wanted for one in wants(task.depends))


def _circle(c: Case, said: Said) -> bool:
    return _unfinished(c, said) and len(said["chain"].split(", ")) > 1


# --- nodes ---------------------------------------------------------------------------------------


def _nodes_in(*states: NodeState) -> Test:
    """As many nodes are in such states as it says, and the one that it names is."""

    def test(c: Case, said: Said) -> bool:
        found = [node for node in c.nodes if node.state in states and node.leaving is None]
        return _are(found, said)

    return test


def _are(found: list[NodeRecord], said: Said) -> bool:
    return said["node"] in [node.id for node in found] and 0 < int(said["count"]) <= len(found)


def _nodes(test: Callable[[Case, NodeRecord], bool]) -> Test:
    """There are as many such nodes as it says, and the one that it names is one of them."""
    return lambda c, said: _are([node for node in c.nodes if test(c, node)], said)


def _is_leaving(_: Case, node: NodeRecord) -> bool:
    return node.leaving is not None or node.state is NodeState.LEAVING_POOL


def _preparation_failed(c: Case, said: Said) -> bool:
    failed = [
        job_node.node_id
        for job_node in c.picture.store.job_nodes.values()
        if job_node.job_no == c.job.no
        and job_node.preparation is not None
        and not job_node.preparation.running
        and job_node.preparation.failure is not None
    ]
    return said["node"] in failed and int(said["count"]) <= len(failed)


# --- others --------------------------------------------------------------------------------------


def _slots_taken(c: Case, said: Said) -> bool:
    best = next((node for node in c.takers if node.id == said["node"]), None)
    return best is not None and c.picture.free(best) < c.task.slots == int(said["requiredSlots"])


def _nodes_taken(c: Case, said: Said) -> bool:
    busy = sum(c.picture.free(node) < node.slots for node in c.takers)
    return busy > 0 and int(said["wanted"]) > int(said["idle"])


def _its_turn(c: Case, said: Said) -> bool:
    mine = c.job.spec.priority or 0
    theirs = [c.picture.job(task).spec.priority or 0 for task in c.rivals()]
    same = [t for t in c.picture.waiting if t.job_no == c.job.no and t.no != c.task.no]
    told = {name: int(said.get(name, 0)) for name in ("higherPriority", "equalPriority", "sameJob")}
    if not any(told.values()):
        return c.more_to_place
    return (
        told["higherPriority"] <= sum(priority > mine for priority in theirs)
        and told["equalPriority"] <= theirs.count(mine)
        and told["sameJob"] <= len(same)
    )


def _resize_error(c: Case, said: Said) -> bool:
    return (
        c.pool is not None
        and said["error"] in [error.code for error in c.pool.resize_errors]
        and len(c.nodes) < c.target
    )


def _waits_for_manager(c: Case, said: Said) -> bool:
    manager = c.manager()
    return manager is not None and manager.id == said["task"] and manager in c.picture.waiting


def _gang_in(c: Case, test: Callable[[int], bool]) -> bool:
    return c.pool is not None and c.task.instances > 0 and test(c.slots_per_node)


def _held_for_another(c: Case, said: Said) -> bool:
    """Who makes room for tasks of more weight names none of them."""
    if "task" not in said:
        return bool(c.picture.waiting)
    return any(key_of(task.id) == key_of(said["task"]) for task in c.picture.waiting)


_OVER: Final = (JobState.TERMINATING, JobState.DELETING)

_TESTS: Final[Mapping[str, Test]] = {
    Code.RUNNING: lambda c, _: c.task.state is TaskState.RUNNING,
    Code.COMPLETED: lambda c, _: c.task.state is TaskState.COMPLETED,
    Code.PREPARATION_RUNNING: lambda c, _: c.task.state is TaskState.PREPARING,
    Code.BEING_REQUEUED: lambda c, _: c.task.ending is Ending.REQUEUED,
    Code.BEING_TERMINATED: lambda c, _: c.task.ending in (Ending.TERMINATED, Ending.DELETED),
    Code.NEXT_ON_NODE: lambda c, _: c.task.ahead,
    Code.RETRY_PENDING: lambda c, said: c.task.retry_count == int(said["retryCount"]) > 0,
    Code.REQUEUED: lambda c, said: c.task.requeue_count == int(said["requeueCount"]) > 0,
    Code.JOB_DISABLED: lambda c, _: c.job.state in (JobState.DISABLED, JobState.DISABLING),
    Code.JOB_ENABLING: lambda c, _: c.job.state is JobState.ENABLING,
    Code.JOB_ENDING: lambda c, _: c.job.state in _OVER,
    Code.JOB_COMPLETED: lambda c, _: c.job.state is JobState.COMPLETED,
    Code.AUTO_POOL_FAILED: lambda c, _: c.job.scheduling_error is not None,
    Code.MAX_PARALLEL_TASKS: lambda c, said: (
        c.job.spec.max_parallel_tasks == int(said["maxParallelTasks"]) <= int(said["running"])
        and c.picture.given_of[c.job.no] in (int(said["running"]), int(said["running"]) - 1)
    ),
    Code.DEPENDENCY_FAILED: _direct(_failed),
    Code.DEPENDENCY_BLOCKED: _blocked,
    Code.DEPENDENCY_CIRCLE: _circle,
    Code.DEPENDENCY_MISSING: _direct(lambda task: task is None),
    Code.DEPENDENCY_UNFINISHED: _unfinished,
    Code.POOL_MISSING: lambda c, _: c.pool is None,
    Code.POOL_DELETING: lambda c, _: c.pool is not None and c.pool.state is PoolState.DELETING,
    Code.POOL_EMPTY: lambda c, said: (
        c.pool is not None and not c.nodes and c.target == int(said["target"])
    ),
    Code.POOL_RESIZING: lambda c, _: (
        c.pool is not None and not c.nodes and c.pool.allocation is not AllocationState.STEADY
    ),
    Code.QUOTA_REACHED: _resize_error,
    Code.RESIZE_TIMED_OUT: _resize_error,
    Code.RESIZE_STOPPED: _resize_error,
    Code.RESIZE_FAILED: _resize_error,
    Code.TOO_MANY_SLOTS: lambda c, _: c.pool is not None and c.task.slots > c.slots_per_node,
    Code.NO_INTER_NODE_COMMUNICATION: lambda c, _: (
        _gang_in(c, lambda _: True)
        and c.pool is not None
        and not c.pool.spec.enable_inter_node_communication
    ),
    Code.SLOTS_PER_NODE_NOT_ONE: lambda c, _: _gang_in(c, lambda slots: slots != 1),
    Code.TOO_FEW_NODES: lambda c, _: c.task.instances > max(len(c.nodes), c.target),
    Code.NO_DEDICATED_NODE: lambda c, _: (
        c.task.manager and not any(node.dedicated for node in c.nodes)
    ),
    Code.NODES_CREATING: _nodes_in(NodeState.CREATING),
    Code.NODES_STARTING: _nodes_in(NodeState.STARTING),
    Code.START_TASK_RUNNING: _nodes_in(NodeState.WAITING_FOR_START_TASK),
    Code.START_TASK_FAILED: _nodes_in(NodeState.START_TASK_FAILED),
    Code.NODES_UNUSABLE: _nodes(lambda _, node: node.state is NodeState.UNUSABLE),
    Code.NODES_UNKNOWN: _nodes(lambda _, node: node.state is NodeState.UNKNOWN),
    Code.NODES_AWAY: _nodes(lambda c, node: node.host is not None and node.host not in c.linked),
    Code.NODES_REBOOTING: _nodes_in(NodeState.REBOOTING),
    Code.NODES_REIMAGING: _nodes_in(NodeState.REIMAGING),
    Code.NODES_PREEMPTED: _nodes_in(NodeState.PREEMPTED),
    Code.NODES_DEALLOCATED: _nodes_in(NodeState.DEALLOCATING, NodeState.DEALLOCATED),
    Code.NODES_CLOSED: _nodes(lambda _, node: node.scheduling is SchedulingState.DISABLED),
    Code.NODES_CLOSING: _nodes(lambda _, node: node.wish is not None),
    Code.NODES_LEAVING: _nodes(_is_leaving),
    Code.PREPARATION_FAILED: _preparation_failed,
    Code.MANAGER_FIRST: _waits_for_manager,
    Code.NODES_HELD: lambda c, said: (
        int(said["free"]) <= int(said["held"]) <= int(said["wanted"]) <= len(c.nodes)
        and int(said["free"]) < int(said["wanted"])
    ),
    Code.HELD_FOR_ANOTHER: _held_for_another,
    Code.NODES_TAKEN: _nodes_taken,
    Code.SLOTS_TAKEN: _slots_taken,
    Code.WAITS_ITS_TURN: _its_turn,
}

KNOWN: Final = frozenset(_TESTS)
"""The codes of which the simulation knows what they mean."""
