"""The server is killed in the middle of each longer operation, which then ends as it would have.

What a task has really done is told by files outside of Penstock: each line is one run. Where an
operation is over in milliseconds, the moment of the kill is drawn anew for each of some tries.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    AllocationState,
    BatchAutoPoolSpecification,
    BatchJobCreateOptions,
    BatchJobDisableOptions,
    BatchJobPreparationTask,
    BatchJobReleaseTask,
    BatchJobReleaseTaskState,
    BatchJobScheduleConfiguration,
    BatchJobScheduleCreateOptions,
    BatchJobSpecification,
    BatchJobState,
    BatchPoolInfo,
    BatchPoolLifetimeOption,
    BatchPoolResizeOptions,
    BatchPoolSpecification,
    BatchTaskCreateOptions,
    BatchTaskState,
    DisableBatchJobOption,
    MultiInstanceSettings,
)

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    add,
    all_completed,
    in_state,
    job_options,
    nodes_ready,
    pool_exists,
    pool_options,
    running,
    shell,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

TRIES = 3
LATEST_S = 0.12
"""So long after an answer most of what follows from it has happened."""

ENDS_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    with Penstock(tmp_path_factory.mktemp("operations") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def pool(service: Penstock) -> str:
    options = pool_options("three", nodes=3)
    options.enable_inter_node_communication = True
    service.client().create_pool(options)
    nodes_ready(service.client(), "three", 3)
    return "three"


def killed_and_back(service: Penstock, after_s: float = 0.0) -> BatchClient:
    """Kill the server after a moment and start it again; a client of the new one."""
    time.sleep(after_s)  # the moment is what is tried
    service.kill()
    service.start()
    return service.client()


RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or time.time_ns()
"""New moments each time, and the same ones in all processes that share the tests of one run."""


def moments(name: str) -> list[float]:
    """When to kill: at once, and at some moments that differ from run to run of the suite."""
    random = Random(f"{name}/{RUN}")
    return [0.0, *(random.uniform(0, LATEST_S) for _ in range(TRIES - 1))]


def has_state(client: BatchClient, job_id: str, state: BatchJobState) -> None:
    """Wait until a job is in a state."""
    eventually(
        lambda: client.get_job(job_id).state == state,
        ENDS_WITHIN_S,
        f"job {job_id} {state.value}",
        seen=lambda: client.get_job(job_id).as_dict(),
    )


def lines(file: Path) -> Counter[str]:
    """What was written to a file, each line with how often it was."""
    return Counter(file.read_text().split("\n")[:-1]) if file.exists() else Counter()


@pytest.mark.parametrize("after_s", moments("resize"), ids=lambda s: f"{s * 1000:.0f}ms")
def test_a_resize(service: Penstock, after_s: float) -> None:
    name = unique("resized")
    client = service.client()
    client.create_pool(pool_options(name, nodes=2))
    nodes_ready(client, name, 2)
    client.begin_resize_pool(
        name, BatchPoolResizeOptions(target_dedicated_nodes=12), polling_interval=1
    )
    client = killed_and_back(service, after_s)
    nodes = nodes_ready(client, name, 12)
    assert len({node.ip_address for node in nodes}) == 12
    client.begin_resize_pool(
        name, BatchPoolResizeOptions(target_dedicated_nodes=1), polling_interval=1
    )
    client = killed_and_back(service, after_s)
    nodes_ready(client, name, 1)
    shown = client.get_pool(name)
    assert shown.allocation_state == AllocationState.STEADY
    assert not shown.resize_errors
    client.begin_delete_pool(name, polling_interval=1)
    eventually(lambda: not pool_exists(client, name), ENDS_WITHIN_S, "the end of the pool")


def test_disabling_a_job(service: Penstock, pool: str) -> None:
    job, client = unique("disabled"), service.client()
    client.create_job(job_options(job, pool))
    stubborn = shell('trap "" TERM; while true; do sleep 0.1; done')
    add(client, job, *(task_options(str(n), stubborn) for n in range(5)))
    for n in range(3):
        running(client, job, str(n))
    client.begin_disable_job(
        job,
        BatchJobDisableOptions(disable_tasks=DisableBatchJobOption.REQUEUE),
        polling_interval=1,
    )
    assert client.get_job(job).state == BatchJobState.DISABLING
    client = killed_and_back(service)
    has_state(client, job, BatchJobState.DISABLED)
    tasks = {task.id: task for task in client.list_tasks(job)}
    assert {task.state for task in tasks.values()} == {BatchTaskState.ACTIVE}
    requeued = {
        name: task.execution_info.requeue_count
        for name, task in tasks.items()
        if task.execution_info is not None
    }
    assert requeued == {"0": 1, "1": 1, "2": 1, "3": 0, "4": 0}
    client.begin_delete_job(job, polling_interval=1)


def special_job(name: str, pool: str, runs: Path, *, slow: str) -> BatchJobCreateOptions:
    """A job whose preparation and release note each run; one of them takes a second."""
    options = job_options(name, pool)
    pause = {"preparation": "", "release": "", slow: "sleep 1; "}
    note = f"echo $AZ_BATCH_TASK_ID $AZ_BATCH_NODE_ID >> {runs}"
    options.job_preparation_task = BatchJobPreparationTask(
        command_line=shell(f"{pause['preparation']}{note}")
    )
    options.job_release_task = BatchJobReleaseTask(command_line=shell(f"{pause['release']}{note}"))
    return options


def test_preparation(service: Penstock, pool: str, tmp_path: Path) -> None:
    job, runs, client = unique("prepared"), tmp_path / "runs", service.client()
    client.create_job(special_job(job, pool, runs, slow="preparation"))
    note = shell(f"echo task $AZ_BATCH_NODE_ID >> {runs}")
    add(client, job, *(task_options(str(n), note) for n in range(6)))
    in_state(client, job, "0", BatchTaskState.PREPARING)
    client = killed_and_back(service)
    all_completed(client, job, 6, ENDS_WITHIN_S)
    nodes = {node.id for node in client.list_nodes(pool)}
    found = lines(runs)
    assert {line for line in found if line.startswith("jobprep")} == {
        f"jobpreparation {node}" for node in nodes
    }
    assert all(found[f"jobpreparation {node}"] == 1 for node in nodes), found
    assert sum(count for line, count in found.items() if line.startswith("task")) == 6
    client.begin_delete_job(job, polling_interval=1)


def test_release(service: Penstock, pool: str, tmp_path: Path) -> None:
    job, runs, client = unique("released"), tmp_path / "runs", service.client()
    client.create_job(special_job(job, pool, runs, slow="release"))
    add(client, job, *(task_options(str(n), "/bin/sleep 0.3") for n in range(3)))
    all_completed(client, job, 3, ENDS_WITHIN_S)
    client.begin_delete_job(job, polling_interval=1)

    def releasing() -> bool:
        found = list(client.list_job_preparation_and_release_task_status(job))
        return any(
            each.job_release_task_execution_info is not None
            and each.job_release_task_execution_info.state == BatchJobReleaseTaskState.RUNNING
            for each in found
        )

    eventually(releasing, 5, "a release task")
    client = killed_and_back(service)
    eventually(
        lambda: job not in {each.id for each in client.list_jobs()},
        ENDS_WITHIN_S,
        "the end of the job",
    )
    found = {line: count for line, count in lines(runs).items() if line.startswith("jobrel")}
    assert set(found.values()) == {1}
    assert len(found) == 3


def test_the_start_of_a_multi_instance_task(service: Penstock, pool: str, tmp_path: Path) -> None:
    job, runs, client = unique("gang"), tmp_path / "runs", service.client()
    client.create_job(job_options(job, pool))
    options = BatchTaskCreateOptions(
        id="mi",
        command_line=shell(f"echo command >> {runs}; echo $AZ_BATCH_NODE_LIST"),
        multi_instance_settings=MultiInstanceSettings(
            number_of_instances=3,
            coordination_command_line=shell(f"sleep 0.7; echo part $AZ_BATCH_NODE_ID >> {runs}"),
        ),
    )
    client.create_task(job, options)
    running(client, job, "mi")
    client = killed_and_back(service, 0.2)
    task = all_completed(client, job, 1, ENDS_WITHIN_S)["mi"]
    info = task.execution_info
    assert info is not None
    assert (info.exit_code, info.requeue_count) == (0, 0)
    nodes = {node.id for node in client.list_nodes(pool)}
    assert lines(runs) == Counter({"command": 1, **{f"part {node}": 1 for node in nodes}})
    states = [(each.id, each.state, each.exit_code) for each in client.list_subtasks(job, "mi")]
    assert states == [(1, "completed", 0), (2, "completed", 0)]
    client.begin_delete_job(job, polling_interval=1)


def auto_pool(lifetime: BatchPoolLifetimeOption) -> BatchPoolInfo:
    like = pool_options("unused")
    return BatchPoolInfo(
        auto_pool_specification=BatchAutoPoolSpecification(
            auto_pool_id_prefix="fire",
            pool_lifetime_option=lifetime,
            pool=BatchPoolSpecification(
                vm_size=like.vm_size,
                virtual_machine_configuration=like.virtual_machine_configuration,
                target_dedicated_nodes=2,
            ),
        )
    )


def pools_of_jobs(client: BatchClient) -> list[str]:
    return [pool.id for pool in client.list_pools() if pool.id.startswith("fire_")]


@pytest.mark.parametrize("after_s", moments("auto pool"), ids=lambda s: f"{s * 1000:.0f}ms")
def test_the_making_of_an_auto_pool(service: Penstock, after_s: float) -> None:
    job, client = unique("auto"), service.client()
    client.create_job(
        BatchJobCreateOptions(id=job, pool_info=auto_pool(BatchPoolLifetimeOption.JOB))
    )
    client = killed_and_back(service, after_s)
    (made,) = pools_of_jobs(client)
    info = client.get_job(job).execution_info
    assert info is not None
    assert info.pool_id == made
    add(client, job, *(task_options(str(n), "/bin/true") for n in range(4)))
    all_completed(client, job, 4, ENDS_WITHIN_S)
    client.begin_delete_job(job, polling_interval=1)
    eventually(lambda: not pools_of_jobs(client), ENDS_WITHIN_S, "the end of the auto pool")


def advance(endpoint: str, by: str) -> None:
    """Let time pass, as long as the server lives."""
    request = urllib.request.Request(
        f"{endpoint}/clock",
        json.dumps({"advance": by}).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except OSError:
        return  # it was killed meanwhile


def test_the_firing_of_a_schedule(service: Penstock, pool: str) -> None:
    name, client, random = unique("hourly"), service.client(), Random(time.time_ns())
    client.create_job_schedule(
        BatchJobScheduleCreateOptions(
            id=name,
            schedule=BatchJobScheduleConfiguration(recurrence_interval=timedelta(hours=1)),
            job_specification=BatchJobSpecification(
                pool_info=BatchPoolInfo(pool_id=pool), all_tasks_complete_mode="terminatejob"
            ),
        )
    )
    for _ in range(4):
        passing = Thread(target=advance, args=(service.ready.endpoint, "PT6H"))
        passing.start()
        client = killed_and_back(service, random.uniform(0, 0.3))
        passing.join()
    advance(service.ready.endpoint, "PT2H")
    made = [job.id for job in client.list_jobs_from_schedule(name)]
    assert sorted(made) == sorted(f"{name}:job-{n + 1}" for n in range(len(made)))
    assert len(made) >= 3
    said = client.get_job_schedule(name).execution_info
    assert said is not None
    recent = said.recent_job
    assert recent is not None
    assert recent.id == f"{name}:job-{len(made)}"
    states = {job.state for job in client.list_jobs_from_schedule(name)}
    assert states == {BatchJobState.COMPLETED}
    client.begin_delete_job_schedule(name, polling_interval=1)
