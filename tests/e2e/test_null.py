"""`penstock agent --null`: a real server and the official SDK, and nodes that run nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchStartTask, BatchTask

from tests.e2e.harness import Penstock, agent
from tests.e2e.things import (
    all_completed,
    delete_job,
    delete_pool,
    job_options,
    nodes_ready,
    pool_options,
    refusal,
    task_options,
)

TASKS = 500


def added(client: BatchClient, job_id: str) -> None:
    client.create_tasks(job_id, [task_options(f"t{n:05d}", "/bin/false") for n in range(TASKS)])


def succeeded(tasks: dict[str, BatchTask], nodes: set[str]) -> bool:
    """Whether each has the record of one good run on one of the nodes."""
    return all(
        (info := task.execution_info) is not None
        and (info.exit_code, info.result, info.requeue_count) == (0, "success", 0)
        and info.start_time is not None
        and info.end_time is not None
        and task.node_info is not None
        and task.node_info.node_id in nodes
        for task in tasks.values()
    )


def test_five_hundred_tasks_succeed_on_the_nodes_of_two_hosts(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data", verb="serve") as service:
        client = service.client()
        words = ("--null", "--join", str(service.ready.data_dir))
        with agent(*words, log=tmp_path / "1.log"), agent(*words, log=tmp_path / "2.log"):
            start = BatchStartTask(command_line="/bin/false", wait_for_success=True)
            client.create_pool(pool_options("p", nodes=10, slots=2, start_task=start))
            nodes = {node.id for node in nodes_ready(client, "p", 10)}
            client.create_job(job_options("j", "p"))
            added(client, "j")
            tasks = all_completed(client, "j", TASKS, 30)
            file_answer = refusal(lambda: client.get_task_file_properties("j", "t00000", "f"))
            client.delete_task("j", "t00000")
            delete_job(client, "j")
            delete_pool(client, "p")

    assert len(tasks) == TASKS
    assert succeeded(tasks, nodes)
    assert {task.node_info.node_id for task in tasks.values() if task.node_info} == nodes
    assert file_answer is not None, "there are no files"
    assert file_answer[0] in (404, 409)
    assert not list(service.data.glob("**/t00000")), "nothing was run"


@pytest.mark.parametrize("restarted", [False, True], ids=["host stands still", "server killed"])
def test_a_cut_loses_and_doubles_nothing(tmp_path: Path, restarted: bool) -> None:
    with Penstock(tmp_path / "data", verb="serve") as service:
        client = service.client()
        words = ("--null", "--join", str(service.ready.data_dir))
        with agent(*words, log=tmp_path / "agent.log") as host:
            client.create_pool(pool_options("p", nodes=4, slots=2))
            nodes = {node.id for node in nodes_ready(client, "p", 4)}
            client.create_job(job_options("j", "p"))
            host.send_signal(signal.SIGSTOP)
            added(client, "j")
            if restarted:
                service.kill()
            host.send_signal(signal.SIGCONT)
            if restarted:
                service.start()
                client = service.client()
            tasks = all_completed(client, "j", TASKS, 30)

    assert len(tasks) == TASKS
    assert succeeded(tasks, nodes)
