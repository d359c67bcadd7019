"""A restored database is one that lost all its nodes, and gives no number twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.domain import changes as c
from penstock.domain.records import Chore, Counts, Ending, TaskRecord
from penstock.domain.states import (
    AllocationState,
    JobState,
    NodeState,
    TaskResult,
    TaskState,
)
from penstock.launch.restored import take_over, take_over_copy
from penstock.store import sqlite_copy
from penstock.store.contract import Saved
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_copy import About
from tests.records import NOW_US, a_job, a_node, a_pool, a_task

LATER_US = NOW_US + 86_400 * 1_000_000
SPEC = b"{}"


def database(path: Path, *changes: c.Change) -> Path:
    """A database of a pool, a running node, a job and what else is wanted."""

    async def make() -> None:
        store = SqliteStore.open(path)
        saved = await store.load()
        usual: list[c.Change] = [
            c.PutPool(a_pool()),
            c.PutNode(a_node(state=NodeState.RUNNING, running_tasks=1)),
        ]
        await store.commit([*usual, c.PutJob(a_job()), *changes], saved.revision, 100)
        await store.close()

    asyncio.run(make())
    return path


def added(task: TaskRecord) -> c.AddTask:
    return c.AddTask(task, SPEC)


def counted(**tasks: int) -> c.SetCounts:
    return c.SetCounts(3, Counts(**tasks), Counts(**tasks))


def taken_over(path: Path, now_us: int = LATER_US, **hosts: str) -> Saved:
    asyncio.run(take_over(path, now_us, hosts))
    return saved_in(path)


def saved_in(path: Path) -> Saved:
    async def load() -> Saved:
        store = SqliteStore.open(path)
        saved = await store.load()
        waiting = list(saved.waiting)
        await store.close()
        return Saved(**{**_fields(saved), "waiting": waiting})

    return asyncio.run(load())


def _fields(saved: Saved) -> dict[str, Any]:
    return {name: getattr(saved, name) for name in saved.__struct_fields__}


def tasks_in(path: Path, numbers: Sequence[int]) -> dict[int, TaskRecord]:
    async def read() -> dict[int, TaskRecord]:
        store = SqliteStore.open(path)
        found = await store.tasks_by_no(numbers)
        await store.close()
        return {no: task for no, (task, _) in found.items()}

    return asyncio.run(read())


def test_what_ran_waits_again_and_is_counted_so(tmp_path: Path) -> None:
    given = {"node_no": 2, "attempt": 1}
    path = database(
        tmp_path / "store.db",
        added(a_task(no=4, name="ran", state=TaskState.RUNNING, start_us=NOW_US, **given)),
        added(a_task(no=5, name="ahead", ahead=True, **given)),
        added(a_task(no=6, name="waits")),
        counted(active=2, running=1),
    )
    saved = taken_over(path)
    assert [task.no for task in saved.waiting] == [4, 5, 6]
    assert saved.given == []
    assert saved.counts[3].tasks == Counts(active=3)
    tasks = tasks_in(path, [4, 5])
    assert (tasks[4].state, tasks[4].requeue_count) == (TaskState.ACTIVE, 1)
    assert (tasks[5].ahead, tasks[5].requeue_count) == (False, 1), "it may have run"
    (node,) = saved.nodes
    assert (node.state, node.running_tasks, node.running_slots) == (NodeState.UNKNOWN, 0, 0)


def test_what_users_had_asked_of_what_ran_is_done(tmp_path: Path) -> None:
    ran = {"state": TaskState.RUNNING, "start_us": NOW_US, "node_no": 2, "attempt": 1}
    path = database(
        tmp_path / "store.db",
        added(a_task(no=4, name="ended", ending=Ending.TERMINATED, **ran)),
        added(a_task(no=5, name="deleted", ending=Ending.DELETED, **ran)),
        counted(running=2),
    )
    saved = taken_over(path)
    tasks = tasks_in(path, [4, 5])
    assert list(tasks) == [4]
    assert (tasks[4].state, tasks[4].result) == (TaskState.COMPLETED, TaskResult.FAILURE)
    assert saved.counts[3].tasks == Counts(failed=1)
    (chore,) = saved.chores
    assert chore.no > LATER_US - 1, "the directory of the deleted one, by a number of its own"


def test_numbers_and_runs_go_on_above_all_that_was_given(tmp_path: Path) -> None:
    over = {"state": TaskState.COMPLETED, "attempt": 7}
    path = database(
        tmp_path / "store.db",
        added(a_task(no=4, name="waits")),
        added(a_task(no=5, name="failed", result=TaskResult.FAILURE, **over)),
        added(a_task(no=6, name="succeeded", result=TaskResult.SUCCESS, **over)),
        counted(active=1, failed=1, succeeded=1),
    )
    assert taken_over(path).next_no >= LATER_US
    attempts = {no: task.attempt for no, task in tasks_in(path, [4, 5, 6]).items()}
    assert attempts == {4: LATER_US, 5: LATER_US, 6: 7}, "what succeeded never runs again"


def test_with_a_clock_that_was_set_back_they_go_on_all_the_same(tmp_path: Path) -> None:
    path = database(tmp_path / "store.db", added(a_task(no=4, attempt=50)), counted(active=1))
    first = taken_over(path, now_us=1000).next_no
    second = taken_over(path, now_us=500).next_no
    assert first >= 100 + 10**9
    assert first + 10**9 <= second
    assert tasks_in(path, [4])[4].attempt == second


def test_nodes_that_were_leaving_are_gone_and_others_may_move(tmp_path: Path) -> None:
    path = database(
        tmp_path / "store.db",
        c.PutNode(a_node(no=10, name="leaving", state=NodeState.LEAVING_POOL)),
        c.PutNode(a_node(no=11, name="creating", state=NodeState.CREATING)),
        c.PutNode(a_node(no=12, name="elsewhere", host="far")),
        c.PutChore(Chore(no=13, node_no=10, job_no=0, message=b"x")),
        c.PutChore(Chore(no=14, node_no=12, job_no=0, message=b"x")),
    )
    saved = taken_over(path, host="new")
    assert {node.id: (node.host, node.state) for node in saved.nodes} == {
        "node": ("new", NodeState.UNKNOWN),
        "creating": (None, NodeState.CREATING),
        "elsewhere": ("far", NodeState.UNKNOWN),
    }
    assert [chore.no for chore in saved.chores] == [14]


def test_a_resize_has_the_time_again_that_it_had(tmp_path: Path) -> None:
    growing = a_pool(
        no=20,
        name="growing",
        allocation=AllocationState.RESIZING,
        allocation_us=NOW_US,
        resize_due_us=NOW_US + 900,
    )
    saved = taken_over(database(tmp_path / "store.db", c.PutPool(growing)))
    assert {pool.id: pool.resize_due_us for pool in saved.pools} == {
        "pool": None,
        "growing": LATER_US + 900,
    }


def test_it_may_be_done_again(tmp_path: Path) -> None:
    path = database(
        tmp_path / "store.db",
        added(a_task(no=4, state=TaskState.RUNNING, start_us=NOW_US, node_no=2, attempt=1)),
        c.PutJob(a_job(no=30, name="ending", state=JobState.TERMINATING)),
        counted(running=1),
    )
    once, twice = taken_over(path), taken_over(path)
    assert once.waiting == twice.waiting
    assert once.counts == twice.counts
    assert once.nodes == twice.nodes
    assert tasks_in(path, [4])[4].requeue_count == 1


def test_a_backup_that_was_put_there_by_hand_is_taken_over_at_the_start(tmp_path: Path) -> None:
    path = database(tmp_path / "store.db", added(a_task(no=4)), counted(active=1))

    async def start(now_us: int) -> int:
        await take_over_copy(path, now_us)
        store = SqliteStore.open(path)
        saved = await store.load()
        await store.close()
        return saved.next_no

    assert asyncio.run(start(LATER_US)) == 100, "a database that is no backup stays as it is"
    sqlite_copy.mark(path, About(made_us=NOW_US, release="1"), {"agent.token": b"secret"})
    first = asyncio.run(start(LATER_US))
    assert first >= LATER_US
    assert sqlite_copy.mark_of(path) is None
    assert asyncio.run(start(LATER_US + 5)) == first, "once"
