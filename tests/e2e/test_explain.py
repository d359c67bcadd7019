"""Why a task does not run: the true cause comes first, and without it the task runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobCreateOptions,
    BatchJobDisableOptions,
    BatchJobManagerTask,
    BatchJobPreparationTask,
    BatchJobUpdateOptions,
    BatchNodeDisableSchedulingOptions,
    BatchPoolCreateOptions,
    BatchPoolInfo,
    BatchPoolResizeOptions,
    BatchStartTask,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
    BatchTaskState,
    MultiInstanceSettings,
)
from azure.batch.models._models import (
    BatchNodeDeallocateOptions,
    BatchNodeRebootOptions,
)

from tests.e2e.signing import Wire
from tests.e2e.things import (
    add,
    completed,
    delete_pool,
    job_options,
    made_job,
    made_pool,
    nodes_ready,
    pool_options,
    running,
    shell,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

WITHIN_S: Final = 20.0


class Asked:
    """Asks why, and expects the task to run when the cause is gone."""

    def __init__(self, batch: BatchClient, wire: Wire, flag: Path) -> None:
        self.batch = batch
        self.wire = wire
        self.flag = flag

    def why(self, job: str, task: str = "t") -> list[dict[str, Any]]:
        answer = self.wire.send("GET", f"/jobs/{job}/tasks/{task}/explain")
        assert answer.status_code == 200, answer.text
        causes: list[dict[str, Any]] = answer.json()["value"]
        return causes

    def expect(self, job: str, code: str, *says: str) -> dict[str, str]:
        """Wait until this is the first cause of task `t`; give its details."""
        eventually(
            lambda: self.why(job)[0]["code"] == code, WITHIN_S, code, seen=lambda: self.why(job)
        )
        first = self.why(job)[0]
        assert [part for part in says if part not in first["message"]] == [], first
        assert first["remedy"]
        assert self.batch.get_task(job, "t").state != BatchTaskState.RUNNING
        return {detail["name"]: detail["value"] for detail in first["details"]}

    def runs(self, job: str) -> None:
        """Task `t` runs to its end, and explain says so."""
        task = completed(self.batch, job, "t", WITHIN_S)
        assert task.execution_info is not None
        assert task.execution_info.exit_code == 0
        (cause,) = self.why(job)
        assert (cause["code"], cause["message"]) == ("Completed", "It has succeeded.")

    def until_flag(self, exit_code: int = 0) -> str:
        """A command that ends when the flag is there."""
        return shell(f"while ! [ -e {self.flag} ]; do sleep 0.05; done; exit {exit_code}")

    def if_flag(self, exit_code: int) -> str:
        """A command that fails while the flag is not there."""
        return shell(f"[ -e {self.flag} ] || exit {exit_code}")

    def resize(self, pool: str, nodes: int) -> None:
        options = BatchPoolResizeOptions(target_dedicated_nodes=nodes)
        self.batch.begin_resize_pool(pool, options, polling_interval=1)

    def disable(self, job: str) -> None:
        options = BatchJobDisableOptions(disable_tasks="wait")
        self.batch.begin_disable_job(job, options, polling_interval=1)
        eventually(lambda: self.batch.get_job(job).state == "disabled", WITHIN_S, "a quiet job")

    def node(self, pool: str) -> str:
        return next(iter(self.batch.list_nodes(pool))).id


@pytest.fixture
def asked(batch: BatchClient, wire: Wire, tmp_path: Path) -> Asked:
    return Asked(batch, wire, tmp_path / "go")


def task(name: str = "t", line: str = "/bin/true", **more: Any) -> BatchTaskCreateOptions:
    options = task_options(name, line)
    for part, value in more.items():
        setattr(options, part, value)
    return options


def after(*ids: str, start: int = 0, end: int = -1) -> BatchTaskDependencies:
    spans = [BatchTaskIdRange(start=start, end=end)] if start <= end else None
    return BatchTaskDependencies(task_ids=list(ids) or None, task_id_ranges=spans)


def dependent_job(pool: str) -> BatchJobCreateOptions:
    options = job_options(unique("job"), pool)
    options.uses_task_dependencies = True
    return options


@contextmanager
def own_pool(
    batch: BatchClient, change: Callable[[BatchPoolCreateOptions], None] | None = None, **more: Any
) -> Iterator[tuple[str, str]]:
    """A pool and a job of a test's own; the nodes are not waited for."""
    options = pool_options(unique("pool"), **more)
    if change is not None:
        change(options)
    batch.create_pool(options)
    try:
        with made_job(batch, job_options(unique("job"), options.id)) as job:
            yield options.id, job
    finally:
        delete_pool(batch, options.id)


# --- jobs and dependencies -----------------------------------------------------------------------


def test_a_disabled_job(asked: Asked, job: str) -> None:
    asked.disable(job)
    add(asked.batch, job, task())
    asked.expect(job, "JobDisabled", f"{job!r} is disabled")
    asked.batch.begin_enable_job(job, polling_interval=1)
    asked.runs(job)


def test_a_job_that_runs_as_many_tasks_as_it_may(asked: Asked, job: str) -> None:
    asked.batch.update_job(job, BatchJobUpdateOptions(max_parallel_tasks=1))
    add(asked.batch, job, task("first", asked.until_flag()))
    running(asked.batch, job, "first")
    add(asked.batch, job, task())
    told = asked.expect(job, "MaxParallelTasks", "runs 1 task and may run 1")
    assert told == {"running": "1", "maxParallelTasks": "1"}
    asked.batch.update_job(job, BatchJobUpdateOptions(max_parallel_tasks=2))
    asked.runs(job)
    asked.flag.touch()


def test_dependencies_that_are_missing(asked: Asked, pool: str) -> None:
    with made_job(asked.batch, dependent_job(pool)) as job:
        add(asked.batch, job, task("1"), task(depends_on=after(start=1, end=3)))
        completed(asked.batch, job, "1")
        says = "Of the 3 tasks from 1 to 3, 2 did not succeed yet, the first of them 2"
        asked.expect(job, "DependencyMissing", "task '2', which is not there", says)
        add(asked.batch, job, task("2"), task("03"))
        asked.runs(job)


def test_a_dependency_that_runs(asked: Asked, pool: str) -> None:
    with made_job(asked.batch, dependent_job(pool)) as job:
        add(asked.batch, job, task("x", asked.until_flag()), task(depends_on=after("x")))
        running(asked.batch, job, "x")
        asked.expect(job, "DependencyUnfinished", "task 'x', which is running on node")
        asked.flag.touch()
        asked.runs(job)


def test_a_dependency_that_failed(asked: Asked, pool: str) -> None:
    with made_job(asked.batch, dependent_job(pool)) as job:
        add(asked.batch, job, task("x", asked.if_flag(3)), task(depends_on=after("x")))
        completed(asked.batch, job, "x")
        told = asked.expect(job, "DependencyFailed", "task 'x', which failed with exit code 3")
        assert told["exitCode"] == "3"
        asked.flag.touch()
        asked.batch.reactivate_task(job, "x")
        asked.runs(job)


def test_a_dependency_that_is_blocked_by_another(asked: Asked, pool: str) -> None:
    with made_job(asked.batch, dependent_job(pool)) as job:
        add(
            asked.batch,
            job,
            task("y", asked.if_flag(3)),
            task("x", depends_on=after("y")),
            task(depends_on=after("x")),
        )
        completed(asked.batch, job, "y")
        says = "task 'x', which waits for task 'y', which failed with exit code 3"
        assert asked.expect(job, "DependencyBlocked", says)["root"] == "y"
        answer = asked.wire.send("GET", f"/jobs/{job}/explain", query={"maxresults": "10"})
        groups = {it["code"]: it for it in answer.json()["value"]}
        assert {code: it["count"] for code, it in groups.items()} == {
            "DependencyBlocked": 1,
            "DependencyFailed": 1,
        }
        assert groups["DependencyBlocked"]["exampleTaskId"] == "t"
        assert (answer.json()["waiting"], answer.json()["lookedAt"]) == (2, 2)
        asked.flag.touch()
        asked.batch.reactivate_task(job, "y")
        asked.runs(job)


# --- pools ---------------------------------------------------------------------------------------


def test_a_pool_that_is_not_there(asked: Asked) -> None:
    name = unique("pool")
    with made_job(asked.batch, job_options(unique("job"), name)) as job:
        add(asked.batch, job, task())
        asked.expect(job, "PoolMissing", f"no pool {name!r}")
        with made_pool(asked.batch, pool_options(name)):
            asked.runs(job)


def test_a_pool_without_nodes(asked: Asked) -> None:
    with own_pool(asked.batch, nodes=0) as (pool, job):
        add(asked.batch, job, task())
        asked.expect(job, "PoolEmpty", "no nodes and its target is 0")
        nodes_ready(asked.batch, pool, 0)
        asked.resize(pool, 1)
        asked.runs(job)


def test_a_task_with_too_many_slots(asked: Asked, pool: str) -> None:
    with own_pool(asked.batch, slots=2) as (small, job):
        nodes_ready(asked.batch, small, 1)
        add(asked.batch, job, task(required_slots=3))
        asked.expect(job, "TooManySlots", "needs 3 slots and no node", "more than 2")
        asked.disable(job)
        asked.batch.update_job(job, BatchJobUpdateOptions(pool_info=BatchPoolInfo(pool_id=pool)))
        asked.batch.begin_enable_job(job, polling_interval=1)
        asked.runs(job)


def _linked(options: BatchPoolCreateOptions) -> None:
    options.enable_inter_node_communication = True


def gang(nodes: int) -> MultiInstanceSettings:
    return MultiInstanceSettings(
        number_of_instances=nodes, coordination_command_line=shell("exit 0")
    )


def test_a_pool_that_is_too_small_for_a_multi_instance_task(asked: Asked) -> None:
    with own_pool(asked.batch, _linked) as (pool, job):
        nodes_ready(asked.batch, pool, 1)
        add(asked.batch, job, task(multi_instance_settings=gang(2)))
        asked.expect(job, "TooFewNodes", "needs 2 nodes at once", "no more than 1")
        asked.resize(pool, 2)
        asked.runs(job)


def test_a_pool_whose_nodes_may_not_speak_with_each_other(asked: Asked) -> None:
    with own_pool(asked.batch) as (pool, job):
        nodes_ready(asked.batch, pool, 1)
        add(asked.batch, job, task(multi_instance_settings=gang(1)))
        asked.expect(job, "NoInterNodeCommunication")
        with own_pool(asked.batch, _linked) as (linked, _):
            asked.disable(job)
            info = BatchPoolInfo(pool_id=linked)
            asked.batch.update_job(job, BatchJobUpdateOptions(pool_info=info))
            asked.batch.begin_enable_job(job, polling_interval=1)
            asked.runs(job)


# --- nodes ---------------------------------------------------------------------------------------


def test_a_start_task_that_runs(asked: Asked) -> None:
    start = BatchStartTask(command_line=asked.until_flag(), wait_for_success=True)
    with own_pool(asked.batch, start_task=start) as (_, job):
        add(asked.batch, job, task())
        asked.expect(job, "StartTaskRunning", "running the start task, since")
        asked.flag.touch()
        asked.runs(job)


def test_a_start_task_that_failed(asked: Asked) -> None:
    start = BatchStartTask(command_line=asked.if_flag(7), wait_for_success=True)
    with own_pool(asked.batch, start_task=start) as (pool, job):
        add(asked.batch, job, task())
        told = asked.expect(job, "StartTaskFailed", "it failed with exit code 7")
        asked.flag.touch()
        reboot = BatchNodeRebootOptions(node_reboot_kind="requeue")
        asked.batch.begin_reboot_node(pool, told["node"], reboot, polling_interval=1)
        asked.runs(job)


def test_nodes_on_which_scheduling_is_disabled(asked: Asked) -> None:
    with own_pool(asked.batch) as (pool, job):
        nodes_ready(asked.batch, pool, 1)
        node = asked.node(pool)
        options = BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="requeue")
        asked.batch.disable_node_scheduling(pool, node, options)
        add(asked.batch, job, task())
        assert asked.expect(job, "NodesClosed", "disabled for scheduling")["node"] == node
        asked.batch.enable_node_scheduling(pool, node)
        asked.runs(job)


def test_nodes_that_are_deallocated(asked: Asked) -> None:
    with own_pool(asked.batch) as (pool, job):
        nodes_ready(asked.batch, pool, 1)
        options = BatchNodeDeallocateOptions(node_deallocate_option="requeue")
        node = asked.node(pool)
        asked.batch.begin_deallocate_node(pool, node, options, polling_interval=1).result(
            timeout=20
        )
        add(asked.batch, job, task())
        asked.expect(job, "NodesDeallocated", "deallocated")
        asked.batch.begin_start_node(pool, node, polling_interval=1)
        asked.runs(job)


def prepared_job(pool: str, line: str) -> BatchJobCreateOptions:
    options = job_options(unique("job"), pool)
    options.job_preparation_task = BatchJobPreparationTask(command_line=line, wait_for_success=True)
    return options


def test_a_preparation_that_runs(asked: Asked, pool: str) -> None:
    with made_job(asked.batch, prepared_job(pool, asked.until_flag())) as job:
        add(asked.batch, job, task())
        asked.expect(job, "PreparationRunning", "The preparation task of its job runs on node")
        asked.flag.touch()
        asked.runs(job)


def test_a_preparation_that_failed(asked: Asked) -> None:
    with (
        own_pool(asked.batch) as (pool, _),
        made_job(asked.batch, prepared_job(pool, asked.if_flag(5))) as job,
    ):
        add(asked.batch, job, task())
        asked.expect(job, "PreparationFailed", "failed on 1 node with exit code 5")
        asked.flag.touch()
        nodes_ready(asked.batch, pool, 1)
        asked.resize(pool, 2)
        asked.runs(job)


# --- what others have ----------------------------------------------------------------------------


def test_slots_that_are_taken(asked: Asked) -> None:
    with own_pool(asked.batch, slots=4) as (_, job):
        add(asked.batch, job, task("y", asked.until_flag(), required_slots=3))
        running(asked.batch, job, "y", WITHIN_S)
        add(asked.batch, job, task(required_slots=2))
        says = f"next free when task 'y' of job {job!r} ends"
        told = asked.expect(job, "SlotsTaken", "3 of 4 are taken on its best node", says)
        assert told["task"] == "y"
        asked.flag.touch()
        asked.runs(job)


def test_nodes_that_are_held_for_a_multi_instance_task(asked: Asked) -> None:
    with own_pool(asked.batch, _linked, nodes=2) as (pool, job):
        nodes_ready(asked.batch, pool, 2)
        with made_job(asked.batch, job_options(unique("job"), pool)) as other:
            add(asked.batch, other, task("y", asked.until_flag()))
            running(asked.batch, other, "y")
            add(asked.batch, job, task("g", multi_instance_settings=gang(2)), task())
            says = f"held for task 'g' of job {job!r}, which needs 2 nodes and has 1"
            assert asked.expect(job, "HeldForAnother", says)["task"] == "g"
            assert asked.why(job, "g")[0]["code"] == "NodesHeld"
            asked.flag.touch()
            asked.runs(job)
            completed(asked.batch, job, "g")


def test_a_node_that_the_manager_of_another_job_has(asked: Asked) -> None:
    with own_pool(asked.batch, slots=2) as (pool, job):
        options = job_options(unique("job"), pool)
        options.job_manager_task = BatchJobManagerTask(id="boss", command_line=asked.until_flag())
        with made_job(asked.batch, options) as other:
            running(asked.batch, other, "boss", WITHIN_S)
            add(asked.batch, job, task())
            asked.expect(job, "SlotsTaken", f"when job manager 'boss' of job {other!r} ends")
            asked.flag.touch()
            asked.runs(job)


def test_what_is_no_task_has_no_reasons(asked: Asked, job: str) -> None:
    answer = asked.wire.send("GET", f"/jobs/{job}/tasks/none/explain")
    assert (answer.status_code, answer.json()["code"]) == (404, "TaskNotFound")
    answer = asked.wire.send("GET", "/jobs/none/explain")
    assert (answer.status_code, answer.json()["code"]) == (404, "JobNotFound")
    answer = asked.wire.send("GET", f"/jobs/{job}/explain", query={"maxresults": "0"})
    assert (answer.status_code, answer.json()["code"]) == (400, "OutOfRangeQueryParameterValue")
