"""The floor of what is durable: the rows that the service wrote, by a bare loop over SQLite.

The same rows into the same tables with the same promise (WAL, synchronous=FULL), a commit per
hundred, on the same file system; and nothing else at all.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.floor import scratch
from bench.service import COLLECTION

_TABLES = ("task", "task_spec")
_MOVE = "UPDATE task SET state = ?, state_us = ?, start_us = ?, end_us = ? WHERE no = ?"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a service has on disk of its tasks."""

    schema: Sequence[str]
    tables: Sequence[Sequence[tuple[Any, ...]]]

    @classmethod
    def of(cls, database: Path, count: int) -> Self:
        """Read the first `count` tasks of a database that may be in use."""
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as found:
            wanted = f"tbl_name IN {_TABLES} AND sql IS NOT NULL"
            schema = found.execute(f"SELECT sql FROM sqlite_master WHERE {wanted}").fetchall()
            tables = [
                found.execute(f"SELECT * FROM {table} ORDER BY no LIMIT {count}").fetchall()
                for table in _TABLES
            ]
        return cls([sql for (sql,) in schema], tables)

    def rate(self, moves: int = 0) -> float:
        """Tasks per second: each is inserted, then updated so many times."""
        with scratch() as root, closing(_database(root / "floor.db")) as database:
            for sql in self.schema:
                database.execute(sql)
            count = len(self.tables[0])
            began = time.perf_counter()
            for first in range(0, count, COLLECTION):
                self._insert(database, slice(first, first + COLLECTION))
            for move in range(moves):
                for first in range(0, count, COLLECTION):
                    self._move(database, slice(first, first + COLLECTION), move)
            return count / (time.perf_counter() - began)

    def _insert(self, database: sqlite3.Connection, part: slice) -> None:
        database.execute("BEGIN")
        for table, rows in zip(_TABLES, self.tables, strict=True):
            marks = ", ".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows[part])
        database.execute("COMMIT")

    def _move(self, database: sqlite3.Connection, part: slice, move: int) -> None:
        database.execute("BEGIN")
        now_us = time.time_ns() // 1000
        values = [(move, now_us, now_us, now_us, row[0]) for row in self.tables[0][part]]
        database.executemany(_MOVE, values)
        database.execute("COMMIT")


def _database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database
