"""`penstock restore`: a backup becomes the database of a data directory.

All that can be wrong is found before anything is changed, and the database takes its place in
one step, so that a restore that fails leaves what was there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.domain.instants import instant_text
from penstock.launch.backup import counted, told
from penstock.launch.datadir import DataDir, DataDirInUse, Layout
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.files import write_atomically
from penstock.launch.restored import take_over
from penstock.launch.watching import Watch
from penstock.store import sqlite_copy, sqlite_file
from penstock.store.contract import StoreRefused
from penstock.store.sqlite import SCHEMA
from penstock.store.sqlite_copy import About, Contents

_REPLACED: Final = "replaced.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A backup that was restored."""

    file: Path
    data: Path
    made_us: int | None  # when the backup was; None for a plain copy of a database
    contents: Contents
    replaced: Path | None  # where the database is that was there before

    def document(self) -> dict[str, Any]:
        """What programs are told."""
        return {
            "path": str(self.file.absolute()),
            "dataDir": str(self.data),
            "time": None if self.made_us is None else instant_text(self.made_us),
            "replaced": None if self.replaced is None else str(self.replaced),
            **counted(self.contents),
        }

    def text(self) -> str:
        """What a person is told."""
        since = "" if self.made_us is None else f", as of {instant_text(self.made_us)}"
        kept = f"The database that was there is {self.replaced}.\n" if self.replaced else ""
        return f"{self.data} has {told(self.contents)}{since}.\n{kept}"


@dataclass(frozen=True, slots=True)
class _Source:
    """A backup that can be restored."""

    file: Path
    about: About | None
    kept: Mapping[str, bytes]


def restore(file: Path, root: Path, now_us: int, watch: Watch, *, force: bool) -> Restored:
    """Put a backup into a data directory that no server uses. Raises CannotStart."""
    source = _source(file)
    with _claimed(root) as data:
        _check_free(data, source, force=force)
        fresh = data.database.with_name(f".{data.database.name}.restored")
        try:
            contents = _prepare(source, fresh, data, now_us, watch)
            _put_identity(data, source)
            replaced = _swap(data, fresh)
        except OSError as error:
            raise CannotStart(
                Exit.FAILED, f"{error.filename or data.root}: {error.strerror}"
            ) from None
        finally:
            sqlite_file.discard(fresh)
    return Restored(
        file=file,
        data=data.root,
        made_us=source.about.made_us if source.about else None,
        contents=contents,
        replaced=replaced,
    )


@contextmanager
def _claimed(root: Path) -> Iterator[DataDir]:
    """The data directory, kept from servers for the time being."""
    try:
        data = DataDir(root).claim()
    except DataDirInUse as reason:
        raise CannotStart(Exit.IN_USE, f"{reason}: stop that one first") from None
    except OSError as error:
        why = f"{root} cannot be the data directory: {error.strerror}"
        raise CannotStart(Exit.USAGE, why) from None
    try:
        yield data
    finally:
        data.release()


def _source(file: Path) -> _Source:
    try:
        if not sqlite_file.check(file, SCHEMA):
            raise StoreRefused("there is no such file")
        about, kept = sqlite_copy.mark_of(file) or (None, {})
    except StoreRefused as reason:
        raise _no_backup(file, reason) from None
    return _Source(file, about, kept)


def _no_backup(file: Path, reason: StoreRefused) -> CannotStart:
    return CannotStart(Exit.NO_BACKUP, f"{file}: {reason}; nothing was restored")


def _check_free(data: DataDir, source: _Source, *, force: bool) -> None:
    """See that nobody loses a database, or keys, without having said so."""
    database = data.database
    if database.exists() and database.samefile(source.file):
        raise CannotStart(Exit.USAGE, f"{source.file} is the database itself")
    if force:
        return
    if database.exists():
        why = f"{data.root} has a database already; --force puts the backup in its place"
        raise CannotStart(Exit.USAGE, why)
    if data.identity.exists() and not _same_server(data, source):
        why = f"{data.root} is that of another server; --force makes it the one of the backup"
        raise CannotStart(Exit.USAGE, why)


def _same_server(layout: Layout, source: _Source) -> bool:
    """Whether the directory is that of the server which the backup is from."""
    own = source.kept.get(_name(layout, layout.identity))
    return layout.identity.exists() and layout.identity.read_bytes() == own


def _prepare(source: _Source, fresh: Path, data: DataDir, now_us: int, watch: Watch) -> Contents:
    """Copy the backup, look through it, and make a database of it that may be served."""
    sqlite_file.discard(fresh)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        sqlite_copy.copy(source.file, fresh, watch.copied, shared=False)
        watch.checking()
        contents = sqlite_copy.examined(fresh)
        asyncio.run(take_over(fresh, now_us, _moved_hosts(data, source)))
    except StoreRefused as reason:
        raise _no_backup(source.file, reason) from None
    return contents


def _moved_hosts(data: DataDir, source: _Source) -> dict[str, str]:
    """The node host of the old data directory, and the one that takes its place in this one."""
    from penstock.agent.journal import host_id

    if source.about is None or not source.about.local_host:
        return {}
    data.node_host.mkdir(mode=0o755, exist_ok=True)
    here = host_id(data.host_id)
    return {} if here == source.about.local_host else {source.about.local_host: here}


def _put_identity(data: DataDir, source: _Source) -> None:
    """Make the directory that of the server which the backup is from.

    Where it is that already, its keys stay, for they may have been changed since; but for the one
    that opens what the database has sealed. To node hosts the numbers in the database mean what
    they meant to the server with that id, so a database of unknown origin gets a new id, with
    which they begin anew.
    """
    files = data.kept
    if _same_server(data, source):
        files = (data.vault_key,)
    else:
        data.identity.unlink(missing_ok=True)
    for file in files:
        content = source.kept.get(_name(data, file))
        if content is not None:
            write_atomically(file, content, mode=0o644 if file.suffix == ".pem" else 0o600)


def _name(layout: Layout, file: Path) -> str:
    return str(file.relative_to(layout.root))


def _swap(data: DataDir, fresh: Path) -> Path | None:
    """Put the new database in its place; give where the old one is now.

    Cut short, it leaves either database whole, or the new one with companions of the old, which
    no server starts with.
    """
    database, replaced = data.database, data.database.with_name(_REPLACED)
    files = (database, *sqlite_file.companions(database))
    there = database.exists()
    if there:
        sqlite_file.discard(replaced)
        for file in files:
            if file.exists():
                os.link(file, replaced.with_name(file.name.replace(database.name, _REPLACED)))
    fresh.replace(database)
    for companion in files[1:]:
        companion.unlink(missing_ok=True)
    sqlite_file.sync_directory(data.store)
    return replaced if there else None
