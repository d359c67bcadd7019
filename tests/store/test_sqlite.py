"""What only a file can suffer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.domain import changes as c
from penstock.store.contract import Revision
from penstock.store.sqlite import SqliteStore
from tests.records import ACCOUNT, a_pool


def test_what_was_committed_survives_a_store_that_was_never_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        lost = SqliteStore.open(tmp_path / "store.db")
        await lost.load()
        await lost.commit([c.PutPool(a_pool())], Revision(0), 2)
        lost._write.execute("BEGIN IMMEDIATE")
        lost._writes.apply([c.PutPool(a_pool(no=2, name="never"))])
        lost._write.close()  # as a process that ends in the middle of a commit
        store = SqliteStore.open(tmp_path / "store.db")
        assert await store.pool(ACCOUNT, "pool") == a_pool()
        assert await store.pool(ACCOUNT, "never") is None
        await store.close()
        await lost.close()

    asyncio.run(scenario())
