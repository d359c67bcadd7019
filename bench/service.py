"""A Penstock to measure, and requests to it that cost the client little."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bench.floor import scratch
from tests.e2e.harness import Penstock, agent
from tests.e2e.signing import Wire
from tests.e2e.things import pool_options
from tests.e2e.waiting import eventually

COLLECTION = 100
READY_S = 60.0
GONE_S = 120.0


class Refused(Exception):
    """The service did not do what a benchmark asked for."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A running service without storage, and a connection to it."""

    service: Penstock
    wire: Wire
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Bench]:
        """Start one in a directory of its own, and remove both at the end."""
        with (
            scratch() as root,
            Penstock(root / "data") as service,
            Wire.to(service.ready) as wire,
        ):
            yield cls(service, wire)

    @classmethod
    @contextmanager
    def with_null_hosts(cls, hosts: int = 1) -> Iterator[Bench]:
        """Start one whose nodes run nothing, so that only the server is measured."""
        with (
            scratch() as root,
            Penstock(root / "data", verb="serve") as service,
            ExitStack() as stack,
            Wire.to(service.ready) as wire,
        ):
            for number in range(hosts):
                log = root / f"host{number}.log"
                stack.enter_context(agent("--null", "--join", str(service.data), log=log))
            yield cls(service, wire)

    @classmethod
    @contextmanager
    def beside(cls, service: Penstock) -> Iterator[Bench]:
        """Connect to one that runs, as after another start of it."""
        with Wire.to(service.ready) as wire:
            yield cls(service, wire)

    @property
    def database(self) -> Path:
        """The file of the store."""
        return self.service.data / "store" / "penstock.db"

    def cpu_s(self) -> float:
        """The processor time of the server's process up to now, the kernel's part included."""
        after_name = Path(f"/proc/{self.service.ready.pid}/stat").read_text().rpartition(")")[2]
        user, system = after_name.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        """Send a request; raises Refused where the status is another one."""
        answer = self.wire.send(method, path, body)
        if answer.status_code != expect:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def pool(self, nodes: int, slots: int) -> str:
        """Make a pool whose nodes are all idle."""
        pool_id = f"pool{next(self.numbers)}"
        options = pool_options(pool_id, nodes=nodes, slots=slots).as_dict()
        self.call("POST", "/pools", options, 201)

        def idle() -> bool:
            found = self.call("GET", f"/pools/{pool_id}/nodes")["value"]
            return [node["state"] for node in found] == ["idle"] * nodes

        eventually(idle, READY_S, f"{nodes} idle nodes")
        return pool_id

    def job(self, pool_id: str, **more: Any) -> str:
        """Make a job on a pool, which need not exist; `more` as on the wire."""
        job_id = f"job{next(self.numbers)}"
        self.call("POST", "/jobs", {"id": job_id, "poolInfo": {"poolId": pool_id}, **more}, 201)
        return job_id

    def remove(self, job_id: str) -> None:
        """Delete a job and wait until nothing of it is on disk, where it would be in the way."""
        path = f"file:{self.database}?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            (no,) = database.execute("SELECT no FROM job WHERE key = ?", (job_id,)).fetchone()
            self.call("DELETE", f"/jobs/{job_id}", expect=202)

            def gone() -> bool:
                left = database.execute("SELECT 1 FROM task WHERE job_no = ? LIMIT 1", (no,))
                known = self.wire.send("GET", f"/jobs/{job_id}").status_code != 404
                return not known and left.fetchone() is None

            eventually(gone, GONE_S, f"the end of {job_id}")


def collections(count: int, command: str = "/bin/true") -> Sequence[dict[str, Any]]:
    """Bodies that add `count` tasks by the hundred."""
    tasks = [{"id": f"t{number:06d}", "commandLine": command} for number in range(count)]
    return [{"value": tasks[first : first + COLLECTION]} for first in range(0, count, COLLECTION)]


def pour(bench: Bench, job: str, bodies: Iterable[dict[str, Any]], connections: int) -> float:
    """Add collections over so many connections at once; give the seconds until all are answered.

    Raises Refused where a task was not added.
    """
    path = f"/jobs/{job}/addtaskcollection"
    waiting: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        waiting.put(json.dumps(body).encode())

    def add(wire: Wire) -> None:
        while True:
            try:
                body = waiting.get_nowait()
            except Empty:
                return
            answer = wire.send("POST", path, body)
            if answer.status_code != 200 or b"clienterror" in answer.content:
                raise Refused(f"{answer.status_code} {answer.text[:500]}")

    with ExitStack() as stack:
        wires = [stack.enter_context(Wire.to(bench.service.ready)) for _ in range(connections)]
        for wire in wires:
            wire.send("GET", f"/jobs/{job}")  # connect before the clock runs
        began = time.perf_counter()
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(add, wires))
        return time.perf_counter() - began
