"""Work that is added through every outage, and what the record has to say of it in the end.

Two jobs get collections of short tasks: plain ones, some that fail before they succeed, some
that fail for good, some that take two slots, some that outlive their node host, and chains that
depend on each other. A collection is sent again until it is answered, as a careful client does,
so that at the end exactly those tasks are there that were acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import httpx

from tests.e2e.fire.ledger import Ledger
from tests.e2e.harness import Ready
from tests.e2e.signing import Wire

PLAIN, CHAINED = "plain", "chained"
JOBS = {PLAIN: False, CHAINED: True}
"""The jobs, and whether their tasks may depend on each other."""

IN_COLLECTION = 8
WAITING = 60
"""With so many tasks of a job waiting, no more are added for the moment."""

PAUSE_S = 0.05
ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task, and what is to come of it."""

    job: str
    id: str
    line: str
    failing: int = 0
    exit_code: int = 0
    slots: int = 1
    after: str | None = None

    @property
    def mark(self) -> str:
        """Its name in the ledger."""
        return f"{self.job}.{self.id}"

    def body(self) -> dict[str, Any]:
        """The task as the service wants it."""
        body: dict[str, Any] = {
            "id": self.id,
            "commandLine": self.line,
            "requiredSlots": self.slots,
            "constraints": {"maxTaskRetryCount": self.failing},
        }
        return body | ({"dependsOn": {"taskIds": [self.after]}} if self.after else {})


def collections(ledger: Ledger, random: Random) -> Iterator[list[Wanted]]:
    """Collections without end, now for one job and now for the other."""
    for number in count():
        job = PLAIN if number % 2 else CHAINED
        tasks: list[Wanted] = []
        for place in range(IN_COLLECTION):
            chained = job == CHAINED and place % 4 > 0
            tasks.append(_task(ledger, random, job, f"c{number:04d}-{place}", tasks, chained))
        yield tasks


def _task(
    ledger: Ledger, random: Random, job: str, task_id: str, before: list[Wanted], chained: bool
) -> Wanted:
    after = before[-1] if chained else None
    failing = random.choice((0, 0, 0, 1, 2))
    exit_code = 3 if job == PLAIN and not failing and random.random() < 0.1 else 0
    line = ledger.line(
        f"{job}.{task_id}",
        seconds=round(random.uniform(0.02, 0.4) if random.random() < 0.9 else 1.5, 3),
        failing=failing,
        exit_code=exit_code,
        after=[after.mark] if after else [],
    )
    return Wanted(
        job,
        task_id,
        line,
        failing,
        exit_code,
        slots=random.choice((1, 1, 1, 2)),
        after=after.id if after else None,
    )


class Feeder:
    """Adds collections until it is stopped; a context manager that has its thread end."""

    def __init__(self, ready_file: Path, ledger: Ledger, random: Random) -> None:
        self.acknowledged: list[Wanted] = []
        self.complaints: list[str] = []
        self._ready_file = ready_file
        self._collections = collections(ledger, random)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="feeder")

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ANSWER_WITHIN_S)
        assert not self._thread.is_alive(), "the feeder got no answer to its last collection"

    def _run(self) -> None:
        for tasks in self._collections:
            self._add(tasks)
            if self._stop.is_set():
                return

    def _add(self, tasks: list[Wanted]) -> None:
        """Send a collection until it is answered."""
        until = time.monotonic() + ANSWER_WITHIN_S
        statuses: set[str] = set()
        sent = 0
        while not statuses and time.monotonic() < until:
            try:
                with Wire.to(Ready.read(self._ready_file)) as wire:
                    while not statuses:
                        self._wait_for_room(wire, tasks[0].job)
                        sent += 1
                        statuses = self._answered(wire, tasks)
            except (OSError, httpx.TransportError):
                self._stop.wait(PAUSE_S)  # there is no server just now
        if len(statuses) != 1:
            self.complaints.append(f"{tasks[0].mark} is in a collection of which half was known")
        elif statuses != {"success"} and sent == 1:
            self.complaints.append(f"{tasks[0].mark} was refused: {statuses}")
        self.acknowledged += tasks

    def _wait_for_room(self, wire: Wire, job: str) -> None:
        while wire.send("GET", f"/jobs/{job}/taskcounts").json()["taskCounts"]["active"] > WAITING:
            if self._stop.wait(PAUSE_S):
                return

    def _answered(self, wire: Wire, tasks: list[Wanted]) -> set[str]:
        """What was said of the tasks, or nothing where the answer is to ask again."""
        body = {"value": [task.body() for task in tasks]}
        answer = wire.send("POST", f"/jobs/{tasks[0].job}/addtaskcollection", body)
        if answer.status_code == 503:
            return set()
        if answer.status_code != 200:
            self.complaints.append(f"{answer.status_code} {answer.text}")
            return {"refused"}
        items = answer.json()["value"]
        return {(item.get("error") or {}).get("code", item["status"]) for item in items}
