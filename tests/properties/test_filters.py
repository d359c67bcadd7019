"""Two stores never disagree about what passes a filter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain import changes as c
from penstock.domain.queries import (
    PATHS,
    Both,
    Compare,
    Either,
    Filter,
    Operator,
    Query,
    StartsWith,
)
from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskResult, TaskState
from penstock.store.contract import Revision
from penstock.store.lists import TaskLists
from penstock.store.memory import MemoryStore
from penstock.store.sqlite import SqliteStore
from tests.records import a_job, a_task

SMALL = st.integers(0, 3)
VALUES = {
    "id": st.sampled_from(["a", "B", "bb", "C", ""]),
    "state": st.sampled_from(["active", "Running", "completed", "nonsense"]),
    "executionInfo/result": st.sampled_from(["success", "FAILURE", "nonsense"]),
}
OPERATORS = st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"])


def comparisons() -> st.SearchStrategy[Filter]:
    def of(path: str) -> st.SearchStrategy[Filter]:
        return st.builds(Compare, st.just(path), OPERATORS, VALUES.get(path, SMALL))

    starts = st.builds(StartsWith, st.just("id"), st.sampled_from(["", "b", "B", "BB", "z"]))
    return st.sampled_from(sorted(PATHS["tasks"])).flatmap(of) | starts


FILTERS: st.SearchStrategy[Filter] = st.recursive(
    comparisons(),
    lambda inner: st.builds(Both, inner, inner) | st.builds(Either, inner, inner),
    max_leaves=5,
)


def tasks() -> st.SearchStrategy[list[TaskRecord]]:
    one = st.fixed_dictionaries(
        {
            "state": st.sampled_from(TaskState),
            "created_us": SMALL,
            "modified_us": SMALL,
            "state_us": SMALL,
            "start_us": st.none() | SMALL,
            "end_us": st.none() | SMALL,
            "exit_code": st.none() | SMALL,
            "result": st.none() | st.sampled_from(TaskResult),
        }
    )
    names = ["a", "B", "bB", "c", "D1", "bb2", "e", "F"]
    return st.lists(one, min_size=3, max_size=len(names)).map(
        lambda many: [a_task(no=10 + n, name=names[n], **values) for n, values in enumerate(many)]
    )


QUERIES = st.builds(
    Query, filter=FILTERS, after=st.sampled_from(["", "", "a", "bb"]), limit=st.integers(1, 9)
)


@settings(max_examples=30, deadline=None)
@given(
    tasks=tasks(),
    queries=st.lists(QUERIES, min_size=10, max_size=30),
    gathered=st.sampled_from([0, 2, 10_000]),
    chunk=st.integers(1, 3),
)
def test_sqlite_and_memory_agree(
    tasks: list[TaskRecord], queries: list[Query], gathered: int, chunk: int
) -> None:
    async def ask(store: MemoryStore | SqliteStore) -> list[list[str]]:
        if isinstance(store, SqliteStore):  # so few tasks would never be walked chunk by chunk
            store._lists = TaskLists(store._read, gathered=gathered, chunk=chunk)
        await store.load()
        changes: list[c.Change] = [c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks)]
        changes.append(c.AddTask(a_task(no=9, name="b", job_no=4), b""))
        await store.commit(changes, Revision(0), 100)
        found = [await store.list_tasks(3, query) for query in queries]
        await store.close()
        return [[task.id for task, _ in page] for page in found]

    with TemporaryDirectory() as directory:
        sqlite = asyncio.run(ask(SqliteStore.open(Path(directory) / "store.db")))
    memory = asyncio.run(ask(MemoryStore()))
    for query, ours, expected in zip(queries, sqlite, memory, strict=True):
        assert ours == expected, query


def all_comparisons() -> Iterator[Compare]:
    """Each property with each operator and each value that matters."""
    names = {
        "id": ["", "t03", "T24", "u"],
        "state": ["active", "completed", "nonsense"],
        "executionInfo/result": ["success", "failure", "nonsense"],
    }
    for path, operator in product(sorted(PATHS["tasks"]), get_args(Operator)):
        for value in names.get(path, [0, 1]):
            yield Compare(path, operator, value)


BESIDE: list[Filter] = [
    Compare("state", "eq", "completed"),
    Compare("state", "ne", "active"),
    Compare("id", "lt", "t24"),
    StartsWith("id", "t1"),
    Compare("executionInfo/exitCode", "eq", 2),
    Compare("lastModified", "ge", 1),
]


@pytest.mark.parametrize(("gathered", "chunk"), [(0, 3), (12, 3), (10_000, 3)])
def test_each_comparison_alone_and_beside_another(
    tmp_path: Path, gathered: int, chunk: int
) -> None:
    """However a page is read: gathered, walked, or now this and then that."""
    kinds = product(TaskState, (None, 0, 1, 2), (None, *TaskResult))
    tasks = [
        a_task(
            no=10 + n,
            name=f"t{n * 7 % 48:02}",
            state=state,
            exit_code=exit_code,
            result=result,
            created_us=n % 2,
            modified_us=n % 3,
            state_us=n % 3,
            start_us=(None, 0, 1)[n % 3],
            end_us=(None, 0, 1)[n // 2 % 3],
        )
        for n, (state, exit_code, result) in enumerate(kinds)
    ]
    leaves = list(all_comparisons())
    wanted: list[Filter] = [*leaves]
    for leaf, other in product(leaves, BESIDE):
        wanted += [Both(leaf, other), Either(leaf, other)]
    asked = list(product(wanted, (4, 30)))

    async def ask(store: MemoryStore | SqliteStore) -> list[list[str]]:
        await store.load()
        changes: list[c.Change] = [c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks)]
        await store.commit(changes, Revision(0), 100)
        queries = [Query(filter=each, limit=limit) for each, limit in asked]
        found = [await store.list_tasks(3, query) for query in queries]
        await store.close()
        return [[task.id for task, _ in page] for page in found]

    sqlite = SqliteStore.open(tmp_path / "store.db")
    sqlite._lists = TaskLists(sqlite._read, gathered=gathered, chunk=chunk)
    pages = zip(asked, asyncio.run(ask(sqlite)), asyncio.run(ask(MemoryStore())), strict=True)
    assert [(each, ours) for each, ours, expected in pages if ours != expected] == []
