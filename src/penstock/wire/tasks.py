"""Tasks: from and to the wire."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

import msgspec

from penstock.domain.instants import etag_text, instant_text
from penstock.domain.records import JobRecord, SubtaskRecord, TaskRecord
from penstock.domain.refusals import Refusal, TaskNotFound
from penstock.domain.specs.task import TaskSpec
from penstock.domain.states import SubtaskState, TaskState
from penstock.wire.answers import (
    JSON_TYPE,
    Answer,
    Document,
    created,
    done,
    encoded,
    error_part,
    listed,
    many,
    one,
    without_none,
)
from penstock.wire.conditional import conditions
from penstock.wire.jobs import job_of
from penstock.wire.nodes import affinity_id
from penstock.wire.paging import cut, page_size, query_of
from penstock.wire.request import Request
from penstock.wire.shown import (
    failure_info,
    job_path,
    node_path,
    shown_spec,
    task_directory,
    task_path,
    time_or_none,
    without_secrets,
)
from penstock.wire.specs.tasks import constraints_from_wire, task_from_wire, tasks_from_wire
from penstock.wire.stats import wants_stats, with_usage

SUCCESS = "success"
CLIENT_ERROR = "clienterror"
"""Lower case: the newest SDK compares with exactly this, and counts anything else as added."""


async def add_task(request: Request) -> Answer:
    """POST /jobs/{job}/tasks"""
    spec = task_from_wire(await request.json_body())
    job_id = request.ids[0]
    (task,) = await request.service.add_tasks(request.account, job_id, [spec])
    if isinstance(task, Refusal):
        raise task
    return created(request, task_path(job_id, task.id), task.modified_us)


async def add_collection(request: Request) -> Answer:
    """POST /jobs/{job}/addtaskcollection"""
    items = tasks_from_wire(await request.json_body())
    good = [item for item in items if isinstance(item, TaskSpec)]
    job_id = request.ids[0]
    added = iter(await request.service.add_tasks(request.account, job_id, good))
    place = f"{request.base}{job_path(job_id)}/tasks/"
    results = []
    for item in items:
        if isinstance(item, TaskSpec):
            results.append(_result(request, place, item.id, next(added)))
        else:
            results.append(_result(request, place, *item))
    body = {"odata.metadata": f"{request.base}/$metadata#taskaddresult", "value": results}
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))


def _result(request: Request, place: str, task_id: str, outcome: TaskRecord | Refusal) -> Document:
    """What became of one task of a collection; `place` is the URL that its id goes below."""
    if isinstance(outcome, Refusal):
        error = error_part(outcome, request.guid, request.settings.now_us())
        return {"status": CLIENT_ERROR, "taskId": task_id, "error": error}
    return {
        "status": SUCCESS,
        "taskId": task_id,
        "eTag": etag_text(outcome.modified_us),
        "lastModified": instant_text(outcome.modified_us),
        "location": place + quote(task_id, safe=""),
    }


async def list_tasks(request: Request) -> Answer:
    """GET /jobs/{job}/tasks"""
    stats = wants_stats(request)
    query = query_of(request, "tasks")
    async with request.lists:
        job = await job_of(request)
        found = await request.service.store.list_tasks(job.no, query)
        page, link = cut(request, query, found, lambda row: row[0].id)
        show = with_usage(request, partial(shown_task, request, job), stats=stats)
        return await listed(request, "tasks", page, lambda row: show(*row), link)


async def task_of(request: Request) -> tuple[JobRecord, TaskRecord, bytes]:
    """Find the job and the task that the path names first."""
    job = await job_of(request)
    found = await request.service.store.task(job.no, request.ids[1])
    if found is None:
        raise TaskNotFound
    return job, *found


async def get_task(request: Request) -> Answer:
    """GET /jobs/{job}/tasks/{task}"""
    stats = wants_stats(request)
    when = conditions(request)
    job, task, spec = await task_of(request)
    when.check(task.modified_us)
    show = with_usage(request, partial(shown_task, request, job), stats=stats)
    return one(request, "tasks", show(task, spec), task.modified_us)


async def update_task(request: Request) -> Answer:
    """PUT /jobs/{job}/tasks/{task}"""
    when = conditions(request)
    constraints = constraints_from_wire(await request.json_body())
    job_id, task_id = request.ids
    task = await request.service.update_task(request.account, job_id, task_id, constraints, when)
    return done(request, 200, task.modified_us)


async def delete_task(request: Request) -> Answer:
    """DELETE /jobs/{job}/tasks/{task}"""
    job_id, task_id = request.ids
    when = conditions(request)
    await request.service.delete_task(request.account, job_id, task_id, when)
    return done(request, 200)


async def terminate_task(request: Request) -> Answer:
    """POST /jobs/{job}/tasks/{task}/terminate"""
    job_id, task_id = request.ids
    when = conditions(request)
    task = await request.service.terminate_task(request.account, job_id, task_id, when)
    return done(request, 204, task.modified_us)


async def reactivate_task(request: Request) -> Answer:
    """POST /jobs/{job}/tasks/{task}/reactivate"""
    job_id, task_id = request.ids
    when = conditions(request)
    task = await request.service.reactivate_task(request.account, job_id, task_id, when)
    return done(request, 204, task.modified_us)


async def list_subtasks(request: Request) -> Answer:
    """GET /jobs/{job}/tasks/{task}/subtasksinfo: the parts of it but for the primary."""
    job, task, _ = await task_of(request)
    parts = await request.service.store.subtasks(task.no) if task.instances else ()
    shown = [shown_subtask(request, job, task, part) for part in parts if part.index]
    return many(request, "subtasks", shown)


def shown_subtask(
    request: Request, job: JobRecord, task: TaskRecord, part: SubtaskRecord
) -> Document:
    """A part of a multi-instance task as clients see it."""
    directory = f"{task_directory(job.id, task.id)}/{part.index}"
    over = part.state is SubtaskState.COMPLETED
    return without_none(
        {
            "id": part.index,
            "nodeInfo": node_info(request, part.pool_id, part.node_id, directory),
            "startTime": time_or_none(part.start_us),
            "endTime": time_or_none(part.end_us),
            "exitCode": part.exit_code,
            "failureInfo": failure_info(part.failure),
            "state": part.state.wire_name,
            "stateTransitionTime": instant_text(part.state_us),
            "previousState": part.previous_state.wire_name if part.previous_state else None,
            "previousStateTransitionTime": time_or_none(part.previous_state_us),
            "result": ("failure" if part.failure else "success") if over else None,
        }
    )


async def explain_task(request: Request) -> Answer:
    """GET /jobs/{job}/tasks/{task}/explain, which the protocol does not have."""
    job_id, task_id = request.ids
    reasons = await request.service.why(request.account, job_id, task_id)
    return many(request, "reasons", [msgspec.to_builtins(reason) for reason in reasons])


async def explain_job(request: Request) -> Answer:
    """GET /jobs/{job}/explain, which the protocol does not have: the first causes, counted."""
    most = page_size(request)
    summary = await request.service.why_job(request.account, request.ids[0], most)
    groups = [
        {
            **msgspec.to_builtins(group.reason),
            "count": group.count,
            **without_none({"exampleTaskId": group.task_id}),
        }
        for group in summary.groups
    ]
    body: Document = {
        "odata.metadata": f"{request.base}/$metadata#jobreasons",
        "jobId": summary.job_id,
        "jobState": summary.job_state,
        "waiting": summary.waiting,
        "lookedAt": summary.looked_at,
        "value": groups,
    }
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))


def shown_task(request: Request, job: JobRecord, task: TaskRecord, spec: bytes) -> Document:
    """A task as clients see it; `spec` is its encoded specification."""
    parts = shown_spec(spec)
    container = parts.get("containerSettings")
    if container is not None:
        parts["containerSettings"] = without_secrets(container)
    constraints = parts.get("constraints")
    if constraints is not None:
        constraints.setdefault("maxTaskRetryCount", task.max_retries)
    document: Document = {
        "id": parts.pop("id", task.id),
        "url": request.base + task_path(job.id, task.id),
        "eTag": etag_text(task.modified_us),
        "creationTime": instant_text(task.created_us),
        "lastModified": instant_text(task.modified_us),
        "state": task.state.wire_name,
        "stateTransitionTime": instant_text(task.state_us),
    }
    if task.previous_state is not None:
        document["previousState"] = task.previous_state.wire_name
        document["previousStateTransitionTime"] = instant_text(
            task.state_us if task.previous_state_us is None else task.previous_state_us
        )
    document.update(parts)
    document["executionInfo"] = execution_info(task)
    if task.node_id is not None and task.pool_id is not None:
        directory = task_directory(job.id, task.id)
        document["nodeInfo"] = node_info(request, task.pool_id, task.node_id, directory)
    return document


def execution_info(task: TaskRecord) -> Document:
    """How the last run went; times and codes are absent until it is over everywhere."""
    info: Document = {}
    if task.start_us is not None:
        info["startTime"] = instant_text(task.start_us)
    over = task.state is TaskState.COMPLETED
    if over and task.end_us is not None:
        info["endTime"] = instant_text(task.end_us)
    if over and task.exit_code is not None:
        info["exitCode"] = task.exit_code
    if over and task.failure is not None:
        info["failureInfo"] = failure_info(task.failure)
    info["retryCount"] = task.retry_count
    if task.retry_count and task.last_retry_us is not None:
        info["lastRetryTime"] = instant_text(task.last_retry_us)
    info["requeueCount"] = task.requeue_count
    if task.requeue_count and task.last_requeue_us is not None:
        info["lastRequeueTime"] = instant_text(task.last_requeue_us)
    if task.result is not None:
        info["result"] = task.result.wire_name
    return info


def node_info(request: Request, pool_id: str, node_id: str, directory: str) -> Document:
    """Where something runs or ran, and in which directory below the root of the node."""
    node_url = request.base + node_path(pool_id, node_id)
    return {
        "affinityId": affinity_id(node_id),
        "nodeUrl": node_url,
        "poolId": pool_id,
        "nodeId": node_id,
        "taskRootDirectory": directory,
        "taskRootDirectoryUrl": f"{node_url}/files/{directory}",
    }
