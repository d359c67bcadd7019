"""A commit that was under way when the power went is there whole or not at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from penstock.domain import changes as c
from penstock.domain.records import Counts
from penstock.store.contract import Revision
from penstock.store.sqlite import SqliteStore
from tests.records import a_job, a_pool, a_task

TASKS = 40
CUTS = 12


class Disk:
    """What the disk has before and after the last of several commits."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "before.db"
        self.log = b""
        self.log_before = 0

    async def fill(self, directory: Path) -> None:
        store = SqliteStore.open(directory / "store.db")
        await store.load()
        await store.commit([c.PutPool(a_pool()), c.PutJob(a_job())], Revision(0), 5)
        log = directory / "store.db-wal"
        self.log_before = log.stat().st_size
        added: list[c.Change] = [c.AddTask(a_task(no, f"t{no}"), b"{}") for no in _numbers()]
        counts = Counts(active=TASKS)
        await store.commit([*added, c.SetCounts(3, counts, counts)], Revision(1), 5 + TASKS)
        shutil.copy(directory / "store.db", self.file)
        self.log = log.read_bytes()
        await store.close()

    def torn(self) -> Iterator[tuple[bytes, bool]]:
        """Logs that a crash may leave, and whether they have all of the last commit."""
        length = len(self.log) - self.log_before
        for part in range(CUTS):
            cut = self.log_before + length * part // CUTS
            yield self.log[:cut], False
            yield self.log[:cut] + bytes(len(self.log) - cut), False
            wrong = bytes(byte ^ 0xFF for byte in self.log[cut : cut + 512])
            yield self.log[:cut] + wrong + self.log[cut + 512 :], False
        yield self.log, True


def _numbers() -> range:
    return range(5, 5 + TASKS)


def test_a_torn_commit_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    asyncio.run(disk.fill(tmp_path))
    assert len(disk.log) > disk.log_before > 0
    for number, (log, whole) in enumerate(disk.torn()):
        path = tmp_path / f"{number}.db"
        shutil.copy(disk.file, path)
        Path(f"{path}-wal").write_bytes(log)
        there = asyncio.run(_tasks_in(path))
        assert there == ((2, TASKS, TASKS) if whole else (1, 0, 0)), number


async def _tasks_in(path: Path) -> tuple[int, int, int]:
    """The revision that a start finds, the tasks, and how many are counted."""
    store = SqliteStore.open(path)
    try:
        saved = await store.load()
        counts = await store.counts(3)
        return saved.revision, len(list(saved.waiting)), counts.tasks.active
    finally:
        await store.close()
