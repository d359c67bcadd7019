"""Tasks that want a container or a user of their own: refused on the node, or run there plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.batch import BatchClient, models

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    NODES_READY_S,
    completed,
    delete_pool,
    job_options,
    made_job,
    made_pool,
    pool_options,
    run,
    shell,
    stdout,
    unique,
)
from tests.e2e.waiting import eventually

INSIDE = models.BatchTaskContainerSettings(image_name="busybox:1")
FAILURE = models.BatchTaskExecutionResult.FAILURE


def contained(
    task_id: str, line: str, exit_conditions: models.ExitConditions | None = None
) -> models.BatchTaskCreateOptions:
    return models.BatchTaskCreateOptions(
        id=task_id,
        command_line=line,
        container_settings=INSIDE,
        exit_conditions=exit_conditions,
    )


def failed(task: models.BatchTask, code: str) -> str:
    """Check that a task failed before its command; give what the failure says."""
    info = task.execution_info
    assert info is not None
    assert (info.result, info.exit_code, info.retry_count) == (FAILURE, None, 0)
    assert info.failure_info is not None
    assert info.failure_info.category == models.BatchErrorSourceCategory.USER_ERROR
    assert info.failure_info.code == code
    (detail,) = info.failure_info.details or []
    return detail.value or ""


def test_a_container_is_not_run_and_not_pretended(batch: BatchClient, pool: str) -> None:
    options = job_options(unique("job"), pool)
    options.uses_task_dependencies = True
    satisfied = models.ExitConditions(
        pre_processing_error=models.ExitOptions(dependency_action=models.DependencyAction.SATISFY)
    )
    with made_job(batch, options) as job:
        tasks = [
            contained("inside", shell("echo ran"), exit_conditions=satisfied),
            contained("entry-point", ""),
            models.BatchTaskCreateOptions(
                id="after",
                command_line="/bin/true",
                depends_on=models.BatchTaskDependencies(task_ids=["inside"]),
            ),
        ]
        done = run(batch, job, tasks)
        for name in ("inside", "entry-point"):
            said = failed(done[name], "ContainerInvalidSettings")
            assert "busybox:1" in said
            assert 'container_tasks = "host"' in said
        after = done["after"].execution_info
        assert after is not None
        assert after.exit_code == 0
        names = {file.name for file in batch.list_task_files(job, "inside", recursive=True)}
        assert "wd" in names
        assert "stdout.txt" not in names


def test_a_preparation_task_in_a_container_fails(batch: BatchClient, pool: str) -> None:
    options = job_options(unique("job"), pool)
    options.job_preparation_task = models.BatchJobPreparationTask(
        command_line="/bin/true", container_settings=INSIDE, wait_for_success=False
    )
    with made_job(batch, options) as job:
        run(batch, job, [models.BatchTaskCreateOptions(id="t", command_line="/bin/true")])
        (status,) = batch.list_job_preparation_and_release_task_status(job)
        info = status.job_preparation_task_execution_info
        assert info is not None
        assert info.failure_info is not None
        assert info.failure_info.code == "ContainerInvalidSettings"
        assert info.exit_code is None


def test_a_start_task_in_a_container_fails(batch: BatchClient) -> None:
    options = pool_options(
        unique("pool"),
        start_task=models.BatchStartTask(
            command_line="/bin/true", container_settings=INSIDE, max_task_retry_count=2
        ),
    )
    batch.create_pool(options)
    try:
        node = eventually(
            lambda: next((one for one in batch.list_nodes(options.id) if has_failed(one)), None),
            NODES_READY_S,
            "a node whose start task failed",
        )
        info = node.start_task_info
        assert info is not None
        assert (info.result, info.exit_code, info.retry_count) == (FAILURE, None, 0)
        assert info.failure_info is not None
        assert info.failure_info.code == "ContainerInvalidSettings"
        assert node.start_task is not None
        assert node.start_task.container_settings is not None
        assert node.start_task.container_settings.image_name == "busybox:1"
    finally:
        delete_pool(batch, options.id)


def has_failed(node: models.BatchNode) -> bool:
    return node.state == models.BatchNodeState.START_TASK_FAILED


def test_the_users_of_a_pool(batch: BatchClient) -> None:
    options = pool_options(unique("pool"), slots=2)
    options.user_accounts = [models.UserAccount(name="me", password="a secret")]
    with (
        made_pool(batch, options) as pool_id,
        made_job(batch, job_options(unique("job"), pool_id)) as job,
    ):
        done = run(
            batch,
            job,
            [
                models.BatchTaskCreateOptions(
                    id=name,
                    command_line="/bin/true",
                    user_identity=models.UserIdentity(username=name),
                )
                for name in ("me", "nobody-else")
            ],
        )
        mine = done["me"].execution_info
        assert mine is not None
        assert mine.exit_code == 0
        assert done["me"].user_identity is not None
        assert done["me"].user_identity.username == "me"
        assert "nobody-else" in failed(done["nobody-else"], "CommandLaunchFailed")


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory) -> Penstock:
    """One that runs the commands of containers as processes."""
    place: Path = tmp_path_factory.mktemp("plainly")
    config = place / "penstock.toml"
    config.write_text('container_tasks = "host"\n')
    return Penstock(place / "data", arguments=("--config", str(config)))


def test_the_command_of_a_container_as_a_process(plainly: Penstock) -> None:
    with plainly:
        batch = plainly.client()
        with made_pool(batch, pool_options(unique("pool"))) as pool_id:
            options = job_options(unique("job"), pool_id)
            options.job_preparation_task = models.BatchJobPreparationTask(
                command_line=shell("echo before > $AZ_BATCH_NODE_SHARED_DIR/before"),
                container_settings=INSIDE,
            )
            with made_job(batch, options) as job:
                line = shell("cat $AZ_BATCH_NODE_SHARED_DIR/before; pwd")
                batch.create_tasks(job, [contained("inside", line), contained("bare", "")])
                inside = completed(batch, job, "inside")
                assert inside.execution_info is not None
                assert inside.execution_info.exit_code == 0
                assert inside.container_settings is not None
                assert inside.container_settings.image_name == "busybox:1"
                first, second = stdout(batch, job, "inside").splitlines()
                assert first == "before"
                assert second.endswith("/inside/wd")
                said = failed(completed(batch, job, "bare"), "ContainerInvalidSettings")
                assert "command line" in said
