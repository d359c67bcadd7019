"""Pages of a long list: what few tasks pass is found by an index, not by walking all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.domain import changes as c
from penstock.domain.instants import instant_text
from penstock.domain.queries import Query
from penstock.domain.records import Failure
from penstock.domain.states import TaskResult, TaskState
from penstock.store.contract import Revision
from penstock.store.lists import TaskLists
from penstock.store.sqlite import SqliteStore
from penstock.wire.odata import filter_of
from tests.records import NOW_US, a_job, a_task

TASKS = 20_000
RARE = range(TASKS - 3, TASKS)  # the last ones
LATER_US = NOW_US + 1_000_000
LATER = f"DateTime'{instant_text(LATER_US)}'"
STEPS = 1000
MOST_STEPS = 20
"""Thousands of steps of SQLite's machine; a walk over all tasks takes more than a hundred."""
GATHERED, CHUNK = 500, 400  # as much less than in earnest as there are fewer tasks


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path_factory.mktemp("lists") / "store.db")
    made._lists = TaskLists(made._read, gathered=GATHERED, chunk=CHUNK)
    asyncio.run(_fill(made))
    yield made
    asyncio.run(made.close())


async def _fill(store: SqliteStore) -> None:
    await store.load()
    waiting = [a_task(no=10 + n, name=f"t{n:05}") for n in range(TASKS // 2)]
    ended: dict[str, Any] = {"state": TaskState.COMPLETED, "start_us": NOW_US, "end_us": NOW_US}
    ended |= {"exit_code": 0, "result": TaskResult.SUCCESS}
    succeeded = [
        a_task(no=10 + n, name=f"t{n:05}", **ended) for n in range(TASKS // 2, TASKS - len(RARE))
    ]
    times = ("created_us", "modified_us", "state_us", "start_us", "end_us")
    late: dict[str, Any] = dict.fromkeys(times, LATER_US) | {
        "exit_code": 7,
        "result": TaskResult.FAILURE,
        "failure": Failure("usererror", "x", "y"),
    }
    failed = [a_task(no=10 + n, name=f"t{n:05}", **ended | late) for n in RARE]
    changes: list[c.Change] = [c.PutJob(a_job())]
    changes += [c.AddTask(task, b"{}") for task in [*waiting, *succeeded, *failed]]
    await store.commit(changes, Revision(0), TASKS + 10)


def _page(store: SqliteStore, text: str, limit: int = 1001) -> tuple[list[str], int]:
    """The ids of a page, and how many thousand steps it took."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._read.set_progress_handler(step, STEPS)
    try:
        wanted = filter_of("tasks", text)
        found = asyncio.run(store.list_tasks(3, Query(filter=wanted, limit=limit)))
    finally:
        store._read.set_progress_handler(None, 0)
    return [task.id for task, _ in found], steps


@pytest.mark.parametrize(
    "text",
    [
        "executionInfo/exitCode eq 7",
        "executionInfo/exitCode gt 0",
        "executionInfo/exitCode eq 7 or executionInfo/exitCode eq 8",
        "executionInfo/exitCode ge 5 and executionInfo/exitCode le 9",
        "executionInfo/result eq 'failure'",
        "state eq 'completed' and executionInfo/exitCode ne 0",
        "state eq 'completed' and executionInfo/result eq 'failure'",
        "state eq 'completed' and (executionInfo/exitCode eq 7 or state eq 'running')",
        f"creationTime ge {LATER}",
        f"stateTransitionTime ge {LATER}",
        f"lastModified ge {LATER} and state eq 'completed'",
        f"executionInfo/startTime ge {LATER}",
        f"executionInfo/endTime ge {LATER}",
        f"startswith(id, 't{RARE[0] // 10}') and executionInfo/result eq 'failure'",
        f"id ge 't{RARE[0]}'",
    ],
)
def test_the_few_that_pass_are_found_without_walking_all(store: SqliteStore, text: str) -> None:
    found, steps = _page(store, text)
    assert found == [f"t{n}" for n in RARE]
    assert steps < MOST_STEPS


@pytest.mark.parametrize(
    "text",
    [
        "state eq 'running'",
        "state eq 'nonsense'",
        "state eq 'active' and executionInfo/exitCode eq 7",
        "executionInfo/exitCode lt 0",
        "executionInfo/result eq 'nonsense'",
        f"stateTransitionTime gt {LATER}",
        f"creationTime gt {LATER} and creationTime lt {LATER}",
        "startswith(id, 'x')",
        "id eq 'no such task'",
    ],
)
def test_that_none_passes_is_known_without_walking_all(store: SqliteStore, text: str) -> None:
    found, steps = _page(store, text)
    assert found == []
    assert steps < MOST_STEPS


@pytest.mark.parametrize(
    "text",
    [
        "state eq 'completed'",
        "state ne 'active'",
        "executionInfo/exitCode eq 0 and state eq 'completed'",
        "executionInfo/result eq 'success'",
        "id gt 't09999'",
        "state eq 'completed' or state eq 'running'",
    ],
)
def test_the_first_of_many_are_found_without_reading_all(store: SqliteStore, text: str) -> None:
    found, steps = _page(store, text, limit=10)
    assert found == [f"t{n}" for n in range(TASKS // 2, TASKS // 2 + 10)]
    assert steps < MOST_STEPS


def test_pages_of_a_filter_follow_each_other_without_a_gap(store: SqliteStore) -> None:
    wanted = filter_of("tasks", "state eq 'completed'")
    ids: list[str] = []
    while len(ids) < TASKS:
        query = Query(filter=wanted, after=ids[-1] if ids else "", limit=999)
        page = asyncio.run(store.list_tasks(3, query))
        if not page:
            break
        ids += [task.id for task, _ in page]
    assert ids == [f"t{n}" for n in range(TASKS // 2, TASKS)]


def test_others_have_their_turn_while_a_long_walk_is_on(store: SqliteStore) -> None:
    async def scenario() -> int:
        wanted = filter_of("tasks", "executionInfo/result ne 'success' and state eq 'completed'")
        listing = asyncio.create_task(store.list_tasks(3, Query(filter=wanted)))
        turns = 0
        while not listing.done():
            turns += 1
            await asyncio.sleep(0)
        assert [task.id for task, _ in listing.result()] == [f"t{n}" for n in RARE]
        return turns

    assert asyncio.run(scenario()) > 1
