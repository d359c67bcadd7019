"""A job with many tasks goes without holding up anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import ANY
from penstock.store.contract import Revision
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


def few_at_once(house: House) -> list[int]:
    """Sweep 40 tasks a turn, over a store that takes its time; gives the sweeps of each commit."""
    house.settings = house.engine.settings = replace(house.settings, swept_in_turn=40)
    commit, sweeps = house.store.commit, list[int]()

    async def slow(changes: Sequence[c.Change], expect: Revision, next_no: int) -> Revision:
        sweeps.append(sum(isinstance(change, c.SweepJob) for change in changes))
        await asyncio.sleep(0)
        return await commit(changes, expect, next_no)

    house.store.commit = slow  # type: ignore[method-assign]
    return sweeps


async def all_swept(house: House) -> None:
    while house.store.dropped:
        await house.engine._submit(lambda _turn: None)


def test_the_tasks_of_a_deleted_job_go_a_few_in_each_turn() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        for part in range(3):
            await house.add(*(f"{part}-{number}" for number in range(50)))
        sweeps = few_at_once(house)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert house.store.dropped, "nobody waits until all is swept"
        await house.job()  # its id is free at once
        await house.add("new")
        await all_swept(house)
        assert (sum(sweeps), max(sweeps)) == (4, 1)
        assert [task.id for task in house.store.tasks.values()] == ["new"]

    play(scenario)


def test_sweeping_goes_on_after_a_crash() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add(*(f"{number}" for number in range(90)))
        few_at_once(house)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert house.store.dropped
        await house.crash()
        await all_swept(house)
        assert not house.store.dropped

    play(scenario)
