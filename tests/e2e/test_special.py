"""What jobs run on nodes before, beside and after their tasks, on real node hosts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobConstraints,
    BatchJobCreateOptions,
    BatchJobManagerTask,
    BatchJobPreparationAndReleaseTaskStatus,
    BatchJobPreparationTask,
    BatchJobReleaseTask,
    BatchJobState,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskExecutionResult,
    BatchTaskState,
    EnvironmentSetting,
)

# Public nowhere else in the SDK, which makes no such request without one.
from azure.batch.models._models import BatchJobTerminateOptions

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    add,
    all_completed,
    completed,
    content,
    delete_pool,
    in_state,
    job_exists,
    job_options,
    made_job,
    made_pool,
    nodes_ready,
    pool_options,
    refusal,
    running,
    shell,
    stdout,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

BEFORE, AFTER = "jobpreparation", "jobrelease"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Penstock]:
    """A Penstock that a test may kill."""
    with Penstock(tmp_path / "data") as service:
        yield service


@pytest.fixture(scope="module")
def three(batch: BatchClient) -> Iterator[str]:
    """A pool of three nodes of two slots."""
    with made_pool(batch, pool_options(unique("three"), nodes=3, slots=2)) as pool_id:
        yield pool_id


def prepared_job(
    pool_id: str, before: str, after: str | None = None, retries: int = 0
) -> BatchJobCreateOptions:
    """A job that runs scripts on its nodes before its tasks and after them."""
    options = job_options(unique("special"), pool_id)
    options.job_preparation_task = BatchJobPreparationTask(
        command_line=shell(before), constraints=BatchTaskConstraints(max_task_retry_count=retries)
    )
    if after is not None:
        options.job_release_task = BatchJobReleaseTask(command_line=shell(after))
    return options


def status(client: BatchClient, job_id: str) -> list[BatchJobPreparationAndReleaseTaskStatus]:
    return list(client.list_job_preparation_and_release_task_status(job_id))


def in_job_state(client: BatchClient, job_id: str, state: BatchJobState) -> None:
    eventually(
        lambda: client.get_job(job_id).state == state,
        15,
        f"a job that is {state.value}",
        seen=lambda: client.get_job(job_id).as_dict(),
    )


def terminate(client: BatchClient, job_id: str) -> None:
    reason = BatchJobTerminateOptions(termination_reason="enough")
    client.begin_terminate_job(job_id, reason, polling_interval=1)


def node_file(client: BatchClient, pool_id: str, node_id: str, path: str) -> str:
    return content(client.download_node_file(pool_id, node_id, path)).decode()


def until(path: Path) -> str:
    """A script that goes on when the test makes a file."""
    return f"while [ ! -e {shlex.quote(str(path))} ]; do sleep 0.05; done"


# --- preparation and release -----------------------------------------------------------------


def test_twenty_tasks_on_nodes_that_are_prepared_once(batch: BatchClient, three: str) -> None:
    before = (
        'echo "$AZ_BATCH_TASK_ID" >> "$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_JOB_ID"; echo x > made'
    )
    after = (
        'cat "$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_JOB_ID"; '
        'cat "$AZ_BATCH_JOB_PREP_WORKING_DIR/made"'
    )
    task = (
        'cat "$AZ_BATCH_JOB_PREP_WORKING_DIR/made" && sleep 0.1'
        ' && echo task >> "$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_JOB_ID"'
    )
    with made_job(batch, prepared_job(three, before, after)) as job_id:
        assert status(batch, job_id) == []
        add(batch, job_id, *(task_options(f"t{number}", shell(task)) for number in range(20)))
        tasks = all_completed(batch, job_id, 20, 30)
        used: dict[str, list[str]] = {}
        for each in tasks.values():
            assert each.execution_info is not None
            assert each.execution_info.result == BatchTaskExecutionResult.SUCCESS
            assert each.node_info is not None
            used.setdefault(str(each.node_info.node_id), []).append(each.id)
        assert len(used) == 3
        assert sorted(str(each.node_id) for each in status(batch, job_id)) == sorted(used)
        terminate(batch, job_id)
        in_job_state(batch, job_id, BatchJobState.COMPLETED)
        for where in status(batch, job_id):
            prepared = where.job_preparation_task_execution_info
            released = where.job_release_task_execution_info
            assert prepared is not None
            assert released is not None
            assert (prepared.state, prepared.result, prepared.retry_count) == (
                "completed",
                "success",
                0,
            )
            assert (released.state, released.exit_code) == ("completed", 0)
            node_id = str(where.node_id)
            lines = node_file(batch, three, node_id, f"{released.task_root_directory}/stdout.txt")
            assert lines.splitlines() == [BEFORE, *["task"] * len(used[node_id]), "x"]
        failed = batch.list_job_preparation_and_release_task_status(
            job_id, filter="jobReleaseTaskExecutionInfo/exitCode ne 0"
        )
        assert list(failed) == []
        chosen = batch.list_job_preparation_and_release_task_status(
            job_id, select=["nodeId"], max_results=1
        )
        assert [each.as_dict() for each in chosen] == [
            {"nodeId": each.node_id} for each in status(batch, job_id)
        ]


def test_a_preparation_that_fails_keeps_its_job_from_the_node_alone(
    batch: BatchClient, three: str
) -> None:
    with (
        made_job(batch, prepared_job(three, "echo no; exit 4", retries=1)) as job_id,
        made_job(batch, job_options(unique("plain"), three)) as other,
    ):
        add(batch, job_id, task_options("t", "/bin/true"))

        def tried() -> bool:
            infos = [each.job_preparation_task_execution_info for each in status(batch, job_id)]
            return len(infos) == 3 and all(info and info.result == "failure" for info in infos)

        eventually(tried, 15, "three nodes that cannot be prepared")
        for each in status(batch, job_id):
            info = each.job_preparation_task_execution_info
            assert info is not None
            assert (info.exit_code, info.retry_count) == (4, 1)
            assert info.failure_info is not None
            assert info.failure_info.code == "FailureExitCode"
        in_state(batch, job_id, "t", BatchTaskState.ACTIVE)
        add(batch, other, task_options("t", "/bin/true"))
        completed(batch, other, "t")


def test_what_a_job_without_preparation_says_of_it(batch: BatchClient, three: str) -> None:
    with made_job(batch, job_options(unique("plain"), three)) as job_id:
        answer = refusal(lambda: status(batch, job_id))
        assert answer == (409, "JobPreparationTaskOrReleaseTaskNotSpecified")
        only = job_options(unique("bad"), three)
        only.job_release_task = BatchJobReleaseTask(command_line="x")
        assert refusal(lambda: batch.create_job(only)) == (400, "MissingRequiredProperty")


@pytest.mark.parametrize("known_dead", [False, True])
def test_a_preparation_outlives_a_server_that_is_killed(
    own: Penstock, tmp_path: Path, known_dead: bool
) -> None:
    go = tmp_path / "go"
    client = own.client()
    client.create_pool(pool_options("pool", nodes=1))
    nodes_ready(client, "pool", 1)
    options = prepared_job("pool", f"{until(go)}; echo prepared", "echo released")
    client.create_job(options)
    add(client, options.id, task_options("t", "/bin/echo ran"))
    in_state(client, options.id, "t", BatchTaskState.PREPARING)
    own.kill()
    if known_dead:
        go.touch()  # it ends while there is no server
    own.start()
    client = own.client()
    if not known_dead:
        assert client.get_task(options.id, "t").state == BatchTaskState.PREPARING
        go.touch()
    task = completed(client, options.id, "t")
    assert task.execution_info is not None
    assert task.execution_info.requeue_count == 0
    (each,) = status(client, options.id)
    info = each.job_preparation_task_execution_info
    assert info is not None
    said = node_file(client, "pool", str(each.node_id), f"{info.task_root_directory}/stdout.txt")
    assert said == "prepared\n", "once"


def test_a_release_outlives_a_server_that_is_killed(own: Penstock, tmp_path: Path) -> None:
    go, said = tmp_path / "go", tmp_path / "said"
    client = own.client()
    client.create_pool(pool_options("pool", nodes=2))
    nodes_ready(client, "pool", 2)
    after = f"echo released >> {said}; {until(go)}; echo done >> {said}"
    options = prepared_job("pool", "true", after)
    client.create_job(options)
    add(client, options.id, *(task_options(name, "/bin/sleep 0.5") for name in ("one", "two")))
    all_completed(client, options.id, 2, 15)
    terminate(client, options.id)
    eventually(
        lambda: said.exists() and len(said.read_text().splitlines()) == 2, 10, "two releases"
    )
    own.kill()
    own.start()
    client = own.client()
    assert client.get_job(options.id).state == BatchJobState.TERMINATING
    assert refusal(lambda: add(client, options.id, task_options("late", "x"))) == (
        409,
        "JobBeingTerminated",
    )
    go.touch()
    in_job_state(client, options.id, BatchJobState.COMPLETED)
    assert sorted(said.read_text().split()) == ["done", "done", "released", "released"]


def test_a_deleted_job_is_released_before_its_files_go(
    batch: BatchClient, three: str, tmp_path: Path
) -> None:
    found = tmp_path / "found"
    options = prepared_job(
        three, "echo x > made", f'cat "$AZ_BATCH_JOB_PREP_WORKING_DIR/made" > {found}'
    )
    batch.create_job(options)
    add(batch, options.id, task_options("t", "/bin/sleep 60"))
    running(batch, options.id, "t")
    batch.begin_delete_job(options.id, polling_interval=1)
    eventually(lambda: not job_exists(batch, options.id), 15, "the end of a job")
    assert found.read_text() == "x\n"


# --- the job manager -------------------------------------------------------------------------

MANAGES = """
import os
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
account, job = os.environ["AZ_BATCH_ACCOUNT_NAME"], os.environ["AZ_BATCH_JOB_ID"]
credential = AzureNamedKeyCredential(account, os.environ["KEY"])
client = BatchClient(os.environ["ENDPOINT"], credential)
tasks = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="/bin/true") for n in range(8)]
client.create_tasks(job, tasks)
endless = models.BatchTaskCreateOptions(id="endless", command_line="/bin/sleep 600")
client.create_task(job, endless)
while True:
    counts = client.get_job_task_counts(job).task_counts
    if counts.completed == 8 and counts.running == 2:
        break
print("seen", counts.completed)
"""


def test_a_manager_adds_the_tasks_of_its_job_and_ends_it(
    plain: Penstock, batch: BatchClient, three: str, tmp_path: Path
) -> None:
    script = tmp_path / "manages.py"
    script.write_text(MANAGES)
    options = job_options(unique("managed"), three)
    settings = {"ENDPOINT": plain.ready.endpoint, "KEY": plain.ready.account_key}
    options.job_manager_task = BatchJobManagerTask(
        id="manager",
        command_line=f"{sys.executable} {script}",
        environment_settings=[
            EnvironmentSetting(name=name, value=value) for name, value in settings.items()
        ],
    )
    options.constraints = BatchJobConstraints(max_wall_clock_time=timedelta(seconds=60))
    with made_job(batch, options) as job_id:
        twice = refusal(lambda: add(batch, job_id, task_options("Manager", "x")))
        assert twice == (409, "TaskExists")
        in_job_state(batch, job_id, BatchJobState.COMPLETED)
        info = batch.get_job(job_id).execution_info
        assert info is not None
        assert info.termination_reason == "JMComplete"
        tasks = {task.id: task for task in batch.list_tasks(job_id)}
        assert sorted(tasks) == sorted(["manager", "endless", *(f"t{n}" for n in range(8))])
        assert stdout(batch, job_id, "manager") == "seen 8\n"
        ended = tasks["endless"].execution_info
        assert ended is not None
        assert ended.failure_info is not None
        assert ended.failure_info.code == "TaskEnded"
        where = tasks["manager"].node_info
        assert where is not None
        for task in tasks.values():
            if task.id != "manager":
                assert task.node_info is not None
                assert task.node_info.node_id != where.node_id, "it had its node for itself"


def test_a_job_may_go_on_without_its_manager(batch: BatchClient, three: str) -> None:
    options = job_options(unique("managed"), three)
    options.job_manager_task = BatchJobManagerTask(
        id="manager", command_line="/bin/true", kill_job_on_completion=False
    )
    with made_job(batch, options) as job_id:
        completed(batch, job_id, "manager")
        batch.create_task(job_id, BatchTaskCreateOptions(id="t", command_line="/bin/true"))
        completed(batch, job_id, "t")
        assert batch.get_job(job_id).state == BatchJobState.ACTIVE


def test_the_pool_goes_while_a_manager_runs(batch: BatchClient) -> None:
    pool_id = unique("gone")
    batch.create_pool(pool_options(pool_id))
    nodes_ready(batch, pool_id, 1)
    options = job_options(unique("managed"), pool_id)
    options.job_manager_task = BatchJobManagerTask(id="manager", command_line="/bin/sleep 600")
    with made_job(batch, options) as job_id:
        running(batch, job_id, "manager")
        delete_pool(batch, pool_id)
        in_state(batch, job_id, "manager", BatchTaskState.ACTIVE)
        assert batch.get_job(job_id).state == BatchJobState.ACTIVE
