"""A Penstock to measure, and requests to it that cost the client little."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.floor import scratch
from tests.e2e.harness import Penstock
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

    def job(self, pool_id: str) -> str:
        """Make a job on a pool, which need not exist."""
        job_id = f"job{next(self.numbers)}"
        self.call("POST", "/jobs", {"id": job_id, "poolInfo": {"poolId": pool_id}}, 201)
        return job_id

    def remove(self, job_id: str) -> None:
        """Delete a job and wait until it is gone, so that it does not disturb what follows."""
        self.call("DELETE", f"/jobs/{job_id}", expect=202)

        def gone() -> bool:
            return self.wire.send("GET", f"/jobs/{job_id}").status_code == 404

        eventually(gone, GONE_S, f"the end of {job_id}")


def collections(count: int, command: str = "/bin/true") -> Sequence[dict[str, Any]]:
    """Bodies that add `count` tasks by the hundred."""
    tasks = [{"id": f"t{number:06d}", "commandLine": command} for number in range(count)]
    return [{"value": tasks[first : first + COLLECTION]} for first in range(0, count, COLLECTION)]
