"""The whole workflow through the official SDK, over http and over https, on real files."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    AllocationState,
    BatchNodeState,
    BatchTask,
    BatchTaskExecutionResult,
    BatchTaskState,
)
from azure.batch.models._models import BatchJobTerminateOptions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError

from tests.e2e.harness import Penstock, processes_naming, shown
from tests.e2e.main_job import NODES, SLOTS, MainJob, product
from tests.e2e.storage import Container
from tests.e2e.things import (
    all_completed,
    content,
    delete_job,
    delete_pool,
    job_exists,
    nodes_ready,
    stdout,
    task_file,
    unique,
)
from tests.e2e.waiting import eventually

WITHIN_S = 120.0
ORDER = (
    BatchNodeState.CREATING,
    BatchNodeState.STARTING,
    BatchNodeState.WAITING_FOR_START_TASK,
    BatchNodeState.IDLE,
)


@dataclass
class Watch:
    """Looks at a pool without pause, to see the states that pass quickly."""

    client: BatchClient
    pool_id: str
    states: dict[str, list[BatchNodeState]] = field(default_factory=dict)
    allocation: list[AllocationState] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Note every state that differs from the one before."""
        while not self.over.is_set():
            try:
                state = AllocationState(self.client.get_pool(self.pool_id).allocation_state or "")
                nodes = list(self.client.list_nodes(self.pool_id))
            except ResourceNotFoundError:
                continue
            if self.allocation[-1:] != [state]:
                self.allocation.append(state)
            for node in nodes:
                seen = self.states.setdefault(node.id, [])
                if seen[-1:] != [node.state]:
                    seen.append(BatchNodeState(node.state))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look while the block runs."""
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(timeout=10)


def in_order(states: Sequence[BatchNodeState]) -> bool:
    """Whether a node went forward through the states of a start."""
    places = [ORDER.index(state) for state in states]
    return places == sorted(places)


@pytest.fixture(params=["http", "https"])
def main_job(request: pytest.FixtureRequest, stored: Penstock) -> Iterator[tuple[MainJob, bool]]:
    """The job in full size over http, smaller over https, with its containers."""
    tls = request.param == "https"
    blobs = stored.blobs()
    with ExitStack() as stack:
        boxes = [stack.enter_context(Container.made(blobs, n)) for n in ("in", "auto", "out")]
        yield (
            MainJob(
                unique("main"),
                unique("main"),
                ranged=60 if tls else 400,
                named=20 if tls else 100,
                failing=3 if tls else 5,
                inputs=boxes[0],
                tables=boxes[1],
                outputs=boxes[2],
            ),
            tls,
        )


def official_client(service: Penstock, monkeypatch: pytest.MonkeyPatch, tls: bool) -> BatchClient:
    """The SDK as its users make it; the CA comes from the environment."""
    ready = service.ready
    for name in ("CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(ready.ca_file))
    endpoint = ready.tls_endpoint if tls else ready.endpoint
    return BatchClient(endpoint, AzureNamedKeyCredential(ready.account_name, ready.account_key))


def test_the_main_job(
    stored: Penstock, main_job: tuple[MainJob, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, tls = main_job
    with official_client(stored, monkeypatch, tls) as client:
        work.upload()
        check_pool(client, work)
        check_job(client, work)

        client.create_task(work.job_id, work.merge())
        client.create_tasks(work.job_id, list(work.tasks()), max_concurrency=2)
        assert client.get_task(work.job_id, "merge").state == BatchTaskState.ACTIVE
        tasks = all_completed(client, work.job_id, work.total, WITHIN_S)

        check_records(client, work, tasks)
        check_task_files(client, work)
        check_outputs(work)
        check_deletion(
            stored, client, work, [str(node.id) for node in client.list_nodes(work.pool_id)]
        )


def check_pool(client: BatchClient, work: MainJob) -> None:
    """Create the pool and see its nodes come up."""
    watch = Watch(client, work.pool_id)
    with watch.looking():
        client.create_pool(work.pool())
        nodes = nodes_ready(client, work.pool_id, NODES)
    print(f"\nallocation {watch.allocation}, nodes {list(watch.states.values())}")

    assert watch.allocation[-1] == AllocationState.STEADY
    assert len(watch.states) == NODES
    assert all(in_order(states) for states in watch.states.values()), watch.states
    seen = {state for states in watch.states.values() for state in states}
    assert {BatchNodeState.WAITING_FOR_START_TASK, BatchNodeState.IDLE} <= seen
    pool = client.get_pool(work.pool_id)
    assert (pool.current_dedicated_nodes, pool.target_dedicated_nodes) == (NODES, NODES)
    assert pool.task_slots_per_node == SLOTS
    assert [(item.name, item.value) for item in pool.metadata or []] == [
        ("purpose", "the main job")
    ]
    assert len({node.ip_address for node in nodes}) == NODES
    for node in nodes:
        info = node.start_task_info
        assert info is not None
        assert (info.exit_code, info.result) == (0, BatchTaskExecutionResult.SUCCESS)
        printed = content(client.download_node_file(work.pool_id, node.id, "startup/stdout.txt"))
        assert printed == b"hello nodes\n"


def check_job(client: BatchClient, work: MainJob) -> None:
    """Create the job and read it back."""
    client.create_job(work.job())
    job = client.get_job(work.job_id)
    assert (job.state, job.priority, job.uses_task_dependencies) == ("active", 100, True)
    assert [(item.name, item.value) for item in job.metadata or []] == [("who", "a test")]


def check_records(client: BatchClient, work: MainJob, tasks: dict[str, BatchTask]) -> None:
    """Every task ended as it had to, and the counts say the same."""
    assert set(tasks) == {*work.parts, *work.bad, "merge"}
    used: Counter[str | None] = Counter()
    last_end = None
    for task_id, task in tasks.items():
        info = task.execution_info
        assert info is not None
        assert task.node_info is not None
        used[task.node_info.node_id] += 1
        failed = task_id in work.bad
        assert info.exit_code == (3 if failed else 0), (task_id, info.as_dict())
        assert info.result == (
            BatchTaskExecutionResult.FAILURE if failed else BatchTaskExecutionResult.SUCCESS
        ), (task_id, info.as_dict())
        assert (info.retry_count, info.requeue_count) == (0, 0)
        if task_id in work.parts:
            assert info.end_time is not None
            last_end = max(last_end or info.end_time, info.end_time)
    merged = tasks["merge"].execution_info
    assert merged is not None
    assert merged.start_time is not None
    assert last_end is not None
    assert merged.start_time >= last_end, "it waited for all parts"
    assert len(used) == NODES, "all nodes worked"
    counts = client.get_job_task_counts(work.job_id).task_counts
    assert (counts.active, counts.running, counts.completed) == (0, 0, work.total)
    assert (counts.succeeded, counts.failed) == (work.size + 1, work.failing)
    failures = client.list_tasks(work.job_id, filter="executionInfo/result eq 'failure'")
    assert sorted(task.id for task in failures) == work.bad
    nodes = list(client.list_nodes(work.pool_id))
    assert sum(node.total_tasks_run for node in nodes) == work.total
    assert sum(node.total_tasks_succeeded or 0 for node in nodes) == work.size + 1
    assert {node.state for node in nodes} == {BatchNodeState.IDLE}


def check_task_files(client: BatchClient, work: MainJob) -> None:
    """What tasks printed and wrote is read through the service."""
    for task_id, part in list(work.parts.items())[:: max(1, work.size // 20)]:
        assert stdout(client, work.job_id, task_id).startswith(f"part {part} kind ")
        assert task_file(client, work.job_id, task_id, "stderr.txt") == b"to stderr\n"
        note = task_file(client, work.job_id, task_id, "wd/out/deep/note.log")
        assert note == b"penstock task token-of-the-pool\n"
    names = {file.name for file in client.list_task_files(work.job_id, "1", recursive=True)}
    assert {"wd/in/part-1.txt", "wd/tools/work.sh", "wd/tables/lookup/factors.txt"} <= names
    assert "wd/tables/unwanted/other.txt" not in names
    script = client.get_task_file_properties(work.job_id, "1", "wd/tools/work.sh")
    assert script.file_mode == "0o100750"
    assert stdout(client, work.job_id, "merge").strip() == str(work.size)


def check_outputs(work: MainJob) -> None:
    """Every result in the storage account is right, and nothing else is there."""
    expected = {
        *(f"results/{task_id}/out/product-{part}.txt" for task_id, part in work.parts.items()),
        *(f"logs/{task_id}/{name}.txt" for task_id in work.parts for name in ("stdout", "stderr")),
        *(f"post-mortem/{task_id}/out/clue.txt" for task_id in work.bad),
        "merged/the-total.txt",
    }
    assert work.outputs.names() == expected
    for task_id, part in work.parts.items():
        found = work.outputs.get(f"results/{task_id}/out/product-{part}.txt")
        assert int(found) == product(part), task_id
    assert work.outputs.get("logs/1/stdout.txt").startswith(b"part 1 ")
    total = sum(product(part) for part in work.parts.values())
    assert int(work.outputs.get("merged/the-total.txt")) == total


def check_deletion(
    service: Penstock, client: BatchClient, work: MainJob, node_ids: Sequence[str]
) -> None:
    """A deleted task, job and pool leave nothing on disk or in the process table."""
    assert found_on_disk(service, work.job_id)
    task = client.get_task(work.job_id, "1")
    assert task.node_info is not None
    place = f"workitems/{work.job_id}/job-1"
    client.delete_task(work.job_id, "1")
    with pytest.raises(ResourceNotFoundError):
        client.get_task(work.job_id, "1")
    left = list(service.data.rglob(f"{place}/1"))
    assert left == []

    why = BatchJobTerminateOptions(termination_reason="all is done")
    client.begin_terminate_job(work.job_id, why, polling_interval=1).result(timeout=30)
    job = client.get_job(work.job_id)
    assert job.state == "completed"
    assert job.execution_info is not None
    assert job.execution_info.termination_reason == "all is done"
    delete_job(client, work.job_id)
    assert not job_exists(client, work.job_id)
    eventually(
        lambda: not found_on_disk(service, work.job_id),
        10,
        "the end of the job's directories",
        seen=lambda: found_on_disk(service, work.job_id)[:5],
    )

    delete_pool(client, work.pool_id)
    for mark in (work.pool_id, *node_ids):
        nothing_of(service, mark)


def nothing_of(service: Penstock, mark: str) -> None:
    """Wait until neither the disk nor the process table names this thing."""

    def left() -> list[str]:
        return [*found_on_disk(service, mark)[:5], *shown(processes_naming(mark))]

    eventually(lambda: not left(), 10, f"the end of what belongs to {mark}", seen=left)


def found_on_disk(service: Penstock, text: str) -> list[str]:
    """Paths in the data directory whose names hold a text."""
    return [str(path) for path in service.data.rglob(f"*{text}*")]
