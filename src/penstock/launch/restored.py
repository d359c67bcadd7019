"""What a database that comes from a backup needs before it may be served.

The world has gone on since the backup was made. Node hosts know of tasks, nodes and chores with
numbers that the database does not know to be taken, and of runs that ended since. Three things
make that harmless:

- Numbers go on far above all that can have been given since: at the present instant in
  microseconds, for no server gives a million numbers a second. This holds however often the
  same backup is restored.
- Runs are numbered from there too. So no host takes a new run of a task for one that it knows,
  and answers with the result of that.
- All nodes count as lost. What ran is requeued; a host that is still there takes its nodes back
  as after a long silence, and one that does not know them any more makes them anew, start task
  and all, before they are given a task.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.states import TaskResult, TaskState
from penstock.engine import losses
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.store import sqlite_copy, sqlite_file
from penstock.store.contract import Saved
from penstock.store.sqlite import SCHEMA, SqliteStore

log = logging.getLogger("penstock.server")

_LEAP: Final = 10**9
"""The least that the numbers move on, should the machine's clock be far behind."""


async def take_over(path: Path, now_us: int, hosts: Mapping[str, str]) -> None:
    """Let a database be served. Should it be cut short, it can be done again.

    `hosts` are node hosts that are gone, and those that take over their nodes. Raises
    StoreRefused.
    """
    first = await _settle(path, now_us, hosts)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # A task that succeeded never runs again; each other one may have run since.
            connection.execute(
                "UPDATE task SET attempt = ? WHERE state <> ? OR result = ?",
                (first, int(TaskState.COMPLETED), int(TaskResult.FAILURE)),
            )
            connection.execute("DROP TABLE IF EXISTS backup")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")  # to be moved without companions
    except sqlite3.Error as error:
        raise sqlite_file.refusal(error) from error


async def take_over_copy(path: Path, now_us: int) -> None:
    """Do so where somebody has put a backup in the place of a database by hand."""
    if sqlite_file.check(path, SCHEMA, whole=False) and sqlite_copy.mark_of(path) is not None:
        await take_over(path, now_us, {})
        log.info("backup_taken_over file=%s", path)


async def _settle(path: Path, now_us: int, hosts: Mapping[str, str]) -> int:
    """Give all nodes up, and all numbers below the one that is returned."""
    store = SqliteStore.open(path)
    try:
        saved = await store.load()
        first = max(now_us, saved.next_no + _LEAP)
        turn = _turn(saved, store, now_us + saved.clock_offset_us, first)
        _give_up_nodes(turn, hosts)
        await store.commit(turn.changes(), saved.revision, turn.state.next_no)
    finally:
        await store.close()
    return first


def _turn(saved: Saved, store: SqliteStore, now_us: int, first: int) -> Turn:
    """A turn of an engine that is nowhere connected, and need not know what waits."""
    state = State.restored(replace(saved, waiting=()))
    state.next_no = first
    return Turn(state, store, now_us, Random(0), EngineSettings(server_id="restore"))


def _give_up_nodes(turn: Turn, hosts: Mapping[str, str]) -> None:
    for pool in list(turn.state.pools.values()):
        if pool.resize_due_us is not None:  # nobody could resize it meanwhile
            due_us = turn.now_us + max(0, pool.resize_due_us - pool.allocation_us)
            turn.put(c.PutPool(replace(pool, resize_due_us=due_us)))
    for node in list(turn.state.nodes.values()):
        losses.lose_node(turn, node)
    for node in list(turn.state.nodes.values()):
        moved = hosts.get(node.host or "")
        if moved is not None:
            turn.put(c.PutNode(replace(node, host=moved)))
