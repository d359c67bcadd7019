"""What users have in common: they ask until there is an answer, and are patient with refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from penstock.domain.refusals import Refusal
from penstock.domain.specs.common import ResourceFile
from penstock.engine.engine import Engine
from tests.records import ACCOUNT
from tests.sim.world import NoAnswer, World

T = TypeVar("T")

FILES: Final = [ResourceFile(http_url="http://files/a", file_path="a")]

ACCOUNTS: Final = (ACCOUNT, "other")
"""Ids are the same in both, so what is taken from the wrong one is noticed."""


class User:
    """Someone who asks until there is an answer."""

    def __init__(self, world: World, account: str, name: str) -> None:
        self.world = world
        self.account = account
        self.name = name
        self.random = Random(f"{world.seed}/{account}/{name}")

    async def pause(self, mean_s: float) -> None:
        await asyncio.sleep(self.random.expovariate(1 / mean_s) * self.world.pace.factor)

    async def ask(self, wish: Callable[[Engine], Awaitable[T]]) -> T | Refusal:
        """Have a wish granted or refused; a server that died or is busy is asked again."""
        while True:
            try:
                return await self.world.call(wish)
            except NoAnswer:
                continue
            except Refusal as refusal:
                if refusal.status != 503:
                    return refusal
                await asyncio.sleep(self.random.expovariate(1.0))

    async def until(self, done: Callable[[], bool], every_s: float = 0.5) -> None:
        while not done():
            await asyncio.sleep(every_s)
