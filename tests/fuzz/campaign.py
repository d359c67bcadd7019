"""A run of many requests against one server, and what must be true all along.

Each worker has a connection, ids of its own and a generator of its own, so a run is repeated by
its seed, but for how the workers' requests meet in the server. After an answer that refused a
change, what the worker's things look like is compared with what they looked like before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlsplit

import psutil

from tests.e2e.harness import Ready
from tests.fuzz.bodies import THINGS
from tests.fuzz.framing import framed, plain
from tests.fuzz.judge import Wrong, judge
from tests.fuzz.requests import PLACE, Account, Asked, Maker
from tests.fuzz.talk import Connection

WORKERS: Final = 6
COMPARED: Final = 0.04
"""The share of refused changes after which all of the worker's things are compared."""

FURNISHED_EVERY: Final = 200
MEASURED_EVERY: Final = 1000
PAUSED: Final = ("deleting", "terminating", "completed", "disabling", "enabling")
"""States that end by themselves: things in them are not compared."""

Progress = Callable[[int], None]


@dataclass(slots=True)
class Result:
    """What a run met."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    compared: int = 0
    memory: list[int] = field(default_factory=list)  # the server's resident bytes, as it went

    def growth(self) -> float:
        """The share by which the server grew from the first quarter to the last of a run."""
        quarter = max(1, len(self.memory) // 4)
        first, last = sorted(self.memory[:quarter]), sorted(self.memory[-quarter:])
        return last[quarter // 2] / first[quarter // 2] - 1


async def run(ready: Ready, requests: int, seed: int, progress: Progress | None = None) -> Result:
    """Send so many requests. Raises Wrong or Hang at the first answer that must not be."""
    result = Result()
    server = psutil.Process(ready.pid)
    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            worker = _Worker(ready, number, Random(f"{seed}/{number}"), result)
            group.create_task(worker.run(requests, server, progress))
    return result


class _Worker:
    """One connection, and ids that nobody else uses."""

    def __init__(self, ready: Ready, number: int, random: Random, result: Result) -> None:
        place = urlsplit(ready.endpoint)
        assert place.hostname
        assert place.port
        self._random = random
        self._result = result
        account = Account(ready.account_name, ready.account_key)
        self._maker = Maker(random, account, number, f"{place.hostname}:{place.port}")
        self._connection = Connection(place.hostname, place.port)
        self._looker = Connection(place.hostname, place.port)
        self._known: Any = None  # what its things looked like; None: something has changed them
        self._loose = False  # something was sent whose answer nobody waited for

    async def run(self, requests: int, server: psutil.Process, progress: Progress | None) -> None:
        try:
            for turn in itertools.count():
                if self._result.requests >= requests:
                    return
                if turn % FURNISHED_EVERY == 0:
                    await self._furnish()
                await self._one()
                if self._result.requests % MEASURED_EVERY == 0:
                    self._result.memory.append(server.memory_info().rss)
                    if progress:
                        progress(self._result.requests)
        finally:
            self._connection.close()
            self._looker.close()

    async def _furnish(self) -> None:
        """Make what is not there any more, and look which nodes there are."""
        for path, body in THINGS:
            await self._looker.send(plain(self._maker.right("POST", path, body)))
        pool = f"/pools/{PLACE}0/nodes"
        self._maker.known = [node["id"] for node in await self._listed(pool, {})]
        self._known = None

    async def _one(self) -> None:
        frame = framed(self._random, self._maker.any(), self._maker.any)
        changes = any(each.changes for each in frame.asked)
        compare = changes and self._random.random() < COMPARED
        if compare and self._known is None:
            await self._settle()
            self._known = await self._look()
        answers = await self._connection.send(frame)
        judge(frame, answers)
        self._note(frame.asked, [answer.status for answer in answers])
        refused = all(answer.status >= 400 for answer in answers)
        self._loose |= changes and len(answers) < len(frame.asked)
        if changes and not (refused and len(answers) >= len(frame.asked)):
            self._known = None
        elif compare:
            await self._compare(frame.asked)

    def _note(self, asked: list[Asked] | Any, statuses: list[int]) -> None:
        self._result.requests += len(asked)
        self._result.statuses.update(statuses)
        self._result.operations.update(each.operation for each in asked)
        self._result.unanswered += max(0, len(asked) - len(statuses))

    async def _settle(self) -> None:
        """Let the engine take what it was sent by a connection that is gone: it decides in turn."""
        for _ in range(3 if self._loose else 0):
            ends = self._maker.right("POST", f"/jobs/{PLACE}nothing/terminate")
            await self._looker.send(plain(ends))
        self._loose = False

    async def _compare(self, asked: Any) -> None:
        now = await self._look()
        self._result.compared += 1
        steady = {
            name
            for name in {*self._known, *now}
            if all(_is_steady(side, name) for side in (self._known, now))
        }
        for name in steady:
            if self._known.get(name) != now.get(name):
                said = f"{name} was {self._known.get(name)} and is {now.get(name)}"
                shown = [f"{each.method} {each.target[:300]} {each.body[:600]!r}" for each in asked]
                raise Wrong(f"a refused request has changed something: {said}\n{shown}")
        self._known = now

    async def _look(self) -> dict[str, Any]:
        """The worker's pools, jobs, schedules and tasks, as far as only users change them."""
        found: dict[str, Any] = {}
        mine = {"$filter": f"startswith(id,'{PLACE}')"}
        for kind in ("pools", "jobs", "jobschedules"):
            for item in await self._listed(f"/{kind}", mine):
                if ":" not in item["id"]:
                    found[f"{kind}/{item['id'].lower()}"] = _kept(item)
        for job in [name for name in found if name.startswith("jobs/")]:
            for item in await self._listed(f"/{quote(job)}/tasks", {}):
                if found[job]["state"] not in PAUSED:
                    found[f"{job}/{item['id'].lower()}"] = {"eTag": item["eTag"]}
        return found

    async def _listed(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        frame = plain(self._maker.right("GET", path, **query))
        (answer,) = await self._looker.send(frame)
        if answer.status == 503:
            return []
        assert answer.status in (200, 404), answer
        items: list[dict[str, Any]] = json.loads(answer.body).get("value", [])
        return items if answer.status == 200 else []


def _is_steady(found: dict[str, Any], name: str) -> bool:
    """Whether only users change a thing: neither it nor the job that it is in changes by itself."""
    above = "/".join(name.split("/")[:2])
    return all(found.get(one, {}).get("state") not in PAUSED for one in (name, above))


def _kept(item: dict[str, Any]) -> dict[str, Any]:
    names = ("state", "eTag", "metadata", "priority", "startTask", "constraints", "poolInfo")
    return {name: item.get(name) for name in names}


def rate(result: Result, began: float) -> float:
    """Requests a second since `began`, a time of `time.monotonic`."""
    return result.requests / max(1e-9, time.monotonic() - began)
