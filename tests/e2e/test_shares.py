"""Who gets the nodes: even shares, a job that overtakes, and layouts, with real processes.

What began and ended when, and where, is read from the record of the tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobCreateOptions,
    BatchNodeFillType,
    BatchTask,
    BatchTaskCreateOptions,
    BatchTaskSchedulingPolicy,
)

from penstock.scheduler.ahead import MOST_PER_SLOT
from tests.e2e.things import (
    all_completed,
    delete_job,
    delete_pool,
    job_options,
    made_pool,
    nodes_ready,
    pool_options,
    running,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

NODES = 4
SLOTS = 4
TASKS = 1000  # of each of two jobs
STEP = 100  # completions after which the shares are looked at
URGENT = 100  # tasks of the job that overtakes: one request, so that they come all at once
WITHIN_S = 60.0


@pytest.fixture
def things(batch: BatchClient) -> Iterator[tuple[str, list[str]]]:
    """The id of a pool that may be made, and of the jobs that were; all deleted at the end."""
    pool_id, jobs = unique("shares"), list[str]()
    yield pool_id, jobs
    for job_id in jobs:
        delete_job(batch, job_id)
    delete_pool(batch, pool_id)


def job_of(batch: BatchClient, things: tuple[str, list[str]], name: str, priority: int = 0) -> str:
    """A job on the pool, which need not be there yet."""
    pool_id, jobs = things
    options: BatchJobCreateOptions = job_options(unique(name), pool_id)
    options.priority = priority
    batch.create_job(options)
    jobs.append(options.id)
    return options.id


def tasks_of(count: int, command: str) -> list[BatchTaskCreateOptions]:
    """Tasks that are all alike."""
    return [task_options(f"t{number}", command) for number in range(count)]


def started(task: BatchTask) -> datetime:
    """When a task began."""
    assert task.execution_info is not None
    assert task.execution_info.start_time is not None
    return task.execution_info.start_time


def ended(task: BatchTask) -> datetime:
    """When a task ended."""
    assert task.execution_info is not None
    assert task.execution_info.end_time is not None
    return task.execution_info.end_time


def created(task: BatchTask) -> datetime:
    """When a task was added."""
    assert task.creation_time is not None
    return task.creation_time


def node_of(task: BatchTask) -> str:
    """The node that has a task."""
    assert task.node_info is not None
    assert task.node_info.node_id is not None
    return task.node_info.node_id


# --- shares --------------------------------------------------------------------------------------


def test_equal_jobs_share_evenly_and_an_urgent_one_overtakes(
    batch: BatchClient, things: tuple[str, list[str]]
) -> None:
    pool_id, _ = things
    equal = [job_of(batch, things, name) for name in ("first", "second")]
    urgent = job_of(batch, things, "urgent", priority=100)
    for job_id in equal:
        batch.create_tasks(job_id, tasks_of(TASKS, "/bin/true"))
    batch.create_pool(pool_options(pool_id, nodes=NODES))

    def under_way() -> bool:
        return batch.get_job_task_counts(equal[0]).task_counts.completed >= TASKS // 4

    eventually(under_way, WITHIN_S, "a quarter of the tasks")
    batch.create_tasks(urgent, tasks_of(URGENT, "/bin/true"))
    tasks = [
        (job_id, task)
        for job_id, count in ((equal[0], TASKS), (equal[1], TASKS), (urgent, URGENT))
        for task in all_completed(batch, job_id, count, WITHIN_S).values()
    ]

    by_end = sorted((ended(task), job_id) for job_id, task in tasks if job_id != urgent)
    shares = shares_of([job_id for _, job_id in by_end], equal[0])
    print(f"\nof each {STEP} completions: {shares}")
    for number, share in enumerate(shares, 1):
        assert abs(share - number * STEP / 2) <= 0.1 * number * STEP / 2, (number, shares)

    by_node: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
    for job_id, task in tasks:
        by_node[node_of(task)].append((started(task), job_id == urgent))
    since = min(created(task) for job_id, task in tasks if job_id == urgent)
    assert len(by_node) == NODES
    check_overtaking([sorted(began) for began in by_node.values()], since)


def shares_of(order: Sequence[str], job_id: str) -> list[int]:
    """How many of the first 100, 200, ... belong to a job."""
    return [order[:count].count(job_id) for count in range(STEP, len(order) + 1, STEP)]


def check_overtaking(nodes: Sequence[Sequence[tuple[datetime, bool]]], since: datetime) -> None:
    """What is urgent begins next on each node, after no more than what the node had already.

    A node has the task that runs and what was sent ahead; once it is through with those, nothing
    but urgent tasks begins there until none of them waits.
    """
    before = []
    for began in nodes:
        kinds = [(is_urgent, len(list(runs))) for is_urgent, runs in groupby(it[1] for it in began)]
        assert [is_urgent for is_urgent, _ in kinds] in (
            [False, True, False],
            [False, True],  # the last ones of all
            [False],
        ), kinds
        after = [is_urgent for start, is_urgent in began if start >= since]
        before.append(after.index(True) if True in after else 0)
    print(f"begun on each node between the add and the first urgent one: {before}")
    assert max(before) <= MOST_PER_SLOT + 1, nodes


def test_an_urgent_job_is_next_where_nothing_is_sent_ahead(
    batch: BatchClient, things: tuple[str, list[str]]
) -> None:
    """Tasks this long are not sent ahead: a node has those that run and no others."""
    pool_id, _ = things
    batch.create_pool(pool_options(pool_id, nodes=2, slots=2))
    nodes_ready(batch, pool_id, 2)
    usual, urgent = job_of(batch, things, "usual"), job_of(batch, things, "urgent", priority=1)
    batch.create_tasks(usual, tasks_of(24, "sleep 0.2"))
    eventually(
        lambda: batch.get_job_task_counts(usual).task_counts.completed >= 6, WITHIN_S, "six tasks"
    )
    batch.create_tasks(urgent, tasks_of(8, "sleep 0.2"))
    overtaking = all_completed(batch, urgent, 8, WITHIN_S).values()
    overtaken = all_completed(batch, usual, 24, WITHIN_S).values()

    since = min(created(task) for task in overtaking)
    began = [(started(task), True) for task in overtaking]
    began += [(started(task), False) for task in overtaken if started(task) >= since]
    order = [is_urgent for _, is_urgent in sorted(began)]
    on_the_way = order.index(True)
    print(f"\nbegun between the add and the first urgent one: {on_the_way}")
    assert on_the_way <= 4, "one for each slot may have been on its way to its node"
    assert all(order[on_the_way : on_the_way + 8]), order


# --- layouts -------------------------------------------------------------------------------------

NEEDS = (3, 2, 4, 1, 2, 1, 1, 1)
"""Slots of tasks, in order of adding; 15 of 16."""


@pytest.mark.parametrize("fill", list(BatchNodeFillType))
def test_tasks_lie_as_the_pool_says(batch: BatchClient, fill: BatchNodeFillType) -> None:
    options = pool_options(unique(fill.value), nodes=NODES, slots=SLOTS)
    options.task_scheduling_policy = BatchTaskSchedulingPolicy(node_fill_type=fill)
    with made_pool(batch, options) as pool_id:
        for needs in ((1,) * 16, NEEDS):
            job_id = unique("job")
            batch.create_job(job_options(job_id, pool_id))
            try:
                free = {node.id: SLOTS for node in batch.list_nodes(pool_id)}
                for number, slots in enumerate(needs):
                    node_id = place(batch, job_id, f"t{number}", slots)
                    assert free[node_id] in allowed(fill, free, slots), (number, slots, free)
                    free[node_id] -= slots
                    if set(needs) == {1}:
                        assert sorted(SLOTS - left for left in free.values()) == layout(
                            fill, number + 1
                        )
                check_refill(batch, pool_id, job_id, fill, free)
            finally:
                delete_job(batch, job_id)


def place(batch: BatchClient, job_id: str, task_id: str, slots: int) -> str:
    """Add a task that stays; give the node on which it runs."""
    task = task_options(task_id, "sleep 1000")
    task.required_slots = slots
    batch.create_task(job_id, task)
    return node_of(running(batch, job_id, task_id))


def allowed(fill: BatchNodeFillType, free: dict[str, int], slots: int) -> set[int]:
    """How many free slots the chosen node has: most of all, or the fewest that suffice."""
    rooms = [left for left in free.values() if left >= slots]
    return {max(rooms) if fill is BatchNodeFillType.SPREAD else min(rooms)}


def layout(fill: BatchNodeFillType, count: int) -> list[int]:
    """Tasks on each node, least first, when each takes one slot."""
    if fill is BatchNodeFillType.SPREAD:
        return sorted((count + node) // NODES for node in range(NODES))
    return sorted(min(SLOTS, max(0, count - node * SLOTS)) for node in range(NODES))


def check_refill(
    batch: BatchClient, pool_id: str, job_id: str, fill: BatchNodeFillType, free: dict[str, int]
) -> None:
    """Three that end leave gaps, and the next one goes where the policy wants it."""
    for task in list(batch.list_tasks(job_id))[:3]:
        batch.terminate_task(job_id, task.id)
        free[node_of(task)] += task.required_slots or 1

    def gone() -> bool:
        nodes = batch.list_nodes(pool_id)
        return all(node.running_task_slots_count == SLOTS - free[node.id] for node in nodes)

    eventually(gone, 10, "the end of three tasks")
    assert free[place(batch, job_id, "next", 1)] in allowed(fill, free, 1)
