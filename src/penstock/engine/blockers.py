"""What tasks of one job wait for, and what that waits for in its turn, down to the root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.domain.records import JobRecord, TaskRecord, key_of
from penstock.domain.refusals import TaskNotFound
from penstock.domain.states import TaskState
from penstock.engine.turn import Turn
from penstock.scheduler.dependencies import LONGEST_ID, DependencyBook, Unmet, Watched, number_of
from penstock.scheduler.dependency_reasons import Chain, Link

MOST_CHAINS: Final = 20
"""So many of the dependencies of one task are followed."""

MOST_LOOKUPS: Final = 2000
"""So many tasks are looked up in all; a chain that is longer ends where this does."""

MOST_FAILED: Final = 1000
"""Among so many failed tasks of the job the one is sought that a task waits for."""


class Blockers:
    """Follows the dependencies of tasks of one job; what was looked up once is known."""

    def __init__(self, turn: Turn, job: JobRecord) -> None:
        self._turn = turn
        self._job = job
        self._book: DependencyBook | None = turn.state.books.get(job.no)
        self._found: dict[Watched, TaskRecord | None] = {}
        self._failed: list[str] | None = None

    async def of(self, task: TaskRecord) -> tuple[Unmet, Sequence[Chain]] | None:
        """What a task waits for, the likely roots of evil first; None if it waits for no task."""
        unmet = self._book.unmet(task.no) if self._book is not None else None
        if unmet is None:
            return None
        chains = [await self._chain(task, name) for name in await self._names(unmet)]
        return unmet, chains

    async def _names(self, unmet: Unmet) -> list[Watched]:
        failed = await self._failed_of(unmet)
        names: dict[Watched, None] = dict.fromkeys([*failed, *unmet.ids[:MOST_CHAINS]])
        told = {number_of(key) for key in failed}
        for span in unmet.spans:
            names |= dict.fromkeys(number for number in span.first if number not in told)
        return list(names)[:MOST_CHAINS]

    async def _failed_of(self, unmet: Unmet) -> list[str]:
        """Which of its dependencies have failed: one that did keeps a task more than others."""
        if self._failed is None:
            self._failed = await self._failed_tasks()
        wanted = set(unmet.ids)
        return [key for key in self._failed if key in wanted or _is_in_span(unmet, key)]

    async def _failed_tasks(self) -> list[str]:
        if not self._turn.state.tallies[self._job.no].failed:
            return []
        found = await self._turn.failed_tasks(self._job, MOST_FAILED)
        return [key_of(task.id) for task in found if not task.satisfies]

    async def _chain(self, task: TaskRecord, name: Watched) -> Chain:
        links: list[Link] = []
        seen = {task.no}
        while True:
            found = await self._find(name)
            links.append(Link(str(name) if found is None else found.id, found))
            if found is None or found.state is not TaskState.ACTIVE or self._book is None:
                return Chain(tuple(links))
            if found.no in seen:
                return Chain(tuple(links), circle=True)
            seen.add(found.no)
            following = self._book.blocked_by(found.no)
            if following is None or len(self._found) >= MOST_LOOKUPS:
                return Chain(tuple(links))
            name = following

    async def _find(self, name: Watched) -> TaskRecord | None:
        if name not in self._found:
            self._found[name] = await self._look_up(name)
        return self._found[name]

    async def _look_up(self, name: Watched) -> TaskRecord | None:
        key = name
        if isinstance(name, int):
            # A range asks for a number; the ids that spell it may begin with zeros.
            text = str(name)
            spellings = [text.zfill(size) for size in range(len(text), LONGEST_ID + 1)]
            there = await self._turn.existing(self._job, spellings)
            key = min(there) if there else text
        try:
            found, _ = await self._turn.task(self._job, str(key))
        except TaskNotFound:
            return None
        return found


def _is_in_span(unmet: Unmet, key: str) -> bool:
    number = number_of(key)
    return number is not None and any(span.start <= number <= span.end for span in unmet.spans)
