"""Clients that push as hard as they can, over a slow disk, and readers that do not read."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire, rfc1123, signature
from tests.e2e.things import job_options, made_job, made_pool, pool_options, task_options, unique
from tests.e2e.waiting import eventually

CLIENTS = 64
SECONDS = float(os.environ.get("PRESSURE_S", "8"))
SLOW_COMMIT_MS = 50
MOST_READY_S = 5.0
MOST_RSS_PER_TASK = 500
SPARE_RSS = 128 << 20
"""What the server may take beside its waiting tasks: bodies, answers, the database's cache."""


@contextmanager
def slow(root: Path) -> Iterator[Penstock]:
    """A Penstock whose commits take 50 milliseconds longer than they have to."""
    file = root / "penstock.toml"
    file.write_text(f"slow_commit_ms = {SLOW_COMMIT_MS}\n")
    with Penstock(root / "data", arguments=("--config", str(file))) as service:
        yield service


class Pusher:
    """One client: adds collections without a pause, and knows what it was promised."""

    def __init__(self, service: Penstock, job: str, number: int, until: float) -> None:
        self._service = service
        self._path = f"/jobs/{job}/addtaskcollection"
        self._number = number
        self._until = until
        self.promised = 0
        self.refused = 0

    def push(self) -> None:
        with Wire.to(self._service.ready) as wire:
            batch = 0
            while time.monotonic() < self._until:
                tasks = [
                    {"id": f"{self._number}-{batch}-{place}", "commandLine": "/bin/true"}
                    for place in range(100)
                ]
                self._add(wire, tasks)
                batch += 1

    def _add(self, wire: Wire, tasks: list[dict[str, str]]) -> None:
        while True:
            answer = wire.send("POST", self._path, {"value": tasks})
            if answer.status_code in (429, 503):
                self.refused += 1
                time.sleep(float(answer.headers["retry-after"]))
                continue
            assert answer.status_code == 200, answer.text
            assert {item["status"] for item in answer.json()["value"]} == {"success"}
            self.promised += len(tasks)
            return


class Watcher:
    """Asks all the time whether the server is ready, and how much memory it has."""

    def __init__(self, service: Penstock) -> None:
        self._endpoint = service.ready.endpoint
        self._server = psutil.Process(service.ready.pid)
        self._stop = threading.Event()
        self.slowest_s = 0.0
        self.answers: list[int] = []
        self.first_rss = self.most_rss = self._server.memory_info().rss

    def watch(self) -> None:
        with httpx.Client(base_url=self._endpoint, timeout=30, trust_env=False) as client:
            while not self._stop.wait(0.1):
                began = time.monotonic()
                self.answers.append(client.get("/ready").status_code)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.most_rss = max(self.most_rss, self._server.memory_info().rss)

    def stop(self) -> None:
        self._stop.set()


def test_64_clients_push_against_a_slow_disk(tmp_path: Path) -> None:
    with slow(tmp_path) as service, Wire.to(service.ready) as wire:
        assert wire.send("POST", "/jobs", job_options("j", "none").as_dict()).status_code == 201
        watcher = Watcher(service)
        until = time.monotonic() + SECONDS
        pushers = [Pusher(service, "j", number, until) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS + 1) as threads:
            watching = threads.submit(watcher.watch)
            pushing = [threads.submit(pusher.push) for pusher in pushers]
            try:
                for push in pushing:
                    push.result()
            finally:
                watcher.stop()
            watching.result()
        promised = sum(pusher.promised for pusher in pushers)
        counts = wire.send("GET", "/jobs/j/taskcounts").json()["taskCounts"]
    grown = watcher.most_rss - watcher.first_rss
    print(
        f"\n{CLIENTS} clients, {SECONDS:.0f} s, commits {SLOW_COMMIT_MS} ms longer:"
        f" {promised} tasks promised, {counts['active']} there,"
        f" {sum(p.refused for p in pushers)} calls told to come again,"
        f" /ready answered {len(watcher.answers)} times, slowest {watcher.slowest_s:.2f} s,"
        f" RSS {watcher.first_rss >> 20} to {watcher.most_rss >> 20} MiB"
    )
    assert promised > 0
    assert counts["active"] == promised
    assert set(watcher.answers) == {200}
    assert watcher.slowest_s < MOST_READY_S
    assert grown < SPARE_RSS + promised * MOST_RSS_PER_TASK


def test_crowds_are_told_to_come_again(tmp_path: Path) -> None:
    """With little room for bodies most calls are refused, and all get in in the end."""
    file = tmp_path / "penstock.toml"
    file.write_text("slow_commit_ms = 20\nmax_body_bytes = 16384\nmax_bodies_bytes = 32768\n")
    with (
        Penstock(tmp_path / "data", arguments=("--config", str(file))) as service,
        Wire.to(service.ready) as wire,
    ):
        assert wire.send("POST", "/jobs", job_options("j", "none").as_dict()).status_code == 201
        until = time.monotonic() + 1.5
        pushers = [Pusher(service, "j", number, until) for number in range(16)]
        with ThreadPoolExecutor(len(pushers)) as threads:
            for push in [threads.submit(pusher.push) for pusher in pushers]:
                push.result()
        counts = wire.send("GET", "/jobs/j/taskcounts").json()["taskCounts"]
        assert counts["active"] == sum(pusher.promised for pusher in pushers)
        assert min(pusher.promised for pusher in pushers) > 0
        assert sum(pusher.refused for pusher in pushers) > 0


def test_readers_that_do_not_read_slow_nobody_down(plain: Penstock) -> None:
    batch, size = plain.client(), 48 << 20
    with (
        made_pool(batch, pool_options(unique("slow"), nodes=1, slots=2)) as pool,
        made_job(batch, job_options(unique("slow"), pool)) as job,
        Wire.to(plain.ready) as wire,
    ):
        write = f"head -c {size} /dev/zero"
        batch.create_task(job, task_options("big", write))
        eventually(lambda: batch.get_task(job, "big").state == "completed", 20, "the big file")
        names = [{"id": f"t{number:04}", "commandLine": "/bin/true"} for number in range(300)]
        for first in range(0, 300, 100):
            body = {"value": names[first : first + 100]}
            assert wire.send("POST", f"/jobs/{job}/addtaskcollection", body).status_code == 200
        server = psutil.Process(plain.ready.pid)
        before = server.memory_info().rss
        file = f"/jobs/{job}/tasks/big/files/stdout.txt"
        stalled = [_asked(plain, file) for _ in range(8)]
        stalled += [_asked(plain, f"/jobs/{job}/tasks") for _ in range(32)]
        try:
            batch.create_task(job, task_options("quick", "/bin/true"))
            eventually(
                lambda: batch.get_task(job, "quick").state == "completed", 20, "the quick task"
            )
            assert server.memory_info().rss - before < 64 << 20
            assert _rest_of(stalled[0], size)
        finally:
            for connection in stalled:
                connection.close()


def _asked(service: Penstock, path: str) -> socket.socket:
    """A connection on which something was asked for, and from which only a little was read."""
    ready = service.ready
    host, port = ready.endpoint.removeprefix("http://").split(":")
    target = f"{path}?api-version=2025-06-01"
    headers = {"host": f"{host}:{port}", "ocp-date": rfc1123(datetime.now(UTC))}
    headers["authorization"] = signature(
        "GET", target, headers, ready.account_name, ready.account_key
    )
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((host, int(port)))
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def _rest_of(connection: socket.socket, size: int) -> bool:
    """Read on to the end: all bytes are there."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    read = len(head.partition(b"\r\n\r\n")[2])
    while read < size:
        part = connection.recv(1 << 20)
        if not part:
            return False
        read += len(part)
    return read == size
