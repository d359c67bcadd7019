"""`penstock backup`: one file from which a server can be restored, while that server runs.

The work is done in a process of its own: the server is not asked, so it need not be able to
answer, and only shares the disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import __version__
from penstock.domain.instants import instant_text
from penstock.launch.datadir import Layout
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.watching import Watch
from penstock.store import sqlite_copy, sqlite_file
from penstock.store.contract import StoreRefused
from penstock.store.sqlite_copy import About, Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was made."""

    file: Path
    data: Path
    size_bytes: int
    made_us: int
    contents: Contents

    def document(self) -> dict[str, Any]:
        """What programs are told."""
        return {
            "path": str(self.file.absolute()),
            "dataDir": str(self.data),
            "bytes": self.size_bytes,
            "time": instant_text(self.made_us),
            **counted(self.contents),
        }

    def text(self) -> str:
        """What a person is told."""
        size = f"{self.size_bytes / 1e6:,.1f} MB"
        return f"{self.file} has {told(self.contents)}, in {size}.\n"


def counted(contents: Contents) -> dict[str, int]:
    """Contents, for programs."""
    return {name: getattr(contents, name) for name in contents.__struct_fields__}


def told(contents: Contents) -> str:
    """Contents, for a person."""
    counts = (("pool", contents.pools), ("job", contents.jobs), ("task", contents.tasks))
    parts = [f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in counts]
    return f"{', '.join(parts[:-1])} and {parts[-1]} (revision {contents.revision})"


def backup(root: Path, target: Path, now_us: int, watch: Watch, *, force: bool) -> Backup:
    """Write all of a data directory that a server needs into `target`. Raises CannotStart.

    Whatever happens, `target` is whole: the backup that was there before, or the new one.
    """
    layout = Layout(root)
    _check_target(target, layout.database, force=force)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    about = About(made_us=now_us, release=__version__, local_host=_local_host(layout))
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sqlite_copy.copy(layout.database, fresh, watch.copied, shared=True)
        watch.checking()
        sqlite_copy.mark(fresh, about, _kept(layout))
        contents = sqlite_copy.examined(fresh)
        size_bytes = fresh.stat().st_size
        fresh.replace(target)
        sqlite_file.sync_directory(target.parent)
    except StoreRefused as reason:
        why = f"{layout.database}: {reason}; no backup was made"
        raise CannotStart(Exit.NO_STORE, why) from None
    except OSError as error:
        why = f"{target} cannot be written: {error.strerror}; no backup was made"
        raise CannotStart(Exit.FAILED, why) from None
    finally:
        sqlite_file.discard(fresh)
    return Backup(
        file=target, data=layout.root, size_bytes=size_bytes, made_us=now_us, contents=contents
    )


def _check_target(target: Path, database: Path, *, force: bool) -> None:
    """See that nothing is overwritten that somebody may want."""
    if target.is_dir():
        raise CannotStart(Exit.USAGE, f"{target} is a directory: name a file in it")
    live = (database, *sqlite_file.companions(database))
    if any(file.exists() and target.exists() and target.samefile(file) for file in live):
        raise CannotStart(Exit.USAGE, f"{target} is the database itself: name another file")
    if target.exists() and not force:
        raise CannotStart(Exit.USAGE, f"{target} exists; --force replaces it")
    if not target.parent.is_dir():
        raise CannotStart(Exit.USAGE, f"{target} cannot be written: no such directory")


def _kept(layout: Layout) -> dict[str, bytes]:
    return {
        str(file.relative_to(layout.root)): file.read_bytes()
        for file in layout.kept
        if file.exists()
    }


def _local_host(layout: Layout) -> str:
    file = layout.host_id
    return file.read_text("ascii").strip() if file.exists() else ""
