"""A backup of a service in full swing, and what becomes of it when it is restored.

Each run of a task leaves a line with a word of its own outside the service, so that what the
record says can be held against what happened.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobDisableOptions,
    BatchPoolResizeOptions,
    BatchStartTask,
    BatchTask,
    BatchTaskExecutionResult,
    BatchTaskGroup,
    BatchTaskState,
    DisableBatchJobOption,
)

from penstock.launch.exits import Exit
from tests.e2e.harness import COMMAND, Penstock, environment
from tests.e2e.things import (
    all_completed,
    delete_pool,
    in_state,
    job_options,
    nodes_ready,
    pool_options,
    run,
    running,
    shell,
    stdout,
    task_options,
)
from tests.e2e.waiting import eventually

WITHIN_S = 90.0
GROUP = 20


def command(*words: str, code: int = 0) -> str:
    """Run a `penstock` that ends by itself; give what it printed."""
    done = subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=60,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"it ended with {done.returncode}: {done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr if code else done.stdout


def backed_up(service: Penstock, file: Path, *words: str) -> dict[str, Any]:
    """Back a service up; give what the command says of it."""
    said: dict[str, Any] = json.loads(
        command("backup", str(file), "--data", str(service.data), "--output", "json", *words)
    )
    return said


def restore(service: Penstock, file: Path, *words: str) -> dict[str, Any]:
    """Restore a backup into the data directory of a service that does not run."""
    said: dict[str, Any] = json.loads(
        command("restore", str(file), "--data", str(service.data), "--output", "json", *words)
    )
    return said


def echo(word: str) -> str:
    """The command line of a task that prints a word."""
    return shell(f"echo {shlex.quote(word)}")


class Adding:
    """Somebody who adds collections of tasks without pause."""

    def __init__(self, service: Penstock, job_id: str) -> None:
        self.acknowledged: list[int] = []
        self._client = service.client()
        self._job_id = job_id
        self._enough = Event()

    def _add(self) -> None:
        for number in count():
            if self._enough.is_set():
                return
            names = [f"{number}-{i}" for i in range(GROUP)]
            group = BatchTaskGroup(task_values=[task_options(name, echo(name)) for name in names])
            self._client.create_task_collection(self._job_id, group)
            self.acknowledged.append(number)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Add while the block runs."""
        thread = Thread(target=self._add)
        thread.start()
        try:
            yield
        finally:
            self._enough.set()
            thread.join(timeout=WITHIN_S)


def expect_counts(client: BatchClient, job_id: str) -> dict[str, BatchTask]:
    """Hold the counts of a job that does not move against the states of its tasks."""
    tasks = {task.id: task for task in client.list_tasks(job_id)}
    states = Counter(task.state for task in tasks.values())
    counts = client.get_job_task_counts(job_id).task_counts
    assert counts.active == states[BatchTaskState.ACTIVE]
    assert counts.running == states[BatchTaskState.RUNNING] + states[BatchTaskState.PREPARING]
    assert counts.completed == states[BatchTaskState.COMPLETED]
    results = Counter(
        task.execution_info.result
        for task in tasks.values()
        if task.execution_info is not None and task.state == BatchTaskState.COMPLETED
    )
    assert counts.succeeded == results[BatchTaskExecutionResult.SUCCESS]
    assert counts.failed == results[BatchTaskExecutionResult.FAILURE]
    return tasks


def expect_words(client: BatchClient, job_id: str, words: Sequence[str]) -> None:
    """Each of these tasks succeeded, and printed its name."""
    for word in words:
        task = client.get_task(job_id, word)
        assert task.execution_info is not None
        assert task.execution_info.exit_code == 0, task.as_dict()
        assert stdout(client, job_id, word) == f"{word}\n"


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_backup_in_full_swing_restores(tmp_path: Path, end: str) -> None:
    backup = tmp_path / "backup"
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=2, slots=2))
        nodes_ready(client, "p", 2)
        client.create_job(job_options("j", "p"))
        adding = Adding(service, "j")
        with adding.going_on():
            eventually(lambda: len(adding.acknowledged) >= 10, WITHIN_S, "ten answers")
            before = list(adding.acknowledged)
            said = backed_up(service, backup)
            after = len(adding.acknowledged)
            eventually(lambda: len(adding.acknowledged) > after + 5, WITHIN_S, "more answers")
        last = len(adding.acknowledged)
        assert backup.stat().st_mode & 0o777 == 0o600
        assert said["bytes"] == backup.stat().st_size
        assert (said["pools"], said["jobs"]) == (1, 1)
        assert GROUP * len(before) <= said["tasks"] <= GROUP * last
        assert said["tasks"] % GROUP == 0, "each collection is there whole or not at all"

        # The node host learns of runs that the backup does not know.
        client.create_job(job_options("later", "p"))
        run(client, "later", [task_options(f"l{i}", echo(f"l{i}")) for i in range(60)])
        eventually(
            lambda: client.get_job_task_counts("j").task_counts.completed == GROUP * last,
            WITHIN_S,
            "the end of all that was added",
        )
        if end == "stopped":
            service.terminate()
        else:
            service.kill()  # its node host lives on, and knows how everything ended
        restored = restore(service, backup, "--force")
        assert restored["tasks"] == said["tasks"]
        service.start()

        client = service.client()
        assert [job.id for job in client.list_jobs()] == ["j"]
        tasks = all_completed(client, "j", said["tasks"], WITHIN_S)
        found = Counter(int(name.partition("-")[0]) for name in tasks)
        assert set(before) <= set(found)
        assert set(found.values()) == {GROUP}
        expect_counts(client, "j")
        expect_words(client, "j", [f"{number}-0" for number in found])

        # Numbers were given since that the database does not know: none is given again.
        client.create_job(job_options("new", "p"))
        names = [f"n{i}" for i in range(60)]
        run(client, "new", [task_options(name, echo(name)) for name in names])
        expect_words(client, "new", names)
        nodes_ready(client, "p", 2)


def test_what_ran_and_what_came_after(tmp_path: Path) -> None:
    """A task that ran is run again; nodes that went are made anew, start task first."""
    backup, ledger = tmp_path / "backup", tmp_path / "ledger"
    ledger.mkdir()
    line = shell(f"cat $AZ_BATCH_NODE_SHARED_DIR/made && echo began >> {ledger}/$AZ_BATCH_TASK_ID")
    waits = shell(f"echo began >> {ledger}/long && until test -e {ledger}/go; do sleep 0.05; done")
    start = BatchStartTask(
        command_line=shell("sleep 0.5; echo made > $AZ_BATCH_NODE_SHARED_DIR/made"),
        wait_for_success=True,
    )
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        for name in ("p", "gone"):
            client.create_pool(pool_options(name, nodes=1, slots=1, start_task=start))
        client.create_job(job_options("j", "p"))
        client.create_job(job_options("k", "gone"))
        client.create_task("j", task_options("done", line))
        in_state(client, "j", "done", BatchTaskState.COMPLETED)
        client.create_task("j", task_options("long", waits))
        running(client, "j", "long")
        nodes_ready(client, "gone", 1)
        client.create_job(job_options("d", "p"))
        client.begin_disable_job(
            "d", BatchJobDisableOptions(disable_tasks=DisableBatchJobOption.WAIT)
        )
        client.create_task("d", task_options("waits", line))

        backed_up(service, backup)

        (ledger / "go").touch()
        client.begin_enable_job("d", polling_interval=1)
        in_state(client, "d", "waits", BatchTaskState.COMPLETED)
        (ledger / "go").unlink()
        delete_pool(client, "gone")
        client.begin_resize_pool("p", BatchPoolResizeOptions(target_dedicated_nodes=2))
        nodes_ready(client, "p", 2)
        service.kill()
        restore(service, backup, "--force")
        service.start()

        client = service.client()
        nodes_ready(client, "p", 1)
        nodes_ready(client, "gone", 1)
        assert stdout(client, "j", "done") == "made\n", "its files are where they were"
        running(client, "j", "long")
        client.create_task("k", task_options("fresh", line))
        in_state(client, "k", "fresh", BatchTaskState.COMPLETED)
        assert stdout(client, "k", "fresh") == "made\n", "its node had its start task before"
        (ledger / "go").touch()
        client.begin_enable_job("d", polling_interval=1)
        tasks = {**all_completed(client, "j", 2, WITHIN_S), **all_completed(client, "d", 1, 20)}
        assert stdout(client, "d", "waits") == "made\n"
        for task in tasks.values():
            assert task.execution_info is not None
            assert task.execution_info.exit_code == 0, task.as_dict()
        info = tasks["long"].execution_info
        assert info is not None
        assert info.requeue_count == 1, "the record says that it ran more than once"
        assert (ledger / "long").read_text() == "began\n" * 2
        assert (ledger / "waits").read_text() == "began\n" * 2
        assert (ledger / "done").read_text() == "began\n"


def test_the_same_backup_twice(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=1, slots=4))
        nodes_ready(client, "p", 1)
        client.create_job(job_options("j", "p"))
        backed_up(service, backup)
        for life in range(3):
            names = [f"life{life}-{i}" for i in range(20)]
            client = service.client()
            run(client, "j", [task_options(name, echo(name)) for name in names])
            expect_words(client, "j", names)
            service.kill()
            restore(service, backup, "--force")
            service.start()


def test_another_machine_takes_over(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    first = Penstock(tmp_path / "first")
    with first:
        client = first.client()
        client.create_pool(pool_options("p", nodes=2, slots=1))
        nodes_ready(client, "p", 2)
        client.create_job(job_options("j", "p"))
        client.create_tasks("j", [task_options(f"t{i}", shell("sleep 1; echo")) for i in range(8)])
        running(client, "j", "t0")
        backed_up(first, backup)
        ca = first.ready.ca_file.read_bytes()

    with_backup = Penstock(tmp_path / "second")
    said = restore(with_backup, backup)
    assert said["replaced"] is None
    with with_backup as second:
        assert second.ready.ca_file.read_bytes() == ca
        assert len(all_completed(second.client(), "j", 8, WITHIN_S)) == 8
        nodes_ready(second.client(), "p", 2)


def test_a_copy_of_the_file_is_enough_to_begin_with(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Penstock(tmp_path / "first") as first:
        client = first.client()
        client.create_job(job_options("j", "p"))
        client.create_tasks("j", [task_options(f"t{i}", echo("here")) for i in range(8)])
        backed_up(first, backup)

    (tmp_path / "second" / "store").mkdir(parents=True)
    shutil.copy(backup, tmp_path / "second" / "store" / "penstock.db")
    with Penstock(tmp_path / "second") as second:
        client = second.client()
        assert len(expect_counts(client, "j")) == 8
        client.create_pool(pool_options("p", nodes=1, slots=4))
        assert len(all_completed(client, "j", 8, WITHIN_S)) == 8


def test_the_service_is_the_same_one_elsewhere(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    kept = ("account", "agent.token", "server.id", "tls/ca.pem", "tls/ca.key")
    with Penstock(tmp_path / "first", verb="serve") as first:
        backed_up(first, backup)
        files = {name: (first.data / name).read_bytes() for name in kept}

    second = Penstock(tmp_path / "second", verb="serve")
    restore(second, backup)
    with second:
        assert {name: (second.data / name).read_bytes() for name in kept} == files
        for name in ("account", "agent.token", "tls/ca.key"):
            assert (second.data / name).stat().st_mode & 0o777 == 0o600
        assert list(second.client().list_jobs()) == []


def test_a_server_that_runs_keeps_its_database(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Penstock(tmp_path / "data") as service:
        backed_up(service, backup)
        client = service.client()
        client.create_job(job_options("j", "p"))

        words = ("restore", str(backup), "--data", str(service.data), "--force")
        said = command(*words, code=Exit.IN_USE)

        assert f"in use by process {service.process.pid}" in said
        assert [job.id for job in client.list_jobs()] == ["j"]


def test_a_backup_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_job(job_options("j", "p"))
        names = [f"t{i}" for i in range(2000)]
        client.create_tasks("j", [task_options(name, "x" * 2000) for name in names])
        (tmp_path / "out").mkdir()
        words = ("backup", str(tmp_path / "out" / "backup"), "--data", str(service.data))
        process = subprocess.Popen([*COMMAND, *words], env=environment(), stderr=subprocess.PIPE)
        eventually(
            lambda: any((tmp_path / "out").iterdir()) or process.poll() is not None,
            WITHIN_S,
            "a file that is begun",
            every_s=0.0005,
        )
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)

        assert process.returncode == Exit.FAILED, said
        assert said == b"penstock: stopped by SIGTERM\n"
        assert list((tmp_path / "out").iterdir()) == []
