"""Databases to be damaged, and the ways in which they can be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from penstock.domain import changes as c
from penstock.domain.records import Counts
from penstock.domain.states import TaskResult, TaskState
from penstock.store.sqlite import SCHEMA, SqliteStore
from tests.records import a_job, a_node, a_pool, a_task

PAGE_BYTES = 4096
FIRST_NO = 10


def spec_of(name: str) -> bytes:
    """A specification that can be found in the file."""
    return f'{{"id":"{name}","commandLine":"/bin/true {name} {"x" * 400}"}}'.encode()


def fill(path: Path, tasks: int, *, done: Callable[[int], bool] = lambda _: False) -> None:
    """Make a database with a pool, a node, a job and tasks `t0` to `tN`, and close it."""
    asyncio.run(_fill(path, tasks, done))


async def _fill(path: Path, tasks: int, done: Callable[[int], bool]) -> None:
    store = SqliteStore.open(path)
    saved = await store.load()
    changes: list[c.Change] = [c.PutPool(a_pool()), c.PutNode(a_node()), c.PutJob(a_job())]
    for i in range(tasks):
        state = {"state": TaskState.COMPLETED, "result": TaskResult.SUCCESS} if done(i) else {}
        changes.append(c.AddTask(a_task(FIRST_NO + i, f"t{i}", **state), spec_of(f"t{i}")))
    over = sum(map(done, range(tasks)))
    counts = Counts(active=tasks - over, succeeded=over)
    changes.append(c.SetCounts(3, counts, counts))
    await store.commit(changes, saved.revision, FIRST_NO + tasks)
    await store.close()


def page_with(path: Path, text: bytes) -> int:
    """The number of the page that has some text, counted from 0."""
    return path.read_bytes().index(text) // PAGE_BYTES


def overwrite(path: Path, at: int, content: bytes) -> None:
    """Change bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def ruin_page(path: Path, page: int) -> None:
    """Let a page be of no known kind."""
    overwrite(path, page * PAGE_BYTES, b"\x00" * 64)


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


def broken_head(path: Path) -> None:
    overwrite(path, 0, b"SQLite format 4")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: PAGE_BYTES * 5])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def ruined_page(path: Path) -> None:
    ruin_page(path, page_with(path, spec_of("t1")))


def lost_index(path: Path) -> None:
    """A cell that its index knows differently."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        row = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'task_state'")
        (sql,) = row.fetchone()
        connection.execute("UPDATE sqlite_schema SET sql = NULL WHERE name = 'task_state'")
        connection.execute("PRAGMA schema_version = 1000")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE task SET state = 3 WHERE id = 't1'")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'task_state'", (sql,))
        connection.execute("PRAGMA schema_version = 1001")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def newer(path: Path) -> None:
    set_schema(path, SCHEMA + 1)


def set_schema(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")


def of_others(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")


def of_others_with_a_version(path: Path) -> None:
    of_others(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")


def newer_with_other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE task_spec RENAME TO task_document")
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")


def without_meta(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'next_no'")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_by_hand(path: Path) -> None:
    """A copy without WAL in the place of a database that was killed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    path.with_name(f"{path.name}-wal").write_bytes(b"commits of another database")


def only_its_wal(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}-wal"))


DAMAGES: dict[Callable[[Path], None], str] = {
    garbage: "not an SQLite database",
    broken_head: "not an SQLite database",
    cut_short: "not an SQLite database",
    cut_off: "cut off: 20480 of ",
    ruined_page: r"damaged: Page \d+: ",
    lost_index: "damaged: .*index task_state",
    empty: "it is empty",
    newer: "start the newer release that wrote it, or restore a backup",
    newer_with_other_tables: "start the newer release",
    of_others: "not one of Penstock",
    of_others_with_a_version: "not one of Penstock",
    without_meta: "damaged: its table meta",
    directory: "it is a directory",
    put_by_hand: "belongs to another database",
    only_its_wal: "missing, though .*-wal is there",
}
"""Each way, and what is said of it."""
