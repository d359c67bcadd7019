"""The disk is full for a while: nothing is lost, and nobody has to start anything again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest
from azure.batch import BatchClient

from tests.e2e.fire.busy import WITHIN_S, finished, make_busy
from tests.e2e.fire.ledger import Ledger
from tests.e2e.fire.volume import NoVolume, filled, small_volume
from tests.e2e.harness import Penstock, refused
from tests.e2e.things import job_options, refusal, task_options
from tests.e2e.waiting import eventually

READY_WITHIN_S = 2.0
WATCHED_S = 2.0
MOST_CPU = 0.25
"""The share of a core that a server may take which nobody asks anything."""


@contextmanager
def volume_or_skip(at: Path, size_bytes: int) -> Iterator[Path]:
    """A small filesystem at a directory."""
    try:
        with small_volume(at, size_bytes) as volume:
            yield volume
    except NoVolume as reason:
        pytest.skip(f"a full disk cannot be tried: {reason}")


def is_ready(service: Penstock) -> bool:
    """What the probe says, which has to answer soon in any case."""
    answer = httpx.get(f"{service.ready.endpoint}/ready", timeout=READY_WITHIN_S, trust_env=False)
    assert answer.status_code in (200, 503)
    return answer.status_code == 200


def cpu_s(service: Penstock) -> float:
    """How long the server has computed."""
    times = psutil.Process(service.process.pid).cpu_times()
    return times.user + times.system


class Adder:
    """Adds task after task to a job of its own, and knows which were taken."""

    def __init__(self, client: BatchClient) -> None:
        self.taken: set[str] = set()
        self._client = client
        self._numbers = count()
        client.create_job(job_options("more", "no-such-pool"))

    def refused(self) -> bool:
        """Add one more. A refusal says that it is worth to ask again."""
        task = task_options(f"t{next(self._numbers)}", "/bin/true")
        said = refusal(lambda: self._client.create_task("more", task))
        assert said in (None, (503, "ServerBusy"))
        if said is None:
            self.taken.add(task.id)
        return said is not None

    def expect_truth(self) -> None:
        """Taken ones are there, and refused ones are not."""
        assert {task.id for task in self._client.list_tasks("more")} == self.taken


def test_a_full_disk_under_the_database(tmp_path: Path, ledger: Ledger) -> None:
    store = tmp_path / "data" / "store"
    with volume_or_skip(store, 16 << 20), Penstock(tmp_path / "data") as service:
        client = service.client()
        adder = Adder(client)
        wanted = make_busy(client, ledger)

        with filled(store):
            eventually(adder.refused, WITHIN_S, "a refusal")
            eventually(lambda: not is_ready(service), WITHIN_S, "a server that is not ready")
            eventually(lambda: len(set(ledger.runs())) == 1, WITHIN_S, "the end of what ran")
            completed = client.get_job_task_counts("j").task_counts.completed
            assert ledger.runs().ended > completed, "what ended could not be recorded"
            before = cpu_s(service)
            time.sleep(WATCHED_S)  # this is what is measured
            assert cpu_s(service) - before < MOST_CPU * WATCHED_S
            assert adder.refused()
            assert not is_ready(service)
            assert len(list(client.list_tasks("j"))) == len(wanted)
            assert client.get_job_task_counts("j").task_counts.completed == completed

        eventually(lambda: is_ready(service), WITHIN_S, "a server that is ready")
        assert not adder.refused()
        verdict = finished(client, ledger, wanted)
        assert (verdict.requeued, verdict.unseen) == (0, 0)
        adder.expect_truth()


def test_a_node_host_that_dies_while_the_disk_is_full(tmp_path: Path, ledger: Ledger) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text("min_free_bytes = 1\n")  # else tasks are ended before the disk is full
    with (
        volume_or_skip(tmp_path / "data", 32 << 20) as data,
        Penstock(data, arguments=("--config", str(config))) as service,
    ):
        client = service.client()
        wanted = make_busy(client, ledger)

        with filled(data):
            service.node_host().kill()
            eventually(
                lambda: "child_not_started" in service.log.read_text(), WITHIN_S, "a try to start"
            )
            assert not is_ready(service)

        finished(client, ledger, wanted)


def test_a_start_on_a_full_disk_is_refused_in_a_line(tmp_path: Path) -> None:
    with volume_or_skip(tmp_path / "data", 1 << 20) as data, filled(data):
        printed = refused(["up", "--data", str(data), "--port", "0", "--tls-port", "0"])

        assert "No space left on device" in printed
        Penstock(data).expect_nothing_left(5)
