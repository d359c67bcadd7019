"""Files that cannot be used are refused as they are, and said to be what they are."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from penstock.domain.queries import Query
from penstock.domain.unreadable import Unreadable
from penstock.store import sqlite_file
from penstock.store.contract import StoreDamaged, StoreRefused
from penstock.store.sqlite import SqliteStore
from tests.records import ACCOUNT
from tests.store import damage


def files_of(directory: Path) -> dict[str, bytes]:
    """All files, but for SQLite's index of the WAL, which is made anew whenever it is read."""
    return {
        file.name: file.read_bytes()
        for file in directory.iterdir()
        if file.is_file() and not file.name.endswith("-shm")
    }


@pytest.mark.parametrize(
    ("hurt", "reason"), damage.DAMAGES.items(), ids=[hurt.__name__ for hurt in damage.DAMAGES]
)
def test_what_cannot_be_used_is_refused_and_stays_as_it_is(
    tmp_path: Path, hurt: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "store.db"
    damage.fill(path, 100)
    hurt(path)
    before = files_of(tmp_path)
    with pytest.raises(StoreRefused, match=reason):
        SqliteStore.open(path)
    assert files_of(tmp_path) == before


def killed(path: Path) -> None:
    """Leave a database as a killed server does: with commits in its companion only."""
    kept = path.with_name("kept.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE meta SET value = 77 WHERE name = 'revision'")
        kept.write_bytes(path.read_bytes())
        wal = path.with_name("store.db-wal").read_bytes()
    kept.replace(path)
    path.with_name("store.db-wal").write_bytes(wal)


def test_what_a_killed_server_left_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    damage.fill(path, 10)
    killed(path)
    store = SqliteStore.open(path)
    assert asyncio.run(store.load()).revision == 77
    asyncio.run(store.close())


def test_what_a_killed_newer_release_left_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    damage.fill(path, 10)
    damage.newer(path)
    killed(path)
    before = files_of(tmp_path)
    with pytest.raises(StoreRefused, match="newer release"):
        SqliteStore.open(path)
    assert files_of(tmp_path) == before


def test_a_new_database_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    def dies(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE meta (name)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite_file.create(path, dies)
    assert not path.exists()
    asyncio.run(SqliteStore.open(path).close())  # what was left does not hinder
    assert [file.name for file in tmp_path.iterdir()] == ["store.db"]


def test_a_file_that_may_not_be_read_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    damage.fill(path, 1)

    def denied(*_: object) -> None:  # whoever runs this may be root, whom no mode keeps out
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(StoreRefused, match="cannot be read: Permission denied"):
        SqliteStore.open(path)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    damage.fill(path, 10)
    for shared in (False, True):
        with sqlite_file.looking(path, shared=shared) as connection:
            connection.execute("SELECT * FROM task").fetchall()
            with pytest.raises(sqlite3.OperationalError):
                connection.execute("DELETE FROM task")
        assert [file.name for file in tmp_path.iterdir()] == ["store.db"]


# --- damage that is met later ------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that is not looked through at a start."""
    path = tmp_path / "store.db"
    damage.fill(path, 200)
    monkeypatch.setattr(sqlite_file, "CHECKED_WHOLE_BYTES", 0)
    return path


def test_a_damaged_page_fails_those_who_need_it(large: Path) -> None:
    damage.ruined_page(large)

    async def scenario() -> None:
        store = SqliteStore.open(large)
        await store.load()
        with pytest.raises(Unreadable) as found:
            await store.task(3, "t1")
        assert found.value.damaged
        assert "malformed" in found.value.cause
        with pytest.raises(Unreadable):
            await store.list_tasks(3, Query(limit=1000))
        assert await store.task(3, "t199") is not None
        assert len(await store.list_jobs(ACCOUNT, Query(limit=10))) == 1
        await store.close()

    asyncio.run(scenario())


def test_a_cell_that_makes_no_sense_is_damage(large: Path) -> None:
    with closing(sqlite3.connect(large, isolation_level=None)) as connection:
        connection.execute("UPDATE task SET state = 99 WHERE id = 't1'")
        connection.execute("UPDATE task SET failure = x'7b' WHERE id = 't2'")
        connection.execute("UPDATE task SET affinity = CAST(x'ff' AS TEXT) WHERE id = 't3'")
        connection.execute("UPDATE job SET document = x'7b'")

    async def scenario() -> None:
        store = SqliteStore.open(large)
        for name in ("t1", "t2", "t3"):
            with pytest.raises(Unreadable) as found:
                await store.task(3, name)
            assert found.value.damaged
        with pytest.raises(StoreDamaged, match="a row cannot be understood"):
            await store.load()
        await store.close()

    asyncio.run(scenario())


def test_what_a_start_reads_has_to_be_readable(large: Path) -> None:
    damage.ruin_page(large, damage.page_with(large, b"standard_d2_v3"))  # the pool's
    store = SqliteStore.open(large)
    with pytest.raises(StoreDamaged, match="malformed"):
        asyncio.run(store.load())
    asyncio.run(store.close())


def test_waiting_tasks_that_cannot_be_read_are_said_to_be_damage(large: Path) -> None:
    with closing(sqlite3.connect(large)) as connection:
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'task_waiting'"
        (page,) = connection.execute(root).fetchone()
    damage.ruin_page(large, page - 1)

    async def scenario() -> None:
        store = SqliteStore.open(large)
        saved = await store.load()
        with pytest.raises(StoreDamaged):
            list(saved.waiting)
        await store.close()

    asyncio.run(scenario())


def test_a_bug_of_ours_is_not_taken_for_damage(large: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore.open(large)
        store._read.execute("PRAGMA query_only = OFF")
        store._read.execute("DROP TABLE counts")
        with pytest.raises(sqlite3.OperationalError):
            await store.counts(3)
        await store.close()

    asyncio.run(scenario())
