"""Jobs: from and to the wire."""

from __future__ import annotations

from functools import partial

from penstock.domain.instants import etag_text, instant_text
from penstock.domain.records import Counts, JobRecord
from penstock.domain.refusals import JobNotFound
from penstock.wire.answers import Answer, Document, created, done, listed, one, without_none
from penstock.wire.conditional import conditions
from penstock.wire.job_specs import (
    disable_from_wire,
    job_from_wire,
    job_patch_from_wire,
    job_update_from_wire,
    terminate_reason_from_wire,
)
from penstock.wire.paging import cut, query_of
from penstock.wire.request import Request
from penstock.wire.shown import (
    check_expand,
    job_path,
    shown_spec,
    time_or_none,
    without_secrets,
)


async def add_job(request: Request) -> Answer:
    """POST /jobs"""
    spec = job_from_wire(await request.json_body())
    job = await request.service.add_job(request.account, spec)
    return created(request, job_path(job.id), job.modified_us)


async def list_jobs(request: Request) -> Answer:
    """GET /jobs"""
    check_expand(request)
    query = query_of(request, "jobs")
    async with request.lists:
        found = await request.service.store.list_jobs(request.account, query)
        page, link = cut(request, query, found, lambda job: job.id)
        return await listed(request, "jobs", page, partial(shown_job, request), link)


async def job_of(request: Request) -> JobRecord:
    """Find the job that the path names first."""
    job = await request.service.store.job(request.account, request.ids[0])
    if job is None:
        raise JobNotFound
    return job


async def get_job(request: Request) -> Answer:
    """GET /jobs/{job}"""
    check_expand(request)
    when = conditions(request)
    job = await job_of(request)
    when.check(job.modified_us)
    return one(request, "jobs", shown_job(request, job), job.modified_us)


async def patch_job(request: Request) -> Answer:
    """PATCH /jobs/{job}"""
    when = conditions(request)
    patch = job_patch_from_wire(await request.json_body())
    job = await request.service.patch_job(request.account, request.ids[0], patch, when)
    return done(request, 200, job.modified_us)


async def replace_job(request: Request) -> Answer:
    """PUT /jobs/{job}"""
    when = conditions(request)
    new = job_update_from_wire(await request.json_body())
    job = await request.service.replace_job(request.account, request.ids[0], new, when)
    return done(request, 200, job.modified_us)


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
                    "terminateReason": job.terminate_reason,
                }
            ),
        }
    )
