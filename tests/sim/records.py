"""What must hold of the records at each commit, whatever led to them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from penstock.domain import changes as c
from penstock.domain.records import (
    Counts,
    JobRecord,
    NodeRecord,
    PoolRecord,
    ScheduleRecord,
    SubtaskRecord,
    key_of,
)
from penstock.domain.states import (
    ALLOCATION_MOVES,
    JOB_MOVES,
    NODE_MOVES,
    SCHEDULE_MOVES,
    SUBTASK_MOVES,
    TASK_MOVES,
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    ScheduleState,
    SubtaskState,
    TaskResult,
    TaskState,
)
from penstock.engine.state import State
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant
from tests.sim.picture import Picture

S = TypeVar("S", bound=Enum)

TaskName = tuple[str, str, str]
"""Account, job id, task id."""


def nothing_is_lost(store: Disk, acknowledged: Iterable[TaskName]) -> None:
    jobs = {(job.account, job.id): job.no for job in store.jobs.values()}
    for account, job_id, task_id in acknowledged:
        no = jobs.get((account, job_id))
        if no is None or (no, key_of(task_id)) not in store.by_key:
            what = f"task {task_id} of {job_id} was acknowledged and is not there"
            raise Broken(Invariant.KEPT, what)


def counts_are_true(store: Disk) -> None:
    found: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 8)
    for task in store.tasks.values():
        place = 0 if task.state is TaskState.ACTIVE else 1
        if task.state is TaskState.COMPLETED:
            place = 2 if task.result is TaskResult.SUCCESS else 3
        row = found[task.job_no]
        row[place] += 1
        row[place + 4] += task.slots
    for no, job in store.jobs.items():
        kept = store.job_counts.get(no)
        if kept is None:
            if no in found:
                raise Broken(Invariant.COUNTS, f"job {job.id} has tasks and no counts")
        elif [*_row(kept.tasks), *_row(kept.slots)] != found[no]:
            raise Broken(Invariant.COUNTS, f"job {job.id}: counts {kept} are not {found[no]}")


def _row(counts: Counts) -> list[int]:
    return [counts.active, counts.running, counts.succeeded, counts.failed]


def nodes_are_not_overfull(picture: Picture) -> None:
    used: defaultdict[int, list[int]] = defaultdict(list)
    held: Counter[int] = Counter()
    for task in picture.running:
        over = task.instances and task.ending is not None  # it ends on other nodes
        for node_no in picture.nodes_of(task):
            if over and node_no not in picture.store.nodes:
                continue
            used[node_no].append(task.slots)
            held[node_no] += task.held or task.slots
    nodes = picture.store.nodes
    for no, slots in held.items():
        node = nodes.get(no)
        if node is None:
            raise Broken(Invariant.SLOTS, f"a task runs on the node {no}, which is not there")
        if slots > node.slots:
            what = f"node {no} has {node.slots} slots and {slots} are used"
            raise Broken(Invariant.SLOTS, what)
    for no, node in nodes.items():
        if (node.running_tasks, node.running_slots) != (len(used[no]), sum(used[no])):
            what = f"node {no} counts {node.running_tasks} tasks and has {used[no]}"
            raise Broken(Invariant.COUNTS, what)


def move_is_legal(state: State, change: c.Change) -> None:
    """A decision is about to change something: the tables must allow it."""
    match change:
        case c.SetTask(task, was):
            held = state.given.get(task.no)
            ran = held is not None and held.state is not TaskState.ACTIVE
            if ran != (was in (TaskState.PREPARING, TaskState.RUNNING)):
                what = f"task {task.id} is said to have been {was.wire_name}"
                raise Broken(Invariant.MOVES, what)
            _legal(TASK_MOVES, was, task.state)
        case c.PutJob(job):
            _job_moves(state.jobs.get(job.no), job)
        case c.PutNode(node) | c.OccupyNode(node):
            _node_moves(state.nodes.get(node.no), node)
        case c.PutPool(pool):
            _pool_moves(state.pools.get(pool.no), pool)
        case c.PutSubtask(part):
            _part_moves(state.subtasks.get(part.no), part)
        case c.PutSchedule(schedule):
            _schedule_moves(state.schedules.get(schedule.no), schedule)


def _part_moves(before: SubtaskRecord | None, part: SubtaskRecord) -> None:
    if before is not None:
        _legal(SUBTASK_MOVES, before.state, part.state)
    elif part.state is not SubtaskState.PREPARING:
        raise Broken(Invariant.MOVES, f"a part of a task begins as {part.state!r}")


def _schedule_moves(before: ScheduleRecord | None, schedule: ScheduleRecord) -> None:
    if before is not None:
        _legal(SCHEDULE_MOVES, before.state, schedule.state)
    elif schedule.state is not ScheduleState.ACTIVE:
        raise Broken(Invariant.MOVES, f"a schedule begins as {schedule.state}")


def _job_moves(before: JobRecord | None, job: JobRecord) -> None:
    if before is not None:
        _legal(JOB_MOVES, before.state, job.state)
        at_once = (before.state, job.state) == (JobState.ACTIVE, JobState.COMPLETED)
        if at_once and job.scheduling_error is None:
            raise Broken(Invariant.MOVES, f"job {job.id} was completed without an end")
    elif job.state is not JobState.ACTIVE:
        raise Broken(Invariant.MOVES, f"a job begins as {job.state}")


def _node_moves(before: NodeRecord | None, node: NodeRecord) -> None:
    if before is not None:
        _legal(NODE_MOVES, before.state, node.state)
    elif node.state is not NodeState.CREATING:
        raise Broken(Invariant.MOVES, f"a node begins as {node.state}")


def _pool_moves(before: PoolRecord | None, pool: PoolRecord) -> None:
    if before is not None:
        _legal(ALLOCATION_MOVES, before.allocation, pool.allocation)
        if before.state is PoolState.DELETING and pool.state is not before.state:
            raise Broken(Invariant.MOVES, f"pool {pool.id} came back")
    elif pool.allocation is not AllocationState.STEADY:
        raise Broken(Invariant.MOVES, f"a pool begins as {pool.allocation}")


def _legal(table: Mapping[S, Mapping[Any, S]], before: S, after: S) -> None:
    if after is not before and after not in table[before].values():
        what = f"{type(before).__name__} went from {before.name} to {after.name}"
        raise Broken(Invariant.MOVES, what)


def nothing_stands_still(picture: Picture) -> None:
    """Jobs and pools went on, as far as nothing holds them."""
    store = picture.store
    chored = {
        chore.job_no
        for chore in store.chores.values()
        if store.nodes[chore.node_no].state is not NodeState.UNKNOWN
    }
    at_work = {
        at.job_no
        for at in store.job_nodes.values()
        if any(run is not None and run.running for run in (at.preparation, at.release))
    }
    for job in store.jobs.values():
        quiet = job.state in (JobState.DISABLING, JobState.TERMINATING)
        quiet = quiet or (job.state is JobState.DELETING and job.no not in chored)
        if quiet and not picture.given_of[job.no] and job.no not in at_work:
            raise Broken(Invariant.ONWARD, f"job {job.id} is {job.state}, and nothing holds it")
    moving = {
        node.pool_no
        for node in store.nodes.values()
        if node.leaving or node.state in (NodeState.CREATING, NodeState.LEAVING_POOL)
    }
    members = {node.pool_no for node in store.nodes.values()}
    for pool in store.pools.values():
        resizing = pool.allocation is not AllocationState.STEADY
        if resizing and pool.state is PoolState.ACTIVE and pool.no not in moving:
            raise Broken(Invariant.ONWARD, f"pool {pool.id} is {pool.allocation}: nothing moves")
        if pool.state is PoolState.DELETING and pool.no not in members:
            raise Broken(Invariant.ONWARD, f"pool {pool.id} is being deleted and has no nodes")
