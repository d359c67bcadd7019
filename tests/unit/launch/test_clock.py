"""The service's clock, and those who wait for it."""

from __future__ import annotations

import asyncio

import pytest

from penstock.clock import Clock

HOUR_US = 3_600_000_000


def test_advance_moves_the_present() -> None:
    clock = Clock(lambda: 1_000)
    clock.advance(HOUR_US)
    assert clock.now_us() == HOUR_US + 1_000


def test_a_clock_is_never_moved_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        Clock().advance(-1)


def test_the_past_is_not_waited_for() -> None:
    async def story() -> None:
        clock = Clock(lambda: 50)
        async with asyncio.timeout(5):
            await clock.sleep_until(50)

    asyncio.run(story())


def test_an_advance_wakes_those_whose_time_has_come_and_no_others() -> None:
    async def story() -> list[str]:
        clock = Clock(lambda: 0)
        woken: list[str] = []

        async def wait(name: str, at_us: int) -> None:
            await clock.sleep_until(at_us)
            woken.append(name)

        soon = asyncio.create_task(wait("soon", HOUR_US))
        late = asyncio.create_task(wait("late", 3 * HOUR_US))
        await asyncio.sleep(0)  # both wait now
        clock.advance(2 * HOUR_US)
        async with asyncio.timeout(5):
            await soon
        assert not late.done()
        clock.advance(HOUR_US)
        async with asyncio.timeout(5):
            await late
        return woken

    assert asyncio.run(story()) == ["soon", "late"]


def test_real_time_passes_too() -> None:
    async def story() -> int:
        clock = Clock()
        due_us = clock.now_us() + 20_000
        async with asyncio.timeout(5):
            await clock.sleep_until(due_us)
        return clock.now_us() - due_us

    assert asyncio.run(story()) >= 0
