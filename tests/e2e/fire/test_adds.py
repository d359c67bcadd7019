"""The server is killed in the middle of collections: each is there whole or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from threading import Barrier

import httpx

from tests.e2e.harness import Penstock, Ready
from tests.e2e.signing import Wire
from tests.e2e.things import job_options

ROUNDS = 5
CONNECTIONS = 4
IN_COLLECTION = 100
LONGEST_ROUND_S = 0.25


class Adder:
    """One connection that adds collections, one after the other, until it breaks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answered: set[str] = set()
        self.sent = 0
        self._numbers = count()

    def run(self, ready: Ready, ahead: Barrier) -> None:
        """Add until the server is gone; `ahead` is met when the first collection is in."""
        with suppress(httpx.TransportError), Wire.to(ready) as wire:
            self._add(wire)
            ahead.wait(timeout=20)
            while True:
                self._add(wire)

    def _add(self, wire: Wire) -> None:
        collection = f"{self.name}-{next(self._numbers)}"
        tasks = [
            {"id": f"{collection}-{i}", "commandLine": "/bin/true"} for i in range(IN_COLLECTION)
        ]
        self.sent += 1
        answer = wire.send("POST", "/jobs/j/addtaskcollection", {"value": tasks})
        assert answer.status_code == 200, answer.text
        assert {item["status"] for item in answer.json()["value"]} == {"success"}
        self.answered.add(collection)


def adders(names: Iterator[int]) -> list[Adder]:
    """As many as there are connections, each with a name of its own."""
    return [Adder(f"a{next(names)}") for _ in range(CONNECTIONS)]


def test_a_collection_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    names, answered, sent = count(), set[str](), 0
    with Penstock(tmp_path / "data") as service:
        service.client().create_job(job_options("j", "no-such-pool"))
        for number in range(ROUNDS):
            adding, ahead = adders(names), Barrier(CONNECTIONS + 1)
            with ThreadPoolExecutor(CONNECTIONS) as threads:
                runs = [threads.submit(adder.run, service.ready, ahead) for adder in adding]
                ahead.wait(timeout=20)
                time.sleep(Random(number).uniform(0, LONGEST_ROUND_S))
                service.kill()
            for run in runs:
                run.result()
            answered |= {collection for adder in adding for collection in adder.answered}
            sent += sum(adder.sent for adder in adding)
            service.start()

        found = Counter(
            task.id.rpartition("-")[0] for task in service.client().list_tasks("j", select=["id"])
        )
        assert answered - set(found) == set(), "acknowledged and lost"
        assert set(found.values()) == {IN_COLLECTION}, "half a collection"
        assert len(answered) <= len(found) <= sent
        assert sent - len(answered) <= ROUNDS * CONNECTIONS
        counts = service.client().get_job_task_counts("j").task_counts
        assert (counts.active, counts.running, counts.completed) == (found.total(), 0, 0)
