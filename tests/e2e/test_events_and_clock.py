"""The log of events, the clock and the commands for both, of a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobConstraints,
    BatchJobCreateOptions,
    BatchJobDisableOptions,
    BatchJobManagerTask,
    BatchJobScheduleConfiguration,
    BatchJobScheduleCreateOptions,
    BatchJobSpecification,
    BatchPoolInfo,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
)
from azure.core.exceptions import HttpResponseError

from tests.e2e.harness import COMMAND, Penstock, environment
from tests.e2e.signing import Wire, rfc1123, signature
from tests.e2e.things import job_options, made_job, pool_options, shell, unique
from tests.e2e.waiting import eventually

TASKS = 40


def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a client command as a user does; `more` are variables of its environment."""
    clean = {
        name: it
        for name, it in environment().items()
        if not name.startswith(("AZURE_BATCH_", "PENSTOCK_"))
    }
    return subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**clean, **more},
        timeout=60,
        text=True,
        check=False,
    )


def all_events(wire: Wire) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        page = wire.send("GET", "/events", query={"after": str(after), "maxresults": "100"}).json()
        if not page["value"]:
            return found
        found += page["value"]
        after = page["next"]


def in_file(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last one is being written
    return [json.loads(line) for line in lines]


def advance(service: Penstock, by: str, timeout_s: float = 30) -> httpx.Response:
    """As the documentation says: no signature, and what curl sends."""
    return httpx.post(
        f"{service.ready.endpoint}/clock", content=f'{{"advance": "{by}"}}', timeout=timeout_s
    )


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Penstock]:
    """A Penstock of the test's own, so that its clock may be moved."""
    with Penstock(tmp_path / "data") as service:
        yield service


def test_a_killed_server_leaves_a_file_that_is_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("PENSTOCK_EVENTS_FILE", str(path))
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("pool", nodes=2, slots=4))
        client.create_job(job_options("job", "pool"))
        for number in range(TASKS):
            line = shell(f"exit {number % 2}")
            client.create_task("job", BatchTaskCreateOptions(id=str(number), command_line=line))
            if number in (10, 25):
                service.kill()
                service.start()
                client = service.client()
        eventually(
            lambda: all(task.state == "completed" for task in client.list_tasks("job")),
            30,
            "the end of all tasks",
        )
        with Wire.to(service.ready) as wire:
            logged = all_events(wire)
            eventually(lambda: in_file(path) == logged, 10, "the file to be the log")
    assert in_file(path)[: len(logged)] == logged, "the end of the server changes nothing in it"
    ids = [event["id"] for event in logged]
    assert ids == sorted(set(ids))
    assert logged[0]["name"] == "PoolCreateEvent"
    for number in range(TASKS):
        names = [
            event["name"]
            for event in logged
            if event["body"].get("jobId") == "job" and event["body"]["id"] == str(number)
        ]
        end = ["TaskCompleteEvent", "TaskFailEvent"] if number % 2 else ["TaskCompleteEvent"]
        assert names[-len(end) :] == end
        assert names.count("TaskCompleteEvent") == 1
        assert names.count("TaskStartEvent") == 1 + names.count("TaskRequeueEvent")


def test_a_stream_is_live_and_ends_with_the_server(own: Penstock) -> None:
    ready = own.ready
    headers = {"accept": "text/event-stream", "ocp-date": rfc1123_now()}
    headers["authorization"] = signature(
        "GET", "/events", headers, ready.account_name, ready.account_key
    )
    names: list[str] = []
    seen = threading.Event()
    ended = threading.Event()

    def read() -> None:
        with httpx.stream("GET", f"{ready.endpoint}/events", headers=headers, timeout=60) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                    seen.set()
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    own.client().create_job(
        BatchJobCreateOptions(id="job", pool_info=BatchPoolInfo(pool_id="none"))
    )
    assert seen.wait(10)
    assert own.terminate() < 5
    assert ended.wait(10), "it ends as it should, and is not cut"
    reader.join(10)
    assert names == ["JobCreateEvent"]


def rfc1123_now() -> str:
    from datetime import UTC, datetime

    return rfc1123(datetime.now(UTC))


def test_time_passes_for_retention_and_limits_and_not_for_processes(own: Penstock) -> None:
    client = own.client()
    client.create_pool(pool_options("pool", nodes=1, slots=4))
    client.create_job(job_options("job", "pool"))
    client.create_task(
        "job",
        BatchTaskCreateOptions(
            id="short",
            command_line=shell("echo kept"),
            constraints=BatchTaskConstraints(retention_time=timedelta(hours=2)),
        ),
    )
    waits = shell("while [ ! -e ../../go ]; do sleep 0.05; done; echo well")
    client.create_task("job", BatchTaskCreateOptions(id="long", command_line=waits))
    client.create_job(
        BatchJobCreateOptions(
            id="limited",
            pool_info=BatchPoolInfo(pool_id="pool"),
            constraints=BatchJobConstraints(max_wall_clock_time=timedelta(hours=3)),
        )
    )
    eventually(lambda: client.get_task("job", "short").state == "completed", 20, "its end")
    eventually(lambda: client.get_task("job", "long").state == "running", 20, "its begin")
    assert advance(own, "PT1H").status_code == 200
    assert b"kept" in b"".join(client.download_task_file("job", "short", "stdout.txt"))
    assert advance(own, "PT5H").json()["offset"] == "PT6H"
    with pytest.raises(HttpResponseError, match="Conflict"):
        b"".join(client.download_task_file("job", "short", "stdout.txt"))
    limited = client.get_job("limited")
    assert limited.state == "completed"
    assert limited.execution_info is not None
    assert limited.execution_info.termination_reason == "MaxWallClockTimeExpiry"
    assert limited.execution_info.end_time is not None
    assert limited.creation_time is not None
    lasted = limited.execution_info.end_time - limited.creation_time
    assert timedelta(hours=3) <= lasted < timedelta(hours=3, minutes=1)

    # The task that runs was not touched, and is not by a server that begins so far ahead.
    own.kill()
    own.start()
    client = own.client()
    with httpx.Client() as http:
        assert http.get(f"{own.ready.endpoint}/clock").json()["offset"] == "PT6H"
    client.create_task("job", BatchTaskCreateOptions(id="go", command_line=shell("touch ../../go")))
    eventually(lambda: client.get_task("job", "long").state == "completed", 20, "its end")
    task = client.get_task("job", "long")
    run = task.execution_info
    assert run is not None
    assert (run.exit_code, run.requeue_count) == (0, 0)
    assert task.creation_time is not None
    assert run.start_time is not None
    assert run.end_time is not None
    assert task.creation_time <= run.start_time
    assert run.end_time - run.start_time > timedelta(hours=6)


def test_a_week_of_an_hourly_schedule_is_168_jobs_from_one_call(own: Penstock) -> None:
    client = own.client()
    client.create_pool(pool_options("pool", nodes=1, slots=1))
    eventually(
        lambda: [node.state for node in client.list_nodes("pool")] == ["idle"], 20, "an idle node"
    )
    client.create_job_schedule(
        BatchJobScheduleCreateOptions(
            id="hourly",
            schedule=BatchJobScheduleConfiguration(
                recurrence_interval=timedelta(hours=1), start_window=timedelta(minutes=20)
            ),
            job_specification=BatchJobSpecification(
                pool_info=BatchPoolInfo(pool_id="pool"),
                job_manager_task=BatchJobManagerTask(
                    id="manager",
                    command_line=shell("echo done"),
                    kill_job_on_completion=True,
                    constraints=BatchTaskConstraints(retention_time=timedelta(days=2)),
                ),
            ),
        )
    )
    first = client.get_job_schedule("hourly").creation_time
    assert first is not None
    eventually(lambda: _states(client) == {"completed"}, 20, "the end of the first job")
    began = time.monotonic()
    done = advance(own, "P7D", timeout_s=60)
    took_s = time.monotonic() - began
    assert done.status_code == 200
    jobs = list(client.list_jobs_from_schedule("hourly"))
    assert len(jobs) == 1 + 7 * 24, "one at the start, and one each hour"
    assert {job.state for job in jobs} == {"completed"}
    for job in jobs:
        due = first + timedelta(hours=int(job.id.rpartition("-")[2]) - 1)
        assert job.creation_time is not None
        assert timedelta(seconds=-1) < job.creation_time - due < timedelta(minutes=1)
    tasks = {job.id: client.get_task(job.id, "manager") for job in jobs}
    assert {task.execution_info.exit_code for task in tasks.values() if task.execution_info} == {0}
    kept = sum(_is_kept(client, job_id) for job_id in tasks)
    assert kept in range(48, 51), "the directories of the last two days"
    assert took_s < 10


def _states(client: BatchClient) -> set[str | None]:
    return {job.state for job in client.list_jobs_from_schedule("hourly")}


def _is_kept(client: BatchClient, job_id: str) -> bool:
    try:
        return b"".join(client.download_task_file(job_id, "manager", "stdout.txt")) == b"done\n"
    except HttpResponseError as error:
        if error.status_code != 409:
            raise
        return False


def test_a_service_does_not_let_its_clock_be_moved(tmp_path: Path) -> None:
    with Penstock(tmp_path / "served", verb="serve") as service:
        assert advance(service, "PT1H").status_code == 400
        with Wire.to(service.ready) as wire:
            answer = wire.send("POST", "/clock", {"advance": "PT1H"})
            assert (answer.status_code, answer.json()["code"]) == (403, "ClockIsFixed")
            assert wire.send("GET", "/clock").json()["offset"] == "PT0S"
        done = command("clock", "advance", "1h", "--ready-file", str(service.ready_file))
        assert done.returncode == 9
        assert "ClockIsFixed" in done.stderr
        assert "penstock up" in done.stderr


def test_the_clock_from_the_command_line(own: Penstock) -> None:
    where = ("--ready-file", str(own.ready_file))
    assert "as the machine" in command("clock", *where).stdout
    done = command("clock", "advance", "1h30m", *where)
    assert (done.returncode, done.stderr) == (0, "")
    assert "PT1H30M ahead of the machine" in done.stdout
    said = json.loads(command("clock", *where, "--output", "json").stdout)
    assert said["offset"] == "PT1H30M"
    bad = command("clock", "advance", "soon", *where)
    assert bad.returncode == 2
    assert "1h30m" in bad.stderr
    refused = command("clock", "advance", "3650d", *where)
    assert refused.returncode == 9
    assert "P3650D at most" in refused.stderr


def test_a_preempted_node_returns_when_its_time_has_come(own: Penstock) -> None:
    client = own.client()
    options = pool_options("pool", nodes=0)
    options.target_low_priority_nodes = 1
    client.create_pool(options)

    def state() -> str | None:
        return next((node.state for node in client.list_nodes("pool")), None)

    eventually(lambda: state() == "idle", 20, "an idle node")
    (node,) = client.list_nodes("pool")
    where = ("--ready-file", str(own.ready_file))
    assert command("node", "preempt", "pool", str(node.id), *where).returncode == 0
    eventually(lambda: state() == "preempted", 20, "its end")
    assert advance(own, "P1D").status_code == 200
    eventually(lambda: state() == "idle", 20, "its return")
    with Wire.to(own.ready) as wire:
        states = [
            event["body"]["state"]
            for event in all_events(wire)
            if event["name"] == "NodeStateChangeEvent"
        ]
    expected = ["creating", "starting", "idle", "preempted", "creating", "starting", "idle"]
    assert states == expected
    lost = command("node", "preempt", "pool", "none", *where)
    assert lost.returncode == 9
    assert "NodeNotFound" in lost.stderr


def test_a_server_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    for words in (("clock",), ("events",), ("explain", "job"), ("node", "preempt", "p", "n")):
        done = command(*words, "--endpoint", "http://127.0.0.1:9")
        assert done.returncode == 8, words
        assert done.stdout == ""
        assert "no server answers at http://127.0.0.1:9" in done.stderr
        assert "penstock up" in done.stderr


def test_a_job_without_tasks_explains_itself(plain: Penstock) -> None:
    client = plain.client()
    with made_job(client, job_options(unique("still"), "no-such-pool")) as job:
        wait = BatchJobDisableOptions(disable_tasks="wait")
        client.begin_disable_job(job, wait, polling_interval=1)
        told = command("explain", job, "--ready-file", str(plain.ready_file)).stdout
        assert f"No task of job {job!r} waits; the job is disabl" in told
        assert f"- JobDisabled: Job {job!r} is disabl" in told


def test_events_and_causes_from_the_command_line(plain: Penstock) -> None:
    client = plain.client()
    ready = plain.ready
    azure = {
        "AZURE_BATCH_ENDPOINT": ready.endpoint,
        "AZURE_BATCH_ACCOUNT": ready.account_name,
        "AZURE_BATCH_ACCESS_KEY": ready.account_key,
    }
    job = unique("why")
    with made_job(client, job_options(job, "no-such-pool")):
        for number in range(5):
            client.create_task(job, BatchTaskCreateOptions(id=f"t{number}", command_line="true"))
        one = command("explain", job, "t1", **azure)
        assert one.returncode == 0
        assert "1. PoolMissing: There is no pool 'no-such-pool'." in one.stdout
        assert "Create it" in one.stdout
        whole = command("explain", job, **azure)
        assert f"5 tasks of job '{job}' wait:" in whole.stdout
        assert "- 5 of them, such as 't0', PoolMissing: There is no pool" in whole.stdout
        raw = json.loads(command("explain", job, "t1", "--output", "json", **azure).stdout)
        assert raw["value"][0]["code"] == "PoolMissing"
        causes = json.loads(command("explain", job, "--output", "json", **azure).stdout)["value"]
        assert [(it["code"], it["count"]) for it in causes] == [("PoolMissing", 5)]
        lost = command("explain", job, "t9", **azure)
        assert (lost.returncode, lost.stdout) == (9, "")
        assert "TaskNotFound" in lost.stderr

        shown = command("events", **azure)
        assert shown.returncode == 0
        mine = [line for line in shown.stdout.splitlines() if job in line]
        assert len(mine) == 1
        assert "JobCreateEvent" in mine[0]
        last = mine[0].split()[0]
        page = json.loads(command("events", "--after", last, "--output", "json", **azure).stdout)
        assert all(event["id"] > int(last) for event in page["value"])
        client.terminate_task(job, "t1")
        following = subprocess.Popen(
            [*COMMAND, "events", "--after", last, "--follow", "--output", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**environment(), **azure},
            text=True,
        )
        try:
            assert following.stdout is not None
            wanted = ["TaskCompleteEvent", "TaskFailEvent"]
            assert next_names(following, job, 2) == wanted
            client.terminate_task(job, "t2")
            assert next_names(following, job, 2) == wanted
            following.send_signal(signal.SIGINT)
            assert following.wait(10) == 0
        finally:
            following.kill()
            following.wait(10)
            assert following.stdout is not None
            following.stdout.close()


def next_names(following: subprocess.Popen[str], job: str, count: int) -> list[str]:
    assert following.stdout is not None
    found: list[str] = []
    while len(found) < count:
        event = json.loads(following.stdout.readline())
        if event["body"].get("jobId") == job:
            found.append(event["name"])
    return found


def test_a_reader_that_has_enough_is_no_error(plain: Penstock) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -n 1; exit "${PIPESTATUS:-0}"', "sh", *COMMAND, "events"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**environment(), "PENSTOCK_READY_FILE": str(plain.ready_file)},
        timeout=60,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert os.linesep not in done.stdout.rstrip()
