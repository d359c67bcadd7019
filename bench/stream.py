"""Tasks at a steady pace, from a process of its own: what a busy service has to do besides.

`python -m bench.stream READY_FILE JOB PER_S` prints a line when it begins, adds tasks until its
input ends, and prints how many those were and the seconds that it took.
"""

from __future__ import annotations

import itertools
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.service import Bench, Refused
from tests.e2e.harness import Ready, environment
from tests.e2e.signing import Wire

ROOT = Path(__file__).parents[1]
AT_ONCE = 20
STOP_S = 10.0


class Stream:
    """A stream that runs, or has run."""

    def __init__(self) -> None:
        self.added = 0  # this and `took_s` are known once it has ended
        self.took_s = 0.0

    @classmethod
    @contextmanager
    def to(cls, bench: Bench, job: str, per_s: int) -> Iterator[Stream]:
        """Let tasks pass for as long as this is open. Raises Refused where they did not."""
        stream = cls()
        words = ["-m", "bench.stream", str(bench.service.ready_file), job, str(per_s)]
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            text=True,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield stream
            printed, _ = process.communicate(timeout=STOP_S)
            if process.returncode:
                raise Refused("the stream of other tasks broke off")
            added, took_s = printed.split()
            stream.added, stream.took_s = int(added), float(took_s)
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Add `AT_ONCE` tasks at a time, each time when it is due."""
    ready_file, job, per_s = sys.argv[1:]
    pause_s = AT_ONCE / int(per_s)
    added = 0
    with Wire.to(Ready.read(Path(ready_file))) as wire:
        wire.send("GET", f"/jobs/{job}")  # connect before the clock runs
        print("begins", flush=True)
        began = time.monotonic()
        for number in itertools.count():
            left_s = began + number * pause_s - time.monotonic()
            if select.select([sys.stdin], [], [], max(0.0, left_s))[0]:
                break
            _add(wire, job, added)
            added += AT_ONCE
        print(added, time.monotonic() - began)


def _add(wire: Wire, job: str, first: int) -> None:
    tasks = [{"id": f"s{first + n:08d}", "commandLine": "/bin/true"} for n in range(AT_ONCE)]
    body = json.dumps({"value": tasks}).encode()
    answer = wire.send("POST", f"/jobs/{job}/addtaskcollection", body)
    if answer.status_code != 200 or b"clienterror" in answer.content:
        raise Refused(f"{answer.status_code} {answer.text[:500]}")


if __name__ == "__main__":
    main()
