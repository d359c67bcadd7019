"""The REST edge with the real engine behind it, on a store in memory: what clients get at last."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from penstock.wire.app import make_app
from penstock.wire.settings import WireSettings
from tests.records import ACCOUNT
from tests.unit.engine.house import House
from tests.wire.edge import KEY, Edge


class Whole(Edge):
    """An application, its engine, and a node host that does as told."""

    account = ACCOUNT

    def __init__(self, house: House) -> None:
        self.house = house
        self.is_ready = True
        numbers = itertools.count(1)
        self.settings = WireSettings(
            accounts={ACCOUNT: [KEY]},
            now_us=lambda: house.now_us,
            new_guid=lambda: f"00000000-0000-4000-8000-{next(numbers):012}",
        )
        self.service = house  # type: ignore[assignment]  # of which only the time is asked
        self.app = make_app(house.engine, self.settings, self._ready)

    async def done(self, method: str, target: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request that has to succeed."""
        answer = await self.send_json(method, target, body, **more)
        assert answer.is_success, answer.text
        return answer

    async def shown(self, target: str) -> dict[str, Any]:
        """What GET gives."""
        found: dict[str, Any] = (await self.done("GET", target)).json()
        return found


Scene = Callable[[Whole], Coroutine[Any, Any, None]]


def play(scene: Scene, **settings: Any) -> None:
    """Run a scene with a service of its own."""

    async def run() -> None:
        house = House(**settings)
        await house.open()
        try:
            await scene(Whole(house))
        finally:
            await house.close()

    asyncio.run(asyncio.wait_for(run(), 30))
