"""A copy of a database that a server may be writing to, and what makes a copy a backup.

The copy is made page by page within one read transaction. So it shows one revision, all of it,
and comes to an end however fast the server commits: SQLite's own online backup begins again
whenever another process writes, and `VACUUM INTO`, which does not, cannot say how far it is, and
builds every index anew. The server is not held up, since readers of a WAL block no writer. Its
WAL grows while the copy is made, for what is being read cannot be written back; nothing else.

A backup has one table more than a database: what a server must have beside it to be the same.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from penstock.store import sqlite_file
from penstock.store.contract import StoreDamaged, StoreRefused
from penstock.store.sqlite import SCHEMA

Progress = Callable[[int, int], None]
"""Told how many pages were copied, and of how many."""

_STEP_PAGES: Final = 1024
_SYNC_BYTES: Final = 16 << 20
"""So often the copy is sent to the disk: as one flood at the end it would hold up the commits
of the server, which wait for the same disk."""

_OF_THE_TARGET: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_FSYNC,
)
"""Errors that only who writes can meet."""

_ABOUT: Final = "about"
_FILE: Final = "file:"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Where a backup comes from."""

    made_us: int
    release: str
    local_host: str = ""  # id of the node host in the data directory; empty: there was none


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a database holds, in numbers."""

    schema: int
    revision: int
    pools: int
    jobs: int
    tasks: int


def copy(source: Path, target: Path, progress: Progress, *, shared: bool) -> None:
    """Copy a database as it is at one moment into `target`, which is an empty file.

    `shared` says that a server may begin to use it meanwhile. Raises StoreRefused when the
    source cannot be used, OSError when the target cannot be written.
    """
    if not sqlite_file.check(source, SCHEMA, shared=shared):
        raise StoreRefused("it is not there")
    with sqlite_file.looking(source, shared=shared) as reading, closing(_raw(target)) as writing:
        reading.execute("BEGIN")
        sqlite_file.schema(reading, SCHEMA)  # its first read fixes the moment
        handle = os.open(target, os.O_RDWR | os.O_CLOEXEC)
        try:
            reading.backup(writing, pages=_STEP_PAGES, progress=_syncing(handle, progress))
            writing.execute("PRAGMA journal_mode = DELETE")  # a file that needs no companion
            os.fsync(handle)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code not in _OF_THE_TARGET:
                raise
            number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
            raise OSError(number, os.strerror(number)) from error
        finally:
            os.close(handle)


def mark(path: Path, about: About, kept: Mapping[str, bytes]) -> None:
    """Make a backup of a copy; `kept` are files of its data directory."""
    rows = [(_ABOUT, msgspec.json.encode(about))]
    rows += [(f"{_FILE}{name}", content) for name, content in kept.items()]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("DROP TABLE IF EXISTS backup")
        connection.execute("CREATE TABLE backup (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
        connection.executemany("INSERT INTO backup VALUES (?, ?)", rows)
        connection.execute("COMMIT")


def mark_of(path: Path) -> tuple[About, dict[str, bytes]] | None:
    """What `mark` wrote; None where a database is no backup. Raises StoreRefused."""
    with sqlite_file.looking(path) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'backup'").fetchone():
            return None
        rows: dict[str, bytes] = dict(connection.execute("SELECT name, content FROM backup"))
    try:
        about = msgspec.json.decode(rows.pop(_ABOUT), type=About)
    except (KeyError, msgspec.DecodeError) as error:
        raise StoreDamaged("it is damaged: it does not say where it comes from") from error
    return about, {name.removeprefix(_FILE): content for name, content in rows.items()}


def examined(path: Path) -> Contents:
    """Read every page of a database, and tell what it holds. Raises StoreRefused."""
    with sqlite_file.looking(path) as connection:
        schema = sqlite_file.schema(connection, SCHEMA)
        sqlite_file.check_whole(connection)
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        pools, jobs, tasks = (
            connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]
            for rows in ("pool", "job", "task WHERE job_no IN (SELECT no FROM job)")
        )
    return Contents(schema=schema, revision=meta["revision"], pools=pools, jobs=jobs, tasks=tasks)


def _raw(path: Path) -> sqlite3.Connection:
    """A connection that keeps no journal: the file is worth something once it is whole."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _syncing(handle: int, progress: Progress) -> Callable[[int, int, int], None]:
    synced_bytes = 0

    def step(_status: int, left: int, pages: int) -> None:
        nonlocal synced_bytes
        written_bytes = os.fstat(handle).st_size
        if written_bytes - synced_bytes >= _SYNC_BYTES:
            os.fdatasync(handle)
            synced_bytes = written_bytes
        progress(pages - left, pages)

    return step
