"""The file of a database, before anything trusts it or writes to it.

What cannot be used is refused while it is only read, so that it stays as it was found, for a
repair or for another release. How much is looked at is bounded: a small file is read whole, a
large one only as far as a start reads it anyway, because a million tasks would take seconds.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from penstock.store.contract import StoreDamaged, StoreRefused

CHECKED_WHOLE_BYTES: Final = 16 << 20
"""A file up to this size is checked whole at each start, which takes 0.15 s at most."""

_META: Final = "meta"
TABLES: Final = frozenset({_META, "pool", "node", "job", "counts", "task", "task_spec", "chore"})
"""Without these it is the database of something else."""

_MAGIC: Final = b"SQLite format 3\0"
_HEAD_BYTES: Final = 100
_HEADING: Final = "*** in database main ***"  # above what an integrity check finds
_ROLLBACK: Final = 1  # the journal of a file that was never in WAL mode, or was taken out of it
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is broken, and not the machine or the statement."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # text that is not UTF-8; errors in our use of the module have other types
        return type(error) is sqlite3.OperationalError
    return code & 0xFF in _DAMAGE


def check(path: Path, newest: int, *, shared: bool = False, whole: bool = True) -> bool:
    """Whether there is a database, which is then fit to be opened; nothing is changed.

    `newest` is the newest schema that this release knows; for `shared` see `looking`. `whole`
    asks to look through a small file. Raises StoreRefused.
    """
    if not _is_there(path):
        return False
    head = _head(path)
    if not _pending(path):
        _check_length(path, head)
    elif head[18] == _ROLLBACK:
        raise StoreDamaged(
            f"{_wal(path).name} beside it belongs to another database, so this file was put"
            " in the place of that one by hand"
        )
    with looking(path, shared=shared) as connection:
        schema(connection, newest)
        if whole and path.stat().st_size <= CHECKED_WHOLE_BYTES:
            check_whole(connection)
    return True


def schema(connection: sqlite3.Connection, newest: int) -> int:
    """The schema of a Penstock database. Raises StoreRefused for any other, and a newer one."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if not found or not tables >= (TABLES if found <= newest else {_META}):
        raise StoreRefused("it is an SQLite database, but not one of Penstock")
    if found > newest:
        raise StoreRefused(
            f"it has schema {found}, and this release knows up to {newest}: start the newer"
            " release that wrote it, or restore a backup that this one made"
        )
    names = {row[0] for row in connection.execute("SELECT name FROM meta")}
    if not names >= {"revision", "next_no"}:
        raise StoreDamaged("it is damaged: its table meta is not complete")
    return found


def check_whole(connection: sqlite3.Connection) -> None:
    """Read every page and hold tables and indexes against each other. Raises StoreDamaged."""
    found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreDamaged(f"it is damaged: {found.replace(_HEADING, '').strip()}")


@contextmanager
def looking(path: Path, *, shared: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that writes nothing. Raises StoreRefused for all that SQLite finds wrong.

    `shared` says that a server may use the file, or begin to, at the same time.
    """
    # Without a companion to read, the other two leave none behind either.
    how = "mode=ro" if _wal(path).exists() else "mode=rw" if shared else "immutable=1"
    try:
        name = f"file:{quote(str(path.absolute()))}?{how}"
        with closing(sqlite3.connect(name, uri=True, isolation_level=None, timeout=10)) as found:
            found.execute("PRAGMA query_only = ON")
            yield found
    except sqlite3.Error as error:
        raise refusal(error) from error


def refusal(error: sqlite3.Error) -> StoreRefused:
    """What an error of SQLite means for the file as a whole."""
    if is_damage(error):
        return StoreDamaged(f"it is damaged: {error}")
    return StoreRefused(f"it cannot be used: {error}")


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make a new database in one step: a file that is there is never a half made one."""
    fresh = path.with_name(f".{path.name}.new")
    discard(fresh)
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            fill(connection)
    except sqlite3.Error as error:
        raise StoreRefused(f"it cannot be made: {error}") from error
    fresh.replace(path)
    sync_directory(path.parent)


def discard(path: Path) -> None:
    """Remove a database of ours that nobody wants, with its companions."""
    for file in companions(path):
        file.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def companions(path: Path) -> tuple[Path, ...]:
    """The files that SQLite may keep beside a database; without it they are worth nothing."""
    return tuple(path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm", "journal"))


def sync_directory(path: Path) -> None:
    """Let the names in a directory survive a loss of power."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _pending(path: Path) -> bool:
    """Whether the companion holds commits that the file itself may not have."""
    return _wal(path).exists() and _wal(path).stat().st_size > 0


def _is_there(path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        if _pending(path):
            raise StoreDamaged(f"it is missing, though {_wal(path).name} is there") from None
        return False
    except OSError as error:
        raise StoreRefused(f"it cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        raise StoreRefused("it is a directory, and not a database")
    if not stat.S_ISREG(found.st_mode):
        raise StoreRefused("it is not a regular file")
    if not found.st_size:
        raise StoreDamaged("it is empty: a database never is")
    return True


def _head(path: Path) -> bytes:
    # To be read before SQLite opens the file: to close it later would let go of its locks.
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise StoreRefused(f"it cannot be read: {error.strerror}") from None
    if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
        raise StoreDamaged("it is not an SQLite database")
    return head


def _check_length(path: Path, head: bytes) -> None:
    """The head knows how many pages there are, where the last writer kept count."""
    page = int.from_bytes(head[16:18], "big")
    page_bytes = 65_536 if page == 1 else page
    counted = head[24:28] == head[92:96]
    wanted = int.from_bytes(head[28:32], "big") * page_bytes
    found = path.stat().st_size
    if counted and found < wanted:
        raise StoreDamaged(f"it is cut off: {found} of {wanted} bytes are there")
