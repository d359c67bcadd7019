"""What a host is told to run: tasks, the special tasks of jobs, parts of multi-instance tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.records import (
    Failure,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    SpecialRun,
    SubtaskRecord,
    TaskRecord,
)
from penstock.domain.sizes import size_of
from penstock.domain.specs.common import NameValue, stored_spec
from penstock.domain.specs.task import TaskSpec
from penstock.engine.hindrances import hindrance_on
from penstock.engine.task_tokens import token_environment
from penstock.engine.turn import Turn
from penstock.messages import Gang, RunTask

PREPARATION_ID = "jobpreparation"
RELEASE_ID = "jobrelease"


def task_order(turn: Turn, task: TaskRecord, spec: bytes) -> RunTask:
    """What a host is told of an attempt."""
    job = turn.state.jobs[task.job_no]
    wanted = stored_spec(TaskSpec, spec)
    limit = wanted.constraints.max_wall_clock_time if wanted.constraints else None
    files = wanted.resource_files or []
    return RunTask(
        node_no=task.node_no or 0,
        task_no=task.no,
        attempt=task.attempt,
        job_id=job.id,
        task_id=task.id,
        command_line=wanted.command_line,
        environment=_environment(job, wanted.environment_settings)
        | token_environment(turn, task, wanted),
        resource_files=tuple(files),
        output_files=tuple(wanted.output_files or ()),
        wall_clock_us=_limit_us(limit),
        container_urls=turn.settings.container_urls(job.account, files),
        slots=task.slots,
        ahead=task.ahead,
        preparation_id=preparation_id(job),
        refused=_refused(turn, task.node_no or 0, wanted),
    )


def _refused(turn: Turn, node_no: int, task: Any) -> Failure | None:
    """Why a task of any kind fails on a node before its command."""
    return hindrance_on(
        turn,
        turn.node(node_no),
        task.command_line,
        task.container_settings,
        task.user_identity,
    )


def _limit_us(limit: Duration | None) -> int | None:
    return None if limit is None else limit.micros


def _environment(job: JobRecord, own: Sequence[NameValue] | None) -> dict[str, str]:
    common = job.spec.common_environment_settings or []
    return {item.name: item.value or "" for item in (*common, *(own or ()))}


# --- multi-instance tasks ------------------------------------------------------------------------


def subtask_order(turn: Turn, task: TaskRecord, spec: bytes, subtask: SubtaskRecord) -> RunTask:
    """What a host is told of the coordination command on its node."""
    order = task_order(turn, task, spec)
    wanted = stored_spec(TaskSpec, spec).multi_instance_settings
    assert wanted is not None, "only multi-instance tasks have parts"
    primary = subtask.index == 0
    return replace(
        order,
        node_no=subtask.node_no,
        task_no=subtask.no,
        command_line=wanted.coordination_command_line,
        resource_files=order.resource_files if primary else (),
        output_files=(),
        gang=_gang(turn, task, spec, subtask.index),
        lingers=True,
    )


def joining_order(turn: Turn, task: TaskRecord, spec: bytes) -> RunTask:
    """What the primary's host is told of the command itself."""
    order = task_order(turn, task, spec)
    return replace(order, resource_files=(), gang=_gang(turn, task, spec, 0), joins=True)


def _gang(turn: Turn, task: TaskRecord, spec: bytes, index: int) -> Gang:
    job = turn.state.jobs[task.job_no]
    wanted = stored_spec(TaskSpec, spec).multi_instance_settings
    common = (wanted.common_resource_files if wanted else None) or []
    nodes = [turn.node(part.node_no) for part in turn.state.subtasks.of(task.no)]
    return Gang(
        index=index,
        addresses=tuple((node.address or "") if node else "" for node in nodes),
        cores=tuple(_cores(node) for node in nodes),
        files=tuple(common),
        container_urls=turn.settings.container_urls(job.account, common),
    )


def _cores(node: NodeRecord | None) -> int:
    size = size_of(node.vm_size) if node else None
    return size.cores if size else 1


# --- special tasks -------------------------------------------------------------------------------


def preparation_id(job: JobRecord) -> str | None:
    """The id of a job's preparation task, if it has one."""
    task = job.spec.job_preparation_task
    return None if task is None else task.id or PREPARATION_ID


def preparation_order(
    turn: Turn, job: JobRecord, job_node: JobNodeRecord, run: SpecialRun
) -> RunTask:
    """What a host is told of a job's preparation task."""
    task = job.spec.job_preparation_task
    assert task is not None, "a job without preparation task has no such run"
    limit = task.constraints.max_wall_clock_time if task.constraints else None
    return _special_order(
        turn,
        job,
        job_node.node_no,
        task,
        task_no=job_node.no,
        attempt=run.attempt,
        task_id=task.id or PREPARATION_ID,
        wall_clock_us=_limit_us(limit),
    )


def release_order(turn: Turn, job: JobRecord, job_node: JobNodeRecord, run: SpecialRun) -> RunTask:
    """What a host is told of a job's release task."""
    task = job.spec.job_release_task
    assert task is not None, "a job without release task has no such run"
    return _special_order(
        turn,
        job,
        job_node.node_no,
        task,
        task_no=job_node.release_no,
        attempt=run.attempt,
        task_id=task.id or RELEASE_ID,
        wall_clock_us=_limit_us(task.max_wall_clock_time),
        preparation_id=preparation_id(job),
    )


def _special_order(turn: Turn, job: JobRecord, node_no: int, task: Any, **more: Any) -> RunTask:
    files = task.resource_files or []
    return RunTask(
        node_no=node_no,
        job_id=job.id,
        command_line=task.command_line,
        environment=_environment(job, task.environment_settings),
        resource_files=tuple(files),
        container_urls=turn.settings.container_urls(job.account, files),
        slots=0,
        refused=_refused(turn, node_no, task),
        **more,
    )
