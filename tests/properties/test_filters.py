"""Two stores never disagree about what passes a filter."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain import changes as c
from penstock.domain.queries import PATHS, Both, Compare, Either, Filter, Query, StartsWith
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
    return st.lists(one, max_size=len(names)).map(
        lambda many: [a_task(no=10 + n, name=names[n], **values) for n, values in enumerate(many)]
    )


@settings(max_examples=150, deadline=None)
@given(
    tasks=tasks(),
    wanted=FILTERS,
    after=st.sampled_from(["", "a", "bb"]),
    limit=st.integers(1, 9),
    gathered=st.sampled_from([0, 2, 10_000]),
    chunk=st.integers(1, 3),
)
def test_sqlite_and_memory_agree(
    tasks: list[TaskRecord], wanted: Filter, after: str, limit: int, gathered: int, chunk: int
) -> None:
    async def ask(store: MemoryStore | SqliteStore) -> list[str]:
        if isinstance(store, SqliteStore):  # so few tasks would never be walked chunk by chunk
            store._lists = TaskLists(store._read, gathered=gathered, chunk=chunk)
        await store.load()
        changes: list[c.Change] = [c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks)]
        changes.append(c.AddTask(a_task(no=9, name="b", job_no=4), b""))
        await store.commit(changes, Revision(0), 100)
        query = Query(filter=wanted, after=after, limit=limit)
        found = await store.list_tasks(3, query)
        await store.close()
        return [task.id for task, _ in found]

    with TemporaryDirectory() as directory:
        sqlite = asyncio.run(ask(SqliteStore.open(Path(directory) / "store.db")))
    assert sqlite == asyncio.run(ask(MemoryStore()))
