"""A copy shows one moment, and comes to an end, whatever is written meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.store import sqlite_copy
from penstock.store.contract import StoreDamaged, StoreRefused
from penstock.store.sqlite import SCHEMA
from penstock.store.sqlite_copy import About, Contents
from tests.records import NOW_US
from tests.store import damage

TASKS = 400


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    damage.fill(path, TASKS, done=lambda i: i % 3 == 0)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    path.touch()
    return path


def nobody(_pages: int, _of: int) -> None:
    pass


def test_a_copy_of_a_database_that_is_written_to(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "_STEP_PAGES", 4)
    told: list[tuple[int, int]] = []
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")

        def progress(pages: int, of: int) -> None:
            told.append((pages, of))
            assert len(told) <= of, "it begins again and again"
            writer.execute("BEGIN")
            writer.execute("DELETE FROM task WHERE no = (SELECT min(no) FROM task)")
            writer.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
            writer.execute("COMMIT")

        sqlite_copy.copy(source, target, progress, shared=True)
        (left,) = writer.execute("SELECT count(*) FROM task").fetchone()

    assert len(told) > 10
    assert told[-1][0] == told[-1][1]
    assert left == TASKS - len(told), "the writer was never held up"
    assert sqlite_copy.examined(target) == Contents(
        schema=SCHEMA, revision=1, pools=1, jobs=1, tasks=TASKS
    )


def test_a_copy_needs_no_companion(source: Path, target: Path) -> None:
    sqlite_copy.copy(source, target, nobody, shared=False)
    assert sorted(file.name for file in target.parent.iterdir()) == ["copy", "store.db"]
    target.chmod(0o400)
    assert sqlite_copy.examined(target).tasks == TASKS


def test_what_was_put_beside_it_is_found_again(source: Path) -> None:
    about = About(made_us=NOW_US, release="1.0", local_host="abc")
    kept = {"agent.token": b"secret", "tls/ca.pem": b"\x00\xff"}
    assert sqlite_copy.mark_of(source) is None
    sqlite_copy.mark(source, about, {"of": b"before"})
    sqlite_copy.mark(source, about, kept)
    assert sqlite_copy.mark_of(source) == (about, kept)


def test_a_mark_that_says_nothing_is_damage(source: Path) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("CREATE TABLE backup (name TEXT PRIMARY KEY, content BLOB)")
    with pytest.raises(StoreDamaged, match="does not say where it comes from"):
        sqlite_copy.mark_of(source)


def test_a_copy_is_looked_through(source: Path) -> None:
    damage.lost_index(source)
    with pytest.raises(StoreDamaged, match="index task_state"):
        sqlite_copy.examined(source)


def test_there_has_to_be_something_to_copy(tmp_path: Path, target: Path) -> None:
    with pytest.raises(StoreRefused, match="not there"):
        sqlite_copy.copy(tmp_path / "none", target, nobody, shared=True)
