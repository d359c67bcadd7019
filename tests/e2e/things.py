"""Pools, jobs and tasks as tests want them, through the official SDK."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from azure.batch import BatchClient
from azure.batch.models import (
    AllocationState,
    BatchJobCreateOptions,
    BatchNode,
    BatchNodeState,
    BatchPoolCreateOptions,
    BatchPoolInfo,
    BatchStartTask,
    BatchTask,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskState,
    BatchVmImageReference,
    VirtualMachineConfiguration,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.e2e.waiting import eventually

NODES_READY_S = 30.0
GONE_S = 30.0


def unique(stem: str) -> str:
    """An id that no other test uses."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def shell(script: str) -> str:
    """A command line that runs a script in a shell."""
    return f"/bin/sh -c {shlex.quote(script)}"


def pool_options(
    pool_id: str, *, nodes: int = 1, slots: int = 1, start_task: BatchStartTask | None = None
) -> BatchPoolCreateOptions:
    """A pool of ordinary Linux nodes."""
    return BatchPoolCreateOptions(
        id=pool_id,
        vm_size="standard_d2s_v3",
        virtual_machine_configuration=VirtualMachineConfiguration(
            image_reference=BatchVmImageReference(
                publisher="canonical",
                offer="0001-com-ubuntu-server-jammy",
                sku="22_04-lts",
                version="latest",
            ),
            node_agent_sku_id="batch.node.ubuntu 22.04",
        ),
        target_dedicated_nodes=nodes,
        task_slots_per_node=slots,
        start_task=start_task,
    )


def job_options(job_id: str, pool_id: str) -> BatchJobCreateOptions:
    """A job on a pool."""
    return BatchJobCreateOptions(id=job_id, pool_info=BatchPoolInfo(pool_id=pool_id))


def task_options(
    task_id: str,
    command_line: str,
    *,
    retries: int | None = None,
    wall_clock_s: float | None = None,
) -> BatchTaskCreateOptions:
    """A task with the constraints that most tests need."""
    constraints = None
    if retries is not None or wall_clock_s is not None:
        limit = None if wall_clock_s is None else timedelta(seconds=wall_clock_s)
        constraints = BatchTaskConstraints(max_task_retry_count=retries, max_wall_clock_time=limit)
    return BatchTaskCreateOptions(id=task_id, command_line=command_line, constraints=constraints)


def nodes_ready(
    client: BatchClient, pool_id: str, count: int, within_s: float = NODES_READY_S
) -> list[BatchNode]:
    """Wait until the pool is steady and all its nodes take tasks."""
    usable = {BatchNodeState.IDLE, BatchNodeState.RUNNING}

    def ready() -> list[BatchNode] | None:
        nodes = list(client.list_nodes(pool_id))
        all_usable = len(nodes) == count and all(node.state in usable for node in nodes)
        steady = client.get_pool(pool_id).allocation_state == AllocationState.STEADY
        return nodes if all_usable and steady else None

    def seen() -> object:
        return [(node.id, node.state, node.errors) for node in client.list_nodes(pool_id)]

    return eventually(ready, within_s, f"{count} ready nodes in {pool_id}", seen=seen)


@contextmanager
def made_pool(client: BatchClient, options: BatchPoolCreateOptions) -> Iterator[str]:
    """A pool with its nodes ready, deleted at the end."""
    client.create_pool(options)
    try:
        nodes_ready(client, options.id, options.target_dedicated_nodes or 0)
        yield options.id
    finally:
        delete_pool(client, options.id)


@contextmanager
def made_job(client: BatchClient, options: BatchJobCreateOptions) -> Iterator[str]:
    """A job, deleted with all its tasks at the end."""
    client.create_job(options)
    try:
        yield options.id
    finally:
        delete_job(client, options.id)


def delete_pool(client: BatchClient, pool_id: str) -> None:
    """Delete a pool and wait until it is not found any more."""
    client.begin_delete_pool(pool_id, polling_interval=1)
    eventually(lambda: not pool_exists(client, pool_id), GONE_S, f"the end of pool {pool_id}")


def delete_job(client: BatchClient, job_id: str) -> None:
    """Delete a job and wait until it is not found any more."""
    client.begin_delete_job(job_id, polling_interval=1)
    eventually(lambda: not job_exists(client, job_id), GONE_S, f"the end of job {job_id}")


def pool_exists(client: BatchClient, pool_id: str) -> bool:
    """Whether the pool is still found; the SDK's own question raises where it is not."""
    try:
        return client.pool_exists(pool_id)
    except ResourceNotFoundError:
        return False


def job_exists(client: BatchClient, job_id: str) -> bool:
    """Whether the job is still found."""
    try:
        client.get_job(job_id)
    except ResourceNotFoundError:
        return False
    return True


def add(client: BatchClient, job_id: str, *tasks: BatchTaskCreateOptions) -> None:
    """Add tasks one by one."""
    for task in tasks:
        client.create_task(job_id, task)


def in_state(
    client: BatchClient, job_id: str, task_id: str, state: BatchTaskState, within_s: float = 15
) -> BatchTask:
    """Wait until a task is in a state."""

    def there() -> BatchTask | None:
        task = client.get_task(job_id, task_id)
        return task if task.state == state else None

    def seen() -> object:
        return client.get_task(job_id, task_id).as_dict()

    return eventually(there, within_s, f"task {task_id} {state.value}", seen=seen)


def running(client: BatchClient, job_id: str, task_id: str, within_s: float = 15) -> BatchTask:
    """Wait until a task runs."""
    return in_state(client, job_id, task_id, BatchTaskState.RUNNING, within_s)


def completed(client: BatchClient, job_id: str, task_id: str, within_s: float = 15) -> BatchTask:
    """Wait until a task is completed."""
    return in_state(client, job_id, task_id, BatchTaskState.COMPLETED, within_s)


def all_completed(
    client: BatchClient, job_id: str, count: int, within_s: float
) -> dict[str, BatchTask]:
    """Wait until the job has `count` tasks, all completed; by id."""

    def done() -> bool:
        return client.get_job_task_counts(job_id).task_counts.completed == count

    def seen() -> object:
        return client.get_job_task_counts(job_id).as_dict()

    eventually(done, within_s, f"{count} completed tasks in {job_id}", seen=seen, every_s=0.1)
    return {task.id: task for task in client.list_tasks(job_id)}


def run(
    client: BatchClient, job_id: str, tasks: Sequence[BatchTaskCreateOptions], within_s: float = 30
) -> dict[str, BatchTask]:
    """Add tasks to an otherwise empty job and wait until all are completed; by id."""
    add(client, job_id, *tasks)
    return all_completed(client, job_id, len(tasks), within_s)


def refusal(call: Callable[[], object]) -> tuple[int | None, str | None] | None:
    """Status and error code with which the service refuses; None when it does not."""
    try:
        call()
    except HttpResponseError as error:
        return error.status_code, _code(error)
    return None


def _code(error: HttpResponseError) -> str | None:
    """The code in the body, which the SDK leaves unread where it streams a file."""
    if error.error is not None:
        return error.error.code
    if error.response is None:
        return None
    body = error.response.read()  # type: ignore[attr-defined]
    code: str | None = json.loads(body)["code"] if body else None
    return code


def content(chunks: Iterable[bytes]) -> bytes:
    """The whole of a download."""
    return b"".join(chunks)


def task_file(client: BatchClient, job_id: str, task_id: str, path: str) -> bytes:
    """The content of a task's file."""
    return content(client.download_task_file(job_id, task_id, path))


def stdout(client: BatchClient, job_id: str, task_id: str) -> str:
    """What a task printed."""
    return task_file(client, job_id, task_id, "stdout.txt").decode()
