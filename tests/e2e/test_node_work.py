"""What users have done with nodes, and what befalls them, on real node hosts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    AllocationState,
    BatchNode,
    BatchNodeDisableSchedulingOptions,
    BatchNodeState,
    BatchPoolResizeOptions,
    BatchPoolUpdateOptions,
    BatchStartTask,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskState,
    SchedulingState,
)

# The SDK takes these, shows them nowhere else, and can make no request without a choice in them.
from azure.batch.models._models import (
    BatchNodeDeallocateOptions,
    BatchNodeRebootOptions,
    BatchNodeReimageOptions,
)

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire
from tests.e2e.things import (
    add,
    completed,
    content,
    delete_pool,
    in_state,
    job_options,
    made_job,
    made_pool,
    nodes_ready,
    pool_options,
    refusal,
    running,
    shell,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

REBOOT = BatchNodeRebootOptions(node_reboot_kind="requeue")
CORES = 4
SETTINGS = f"""
low_priority_return_s = 3
dedicated_core_quota = {CORES}
pool_quota = 1
active_job_quota = 1
"""


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """A Penstock with quotas, to which preempted nodes soon return."""
    place = tmp_path_factory.mktemp("bounded")
    config = place / "penstock.toml"
    config.write_text(SETTINGS)
    with Penstock(place / "data", arguments=("--config", str(config))) as service:
        yield service


def the_node(client: BatchClient, pool: str) -> BatchNode:
    (node,) = client.list_nodes(pool)
    return node


def name_of(client: BatchClient, pool: str) -> str:
    """The id of the only node of a pool."""
    name = the_node(client, pool).id
    assert name is not None
    return name


def in_node_state(client: BatchClient, pool: str, state: BatchNodeState) -> BatchNode:
    """Wait until the only node of a pool is in a state."""

    def there() -> BatchNode | None:
        node = the_node(client, pool)
        return node if node.state == state else None

    def seen() -> object:
        return the_node(client, pool).as_dict()

    return eventually(there, 15, f"a node that is {state.value}", seen=seen)


def printed(client: BatchClient, pool: str, node: str) -> str:
    """What the start task of a node printed."""
    return content(client.download_node_file(pool, node, "startup/stdout.txt")).decode()


def has_file(client: BatchClient, pool: str, node: str, path: str) -> bool:
    return refusal(lambda: content(client.download_node_file(pool, node, path))) is None


def requeues(client: BatchClient, job: str, task: str) -> int:
    """How often a task was requeued."""
    info = client.get_task(job, task).execution_info
    assert info is not None
    return info.requeue_count


def waits_for(flag: Path) -> str:
    """A command line that ends when a file is there."""
    return shell(f"while ! [ -e {flag} ]; do sleep 0.05; done")


def test_a_reboot_keeps_files_and_runs_the_start_task_again(batch: BatchClient) -> None:
    line = shell("echo x >> $AZ_BATCH_NODE_SHARED_DIR/boots; cat $AZ_BATCH_NODE_SHARED_DIR/boots")
    start = BatchStartTask(command_line=line)
    with (
        made_pool(batch, pool_options(unique("pool"), start_task=start)) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        add(batch, job, task_options("t", shell("echo kept")))
        completed(batch, job, "t")
        before = the_node(batch, pool)
        assert before.id is not None
        assert printed(batch, pool, before.id) == "x\n"

        batch.begin_reboot_node(pool, before.id, REBOOT, polling_interval=1).result(timeout=20)
        node = in_node_state(batch, pool, BatchNodeState.IDLE)

        assert node.id == before.id
        assert printed(batch, pool, before.id) == "x\nx\n"
        assert has_file(batch, pool, before.id, f"workitems/{job}/job-1/t/stdout.txt")
        assert node.last_boot_time is not None
        assert before.last_boot_time is not None
        assert node.last_boot_time > before.last_boot_time
        assert (node.total_tasks_run, node.total_tasks_succeeded) == (1, 1)
        assert [each.task_id for each in node.recent_tasks or []] == ["t"]
        add(batch, job, task_options("u", "/bin/true"))
        completed(batch, job, "u")


def test_to_reimage_a_node_wipes_it(batch: BatchClient) -> None:
    line = shell("echo x >> $AZ_BATCH_NODE_SHARED_DIR/boots; cat $AZ_BATCH_NODE_SHARED_DIR/boots")
    start = BatchStartTask(command_line=line)
    with (
        made_pool(batch, pool_options(unique("pool"), start_task=start)) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        add(batch, job, task_options("t", "/bin/true"))
        completed(batch, job, "t")
        name = name_of(batch, pool)
        again = BatchStartTask(command_line=line.replace("echo x", "echo y"))
        batch.update_pool(pool, BatchPoolUpdateOptions(start_task=again))
        shown = the_node(batch, pool).start_task
        assert shown is not None
        assert shown.command_line == line, "it acts at the next boot"

        batch.begin_reimage_node(
            pool, name, BatchNodeReimageOptions(node_reimage_option="requeue"), polling_interval=1
        ).result(timeout=20)
        in_node_state(batch, pool, BatchNodeState.IDLE)

        assert printed(batch, pool, name) == "y\n"
        assert not has_file(batch, pool, name, f"workitems/{job}/job-1/t/stdout.txt")


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("requeue", BatchTaskState.ACTIVE),
        ("terminate", BatchTaskState.COMPLETED),
        ("taskcompletion", BatchTaskState.COMPLETED),
        ("retaineddata", BatchTaskState.COMPLETED),
    ],
)
def test_a_reboot_with_a_task(
    batch: BatchClient, tmp_path: Path, how: str, state: BatchTaskState
) -> None:
    flag = tmp_path / "go"
    with (
        made_pool(batch, pool_options(unique("pool"))) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        batch.create_task(job, _kept_for("t", waits_for(flag), 3.0))
        running(batch, job, "t")
        name = name_of(batch, pool)
        booted = the_node(batch, pool).last_boot_time

        batch.begin_reboot_node(
            pool, name, BatchNodeRebootOptions(node_reboot_kind=how), polling_interval=1
        )
        if how in ("taskcompletion", "retaineddata"):
            assert the_node(batch, pool).state == BatchNodeState.RUNNING
            flag.touch()
        if how == "requeue":
            eventually(lambda: requeues(batch, job, "t") == 1, 15, "a requeued task")
            flag.touch()
        task = completed(batch, job, "t")
        assert task.execution_info is not None
        assert (task.execution_info.failure_info is not None) == (how == "terminate")
        if how == "retaineddata":
            assert the_node(batch, pool).last_boot_time == booted, "the files are kept for 3 s"
        eventually(lambda: the_node(batch, pool).last_boot_time != booted, 15, "a reboot")
        in_node_state(batch, pool, BatchNodeState.IDLE)


def _kept_for(name: str, line: str, seconds: float) -> BatchTaskCreateOptions:
    kept = BatchTaskConstraints(retention_time=timedelta(seconds=seconds))
    return BatchTaskCreateOptions(id=name, command_line=line, constraints=kept)


@pytest.mark.parametrize("how", ["requeue", "terminate", "taskcompletion"])
def test_a_node_that_is_disabled(batch: BatchClient, tmp_path: Path, how: str) -> None:
    flag = tmp_path / "go"
    with (
        made_pool(batch, pool_options(unique("pool"))) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        add(batch, job, task_options("t", waits_for(flag)))
        running(batch, job, "t")
        name = name_of(batch, pool)
        options = BatchNodeDisableSchedulingOptions(node_disable_scheduling_option=how)

        batch.disable_node_scheduling(pool, name, options)

        node = the_node(batch, pool)
        assert node.scheduling_state == SchedulingState.DISABLED
        if how == "taskcompletion":
            assert node.state == BatchNodeState.RUNNING
            flag.touch()
        in_node_state(batch, pool, BatchNodeState.OFFLINE)
        again = refusal(lambda: batch.disable_node_scheduling(pool, name, options))
        assert again == (409, "NodeAlreadyInTargetSchedulingState")
        flag.touch()
        add(batch, job, task_options("u", "/bin/true"))
        state = BatchTaskState.ACTIVE if how == "requeue" else BatchTaskState.COMPLETED
        assert batch.get_task(job, "t").state == state
        batch.begin_reboot_node(pool, name, REBOOT, polling_interval=1).result(timeout=20)
        in_node_state(batch, pool, BatchNodeState.OFFLINE)
        assert batch.get_task(job, "u").state == BatchTaskState.ACTIVE
        batch.enable_node_scheduling(pool, name)
        completed(batch, job, "t")
        completed(batch, job, "u")


def test_a_node_may_be_deallocated_and_started(plain: Penstock, batch: BatchClient) -> None:
    with (
        made_pool(batch, pool_options(unique("pool"))) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        name = name_of(batch, pool)
        assert refusal(lambda: batch.begin_start_node(pool, name)) == (
            409,
            "OperationInvalidForCurrentState",
        )
        add(batch, job, task_options("t", shell("sleep 60")))
        running(batch, job, "t")

        options = BatchNodeDeallocateOptions(node_deallocate_option="requeue")
        batch.begin_deallocate_node(pool, name, options, polling_interval=1).result(timeout=20)
        node = in_node_state(batch, pool, BatchNodeState.DEALLOCATED)

        assert node.ip_address is None
        assert list(plain.data.rglob(f"*{name}*")) == []
        assert batch.get_task(job, "t").state == BatchTaskState.ACTIVE
        (counts,) = batch.list_pool_node_counts(filter=f"poolId eq '{pool}'")
        assert counts.dedicated is not None
        assert (counts.dedicated.deallocated, counts.dedicated.total) == (1, 1)
        assert batch.get_pool(pool).current_dedicated_nodes == 1

        batch.begin_start_node(pool, name, polling_interval=1).result(timeout=20)
        running(batch, job, "t")
        assert the_node(batch, pool).ip_address is not None


@pytest.mark.parametrize("how", ["requeue", "terminate", "taskcompletion", "retaineddata"])
def test_a_pool_shrinks_with_a_task_on_it(batch: BatchClient, tmp_path: Path, how: str) -> None:
    flag = tmp_path / "go"
    with (
        made_pool(batch, pool_options(unique("pool"), nodes=2)) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        batch.create_task(job, _kept_for("t", waits_for(flag), 3.0))
        info = running(batch, job, "t").node_info
        assert info is not None
        resize = BatchPoolResizeOptions(target_dedicated_nodes=0, node_deallocation_option=how)
        batch.begin_resize_pool(pool, resize, polling_interval=1)
        waits = how in ("taskcompletion", "retaineddata")
        if waits:
            eventually(
                lambda: [node.id for node in batch.list_nodes(pool)] == [info.node_id],
                15,
                "the end of the idle node",
            )
            assert batch.get_pool(pool).allocation_state == AllocationState.RESIZING
            flag.touch()
            completed(batch, job, "t")
        if how == "retaineddata":
            assert [node.id for node in batch.list_nodes(pool)] == [info.node_id]
            assert has_file(batch, pool, info.node_id or "", f"workitems/{job}/job-1/t/stdout.txt")
        eventually(
            lambda: batch.get_pool(pool).allocation_state == AllocationState.STEADY, 15, "the end"
        )
        assert list(batch.list_nodes(pool)) == []
        assert batch.get_pool(pool).resize_errors is None
        left = BatchTaskState.ACTIVE if how == "requeue" else BatchTaskState.COMPLETED
        in_state(batch, job, "t", left)


def test_a_reboot_goes_on_after_a_crash(tmp_path: Path) -> None:
    flag = tmp_path / "go"
    with Penstock(tmp_path / "data") as service:
        batch = service.client()
        pool, job = unique("pool"), unique("job")
        batch.create_pool(pool_options(pool))
        nodes_ready(batch, pool, 1)
        batch.create_job(job_options(job, pool))
        add(batch, job, task_options("t", waits_for(flag)))
        running(batch, job, "t")
        name, booted = name_of(batch, pool), the_node(batch, pool).last_boot_time
        wait = BatchNodeRebootOptions(node_reboot_kind="taskcompletion")
        batch.begin_reboot_node(pool, name, wait, polling_interval=1)

        service.kill()
        flag.touch()
        service.start()
        batch = service.client()

        completed(batch, job, "t")
        eventually(lambda: the_node(batch, pool).last_boot_time != booted, 15, "a reboot")
        in_node_state(batch, pool, BatchNodeState.IDLE)


def test_a_preempted_node_returns(bounded: Penstock, tmp_path: Path) -> None:
    batch, flag = bounded.client(), tmp_path / "go"
    options = pool_options(unique("pool"), nodes=0)
    options.target_low_priority_nodes = 1
    batch.create_pool(options)
    try:
        nodes_ready(batch, options.id, 1)
        with made_job(batch, job_options(unique("job"), options.id)) as job:
            add(batch, job, task_options("t", waits_for(flag)))
            running(batch, job, "t")
            name = name_of(batch, options.id)
            with Wire.to(bounded.ready) as wire:
                answer = wire.send("POST", f"/pools/{options.id}/nodes/{name}/preempt")
            assert answer.status_code == 202
            node = in_node_state(batch, options.id, BatchNodeState.PREEMPTED)
            assert node.id == name
            (counts,) = batch.list_pool_node_counts()
            assert counts.low_priority is not None
            assert (counts.low_priority.preempted, counts.low_priority.total) == (1, 1)
            assert batch.get_pool(options.id).current_low_priority_nodes == 1
            in_state(batch, job, "t", BatchTaskState.ACTIVE)
            flag.touch()
            completed(batch, job, "t")
            assert requeues(batch, job, "t") == 1
            assert name_of(batch, options.id) == name
    finally:
        delete_pool(batch, options.id)


def test_quotas(bounded: Penstock) -> None:
    batch = bounded.client()
    pool = unique("pool")
    batch.create_pool(pool_options(pool, nodes=3))  # of two cores each
    try:
        nodes_ready(batch, pool, CORES // 2)
        shown = batch.get_pool(pool)
        assert (shown.target_dedicated_nodes, shown.current_dedicated_nodes) == (3, CORES // 2)
        assert [error.code for error in shown.resize_errors or []] == ["AccountCoreQuotaReached"]
        other = refusal(lambda: batch.create_pool(pool_options(unique("pool"))))
        assert other == (409, "PoolQuotaReached")
        with made_job(batch, job_options(unique("job"), pool)):
            second = refusal(lambda: batch.create_job(job_options(unique("job"), pool)))
            assert second == (409, "ActiveJobAndScheduleQuotaReached")
    finally:
        delete_pool(batch, pool)
