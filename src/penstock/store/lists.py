"""Pages of a job's tasks, a million of them and any filter, at a bounded cost at a time.

A page is read in one of two ways. Where a filter has few rows by some index (`covers`), all of
them are gathered and sorted. Otherwise tasks are walked in order of key, chunk by chunk, until
the page is full: what has many rows fills it soon. Only for conditions that are each common and
never met together the walk is long, and it pauses after each chunk, so that nobody else waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any, Final

from penstock.domain.queries import Filter, Query
from penstock.domain.records import TaskRecord
from penstock.store.covers import (
    EVERYTHING,
    Bounds,
    Count,
    Cover,
    Part,
    bounds,
    bounds_keys,
    cheapest,
    conjuncts,
    ordered,
)
from penstock.store.documents import TASK_COLUMNS, task_of
from penstock.store.filters import TASKS, condition

GATHERED: Final = 10_000
"""Rows that are read and sorted for one page."""

MOST_COUNTED: Final = 32
"""Parts of a filter that are counted; what is beyond counts as too many."""

CHUNK: Final = 4_000
"""Rows that are walked without a pause: some milliseconds."""

_IN_LIST: Final = 500
_TASK: Final = ", ".join(f"t.{column}" for column in TASK_COLUMNS)

Row = tuple[TaskRecord, bytes]


class TaskLists:
    """Reads pages through a connection."""

    def __init__(
        self, read: sqlite3.Connection, *, gathered: int = GATHERED, chunk: int = CHUNK
    ) -> None:
        self._read = read
        self._gathered = gathered
        self._chunk = chunk

    async def page(self, job_no: int, query: Query) -> list[Row]:
        """Give the tasks that a query asks for, with their specifications."""
        if query.filter is None:
            sql, values = _in_order("no", job_no, EVERYTHING, Bounds(query.after))
            found = self._read.execute(f"{sql} LIMIT ?", [*values, query.limit])
            return self._fetch([no for (no,) in found])
        best = cheapest(query.filter, self._counting(job_no))
        if best is None:
            return await self._walk(job_no, query, EVERYTHING)
        rows, cover = best
        alone = sum(1 for _ in conjuncts(query.filter)) == 1
        if ordered(cover) and (alone or rows > self._gathered):
            by_key = cover[0].index == EVERYTHING.index
            return await self._walk(job_no, query, EVERYTHING if by_key else cover[0])
        if rows <= self._gathered:
            return self._gather(job_no, query, cover) if cover else []
        return await self._walk(job_no, query, EVERYTHING)

    def _counting(self, job_no: int) -> Count:
        """Counts the rows of parts, up to one more than may be gathered."""
        counted: dict[Part, int] = {}
        too_many = self._gathered + 1

        def count(part: Part) -> int:
            if part not in counted:
                if len(counted) == MOST_COUNTED:
                    return too_many
                sql = (
                    f"SELECT 1 FROM task INDEXED BY {part.index} WHERE job_no = ? AND {part.where}"
                )
                values = (job_no, *part.values, too_many)
                found = self._read.execute(f"SELECT count(*) FROM ({sql} LIMIT ?)", values)
                (counted[part],) = found.fetchone()
            return counted[part]

        return count

    def _gather(self, job_no: int, query: Query, cover: Cover) -> list[Row]:
        """Read all rows of a cover, and sort those that pass."""
        parts = " UNION ALL ".join(
            f"SELECT no FROM task INDEXED BY {part.index} WHERE job_no = ? AND {part.where}"
            for part in cover
        )
        values: list[Any] = [value for part in cover for value in (job_no, *part.values)]
        assert query.filter is not None
        passing, more = condition(TASKS, query.filter)
        found = self._read.execute(
            f"SELECT no FROM task NOT INDEXED WHERE no IN ({parts}) AND key > ? AND {passing}"
            " ORDER BY key LIMIT ?",
            [*values, query.after, *more, query.limit],
        )
        return self._fetch([no for (no,) in found])

    async def _walk(self, job_no: int, query: Query, part: Part) -> list[Row]:
        """Read on in order of key until the page is full or nothing follows."""
        assert query.filter is not None
        rows: list[Row] = []
        left: Bounds | None = bounds(query.filter, query.after)
        size = query.limit
        while left is not None and len(rows) < query.limit:
            chunk, left = self._split(job_no, part, left, size)
            rows += self._fetch(
                self._passing(job_no, part, chunk, query.filter, query.limit - len(rows))
            )
            size = self._chunk
            await asyncio.sleep(0)
        return rows

    def _split(
        self, job_no: int, part: Part, where: Bounds, size: int
    ) -> tuple[Bounds, Bounds | None]:
        """The first rows of a part between bounds, and what follows them, if anything does."""
        sql, values = _in_order("key", job_no, part, where)
        last = self._read.execute(f"{sql} LIMIT 1 OFFSET ?", [*values, size - 1]).fetchone()
        return (where, None) if last is None else where.split(last[0])

    def _passing(
        self, job_no: int, part: Part, where: Bounds, wanted: Filter, most: int
    ) -> list[int]:
        """The numbers of what passes of the rows of a part between bounds."""
        # Two lower bounds of keys in one query, and SQLite may begin at the wrong one.
        rest = [condition(TASKS, each) for each in conjuncts(wanted) if not bounds_keys(each)]
        passing = "".join(f" AND {sql}" for sql, _ in rest)
        more = [value for _, values in rest for value in values]
        sql, values = _in_order("no", job_no, part, where, passing)
        return [no for (no,) in self._read.execute(f"{sql} LIMIT ?", [*values, *more, most])]

    def _fetch(self, numbers: list[int]) -> list[Row]:
        """Read tasks and their specifications, in the order of their numbers here."""
        found: dict[int, Row] = {}
        for start in range(0, len(numbers), _IN_LIST):
            some = numbers[start : start + _IN_LIST]
            marks = ", ".join("?" * len(some))
            for spec, *cells in self._read.execute(
                f"SELECT s.spec, {_TASK} FROM task t JOIN task_spec s USING (no)"
                f" WHERE t.no IN ({marks})",
                some,
            ):
                task = task_of(cells)
                found[task.no] = (task, spec)
        return [found[no] for no in numbers]


def _in_order(
    column: str, job_no: int, part: Part, where: Bounds, more: str = ""
) -> tuple[str, list[Any]]:
    """A query for the rows of a part between bounds, in order of key."""
    sql = (
        f"SELECT {column} FROM task INDEXED BY {part.index}"
        f" WHERE job_no = ? AND {part.where} AND {where.where}{more} ORDER BY key"
    )
    return sql, [job_no, *part.values, *where.values]
