"""Job schedules: from and to the wire."""

from __future__ import annotations

from functools import partial

from penstock.domain.instants import etag_text, instant_text
from penstock.domain.records import ScheduleRecord
from penstock.domain.refusals import JobScheduleNotFound
from penstock.wire.answers import Answer, Document, created, done, listed, one, without_none
from penstock.wire.conditional import conditions
from penstock.wire.jobs import shown_job
from penstock.wire.paging import cut, query_of
from penstock.wire.request import Request
from penstock.wire.shown import (
    job_path,
    schedule_path,
    shown_spec,
    time_or_none,
    without_secrets,
)
from penstock.wire.specs.schedules import (
    schedule_from_wire,
    schedule_patch_from_wire,
    schedule_update_from_wire,
)
from penstock.wire.stats import wants_stats, with_totals
from penstock.wire.unshown import with_secrets


async def add_schedule(request: Request) -> Answer:
    """POST /jobschedules"""
    spec = schedule_from_wire(await request.json_body())
    schedule = await request.service.add_schedule(request.account, spec)
    return created(request, schedule_path(schedule.id), schedule.modified_us)


async def list_schedules(request: Request) -> Answer:
    """GET /jobschedules"""
    stats = wants_stats(request)
    query = query_of(request, "jobschedules")
    async with request.lists:
        found = await request.service.store.list_schedules(request.account, query)
        page, link = cut(request, query, found, lambda schedule: schedule.id)
        show = await with_totals(request, page, partial(shown_schedule, request), stats=stats)
        return await listed(request, "jobschedules", page, show, link)


async def schedule_of(request: Request) -> ScheduleRecord:
    """Find the job schedule that the path names."""
    schedule = await request.service.store.schedule(request.account, request.ids[0])
    if schedule is None:
        raise JobScheduleNotFound
    return schedule


async def get_schedule(request: Request) -> Answer:
    """GET /jobschedules/{schedule}"""
    stats = wants_stats(request)
    when = conditions(request)
    schedule = await schedule_of(request)
    when.check(schedule.modified_us)
    show = await with_totals(request, [schedule], partial(shown_schedule, request), stats=stats)
    return one(request, "jobschedules", show(schedule), schedule.modified_us)


async def schedule_exists(request: Request) -> Answer:
    """HEAD /jobschedules/{schedule}"""
    when = conditions(request)
    schedule = await schedule_of(request)
    when.check(schedule.modified_us)
    return done(request, 200, schedule.modified_us)


async def patch_schedule(request: Request) -> Answer:
    """PATCH /jobschedules/{schedule}"""
    when = conditions(request)
    patch = schedule_patch_from_wire(await _sent_back(request))
    schedule = await request.service.patch_schedule(request.account, request.ids[0], patch, when)
    return done(request, 200, schedule.modified_us)


async def replace_schedule(request: Request) -> Answer:
    """PUT /jobschedules/{schedule}"""
    when = conditions(request)
    new = schedule_update_from_wire(await _sent_back(request))
    schedule = await request.service.replace_schedule(request.account, request.ids[0], new, when)
    return done(request, 200, schedule.modified_us)


async def _sent_back(request: Request) -> bytes:
    """The body, which may be what the client was shown before."""
    document = await request.json_body()
    schedule = await request.service.store.schedule(request.account, request.ids[0])
    return with_secrets(document, schedule.spec if schedule else None)


async def delete_schedule(request: Request) -> Answer:
    """DELETE /jobschedules/{schedule}"""
    when, force = conditions(request), request.flag("force")
    await request.service.delete_schedule(request.account, request.ids[0], when, force=force)
    return done(request, 202)


async def disable_schedule(request: Request) -> Answer:
    """POST /jobschedules/{schedule}/disable"""
    when = conditions(request)
    schedule = await request.service.disable_schedule(request.account, request.ids[0], when)
    return done(request, 204, schedule.modified_us)


async def enable_schedule(request: Request) -> Answer:
    """POST /jobschedules/{schedule}/enable"""
    when = conditions(request)
    schedule = await request.service.enable_schedule(request.account, request.ids[0], when)
    return done(request, 204, schedule.modified_us)


async def terminate_schedule(request: Request) -> Answer:
    """POST /jobschedules/{schedule}/terminate"""
    when, force = conditions(request), request.flag("force")
    schedule = await request.service.terminate_schedule(
        request.account, request.ids[0], when, force=force
    )
    return done(request, 202, schedule.modified_us)


async def list_jobs(request: Request) -> Answer:
    """GET /jobschedules/{schedule}/jobs"""
    stats = wants_stats(request)
    query = query_of(request, "jobs of a schedule")
    schedule = await schedule_of(request)
    async with request.lists:
        found = await request.service.store.list_jobs_of(schedule.no, query)
        page, link = cut(request, query, found, lambda job: job.id)
        show = await with_totals(request, page, partial(shown_job, request), stats=stats)
        return await listed(request, "jobs", page, show, link)


def shown_schedule(request: Request, schedule: ScheduleRecord) -> Document:
    """A job schedule as clients see it."""
    spec: Document = without_secrets(shown_spec(schedule.spec))
    previous = schedule.previous_state
    return without_none(
        {
            "id": spec.pop("id"),
            "displayName": spec.pop("displayName", None),
            "url": request.base + schedule_path(schedule.id),
            "eTag": etag_text(schedule.modified_us),
            "lastModified": instant_text(schedule.modified_us),
            "creationTime": instant_text(schedule.created_us),
            "state": schedule.state.value,
            "stateTransitionTime": instant_text(schedule.state_us),
            "previousState": previous.value if previous else None,
            "previousStateTransitionTime": time_or_none(schedule.previous_state_us),
            **spec,
            "executionInfo": without_none(
                {
                    "nextRunTime": time_or_none(schedule.next_run_us),
                    "recentJob": _recent(request, schedule.recent_job),
                    "endTime": time_or_none(schedule.end_us),
                }
            ),
        }
    )


def _recent(request: Request, job_id: str | None) -> Document | None:
    return None if job_id is None else {"id": job_id, "url": request.base + job_path(job_id)}
