"""The store's disk: it takes its time, it may be full, and the server may die at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from penstock.domain.changes import Change
from penstock.domain.records import TaskRecord
from penstock.store.contract import Revision, Saved, WriteFailed
from penstock.store.memory import MemoryStore


class Disk(MemoryStore):
    """A `MemoryStore` whose commits take virtual time; it outlives the servers that use it.

    A commit goes to a log first and counts when its mark is there. A server that dies is
    cancelled wherever it waits, so a commit under way is then nowhere, torn, or there without
    anyone knowing; who reads next drops what is torn. `before` and `after` see each commit
    around the instant in which it takes effect; `tears` may end the server within it.
    """

    def __init__(
        self,
        random: Random,
        before: Callable[[Sequence[Change]], None],
        after: Callable[[], None],
        tears: Callable[[], None],
    ) -> None:
        super().__init__()
        self._random = random
        self._before = before
        self._after = after
        self._tears = tears
        self.torn: Sequence[Change] = ()  # what the log has of a commit without its mark
        self.slow = False
        self.instant = False  # a check reads, for which no time passes

    async def commit(self, changes: Sequence[Change], expect: Revision, next_no: int) -> Revision:
        """See `Store.commit`."""
        await asyncio.sleep(self._takes_s())
        if self.full:
            self.commits_refused += 1
            raise WriteFailed("no space left")
        self.torn = changes[: self._random.randint(1, len(changes))]
        self._tears()
        self.torn = ()
        self._before(changes)
        revision = await super().commit(changes, expect, next_no)
        self._after()
        await asyncio.sleep(self._takes_s())
        return revision

    async def load(self) -> Saved:
        """See `Store.load`."""
        if not self.instant:
            self.recover()
        await self._seek()
        saved = await super().load()
        await self._seek()
        return saved

    def recover(self) -> None:
        """Drop what has no mark."""
        self.torn = ()

    async def task(self, job_no: int, task_id: str) -> tuple[TaskRecord, bytes] | None:
        """See `Store.task`."""
        await self._seek()
        return await super().task(job_no, task_id)

    async def tasks_by_no(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        """See `Store.tasks_by_no`."""
        await self._seek()
        return await super().tasks_by_no(numbers)

    async def existing(self, job_no: int, keys: Sequence[str]) -> set[str]:
        """See `Store.existing`."""
        await self._seek()
        return await super().existing(job_no, keys)

    async def files_due(self, now_us: int, limit: int) -> Sequence[TaskRecord]:
        """See `Store.files_due`. Time passes only where there is something to tell."""
        due = await super().files_due(now_us, limit)
        if due:
            await self._seek()
        return due

    async def _seek(self) -> None:
        if not self.instant:
            await asyncio.sleep(self._takes_s() / 4)

    def _takes_s(self) -> float:
        mean_s = 0.5 if self.slow else 0.002
        return self._random.expovariate(1 / mean_s)
