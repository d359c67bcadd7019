"""Collections whose bodies are larger than a request may be, added in the way of the SDK."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTaskCreateOptions, CreateTasksError, ResourceFile
from azure.core.credentials import AzureNamedKeyCredential

from tests.clients.witness import Witness
from tests.e2e.harness import Penstock
from tests.e2e.things import job_options, made_job, task_options, unique

TASKS = 2_000
FILES = 100
URL = "https://account.blob.core.windows.net/in/part-{:04}.dat?sv=2024-05-04&sig=abcdefghijkl"


@pytest.fixture
def witness(plain: Penstock) -> Iterator[Witness]:
    with Witness(plain.ready.endpoint, plain.ready.account_name) as witness:
        yield witness


@pytest.fixture
def client(plain: Penstock, witness: Witness) -> Iterator[BatchClient]:
    """The SDK as users make it, behind the witness."""
    ready = plain.ready
    credential = AzureNamedKeyCredential(ready.account_name, ready.account_key)
    with BatchClient(witness.endpoint, credential) as client:
        yield client


def files(count: int) -> list[ResourceFile]:
    return [
        ResourceFile(http_url=URL.format(number), file_path=f"in/part-{number:04}.dat")
        for number in range(count)
    ]


def test_two_thousand_tasks_with_a_hundred_files_each(
    client: BatchClient, witness: Witness
) -> None:
    shared = files(FILES)
    tasks = [
        BatchTaskCreateOptions(id=f"t{n}", command_line="/bin/true", resource_files=shared)
        for n in range(TASKS)
    ]
    wanted = {task.id for task in tasks}
    with made_job(client, job_options(unique("big"), "no-such-pool")) as job:
        with witness.watching() as first:
            client.create_tasks(job, tasks, max_concurrency=4)
        found = [task.id for task in client.list_tasks(job, select=["id"])]
        with witness.watching() as again:
            client.create_tasks(job, tasks, max_concurrency=4)
        counts = client.get_job_task_counts(job).task_counts
        last = client.get_task(job, f"t{TASKS - 1}").resource_files

    added = {(exchange.status, exchange.code) for exchange in (*first, *again)}
    assert added == {(200, ""), (413, "RequestBodyTooLarge")}
    assert len(found) == TASKS, "none twice"
    assert set(found) == wanted, "none missing"
    assert (counts.active, counts.completed) == (TASKS, 0), "the second time added nothing"
    assert last is not None
    assert [file.file_path for file in last] == [file.file_path for file in shared]


def test_a_task_that_is_too_large_alone_is_told_and_the_others_are_added(
    client: BatchClient,
) -> None:
    huge = task_options("huge", "/bin/true")
    huge.resource_files = files(10_000)
    small = [task_options(f"t{n}", "/bin/true") for n in range(20)]
    with made_job(client, job_options(unique("huge"), "no-such-pool")) as job:
        with pytest.raises(CreateTasksError) as told:
            client.create_tasks(job, [*small, huge])
        found = {task.id for task in client.list_tasks(job)}
        rest = {task.id for task in told.value.pending_tasks}

    assert [error.error.code for error in told.value.errors] == ["RequestBodyTooLarge"]
    assert found | rest == {task.id for task in small}, "added, or given back to be added"
    assert not found & rest
