"""Server and node host are killed in the middle of a job; every task ends once all the same.

Each start of a task writes a line to a ledger outside the service, so that what the record says
can be held against what happened. A start also takes a lock that ends with its processes: two
attempts of a task at the same time are told by it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTask, BatchTaskExecutionResult, BatchTaskGroup
from azure.core.exceptions import AzureError

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    all_completed,
    job_options,
    nodes_ready,
    pool_options,
    shell,
    task_options,
)
from tests.e2e.waiting import eventually

TASKS = 300
NODES = 4
SLOTS = 4
WITHIN_S = 60.0
GROUP = 20


@dataclass(frozen=True, slots=True)
class Ledger:
    """What really happened, written by the tasks themselves."""

    root: Path

    def line(self) -> str:
        """The command line of a task of 0.2 s that keeps this ledger."""
        script = (
            f"cd {shlex.quote(str(self.root))} && exec 9>>$AZ_BATCH_TASK_ID.lock && "
            "{ flock -n 9 || echo $AZ_BATCH_TASK_ID >> overlaps; } && "
            "echo started >> $AZ_BATCH_TASK_ID && sleep 0.2 && echo ended >> $AZ_BATCH_TASK_ID"
        )
        return shell(script)

    def _count(self, word: str, task_id: str) -> int:
        file = self.root / task_id
        return file.read_text().split().count(word) if file.exists() else 0

    def starts(self, task_id: str) -> int:
        """How often a task really began."""
        return self._count("started", task_id)

    def ends(self, task_id: str) -> int:
        """How often it really came to its end."""
        return self._count("ended", task_id)

    def overlaps(self) -> list[str]:
        """Tasks that ran twice at once."""
        file = self.root / "overlaps"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    (tmp_path / "ledger").mkdir()
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def service(tmp_path: Path, ledger: Ledger) -> Iterator[Penstock]:
    """A Penstock in the middle of a job of 300 tasks, all of them acknowledged."""
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=NODES, slots=SLOTS))
        nodes_ready(client, "p", NODES)
        client.create_job(job_options("j", "p"))
        tasks = [task_options(f"t{i:03d}", ledger.line(), retries=0) for i in range(TASKS)]
        client.create_tasks("j", tasks)
        eventually(
            lambda: client.get_job_task_counts("j").task_counts.completed >= TASKS // 4,
            WITHIN_S,
            "a quarter of the tasks completed",
        )
        yield service


def finished(client: BatchClient) -> dict[str, BatchTask]:
    """Wait for the end of the job and check what holds however it came about."""
    tasks = all_completed(client, "j", TASKS, WITHIN_S)
    assert sorted(tasks) == [f"t{i:03d}" for i in range(TASKS)]
    for task in tasks.values():
        info = task.execution_info
        assert info is not None
        assert (info.result, info.exit_code) == (BatchTaskExecutionResult.SUCCESS, 0), (
            task.as_dict()
        )
        assert info.retry_count == 0
        assert (info.requeue_count > 0) == (info.last_requeue_time is not None)
        assert info.start_time is not None
        assert info.end_time is not None
        assert info.start_time <= info.end_time
    counts = client.get_job_task_counts("j").task_counts
    assert (counts.active, counts.running, counts.failed) == (0, 0, 0)
    assert (counts.succeeded, counts.completed) == (TASKS, TASKS)
    return tasks


def requeues(task: BatchTask) -> int:
    """How often the record says that the task was taken off its node."""
    assert task.execution_info is not None
    return task.execution_info.requeue_count


def expect_truth(ledger: Ledger, tasks: dict[str, BatchTask], *, killed: int) -> None:
    """Hold the record against the ledger. `killed` is how many attempts could be cut short.

    An attempt may be cut short before its first line, so such a task may have begun less often
    than it was placed; never more often.
    """
    assert ledger.overlaps() == []
    starts = {task_id: ledger.starts(task_id) for task_id in tasks}
    told = {task_id: 1 + requeues(task) for task_id, task in tasks.items()}
    assert not {t for t in tasks if starts[t] > told[t]}, "began more often than the record says"
    assert not {t for t in tasks if ledger.ends(t) < 1}, "completed without having run to its end"
    assert sum(told.values()) - TASKS <= killed, "more requeued than could run"
    assert max(told.values()) <= 2
    unseen = {t for t in tasks if starts[t] < told[t]}
    assert len(unseen) <= killed // 2, "most of those cut short had begun"


def test_a_killed_server_costs_nothing(service: Penstock, ledger: Ledger) -> None:
    host = service.node_host().pid

    service.kill()
    service.start()

    tasks = finished(service.client())
    assert service.node_host().pid == host, "the node host lives through it"
    assert {requeues(task) for task in tasks.values()} == {0}
    assert ledger.overlaps() == []
    assert {ledger.starts(task_id) for task_id in tasks} == {1}
    assert {ledger.ends(task_id) for task_id in tasks} == {1}


def test_a_killed_node_host_is_replaced(service: Penstock, ledger: Ledger) -> None:
    old = service.node_host()

    old.kill()

    tasks = finished(service.client())
    assert service.node_host().pid != old.pid
    expect_truth(ledger, tasks, killed=NODES * SLOTS)
    assert sum(requeues(task) for task in tasks.values()) > 0, "some ran when it was killed"


def test_both_killed(service: Penstock, ledger: Ledger) -> None:
    host = service.node_host()

    service.process.kill()
    host.kill()
    service.kill()
    service.start()

    tasks = finished(service.client())
    expect_truth(ledger, tasks, killed=NODES * SLOTS)
    assert sum(requeues(task) for task in tasks.values()) > 0, "some ran when it was killed"


def test_a_server_killed_again_and_again(service: Penstock, ledger: Ledger) -> None:
    for _ in range(3):
        service.kill()
        service.start()

    tasks = finished(service.client())
    assert {requeues(task) for task in tasks.values()} == {0}
    assert {ledger.starts(task_id) for task_id in tasks} == {1}


def test_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_job(job_options("j", "no-such-pool"))
        acknowledged: list[int] = []

        def add_until_it_dies() -> None:
            for number in count():
                group = [task_options(f"g{number}-{i}", "/bin/true") for i in range(GROUP)]
                try:
                    client.create_task_collection("j", BatchTaskGroup(task_values=group))
                except AzureError:
                    return
                acknowledged.append(number)

        adding = Thread(target=add_until_it_dies)
        adding.start()
        eventually(lambda: len(acknowledged) >= 50, WITHIN_S, "fifty answers", every_s=0.001)
        service.process.kill()  # in the middle of an add, and so before its clients are closed
        adding.join(timeout=WITHIN_S)
        service.kill()
        service.start()

        client = service.client()
        found = Counter(int(task.id[1:].partition("-")[0]) for task in client.list_tasks("j"))
        assert set(acknowledged) <= set(found)
        assert set(found.values()) == {GROUP}, "each collection is there whole or not at all"
        assert len(found) <= len(acknowledged) + 1
        assert client.get_job_task_counts("j").task_counts.active == len(found) * GROUP


def test_a_server_killed_before_its_nodes_are_ready(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=NODES))
        client.create_job(job_options("j", "p"))
        client.create_tasks("j", [task_options(f"t{i}", "/bin/true") for i in range(10)])

        service.kill()
        service.start()

        client = service.client()
        nodes_ready(client, "p", NODES)
        assert len(all_completed(client, "j", 10, WITHIN_S)) == 10


def test_blobs_survive_a_killed_server(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data", storage="azurite") as service:
        blobs = service.blobs()
        blobs.create_container("kept")
        blobs.get_blob_client("kept", "b").upload_blob(b"still here")

        service.kill()
        service.start()

        assert (
            service.blobs().get_blob_client("kept", "b").download_blob().readall() == b"still here"
        )
