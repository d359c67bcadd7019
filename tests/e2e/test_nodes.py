"""Pools and their nodes: how they come, change in number, and go, with tasks on them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    AllocationState,
    BatchNodeRemoveOptions,
    BatchNodeState,
    BatchPoolResizeOptions,
    BatchStartTask,
    BatchTaskState,
)

from tests.e2e.harness import Penstock, processes_naming
from tests.e2e.things import (
    add,
    completed,
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
    stdout,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually


@contextmanager
def host_stopped(service: Penstock) -> Iterator[None]:
    """Hold the node host still, so that what would pass in milliseconds can be seen."""
    host = service.node_host()
    host.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        host.send_signal(signal.SIGCONT)


def states(client: BatchClient, pool: str) -> set[BatchNodeState]:
    """The states of all nodes of a pool."""
    return {BatchNodeState(node.state) for node in client.list_nodes(pool)}


def allocation(client: BatchClient, pool: str) -> object:
    """The allocation state of a pool."""
    return client.get_pool(pool).allocation_state


def test_nodes_come_step_by_step(plain: Penstock, batch: BatchClient, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    start = BatchStartTask(command_line=shell(f"while ! [ -e {flag} ]; do sleep 0.05; done"))
    pool = unique("slow")
    with host_stopped(plain):
        batch.create_pool(pool_options(pool, nodes=2, start_task=start))
        try:
            eventually(lambda: len(list(batch.list_nodes(pool))) == 2, 5, "two nodes")
            assert allocation(batch, pool) == AllocationState.RESIZING
            assert states(batch, pool) <= {BatchNodeState.CREATING, BatchNodeState.STARTING}
        except BaseException:
            delete_pool(batch, pool)
            raise
    try:
        waiting = {BatchNodeState.WAITING_FOR_START_TASK}
        eventually(lambda: states(batch, pool) == waiting, 10, "nodes that wait")
        with made_job(batch, job_options(unique("job"), pool)) as job:
            add(batch, job, task_options("t", "/bin/true"))
            assert in_state(batch, job, "t", BatchTaskState.ACTIVE).node_info is None
            flag.touch()
            nodes_ready(batch, pool, 2)
            completed(batch, job, "t")
    finally:
        delete_pool(batch, pool)


def test_a_pool_grows_and_shrinks(batch: BatchClient) -> None:
    with made_pool(batch, pool_options(unique("pool"), nodes=1)) as pool:
        (first,) = (node.id for node in batch.list_nodes(pool))

        batch.begin_resize_pool(
            pool, BatchPoolResizeOptions(target_dedicated_nodes=3), polling_interval=1
        ).result(timeout=20)
        assert first in {node.id for node in nodes_ready(batch, pool, 3)}

        batch.begin_resize_pool(
            pool, BatchPoolResizeOptions(target_dedicated_nodes=0), polling_interval=1
        ).result(timeout=20)
        assert list(batch.list_nodes(pool)) == []
        assert batch.get_pool(pool).current_dedicated_nodes == 0


def test_a_removed_node_gives_its_task_back(
    plain: Penstock, batch: BatchClient, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    with (
        made_pool(batch, pool_options(unique("pool"), nodes=2)) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        add(batch, job, task_options("t", shell(f"while ! [ -e {flag} ]; do sleep 0.05; done")))
        info = running(batch, job, "t").node_info
        assert info is not None
        node = info.node_id
        assert node is not None
        options = BatchNodeRemoveOptions(node_ids=[node])

        batch.begin_remove_nodes(pool, options, polling_interval=1).result(timeout=20)

        assert node not in {left.id for left in batch.list_nodes(pool)}
        assert batch.get_pool(pool).target_dedicated_nodes == 1
        assert list(plain.data.rglob(f"*{node}*")) == []
        assert processes_naming(node) == []
        flag.touch()
        task = completed(batch, job, "t")
        assert task.node_info is not None
        assert task.node_info.node_id != node
        assert task.execution_info is not None
        assert task.execution_info.requeue_count == 1
        assert task.execution_info.last_requeue_time is not None


def test_tasks_outlive_their_pool(batch: BatchClient, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    name = unique("pool")
    with made_job(batch, job_options(unique("job"), name)) as job:
        with made_pool(batch, pool_options(name)):
            line = shell(f"while ! [ -e {flag} ]; do sleep 0.05; done; echo again")
            add(batch, job, task_options("t", line))
            running(batch, job, "t")
        assert in_state(batch, job, "t", BatchTaskState.ACTIVE).state == BatchTaskState.ACTIVE
        flag.touch()

        with made_pool(batch, pool_options(name)):
            task = completed(batch, job, "t")
            assert stdout(batch, job, "t") == "again\n"
        assert task.execution_info is not None
        assert task.execution_info.requeue_count == 1


@pytest.mark.parametrize("slots", [1, 3])
def test_a_node_runs_as_many_as_it_has_slots(
    batch: BatchClient, tmp_path: Path, slots: int
) -> None:
    flag = tmp_path / "go"
    with (
        made_pool(batch, pool_options(unique("pool"), slots=slots)) as pool,
        made_job(batch, job_options(unique("job"), pool)) as job,
    ):
        line = shell(f"while ! [ -e {flag} ]; do sleep 0.05; done")
        add(batch, job, *(task_options(f"t{n}", line) for n in range(slots + 2)))

        def counts() -> tuple[int, int, int]:
            seen = batch.get_job_task_counts(job).task_counts
            return seen.running, seen.active, seen.completed

        eventually(lambda: counts() == (slots, 2, 0), 10, "full slots", seen=counts)
        (node,) = batch.list_nodes(pool)
        assert node.state == BatchNodeState.RUNNING
        assert (node.running_tasks_count, node.running_task_slots_count) == (slots, slots)
        flag.touch()
        eventually(lambda: counts() == (0, 0, slots + 2), 10, "the end", seen=counts)


def test_operations_on_a_pool_that_is_going(plain: Penstock, batch: BatchClient) -> None:
    pool = unique("going")
    batch.create_pool(pool_options(pool, nodes=1))
    nodes_ready(batch, pool, 1)
    with host_stopped(plain):
        batch.begin_delete_pool(pool, polling_interval=1)
        assert batch.get_pool(pool).state == "deleting"
        more = BatchPoolResizeOptions(target_dedicated_nodes=2)
        resize = refusal(lambda: batch.begin_resize_pool(pool, more, polling_interval=1))
        assert resize == (409, "PoolBeingDeleted")
        again = refusal(lambda: batch.create_pool(pool_options(pool)))
        assert again is not None
        assert again in ((409, "PoolExists"), (409, "PoolBeingDeleted"))
    eventually(
        lambda: refusal(lambda: batch.get_pool(pool)) == (404, "PoolNotFound"), 20, "its end"
    )
