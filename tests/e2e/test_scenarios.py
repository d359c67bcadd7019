"""The scenarios in `examples/`, run as a user runs them, and their results found a second way.

What an example prints is what it believes. What really happened is read here from the outputs and
the records of the tasks that it leaves behind.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from pydoc_data import topics

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTask, BatchTaskExecutionResult

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    content,
    delete_job,
    delete_pool,
    job_exists,
    pool_exists,
    refusal,
    stdout,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    """An example that has ended well, with its jobs and its pool still there."""

    client: BatchClient
    run: str
    printed: str

    def tasks(self, job_id: str | None = None) -> dict[str, BatchTask]:
        """The records of all tasks, by id."""
        return {task.id: task for task in self.client.list_tasks(job_id or self.run)}

    def output(self, task_id: str, job_id: str | None = None) -> str:
        """What a task printed."""
        return stdout(self.client, job_id or self.run, task_id)


def script(name: str, service: Penstock, *words: str) -> tuple[str, str]:
    """Run an example to its end; give the id of its run and all that it printed.

    It knows nothing of this repository but the folder that it is in.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), str(service.ready_file), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=WITHIN_S,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{service.printed()}"
    first = re.match(r"run (\S+)\n", done.stdout)
    assert first is not None, done.stdout
    return first[1], done.stdout


@contextmanager
def ran(name: str, service: Penstock) -> Iterator[Ran]:
    """Run an example that leaves everything there, and remove it afterwards."""
    run, printed = script(name, service, "--keep")
    client = service.client()
    try:
        yield Ran(client, run, printed)
    finally:
        for job_id in [job.id for job in client.list_jobs() if job.id.startswith(run)]:
            delete_job(client, job_id)
        if pool_exists(client, run):
            delete_pool(client, run)


def succeeded(tasks: Mapping[str, BatchTask]) -> bool:
    """Whether all ended well, at the first attempt."""
    infos = [task.execution_info for task in tasks.values()]
    return all(
        info is not None
        and info.result == BatchTaskExecutionResult.SUCCESS
        and (info.exit_code, info.retry_count, info.requeue_count) == (0, 0, 0)
        for info in infos
    )


def node_of(task: BatchTask) -> str:
    """The node on which a task ran."""
    assert task.node_info is not None
    assert task.node_info.node_id is not None
    return task.node_info.node_id


def times(task: BatchTask) -> tuple[datetime, datetime]:
    """Start and end of a task, as recorded."""
    info = task.execution_info
    assert info is not None
    assert info.start_time is not None
    assert info.end_time is not None
    return info.start_time, info.end_time


def moments(output: str) -> tuple[int, int]:
    """When a command began and ended, as it printed itself."""
    (began,) = re.findall(r"^began (\d+)$", output, re.M)
    (ended,) = re.findall(r"^ended (\d+)$", output, re.M)
    return int(began), int(ended)


def most_at_once(ran: Sequence[tuple[tuple[int, int], int]]) -> int:
    """The most slots in use at any moment at which something began."""
    return max(
        sum(slots for (began, ended), slots in ran if began <= at < ended) for (at, _), _ in ran
    )


# --- each scenario -------------------------------------------------------------------------------


def wanted_by(task: BatchTask) -> set[str]:
    """The ids of the tasks that a task depends on, as the service shows them."""
    if task.depends_on is None:
        return set()
    ids = set(task.depends_on.task_ids or [])
    for span in task.depends_on.task_id_ranges or []:
        ids |= {str(number) for number in range(span.start, span.end + 1)}
    return ids


def test_tasks_wait_for_those_they_depend_on(stored: Penstock) -> None:
    with ran("task_dependencies", stored) as it:
        tasks = it.tasks()
        assert succeeded(tasks)
        wanted = {task_id: wanted_by(task) for task_id, task in tasks.items()}
        bees = {"1", "2", "3", "4", "5"}
        assert wanted == {
            "rain": set(),
            "sun": set(),
            "flowers": {"rain", "sun"},
            **{bee: {"flowers"} for bee in bees},
            "final": bees,
        }
        spans = {task_id: moments(it.output(task_id)) for task_id in tasks}
        for task_id, parents in wanted.items():
            for parent in parents:
                assert spans[task_id][0] > spans[parent][1], (task_id, parent, spans)
                assert times(tasks[task_id])[0] >= times(tasks[parent])[1], (task_id, parent)
        assert it.output("flowers").splitlines()[1] == "flowers grow"
        assert it.printed.endswith("in order\n")


def test_slots_and_a_jobs_limit_hold_exactly(stored: Penstock) -> None:
    with ran("parallel_tasks", stored) as it:
        tasks = it.tasks()
        assert succeeded(tasks)
        assert Counter(task.required_slots for task in tasks.values()) == {1: 16, 2: 8}
        nodes = {node_of(task) for task in tasks.values()}
        assert len(nodes) == 2
        for node_id in nodes:
            used = [
                (moments(it.output(task_id)), task.required_slots or 0)
                for task_id, task in tasks.items()
                if node_of(task) == node_id
            ]
            assert most_at_once(used) == 4
            assert f"node {node_id}: at most 4 of 4 slots\n" in it.printed

        few = f"{it.run}-few"
        tasks = it.tasks(few)
        assert len(tasks) == 16
        assert succeeded(tasks)
        assert most_at_once([(moments(it.output(task_id, few)), 1) for task_id in tasks]) == 3
        assert f"job {few}: at most 3 of 3 tasks at once\n" in it.printed


def test_nodes_are_prepared_and_released(stored: Penstock) -> None:
    with ran("job_prep_release", stored) as it:
        tasks = it.tasks()
        assert len(tasks) == 8
        assert succeeded(tasks)
        by_node: dict[str, set[str]] = {}
        for task in tasks.values():
            by_node.setdefault(node_of(task), set()).add(task.id)
        statuses = list(it.client.list_job_preparation_and_release_task_status(it.run))
        assert sorted(str(status.node_id) for status in statuses) == sorted(by_node)
        for status in statuses:
            prepared = status.job_preparation_task_execution_info
            released = status.job_release_task_execution_info
            assert prepared is not None
            assert released is not None
            assert (prepared.result, prepared.exit_code) == ("success", 0)
            assert (released.result, released.exit_code) == ("success", 0)
            node_id = str(status.node_id)
            here = [times(tasks[task_id]) for task_id in by_node[node_id]]
            assert prepared.end_time is not None
            assert prepared.end_time <= min(start for start, _ in here)
            assert released.start_time >= max(end for _, end in here)
            check_lines(it, node_id, by_node[node_id])
        job = it.client.get_job(it.run)
        assert job.state == "completed"
        assert job.execution_info is not None
        assert job.execution_info.termination_reason == "all lines are written"


def check_lines(it: Ran, node_id: str, task_ids: set[str]) -> None:
    """What the release task found in the file: one line of preparation, one of each task."""
    where = f"workitems/{it.run}/job-1/jobrelease/stdout.txt"
    lines = content(it.client.download_node_file(it.run, node_id, where)).decode().splitlines()
    assert lines[0] == f"prepared {node_id}"
    assert sorted(lines[1:]) == sorted(f"task {task_id} {node_id}" for task_id in task_ids)
    gone = f"shared/{it.run}.txt"
    found = refusal(lambda: content(it.client.download_node_file(it.run, node_id, gone)))
    assert found == (404, "FileNotFound")


def primes_below(end: int) -> int:
    """How many primes there are below a number, by a sieve."""
    candidates = bytearray([0, 0]) + bytearray([1]) * (end - 2)
    for number in range(2, int(end**0.5) + 1):
        if candidates[number]:
            candidates[number * number :: number] = bytes(len(range(number * number, end, number)))
    return sum(candidates)


def test_a_job_is_directed_by_its_manager(stored: Penstock) -> None:
    with ran("job_manager", stored) as it:
        job = it.client.get_job(it.run)
        assert job.execution_info is not None
        assert (job.state, job.execution_info.termination_reason) == ("completed", "JMComplete")
        tasks = it.tasks()
        parts = {task_id: task for task_id, task in tasks.items() if task_id.startswith("part-")}
        assert set(tasks) == {"manager", "endless", *(f"part-{n}" for n in range(10))}
        assert succeeded(parts | {"manager": tasks["manager"]})
        began, ended = times(tasks["manager"])
        for task in parts.values():
            assert began <= times(task)[0]
            assert times(task)[1] <= ended
        found = primes_below(200_000)
        assert sum(int(it.output(task_id)) for task_id in parts) == found
        assert it.output("manager") == f"{found} primes below 200000\n"
        check_ended_with_the_job(tasks["endless"], ended)


def check_ended_with_the_job(task: BatchTask, manager_ended: datetime) -> None:
    """It ran when the manager ended, and was killed for that."""
    info = task.execution_info
    assert info is not None
    assert info.failure_info is not None
    assert (info.result, info.failure_info.code) == ("failure", "TaskEnded")
    assert times(task)[1] >= manager_ended


def test_a_text_is_searched_by_mappers_and_a_reducer(stored: Penstock) -> None:
    with ran("text_search", stored) as it:
        job = it.client.get_job(it.run)
        info = job.execution_info
        assert info is not None
        assert info.pool_id is not None
        assert (job.state, info.termination_reason) == ("completed", "AllTasksComplete")
        assert info.pool_id.startswith(f"{it.run[:20]}_")
        assert not pool_exists(it.client, info.pool_id)
        tasks = it.tasks()
        mappers = {str(number): tasks[str(number)] for number in range(1, 7)}
        assert set(tasks) == {*mappers, "reducer"}
        assert succeeded(tasks)
        assert times(tasks["reducer"])[0] >= max(times(task)[1] for task in mappers.values())
        lines = "\n".join(topics.topics[name] for name in sorted(topics.topics)).split("\n")
        expected = [line for line in lines if re.search(r"iterat(or|ion|ing)s?", line)]
        assert len(expected) > 50
        assert it.printed.endswith("".join(f"{line}\n" for line in expected))
        summary = f"{len(expected)} of {len(lines)} lines match"
        assert summary in it.printed


# --- what they leave behind ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task_dependencies", "text_search"])
def test_a_scenario_cleans_up_after_itself(stored: Penstock, name: str) -> None:
    run, _ = script(name, stored)
    client = stored.client()
    assert not job_exists(client, run)
    assert [pool.id for pool in client.list_pools() if pool.id.startswith(run[:20])] == []
    assert [box.name for box in stored.blobs().list_containers() if box.name == run] == []
