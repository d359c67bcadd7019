"""The unmodified SDK against the REST edge, over real sockets, with a fake service behind it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from azure.batch import BatchClient, models
from azure.batch.aio import BatchClient as AsyncBatchClient
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from penstock.wire.app import make_app
from penstock.wire.settings import WireSettings
from tests.wire.edge import ACCOUNT, KEY, SECOND_KEY
from tests.wire.fakes import FakeService

MACHINE = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts"
    ),
    node_agent_sku_id="batch.node.ubuntu 22.04",
)


@dataclass(frozen=True)
class Running:
    """A server, and the service behind it."""

    endpoint: str
    service: FakeService

    def client(self, key: str = KEY, path: str = "", **options: Any) -> BatchClient:
        credential = AzureNamedKeyCredential(ACCOUNT, key)
        return BatchClient(self.endpoint + path, credential, retry_total=0, **options)

    def async_client(self) -> AsyncBatchClient:
        return AsyncBatchClient(self.endpoint, AzureNamedKeyCredential(ACCOUNT, KEY))


class Server(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture
def running() -> Iterator[Running]:
    service = FakeService(now_us=time.time_ns() // 1000)
    settings = WireSettings(accounts={ACCOUNT: [KEY, SECOND_KEY]}, now_us=service.now)

    async def ready() -> bool:
        return True

    app: Any = make_app(service, settings, ready)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert server.up.wait(10)
    yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", service)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    listener.close()


@pytest.fixture
def client(running: Running) -> Iterator[BatchClient]:
    with running.client() as client:
        yield client


def make_pool(client: BatchClient, name: str = "Pool", nodes: int = 1) -> None:
    client.create_pool(
        models.BatchPoolCreateOptions(
            id=name,
            vm_size="STANDARD_D2s_v3",
            virtual_machine_configuration=MACHINE,
            target_dedicated_nodes=nodes,
        )
    )


def make_job(client: BatchClient, name: str = "Job", **options: Any) -> None:
    info = models.BatchPoolInfo(pool_id="Pool")
    client.create_job(models.BatchJobCreateOptions(id=name, pool_info=info, **options))


def tasks(count: int, command: str = "/bin/true") -> list[models.BatchTaskCreateOptions]:
    return [
        models.BatchTaskCreateOptions(id=f"task-{number:04}", command_line=command)
        for number in range(count)
    ]


def test_pools(client: BatchClient) -> None:
    make_pool(client, nodes=2)

    pool = client.get_pool("pool")
    assert (pool.id, pool.vm_size, pool.current_dedicated_nodes) == ("Pool", "standard_d2s_v3", 2)
    assert pool.resize_timeout is not None
    assert pool.resize_timeout.total_seconds() == 900
    assert client.pool_exists("POOL")
    with pytest.raises(ResourceNotFoundError):  # the SDK does not get to its own False
        client.pool_exists("no-such-pool")
    nodes = list(client.list_nodes("Pool"))
    assert [node.state for node in nodes] == ["idle", "idle"]
    assert client.get_node("Pool", nodes[0].id).virtual_machine_info is not None
    item = models.BatchMetadataItem(name="a", value="b")
    client.update_pool("Pool", models.BatchPoolUpdateOptions(metadata=[item]))
    assert client.get_pool("Pool").metadata == [item]
    (counts,) = client.list_pool_node_counts()
    assert counts.dedicated is not None
    assert counts.dedicated.idle == 2
    image = next(iter(client.list_supported_images()))
    assert image.verification_type == "verified"


def test_pollers_see_the_state_in_between(client: BatchClient) -> None:
    make_pool(client)

    resizing = client.begin_resize_pool(
        "Pool", models.BatchPoolResizeOptions(target_dedicated_nodes=3), polling_interval=0
    )
    assert client.get_pool("Pool").allocation_state == "resizing"
    client.begin_stop_pool_resize("Pool", polling_interval=0).result(10)
    resizing.result(10)
    (error,) = client.get_pool("Pool").resize_errors or []
    assert error.code == "ResizeStopped"


def test_jobs_and_tasks(client: BatchClient) -> None:
    make_pool(client)
    make_job(client, priority=5)
    client.create_task(
        "Job",
        models.BatchTaskCreateOptions(
            id="Task",
            command_line="/bin/echo 'a b'",
            environment_settings=[models.EnvironmentSetting(name="A", value="1")],
            constraints=models.BatchTaskConstraints(max_task_retry_count=2),
            exit_conditions=models.ExitConditions(
                default=models.ExitOptions(dependency_action="Satisfy")
            ),
        ),
    )

    task = client.get_task("job", "TASK")
    assert (task.id, task.state, task.required_slots) == ("Task", "active", 1)
    assert task.constraints is not None
    assert task.constraints.max_task_retry_count == 2
    assert task.exit_conditions is not None
    assert task.exit_conditions.default is not None
    assert task.exit_conditions.default.dependency_action == "satisfy"
    assert client.get_job_task_counts("Job").task_counts.active == 1
    client.terminate_task("Job", "Task")
    assert client.get_task("Job", "Task").state == "completed"
    client.reactivate_task("Job", "Task")
    assert client.get_task("Job", "Task").previous_state == "completed"
    client.delete_task("Job", "Task")
    with pytest.raises(ResourceNotFoundError) as raised:
        client.get_task("Job", "Task")
    assert raised.value.error is not None
    assert raised.value.error.code == "TaskNotFound"
    client.begin_disable_job(
        "Job", models.BatchJobDisableOptions(disable_tasks="Requeue"), polling_interval=0
    ).result(10)
    assert client.get_job("Job").state == "disabled"
    client.begin_delete_job("Job", polling_interval=0).result(10)


def test_names_that_are_taken(client: BatchClient) -> None:
    make_pool(client)
    with pytest.raises(ResourceExistsError) as raised:
        make_pool(client, "POOL")
    assert raised.value.error is not None
    assert raised.value.error.code == "PoolExists"


def test_paging_and_filters(client: BatchClient) -> None:
    make_job(client)
    client.create_tasks("Job", tasks(25))

    names = [task.id for task in client.list_tasks("Job", max_results=10)]
    assert names == [f"task-{number:04}" for number in range(25)]
    pages = [len(list(page)) for page in client.list_tasks("Job", max_results=10).by_page()]
    assert pages == [10, 10, 5]
    wanted = "(id ge 'TASK-0020' or startswith(id,'task-0003')) and state eq 'active'"
    found = list(client.list_tasks("Job", filter=wanted, select=["id", "state"], max_results=2))
    assert [task.id[-2:] for task in found] == ["03", "20", "21", "22", "23", "24"]
    assert found[0].command_line is None
    with pytest.raises(HttpResponseError) as raised:
        list(client.list_tasks("Job", filter="nonsense eq 1"))
    assert raised.value.error is not None
    assert raised.value.error.code == "InvalidQueryParameterValue"


@pytest.mark.parametrize("threads", [0, 4])
def test_collections(client: BatchClient, threads: int) -> None:
    make_job(client)
    result = client.create_tasks("Job", tasks(250), max_concurrency=threads)

    assert result.result_values is not None
    assert len(result.result_values) == 250
    assert client.get_job_task_counts("Job").task_counts.active == 250
    client.create_tasks("Job", tasks(3))  # "TaskExists" counts as added


def test_a_bad_task_in_a_collection_is_reported_alone(client: BatchClient) -> None:
    make_job(client)
    bad = models.BatchTaskCreateOptions(id="not good", command_line="x")
    with pytest.raises(models.CreateTasksError) as raised:
        client.create_tasks("Job", [*tasks(3), bad])

    (failed,) = raised.value.failure_tasks
    assert failed.task_id == "not good"
    assert failed.error is not None
    assert failed.error.code == "InvalidPropertyValue"
    assert len(list(client.list_tasks("Job"))) == 3


def test_a_collection_that_is_too_large_is_sent_in_parts(client: BatchClient) -> None:
    make_job(client)
    client.create_tasks("Job", tasks(100, "x" * 20_000))

    assert client.get_job_task_counts("Job").task_counts.active == 100


def test_conditions(client: BatchClient) -> None:
    make_job(client)
    job = client.get_job("Job")
    options = models.BatchJobUpdateOptions(priority=7)
    client.update_job("Job", options, etag=job.etag, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError) as raised:
        client.update_job(
            "Job", options, etag=job.etag, match_condition=MatchConditions.IfNotModified
        )
    assert raised.value.status_code == 412
    newest = client.get_job("Job").etag
    with pytest.raises(HttpResponseError) as raised_by_read:
        client.get_job("Job", etag=newest, match_condition=MatchConditions.IfModified)
    assert raised_by_read.value.status_code == 304


def with_files(running: Running, client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    client.create_tasks("Job", tasks(1))
    asyncio.run(running.service.run(ACCOUNT, "Job", "task-0000"))
    root = "workitems/Job/job-1/task-0000"
    running.service.files |= {
        f"{root}/stdout.txt": b"printed\n",
        f"{root}/wd/a+b&c ü.bin": bytes(range(256)) * 4096,
    }
    running.service.directories.add(f"{root}/wd")


def test_files(running: Running, client: BatchClient) -> None:
    with_files(running, client)

    files = {file.name: file for file in client.list_task_files("Job", "task-0000")}
    assert set(files) == {"stdout.txt", "wd"}
    assert files["wd"].properties is None
    assert b"".join(client.download_task_file("Job", "task-0000", "stdout.txt")) == b"printed\n"
    name = "wd/a+b&c ü.bin"
    whole = b"".join(client.download_task_file("Job", "task-0000", name))
    assert whole == bytes(range(256)) * 4096
    part = client.download_task_file("Job", "task-0000", name, ocp_range="bytes=256-258")
    assert b"".join(part) == b"\0\1\2"
    about = client.get_task_file_properties("Job", "task-0000", name)
    assert (about.content_length, about.file_mode) == (1 << 20, "0o100644")
    client.delete_task_file("Job", "task-0000", name)
    with pytest.raises(ResourceNotFoundError):
        client.get_task_file_properties("Job", "task-0000", name)
    below = "workitems/Job/job-1/task-0000/stdout.txt"
    assert b"".join(client.download_node_file("Pool", "node-0-d", below)) == b"printed\n"
    assert all(file.closed for file in running.service.given)


def test_a_file_that_is_cut_off_does_not_look_whole(running: Running, client: BatchClient) -> None:
    with_files(running, client)
    running.service.cut_after = 3

    with pytest.raises(HttpResponseError):
        b"".join(client.download_task_file("Job", "task-0000", "wd/a+b&c ü.bin"))
    running.service.cut_after = None
    assert b"".join(client.download_task_file("Job", "task-0000", "stdout.txt")) == b"printed\n"


def test_both_keys_and_the_account_in_the_path(running: Running) -> None:
    for path in ("", "/", f"/{ACCOUNT}", f"/{ACCOUNT}/"):
        with running.client(SECOND_KEY, path) as client:
            name = f"pool{len(path)}"
            make_pool(client, name)
            pool = client.get_pool(name)
            assert pool.url.endswith(f"{path.rstrip('/')}/pools/{name}")
            assert name in [each.id for each in client.list_pools(max_results=1)]


def test_a_wrong_key(running: Running) -> None:
    with (
        running.client("d3Jvbmc=") as client,
        pytest.raises(HttpResponseError) as raised,
    ):
        client.get_pool("Pool")
    assert raised.value.status_code == 403
    assert raised.value.error is not None
    assert raised.value.error.code == "AuthenticationFailed"


def test_the_asynchronous_client(running: Running, client: BatchClient) -> None:
    with_files(running, client)

    async def use() -> None:
        async with running.async_client() as aio:
            assert [pool.id async for pool in aio.list_pools()] == ["Pool"]
            await aio.create_tasks("Job", tasks(120)[1:])
            names = [task.id async for task in aio.list_tasks("Job", max_results=50)]
            assert len(names) == 120
            chunks = await aio.download_task_file("Job", "task-0000", "wd/a+b&c ü.bin")
            assert len(b"".join([chunk async for chunk in chunks])) == 1 << 20
            await aio.terminate_task("Job", "task-0001")
            await aio.delete_task("Job", "task-0002")
            disable = models.BatchJobDisableOptions(disable_tasks="wait")
            await (await aio.begin_disable_job("Job", disable, polling_interval=0)).result()
            await (await aio.begin_enable_job("Job", polling_interval=0)).result()
            assert (await aio.get_job("Job")).state == "active"
            with pytest.raises(ResourceNotFoundError):
                await aio.get_pool("no-such-pool")

    asyncio.run(use())
