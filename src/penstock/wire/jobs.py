"""Jobs: from and to the wire."""

from __future__ import annotations

from functools import partial

from penstock.domain.instants import etag_text, instant_text
from penstock.domain.records import Counts, JobNodeRecord, JobRecord, SpecialRun
from penstock.domain.refusals import JobNotFound, JobPreparationTaskOrReleaseTaskNotSpecified
from penstock.wire.answers import Answer, Document, created, done, listed, one, without_none
from penstock.wire.conditional import conditions
from penstock.wire.paging import cut, query_of
from penstock.wire.request import Request
from penstock.wire.shown import (
    failure_info,
    job_path,
    node_path,
    shown_spec,
    task_directory,
    time_or_none,
    without_secrets,
)
from penstock.wire.specs.jobs import (
    disable_from_wire,
    job_from_wire,
    job_patch_from_wire,
    job_update_from_wire,
    terminate_reason_from_wire,
)
from penstock.wire.stats import wants_stats, with_totals
from penstock.wire.unshown import with_secrets


async def add_job(request: Request) -> Answer:
    """POST /jobs"""
    spec = job_from_wire(await request.json_body())
    job = await request.service.add_job(request.account, spec)
    return created(request, job_path(job.id), job.modified_us)


async def list_jobs(request: Request) -> Answer:
    """GET /jobs"""
    stats = wants_stats(request)
    query = query_of(request, "jobs")
    async with request.lists:
        found = await request.service.store.list_jobs(request.account, query)
        page, link = cut(request, query, found, lambda job: job.id)
        show = await with_totals(request, page, partial(shown_job, request), stats=stats)
        return await listed(request, "jobs", page, show, link)


async def job_of(request: Request) -> JobRecord:
    """Find the job that the path names first."""
    job = await request.service.store.job(request.account, request.ids[0])
    if job is None:
        raise JobNotFound
    return job


async def get_job(request: Request) -> Answer:
    """GET /jobs/{job}"""
    stats = wants_stats(request)
    when = conditions(request)
    job = await job_of(request)
    when.check(job.modified_us)
    show = await with_totals(request, [job], partial(shown_job, request), stats=stats)
    return one(request, "jobs", show(job), job.modified_us)


async def patch_job(request: Request) -> Answer:
    """PATCH /jobs/{job}"""
    when = conditions(request)
    patch = job_patch_from_wire(await _sent_back(request))
    job = await request.service.patch_job(request.account, request.ids[0], patch, when)
    return done(request, 200, job.modified_us)


async def replace_job(request: Request) -> Answer:
    """PUT /jobs/{job}"""
    when = conditions(request)
    new = job_update_from_wire(await _sent_back(request))
    job = await request.service.replace_job(request.account, request.ids[0], new, when)
    return done(request, 200, job.modified_us)


async def _sent_back(request: Request) -> bytes:
    """The body, which may be what the client was shown before."""
    document = await request.json_body()
    job = await request.service.store.job(request.account, request.ids[0])
    return with_secrets(document, job.spec if job else None)


async def delete_job(request: Request) -> Answer:
    """DELETE /jobs/{job}"""
    when, force = conditions(request), request.flag("force")
    await request.service.delete_job(request.account, request.ids[0], when, force=force)
    return done(request, 202)


async def disable_job(request: Request) -> Answer:
    """POST /jobs/{job}/disable"""
    when = conditions(request)
    how = disable_from_wire(await request.json_body())
    job = await request.service.disable_job(request.account, request.ids[0], how, when)
    return done(request, 202, job.modified_us)


async def enable_job(request: Request) -> Answer:
    """POST /jobs/{job}/enable"""
    when = conditions(request)
    job = await request.service.enable_job(request.account, request.ids[0], when)
    return done(request, 202, job.modified_us)


async def terminate_job(request: Request) -> Answer:
    """POST /jobs/{job}/terminate"""
    when, force = conditions(request), request.flag("force")
    reason = terminate_reason_from_wire(await request.json_body())
    job = await request.service.terminate_job(
        request.account, request.ids[0], reason, when, force=force
    )
    return done(request, 202, job.modified_us)


async def task_counts(request: Request) -> Answer:
    """GET /jobs/{job}/taskcounts"""
    job = await job_of(request)
    counts = await request.service.store.counts(job.no)
    shown = {
        "taskCounts": shown_counts(counts.tasks),
        "taskSlotCounts": shown_counts(counts.slots),
    }
    return one(request, "taskcounts", shown)


async def preparation_and_release(request: Request) -> Answer:
    """GET /jobs/{job}/jobpreparationandreleasetaskstatus"""
    query = query_of(request, "jobpreparationandreleasetaskstatus")
    async with request.lists:
        job = await job_of(request)
        if job.spec.job_preparation_task is None:
            raise JobPreparationTaskOrReleaseTaskNotSpecified
        found = await request.service.store.list_job_nodes(job.no, query)
        page, link = cut(request, query, found, lambda job_node: job_node.key)
        return await listed(
            request,
            "jobpreparationandreleasetaskstatuslist",
            page,
            partial(shown_job_node, request, job),
            link,
        )


def shown_job_node(request: Request, job: JobRecord, job_node: JobNodeRecord) -> Document:
    """What a job has done on a node beside its tasks."""
    before, after = job.spec.job_preparation_task, job.spec.job_release_task
    preparation = before.id if before else None
    release = after.id if after else None
    return without_none(
        {
            "poolId": job_node.pool_id,
            "nodeId": job_node.node_id,
            "nodeUrl": request.base + node_path(job_node.pool_id, job_node.node_id),
            "jobPreparationTaskExecutionInfo": _special_run(
                request, job, job_node, job_node.preparation, preparation, retried=True
            ),
            "jobReleaseTaskExecutionInfo": _special_run(
                request, job, job_node, job_node.release, release, retried=False
            ),
        }
    )


def _special_run(
    request: Request,
    job: JobRecord,
    job_node: JobNodeRecord,
    run: SpecialRun | None,
    task_id: str | None,
    *,
    retried: bool,
) -> Document | None:
    if run is None:
        return None
    directory = task_directory(job.id, task_id or "")
    node_url = request.base + node_path(job_node.pool_id, job_node.node_id)
    return without_none(
        {
            "startTime": instant_text(run.start_us),
            "endTime": time_or_none(run.end_us),
            "state": "running" if run.running else "completed",
            "taskRootDirectory": directory,
            "taskRootDirectoryUrl": f"{node_url}/files/{directory}",
            "exitCode": run.exit_code,
            "failureInfo": failure_info(run.failure),
            "retryCount": run.retry_count if retried else None,
            "lastRetryTime": time_or_none(run.last_retry_us) if retried else None,
            "result": None if run.running else ("failure" if run.failure else "success"),
        }
    )


def shown_counts(counts: Counts) -> Document:
    """Counts as clients see them; completed is what succeeded or failed."""
    return {
        "active": counts.active,
        "running": counts.running,
        "completed": counts.succeeded + counts.failed,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
    }


def shown_job(request: Request, job: JobRecord) -> Document:
    """A job as clients see it."""
    spec: Document = without_secrets(shown_spec(job.spec))
    return without_none(
        {
            "id": spec.pop("id"),
            "displayName": spec.pop("displayName", None),
            "usesTaskDependencies": spec.pop("usesTaskDependencies", None),
            "url": request.base + job_path(job.id),
            "eTag": etag_text(job.modified_us),
            "lastModified": instant_text(job.modified_us),
            "creationTime": instant_text(job.created_us),
            "state": job.state.value,
            "stateTransitionTime": instant_text(job.state_us),
            "previousState": job.previous_state.value if job.previous_state else None,
            "previousStateTransitionTime": time_or_none(job.previous_state_us),
            **spec,
            "executionInfo": without_none(
                {
                    "startTime": instant_text(job.created_us),
                    "endTime": time_or_none(job.end_us),
                    "poolId": job.pool_id or None,
                    "schedulingError": failure_info(job.scheduling_error),
                    "terminateReason": job.terminate_reason,
                }
            ),
        }
    )
