"""How records become the documents and cells that a database keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from penstock.domain.records import Ending, Failure, RecentTask, TaskRecord
from penstock.domain.specs.common import dec_hook, enc_hook
from penstock.domain.specs.task import Dependencies, ExitConditions
from penstock.domain.states import TaskResult, TaskState
from penstock.domain.usage import Usage

RecordT = TypeVar("RecordT")

_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook)
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def document(record: object) -> bytes:
    """Write a record."""
    return _ENCODER.encode(record)


def record(kind: type[RecordT], text: bytes) -> RecordT:
    """Read what `document` wrote."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, dec_hook=dec_hook)
    found: RecordT = decoder.decode(text)
    return found


def each_once(tasks: Iterable[RecentTask]) -> list[RecentTask]:
    """Of several lines about one task, the first."""
    found: dict[tuple[str, str], RecentTask] = {}
    for task in tasks:
        found.setdefault((task.job_id, task.task_id), task)
    return list(found.values())


def line_of(task: TaskRecord, job_id: str) -> RecentTask:
    """A task that runs, as a line in its node's list."""
    return RecentTask(
        job_id=job_id,
        task_id=task.id,
        state=task.state,
        start_us=task.start_us,
        retry_count=task.retry_count,
        requeue_count=task.requeue_count,
    )


TASK_COLUMNS = TaskRecord.__struct_fields__
"""The cells of a task in the order of `task_cells`."""


def task_cells(task: TaskRecord) -> tuple[object, ...]:
    """A task as cells; parts with an inner structure become documents."""
    failure, depends, conditions = task.failure, task.depends, task.exit_conditions
    return (
        task.no,
        task.job_no,
        task.id,
        int(task.state),
        task.state_us,
        task.created_us,
        task.modified_us,
        None if task.previous_state is None else int(task.previous_state),
        task.previous_state_us,
        task.slots,
        task.max_retries,
        task.retention_us,
        task.attempt,
        task.retry_count,
        task.last_retry_us,
        task.requeue_count,
        task.last_requeue_us,
        task.start_us,
        task.end_us,
        task.exit_code,
        None if task.result is None else int(task.result),
        None if failure is None else _ENCODER.encode(failure),
        task.pool_id,
        task.node_id,
        task.node_no,
        task.ahead,
        task.ending,
        task.files_until_us,
        task.files_gone,
        task.satisfies,
        task.affinity,
        None if depends is None else _ENCODER.encode(depends),
        None if conditions is None else _ENCODER.encode(conditions),
        task.instances,
        task.manager,
        task.held,
        task.command_over,
        None if task.usage is None else _ENCODER.encode(task.usage),
    )


_ENDINGS = {str(ending): ending for ending in Ending}
_STATES = {int(state): state for state in TaskState}
_RESULTS = {int(result): result for result in TaskResult}


def task_of(cells: Any) -> TaskRecord:
    """The task that `task_cells` took apart."""
    (
        no,
        job_no,
        id_,
        state,
        state_us,
        created_us,
        modified_us,
        previous,
        previous_us,
        slots,
        max_retries,
        retention_us,
        attempt,
        retry_count,
        last_retry_us,
        requeue_count,
        last_requeue_us,
        start_us,
        end_us,
        exit_code,
        result,
        failure,
        pool_id,
        node_id,
        node_no,
        ahead,
        ending,
        files_until_us,
        files_gone,
        satisfies,
        affinity,
        depends,
        conditions,
        instances,
        manager,
        held,
        command_over,
        usage,
    ) = cells
    return TaskRecord(
        no=no,
        job_no=job_no,
        id=id_,
        state=_STATES[state],
        state_us=state_us,
        created_us=created_us,
        modified_us=modified_us,
        previous_state=None if previous is None else _STATES[previous],
        previous_state_us=previous_us,
        slots=slots,
        max_retries=max_retries,
        retention_us=retention_us,
        attempt=attempt,
        retry_count=retry_count,
        last_retry_us=last_retry_us,
        requeue_count=requeue_count,
        last_requeue_us=last_requeue_us,
        start_us=start_us,
        end_us=end_us,
        exit_code=exit_code,
        result=None if result is None else _RESULTS[result],
        failure=None if failure is None else record(Failure, failure),
        pool_id=pool_id,
        node_id=node_id,
        node_no=node_no,
        ahead=bool(ahead),
        ending=None if ending is None else _ENDINGS[ending],
        files_until_us=files_until_us,
        files_gone=bool(files_gone),
        satisfies=bool(satisfies),
        affinity=affinity,
        depends=None if depends is None else record(Dependencies, depends),
        exit_conditions=None if conditions is None else record(ExitConditions, conditions),
        instances=instances,
        manager=bool(manager),
        held=held,
        command_over=bool(command_over),
        usage=None if usage is None else record(Usage, usage),
    )
