"""Multi-instance tasks on real node hosts: servers on all nodes, and a command that uses them."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchNodeState,
    BatchPoolCreateOptions,
    BatchTask,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskExecutionResult,
    BatchTaskState,
    MultiInstanceSettings,
)

from tests.e2e.harness import Penstock, processes_naming
from tests.e2e.things import (
    add,
    completed,
    content,
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
    unique,
)
from tests.e2e.waiting import eventually

SERVES = """
import os, socket, sys
for address in os.environ["AZ_BATCH_HOST_LIST"].split(","):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after an earlier run
    try:
        server.bind((address, int(sys.argv[1])))
        server.listen()
        break
    except OSError:
        server.close()  # another node has this address
else:
    sys.exit("every address is taken")
print("up", flush=True)
os.close(1)
while True:
    peer, _ = server.accept()
    peer.sendall(os.environ["AZ_BATCH_NODE_ID"].encode())
    peer.close()
"""
"""A server that says on which node it is; nobody waits for its end."""

ASKS = """
import os, socket, sys
for address in os.environ["AZ_BATCH_HOST_LIST"].split(","):
    with socket.create_connection((address, int(sys.argv[1])), 5) as peer:
        print(address, peer.makefile().read())
"""

SHOW = "env | grep -E '^(AZ_BATCH_(HOST_LIST|NODE_LIST|MASTER_NODE|IS_|TASK_)|CCP_)' | sort"


def gang_options(pool_id: str, nodes: int) -> BatchPoolCreateOptions:
    options = pool_options(pool_id, nodes=nodes)
    options.enable_inter_node_communication = True
    return options


@pytest.fixture(scope="module")
def three(batch: BatchClient) -> Iterator[str]:
    """A pool of three nodes for such tasks."""
    with made_pool(batch, gang_options(unique("gang"), 3)) as pool_id:
        yield pool_id


@pytest.fixture
def gang_job(batch: BatchClient, three: str) -> Iterator[str]:
    with made_job(batch, job_options(unique("gangs"), three)) as job_id:
        yield job_id


def gang(
    coordinate: str, command: str, instances: int = 3, retries: int = 0, name: str = "t"
) -> BatchTaskCreateOptions:
    return BatchTaskCreateOptions(
        id=name,
        command_line=shell(command),
        constraints=BatchTaskConstraints(max_task_retry_count=retries),
        multi_instance_settings=MultiInstanceSettings(
            number_of_instances=instances, coordination_command_line=shell(coordinate)
        ),
    )


def free_port() -> int:
    """A port that nobody has on any of the loopback addresses."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def scripts(place: Path) -> tuple[str, str]:
    """The server and the client of it, with a port of their own, as scripts of a shell."""
    port = free_port()
    (place / "serves.py").write_text(SERVES)
    (place / "asks.py").write_text(ASKS)
    serves = f"{shlex.quote(sys.executable)} {place}/serves.py {port}"
    # It is up when it says so; then the command of the node is over, and the server stays.
    coordinate = f"({serves} 2>serves.err &) | grep -m 1 up"
    return coordinate, f"{shlex.quote(sys.executable)} {place}/asks.py {port}"


def idle(client: BatchClient, pool_id: str) -> None:
    eventually(
        lambda: all(node.state == BatchNodeState.IDLE for node in client.list_nodes(pool_id)),
        10,
        "idle nodes",
    )


def gone(place: Path) -> None:
    """No server is left."""
    eventually(lambda: not processes_naming(f"{place}/serves.py"), 10, "the end of all servers")


def result(task: BatchTask) -> tuple[str | None, int | None, int, int]:
    info = task.execution_info
    assert info is not None
    return info.result, info.exit_code, info.retry_count, info.requeue_count


def test_a_command_finds_the_servers_of_all_its_nodes(
    batch: BatchClient, three: str, gang_job: str, tmp_path: Path
) -> None:
    coordinate, ask = scripts(tmp_path)
    add(batch, gang_job, gang(coordinate, f"{ask}; {SHOW}"))
    task = completed(batch, gang_job, "t", 30)
    assert result(task) == (BatchTaskExecutionResult.SUCCESS, 0, 0, 0)
    nodes = {node.id: node for node in batch.list_nodes(three)}
    lines = stdout(batch, gang_job, "t").splitlines()
    assert lines[0] == "up", "of the coordination on the primary"
    said = dict(line.split() for line in lines if line.startswith("127."))
    assert sorted(said.values()) == sorted(map(str, nodes))
    assert set(said) == {node.ip_address for node in nodes.values()}
    gone(tmp_path)
    idle(batch, three)
    parts = list(batch.list_subtasks(gang_job, "t"))
    assert [part.id for part in parts] == [1, 2]
    assert {(part.state, part.result, part.exit_code) for part in parts} == {
        ("completed", "success", 0)
    }
    assert task.node_info is not None
    on = [task.node_info.node_id, *(part.node_info and part.node_info.node_id for part in parts)]
    assert sorted(map(str, on)) == sorted(map(str, nodes))


def test_what_each_node_is_told(batch: BatchClient, three: str, gang_job: str) -> None:
    add(batch, gang_job, gang(SHOW, SHOW))
    task = completed(batch, gang_job, "t", 30)
    addresses = sorted(str(node.ip_address) for node in batch.list_nodes(three))
    assert task.node_info is not None
    assert task.node_info.node_id is not None
    told = settings(stdout(batch, gang_job, "t"))
    hosts = told["AZ_BATCH_HOST_LIST"].split(",")
    assert sorted(hosts) == addresses
    primary = batch.get_node(three, task.node_info.node_id)
    assert hosts[0] == primary.ip_address
    assert told["AZ_BATCH_NODE_LIST"] == ";".join(hosts)
    assert told["AZ_BATCH_MASTER_NODE"] == f"{hosts[0]}:6000"
    assert told["AZ_BATCH_IS_CURRENT_NODE_MASTER"] == "true"
    assert told["CCP_NODES"] == "3 " + " ".join(f"{host} 2" for host in hosts)
    assert told["AZ_BATCH_TASK_SHARED_DIR"] == told["AZ_BATCH_TASK_DIR"]
    for part in batch.list_subtasks(gang_job, "t"):
        assert part.node_info is not None
        node_id, root = str(part.node_info.node_id), part.node_info.task_root_directory
        chunks = batch.download_node_file(three, node_id, f"{root}/stdout.txt")
        here = settings(content(chunks).decode())
        for name in ("AZ_BATCH_HOST_LIST", "AZ_BATCH_MASTER_NODE", "CCP_NODES"):
            assert here[name] == told[name]
        assert here["AZ_BATCH_IS_CURRENT_NODE_MASTER"] == "false"
        assert here["AZ_BATCH_TASK_DIR"] == f"{here['AZ_BATCH_TASK_SHARED_DIR']}/{part.id}"


def settings(printed: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in printed.splitlines())


def test_a_node_that_fails_fails_the_whole_after_its_tries(
    batch: BatchClient, three: str, gang_job: str, tmp_path: Path
) -> None:
    coordinate, ask = scripts(tmp_path)
    tries = tmp_path / "tries"
    fails = f"if $AZ_BATCH_IS_CURRENT_NODE_MASTER; then echo x >> {tries}; exit 7; fi"
    add(batch, gang_job, gang(f"{coordinate}; {fails}", ask, retries=1))
    task = completed(batch, gang_job, "t", 30)
    assert result(task) == (BatchTaskExecutionResult.FAILURE, 7, 1, 0)
    assert tries.read_text() == "x\nx\n"
    gone(tmp_path)
    idle(batch, three)


@pytest.mark.parametrize("how", ["terminate", "delete"])
def test_a_user_who_ends_it_ends_all_of_it(
    batch: BatchClient, three: str, gang_job: str, tmp_path: Path, how: str
) -> None:
    coordinate, ask = scripts(tmp_path)
    add(batch, gang_job, gang(coordinate, f"{ask}; sleep 600"))
    running(batch, gang_job, "t")
    eventually(
        lambda: len(stdout(batch, gang_job, "t").splitlines()) == 4, 15, "answers of all servers"
    )
    where = {
        str(node.id): [
            each.name for each in batch.list_node_files(three, str(node.id), recursive=True)
        ]
        for node in batch.list_nodes(three)
    }
    root = f"workitems/{gang_job}/job-1/t"
    assert all(root in names for names in where.values())
    if how == "terminate":
        batch.terminate_task(gang_job, "t")
        task = completed(batch, gang_job, "t")
        assert task.execution_info is not None
        assert task.execution_info.failure_info is not None
        assert task.execution_info.failure_info.code == "TaskEnded"
    else:
        batch.delete_task(gang_job, "t")
        assert refusal(lambda: batch.get_task(gang_job, "t")) == (404, "TaskNotFound")
        eventually(lambda: not holders(batch, three, root), 10, "the end of its directories")
    gone(tmp_path)
    idle(batch, three)


def holders(client: BatchClient, pool_id: str, root: str) -> list[str]:
    """The nodes that have a directory."""
    nodes = [str(node.id) for node in client.list_nodes(pool_id)]
    found = ((node, client.list_node_files(pool_id, node, recursive=True)) for node in nodes)
    return [node for node, files in found if any(file.name == root for file in files)]


def test_a_pool_without_communication_leaves_it_waiting(batch: BatchClient, pool: str) -> None:
    with made_job(batch, job_options(unique("gangs"), pool)) as job_id:
        add(batch, job_id, gang("true", "true", instances=2))
        add(batch, job_id, BatchTaskCreateOptions(id="single", command_line="/bin/true"))
        completed(batch, job_id, "single")
        assert batch.get_task(job_id, "t").state == BatchTaskState.ACTIVE
        assert list(batch.list_subtasks(job_id, "t")) == []


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Penstock]:
    """A Penstock that a test may kill, with a pool of two nodes and a job."""
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(gang_options("pool", 2))
        nodes_ready(client, "pool", 2)
        client.create_job(job_options("job", "pool"))
        yield service


@pytest.mark.parametrize("stage", ["coordinating", "running"])
def test_it_outlives_a_server_that_is_killed(own: Penstock, tmp_path: Path, stage: str) -> None:
    go, counts = tmp_path / "go", tmp_path / "counts"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done"
    coordinate, ask = scripts(tmp_path)
    before, after = (f"; {wait}", "") if stage == "coordinating" else ("", f"; {wait}")
    client = own.client()
    begin = f"{coordinate}; echo begun >> {counts}{before}"
    add(client, "job", gang(begin, f"echo joined >> {counts}; {ask}{after}", instances=2))
    lines = 2 if stage == "coordinating" else 3
    eventually(
        lambda: counts.exists() and len(counts.read_text().splitlines()) == lines, 20, "its begin"
    )
    own.kill()
    own.start()
    client = own.client()
    assert client.get_task("job", "t").state == BatchTaskState.RUNNING
    go.touch()
    task = completed(client, "job", "t", 30)
    assert result(task) == (BatchTaskExecutionResult.SUCCESS, 0, 0, 0)
    assert sorted(counts.read_text().split()) == ["begun", "begun", "joined"], "each once"
    assert len(stdout(client, "job", "t").splitlines()) == 3
    gone(tmp_path)
    idle(client, "pool")


def test_the_whole_runs_again_when_a_node_host_is_killed(own: Penstock, tmp_path: Path) -> None:
    go = tmp_path / "go"
    coordinate, ask = scripts(tmp_path)
    client = own.client()
    add(
        client,
        "job",
        gang(coordinate, f"{ask}; while [ ! -e {go} ]; do sleep 0.05; done", instances=2),
    )
    running(client, "job", "t")
    eventually(lambda: len(stdout(client, "job", "t").splitlines()) == 3, 15, "two answers")
    own.node_host().kill()
    go.touch()
    task = in_state(client, "job", "t", BatchTaskState.COMPLETED, 40)
    assert result(task) == (BatchTaskExecutionResult.SUCCESS, 0, 0, 1)
    assert len(stdout(client, "job", "t").splitlines()) == 3
    gone(tmp_path)
    idle(client, "pool")
