"""What users say of job schedules: checked, and filled with the defaults that are echoed."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain.instants import Duration, instant, instant_text
from penstock.domain.specs.job import JobTemplate
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec, Schedule
from penstock.wire.specs.bodies import below, body_of, missing, storable, wrong
from penstock.wire.specs.checks import check_display_name, check_duration, check_id, metadata
from penstock.wire.specs.jobs import filled_job

LEAST: Final = Duration.of_seconds(60)
"""The shortest interval and the shortest window."""


def schedule_from_wire(document: bytes) -> JobScheduleSpec:
    """The body of POST /jobschedules."""
    spec = storable(body_of(JobScheduleSpec, document))
    check_id(spec.id)
    check_display_name(spec.display_name)
    return replace(
        spec,
        schedule=_times(spec.schedule),
        job_specification=_jobs(spec.job_specification),
        metadata=metadata(spec.metadata),
    )


def schedule_patch_from_wire(document: bytes) -> JobSchedulePatch:
    """The body of PATCH /jobschedules/{id}; what is absent stays as it is."""
    patch = storable(body_of(JobSchedulePatch, document))
    return replace(
        patch,
        schedule=_times(patch.schedule) if patch.schedule else None,
        job_specification=_jobs(patch.job_specification) if patch.job_specification else None,
        metadata=metadata(patch.metadata),
    )


def schedule_update_from_wire(document: bytes) -> JobSchedulePatch:
    """The body of PUT /jobschedules/{id}; only metadata may be absent, and goes then."""
    new = schedule_patch_from_wire(document)
    if new.schedule is None:
        raise missing("schedule")
    if new.job_specification is None:
        raise missing("jobSpecification")
    return new


def _jobs(template: JobTemplate) -> JobTemplate:
    with below("jobSpecification"):
        return filled_job(template, of_schedule=True)


def _times(schedule: Schedule) -> Schedule:
    check_duration(schedule.start_window, LEAST, "schedule.startWindow")
    check_duration(schedule.recurrence_interval, LEAST, "schedule.recurrenceInterval")
    until_us = _instant(schedule.do_not_run_until, "schedule.doNotRunUntil")
    after_us = _instant(schedule.do_not_run_after, "schedule.doNotRunAfter")
    if until_us is not None and after_us is not None and after_us <= until_us:
        raise wrong(
            "schedule.doNotRunAfter", schedule.do_not_run_after, "must be after doNotRunUntil"
        )
    return replace(schedule, do_not_run_until=_text(until_us), do_not_run_after=_text(after_us))


def _instant(text: str | None, name: str) -> int | None:
    try:
        return None if text is None else instant(text)
    except (ValueError, OverflowError):
        raise wrong(name, text, "must be a time such as 2024-01-31T08:00:00Z") from None


def _text(at_us: int | None) -> str | None:
    return None if at_us is None else instant_text(at_us)
