"""What the scenarios share: a client from a ready file, a pool, waiting, reading and removing.

Each scenario is called with a ready file, and with --keep to leave its pool and job there.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from azure.batch import BatchClient
from azure.batch.models import (
    BatchNodeFillType,
    BatchPoolCreateOptions,
    BatchTask,
    BatchTaskSchedulingPolicy,
    BatchVmImageReference,
    VirtualMachineConfiguration,
)
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError

PATIENCE_S = 120
VM_SIZE = "standard_d2s_v3"


class Account(NamedTuple):
    """Where to go and as whom, as `penstock up --ready-file` says it."""

    endpoint: str
    name: str
    key: str
    storage: str | None  # the connection string of the linked storage account

    def client(self) -> BatchClient:
        """The official client."""
        return BatchClient(self.endpoint, AzureNamedKeyCredential(self.name, self.key))


class Span(NamedTuple):
    """When the command of a task began and ended, in nanoseconds, as it printed itself."""

    began: int
    ended: int


@contextmanager
def scenario(name: str, about: str | None) -> Iterator[tuple[Account, BatchClient, str]]:
    """Account, client and an id for all that one run makes; those are deleted at the end."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("ready_file", type=Path, help="written by `penstock up --ready-file`")
    parser.add_argument("--keep", action="store_true", help="leave pool and jobs as they are")
    words = parser.parse_args()
    said = json.loads(words.ready_file.read_text("utf-8"))
    account = Account(
        said["endpoint"], said["accountName"], said["accountKey"], said["storageConnectionString"]
    )
    run = f"{name}-{uuid.uuid4().hex[:8]}"
    print(f"run {run}", flush=True)
    with account.client() as batch:
        try:
            yield account, batch, run
        finally:
            if not words.keep:
                remove(batch, run)


def machine() -> VirtualMachineConfiguration:
    """An image, as Azure wants one; what runs is whatever the nodes have."""
    image = BatchVmImageReference(publisher="canonical", offer="ubuntu-24_04-lts", sku="server")
    return VirtualMachineConfiguration(
        image_reference=image, node_agent_sku_id="batch.node.ubuntu 24.04"
    )


def create_pool(
    batch: BatchClient,
    pool_id: str,
    nodes: int,
    slots: int = 1,
    fill: BatchNodeFillType = BatchNodeFillType.SPREAD,
) -> None:
    """A pool; tasks may be added before its nodes are there."""
    batch.create_pool(
        BatchPoolCreateOptions(
            id=pool_id,
            vm_size=VM_SIZE,
            virtual_machine_configuration=machine(),
            target_dedicated_nodes=nodes,
            task_slots_per_node=slots,
            task_scheduling_policy=BatchTaskSchedulingPolicy(node_fill_type=fill),
        )
    )


def shell(script: str) -> str:
    """A command line for a shell: the service starts programs and knows nothing of pipes."""
    return f"/bin/sh -c {shlex.quote(script)}"


def timed(script: str) -> str:
    """A command line that also prints when it began and ended; `span` reads that."""
    return shell(f"echo began $(date +%s%N); {script}; echo ended $(date +%s%N)")


def span(output: str) -> Span:
    """Read what a `timed` command printed."""
    said = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    return Span(int(said["began"]), int(said["ended"]))


def stdout(batch: BatchClient, job_id: str, task_id: str) -> str:
    """What a task printed."""
    return b"".join(batch.download_task_file(job_id, task_id, "stdout.txt")).decode()


def wait(done: Callable[[], bool], what: str) -> None:
    """Ask until it is so; raises TimeoutError where that takes too long."""
    until = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.1)


def wait_for_tasks(batch: BatchClient, job_id: str, count: int) -> list[BatchTask]:
    """All tasks of a job, once so many are completed; raises RuntimeError if one failed."""

    def done() -> bool:
        return batch.get_job_task_counts(job_id).task_counts.completed >= count

    wait(done, f"{count} completed tasks in {job_id}")
    tasks = list(batch.list_tasks(job_id))
    if failed := [task.id for task in tasks if task.execution_info.result == "failure"]:
        raise RuntimeError(f"failed: {', '.join(failed)}")
    return tasks


def remove(batch: BatchClient, run: str) -> None:
    """Delete the jobs and the pool of a run, where they are."""
    for job in batch.list_jobs(filter=f"startswith(id,'{run}')"):
        batch.begin_delete_job(job.id, polling_interval=1).result()
    with suppress(ResourceNotFoundError):
        batch.begin_delete_pool(run, polling_interval=1).result()
