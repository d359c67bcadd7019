"""The properties that lists can be filtered by, and a filter as SQL or as a test on records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.domain.instants import instant
from penstock.domain.queries import Both, Compare, Either, Filter, StartsWith, Value
from penstock.domain.records import (
    CertificateRecord,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    ScheduleRecord,
    SpecialRun,
    TaskRecord,
    key_of,
)
from penstock.domain.states import TaskResult, TaskState

LAST_CHARACTER = "\U0010ffff"

OPERATORS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}


def _lower(value: Value) -> Value:
    return key_of(value) if isinstance(value, str) else value


def _named(numbers: Mapping[str, int]) -> Callable[[Value], Value]:
    """Names of states as numbers; an unknown name as one that nothing has."""
    return lambda value: numbers.get(str(value).lower(), -1)


_task_state = _named({state.wire_name: int(state) for state in TaskState})
_task_result = _named({result.wire_name: int(result) for result in TaskResult})


class Property(msgspec.Struct, frozen=True):
    """Where a property is: in a column, and on a record."""

    column: str
    of: Callable[[Any], Any]
    value: Callable[[Value], Value] = _lower  # what a filter's value becomes


def _auto(pool: PoolRecord) -> bool:
    return bool(pool.spec.enable_auto_scale)


def _inter_node(pool: PoolRecord) -> bool:
    return bool(pool.spec.enable_inter_node_communication)


def start_task_state(node: NodeRecord) -> str | None:
    """``running``, ``completed``, or None before the first run."""
    if node.start_task is None:
        return None
    return "running" if node.start_task.running else "completed"


def start_task_result(node: NodeRecord) -> str | None:
    """``success`` or ``failure`` of a start task that has ended."""
    if node.start_task is None or node.start_task.running:
        return None
    return "failure" if node.start_task.failure else "success"


def _start_task(name: str) -> Callable[[NodeRecord], Any]:
    return lambda node: None if node.start_task is None else getattr(node.start_task, name)


POOLS: Mapping[str, Property] = {
    "id": Property("key", lambda pool: key_of(pool.id)),
    "state": Property("state", lambda pool: pool.state),
    "stateTransitionTime": Property("state_us", lambda pool: pool.state_us),
    "allocationState": Property("allocation", lambda pool: pool.allocation),
    "allocationStateTransitionTime": Property("allocation_us", lambda pool: pool.allocation_us),
    "creationTime": Property("created_us", lambda pool: pool.created_us),
    "lastModified": Property("modified_us", lambda pool: pool.modified_us),
    "enableAutoScale": Property("auto_scale", _auto),
    "enableInterNodeCommunication": Property("inter_node", _inter_node),
    "vmSize": Property("vm_size", lambda pool: key_of(pool.spec.vm_size)),
}

NODES: Mapping[str, Property] = {
    "state": Property("state", lambda node: node.state),
    "stateTransitionTime": Property("state_us", lambda node: node.state_us),
    "lastBootTime": Property("booted_us", lambda node: node.booted_us),
    "allocationTime": Property("allocated_us", lambda node: node.allocated_us),
    "startTaskInfo/state": Property("start_task_state", start_task_state),
    "startTaskInfo/result": Property("start_task_result", start_task_result),
    "startTaskInfo/exitCode": Property("start_task_exit_code", _start_task("exit_code")),
    "startTaskInfo/startTime": Property("start_task_start_us", _start_task("start_us")),
    "startTaskInfo/endTime": Property("start_task_end_us", _start_task("end_us")),
}

POOL_USAGE: Mapping[str, Property] = {
    "poolId": Property("key", lambda usage: key_of(usage.pool_id)),
}

JOBS: Mapping[str, Property] = {
    "id": Property("key", lambda job: key_of(job.id)),
    "state": Property("state", lambda job: job.state),
    "stateTransitionTime": Property("state_us", lambda job: job.state_us),
    "creationTime": Property("created_us", lambda job: job.created_us),
    "lastModified": Property("modified_us", lambda job: job.modified_us),
    "executionInfo/startTime": Property("created_us", lambda job: job.created_us),
    "executionInfo/endTime": Property("end_us", lambda job: job.end_us),
    "executionInfo/poolId": Property("pool_key", lambda job: key_of(job.pool_id)),
}

_TASK_MODIFIED = Property("modified_us", lambda task: task.modified_us)

TASKS: Mapping[str, Property] = {
    "id": Property("key", lambda task: key_of(task.id)),
    "state": Property("state", lambda task: int(task.state), _task_state),
    "stateTransitionTime": Property("state_us", lambda task: task.state_us),
    "creationTime": Property("created_us", lambda task: task.created_us),
    "lastModified": _TASK_MODIFIED,
    "lastModifiedTime": _TASK_MODIFIED,
    "executionInfo/startTime": Property("start_us", lambda task: task.start_us),
    "executionInfo/endTime": Property("end_us", lambda task: task.end_us),
    "executionInfo/exitCode": Property("exit_code", lambda task: task.exit_code),
    "executionInfo/result": Property(
        "result", lambda task: None if task.result is None else int(task.result), _task_result
    ),
}


def _when(part: str) -> Callable[[Any], Any]:
    def at_us(schedule: ScheduleRecord) -> int | None:
        text = getattr(schedule.spec.schedule, part)
        return None if text is None else instant(text)

    return at_us


SCHEDULES: Mapping[str, Property] = {
    "id": Property("key", lambda schedule: key_of(schedule.id)),
    "state": Property("state", lambda schedule: schedule.state),
    "stateTransitionTime": Property("state_us", lambda schedule: schedule.state_us),
    "creationTime": Property("created_us", lambda schedule: schedule.created_us),
    "lastModified": Property("modified_us", lambda schedule: schedule.modified_us),
    "executionInfo/endTime": Property("end_us", lambda schedule: schedule.end_us),
    "schedule/doNotRunUntil": Property("run_until_us", _when("do_not_run_until")),
    "schedule/doNotRunAfter": Property("run_after_us", _when("do_not_run_after")),
}


CERTIFICATES: Mapping[str, Property] = {
    "state": Property("state", lambda certificate: certificate.state),
    "stateTransitionTime": Property("state_us", lambda certificate: certificate.state_us),
}


def run_state(run: SpecialRun | None) -> str | None:
    """The state of a special task as clients know it."""
    if run is None:
        return None
    return "running" if run.running else "completed"


def run_result(run: SpecialRun | None) -> str | None:
    """How a special task ended, as clients know it; None while it runs."""
    if run is None or run.running:
        return None
    return "success" if run.failure is None else "failure"


def _run(task: str, part: str) -> Callable[[Any], Any]:
    def value(job_node: JobNodeRecord) -> Any:
        run = getattr(job_node, task)
        return None if run is None else getattr(run, part)

    return value


def _of_run(task: str) -> dict[str, Property]:
    name = f"job{task.capitalize()}TaskExecutionInfo"
    return {
        f"{name}/state": Property(f"{task}_state", lambda x: run_state(getattr(x, task))),
        f"{name}/startTime": Property(f"{task}_start_us", _run(task, "start_us")),
        f"{name}/endTime": Property(f"{task}_end_us", _run(task, "end_us")),
        f"{name}/exitCode": Property(f"{task}_exit_code", _run(task, "exit_code")),
        f"{name}/result": Property(f"{task}_result", lambda x: run_result(getattr(x, task))),
    }


JOB_NODES: Mapping[str, Property] = {
    "poolId": Property("pool_key", lambda job_node: key_of(job_node.pool_id)),
    "nodeId": Property("node_key", lambda job_node: key_of(job_node.node_id)),
    **_of_run("preparation"),
    **_of_run("release"),
}

PROPERTIES: Mapping[type, Mapping[str, Property]] = {
    PoolRecord: POOLS,
    NodeRecord: NODES,
    JobRecord: JOBS,
    TaskRecord: TASKS,
    ScheduleRecord: SCHEDULES,
    JobNodeRecord: JOB_NODES,
    CertificateRecord: CERTIFICATES,
}


def condition(properties: Mapping[str, Property], wanted: Filter) -> tuple[str, list[Value]]:
    """A filter as an SQL condition and its parameters."""
    match wanted:
        case Both(left, right) | Either(left, right):
            left_sql, left_values = condition(properties, left)
            right_sql, right_values = condition(properties, right)
            word = "AND" if isinstance(wanted, Both) else "OR"
            return f"({left_sql} {word} {right_sql})", [*left_values, *right_values]
        case StartsWith(path, prefix):
            column, low = properties[path].column, key_of(prefix)
            return f"({column} >= ? AND {column} < ?)", [low, low + LAST_CHARACTER]
        case Compare(path, "ne", value):
            found = properties[path]
            return f"({found.column} IS NOT ?)", [found.value(value)]
        case Compare(path, operator, value):
            found = properties[path]
            return f"({found.column} {OPERATORS[operator]} ?)", [found.value(value)]


def passes(properties: Mapping[str, Property], wanted: Filter, record: object) -> bool:
    """Whether a record passes a filter."""
    match wanted:
        case Both(left, right):
            return passes(properties, left, record) and passes(properties, right, record)
        case Either(left, right):
            return passes(properties, left, record) or passes(properties, right, record)
        case StartsWith(path, prefix):
            text = properties[path].of(record)
            return text is not None and str(text).startswith(key_of(prefix))
        case Compare(path, operator, value):
            found = properties[path]
            actual, value = found.of(record), found.value(value)
            if operator == "ne":
                return bool(actual != value)
            return actual is not None and TESTS[operator](actual, value)
