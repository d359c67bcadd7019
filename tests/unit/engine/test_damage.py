"""A store that cannot be read: who asks is told, and the engine does not go on over damage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.records import TaskRecord
from penstock.domain.refusals import ServerBusy
from penstock.domain.unreadable import Unreadable
from penstock.store.contract import StoreDamaged, StoreRefused
from penstock.store.memory import MemoryStore
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


class Failing(MemoryStore):
    """A store that begins to fail when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: Unreadable | None = None
        self.sweeping: Unreadable | None = None
        self.loading: StoreRefused | None = None
        self.writing: StoreRefused | None = None

    async def load(self):  # type: ignore[no-untyped-def]
        if self.loading is not None:
            raise self.loading
        return await super().load()

    async def commit(self, *args):  # type: ignore[no-untyped-def]
        if self.writing is not None:
            raise self.writing
        return await super().commit(*args)

    async def task(self, job_no: int, task_id: str) -> tuple[TaskRecord, bytes] | None:
        if self.reading is not None:
            raise self.reading
        return await super().task(job_no, task_id)

    async def tasks_by_no(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        if self.reading is not None:
            raise self.reading
        return await super().tasks_by_no(numbers)

    async def files_due(self, now_us: int, limit: int) -> Sequence[TaskRecord]:
        if self.sweeping is not None:
            raise self.sweeping
        return await super().files_due(now_us, limit)


async def failing(house: House) -> Failing:
    """Let the house have a store that can fail, with a pool and a job in it."""
    await house.close()
    house.store = store = Failing()
    house.engine = house.host.engine = house.new_engine()
    await house.open()
    await house.pool()
    await house.job()
    return store


async def ended(house: House) -> StoreDamaged:
    """Wait for the engine to give up; give why."""
    assert house._running is not None
    done, _ = await asyncio.wait({house._running}, timeout=5)
    assert done, "the engine goes on"
    error = house._running.exception()
    assert isinstance(error, StoreDamaged)
    return error


def damaged_play(scenario) -> None:  # type: ignore[no-untyped-def]
    """Run a scenario at whose end there is nothing to be compared any more."""

    async def run() -> None:
        house = House()
        await house.open()
        await scenario(house, await failing(house))
        await house.close()

    asyncio.run(asyncio.wait_for(run(), 20))


DAMAGE = Unreadable("page 7 is malformed", damaged=True)


def test_the_engine_stops_at_damage_that_it_meets_when_it_places_a_task() -> None:
    async def scenario(house: House, store: Failing) -> None:
        await house.host.cut()
        await house.add("t")
        store.reading = DAMAGE
        with pytest.raises(ServerBusy):
            await house.host.connect([node.no for node in await house.nodes()])
        assert "page 7 is malformed" in str(await ended(house))

    damaged_play(scenario)


def test_the_engine_stops_at_damage_that_a_command_meets() -> None:
    async def scenario(house: House, store: Failing) -> None:
        await house.add("t")
        store.reading = DAMAGE
        with pytest.raises(Unreadable):
            await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        await ended(house)

    damaged_play(scenario)


def test_the_engine_stops_at_damage_that_a_sweep_meets() -> None:
    async def scenario(house: House, store: Failing) -> None:
        store.sweeping = DAMAGE
        await ended(house)

    damaged_play(scenario)


def test_the_engine_stops_at_damage_that_a_commit_meets() -> None:
    async def scenario(house: House, store: Failing) -> None:
        store.writing = StoreDamaged("it is damaged: page 7 is malformed")
        with pytest.raises(ServerBusy, match="cannot write"):
            await house.add("t")
        await ended(house)

    damaged_play(scenario)


def test_the_engine_stops_when_its_memory_cannot_be_read_again() -> None:
    async def scenario(house: House, store: Failing) -> None:
        store.loading = StoreDamaged("it is damaged: page 7 is malformed")
        store.full = True
        with pytest.raises(ServerBusy, match="cannot write"):
            await house.add("t")
        await ended(house)

    damaged_play(scenario)


def test_what_can_be_read_again_later_stops_nothing() -> None:
    async def scenario(house: House) -> None:
        store = await failing(house)
        await house.add("t")
        store.reading = Unreadable("database is locked", damaged=False)
        with pytest.raises(Unreadable):
            await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        store.reading = None
        await house.add("u")
        assert {"u"} <= set(await house.runs())

    play(scenario)
