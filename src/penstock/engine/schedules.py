"""How job schedules come, make jobs, and end. Each function is one decision within a turn.

A job and what its schedule knows of it are put together, so that a restart finds both or none.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import ANY, Conditions
from penstock.domain.records import ScheduleRecord
from penstock.domain.refusals import (
    JobScheduleBeingDeleted,
    JobScheduleBeingTerminated,
    JobScheduleCompleted,
    JobScheduleDisabled,
    JobScheduleExists,
    JobWithSameIdExists,
)
from penstock.domain.specs.job import JobSpec, JobTemplate
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.states import (
    SCHEDULE_MOVES,
    JobState,
    ScheduleEvent,
    ScheduleState,
    after,
)
from penstock.engine import auto_pools, jobs, quotas
from penstock.engine.state import LIVE_JOB_STATES
from penstock.engine.turn import Turn
from penstock.scheduler.recurrence import decide, due_again, first_due, plan_of

TERMINATED_WITH_SCHEDULE: Final = "TerminateJobSchedule"

MOST_AT_ONCE: Final = 200
"""Schedules that make jobs in one turn."""

DELETED_AT_ONCE: Final = 100
"""Jobs of deleted schedules that are deleted in one turn."""


def add_schedule(turn: Turn, account: str, spec: JobScheduleSpec) -> ScheduleRecord:
    """Create a job schedule; a job that is due at once is made in the same turn."""
    found = turn.state.schedule(account, spec.id)
    if found is not None:
        deleting = found.state is ScheduleState.DELETING
        raise JobScheduleBeingDeleted if deleting else JobScheduleExists
    if turn.state.job(account, spec.id) is not None:
        raise JobWithSameIdExists
    jobs.check_storage(turn, account, spec.job_specification, "jobSpecification.")
    quotas.check_jobs(turn, turn.settings, account)
    schedule = ScheduleRecord(
        no=turn.new_no(),
        account=account,
        spec=spec,
        state=ScheduleState.ACTIVE,
        state_us=turn.now_us,
        created_us=turn.now_us,
        modified_us=turn.now_us,
        next_run_us=first_due(plan_of(spec.schedule), turn.now_us),
    )
    turn.put(c.PutSchedule(schedule))
    turn.touch_schedule(schedule.no)
    return schedule


def patch_schedule(
    turn: Turn, account: str, schedule_id: str, patch: JobSchedulePatch, when: Conditions
) -> ScheduleRecord:
    """Replace the parts that were sent. Jobs that are there stay as they are."""
    schedule = _live(turn, account, schedule_id, when)
    new = {
        name: value
        for name in patch.__struct_fields__
        if (value := getattr(patch, name)) is not None
    }
    spec = replace(schedule.spec, **new)
    jobs.check_storage(turn, account, spec.job_specification, "jobSpecification.")
    more: dict[str, Any] = {}
    if spec.schedule != schedule.spec.schedule:
        plan = plan_of(spec.schedule)
        more["next_run_us"] = due_again(plan, schedule.last_due_us, turn.now_us)
    return _put(turn, schedule, spec=spec, **more)


def replace_schedule(
    turn: Turn, account: str, schedule_id: str, new: JobSchedulePatch, when: Conditions
) -> ScheduleRecord:
    """Replace all that may be replaced; metadata that was not sent goes."""
    whole = new if new.metadata is not None else replace(new, metadata=[])
    return patch_schedule(turn, account, schedule_id, whole, when)


def disable_schedule(
    turn: Turn, account: str, schedule_id: str, when: Conditions
) -> ScheduleRecord:
    """Make no job any more; one that is active goes on."""
    schedule = _live(turn, account, schedule_id, when)
    if schedule.state is ScheduleState.DISABLED:
        raise JobScheduleDisabled
    return _move(turn, schedule, ScheduleEvent.DISABLED)


def enable_schedule(turn: Turn, account: str, schedule_id: str, when: Conditions) -> ScheduleRecord:
    """Make jobs again; at once, if one was due meanwhile and its window is still open."""
    schedule = _live(turn, account, schedule_id, when)
    if schedule.state is ScheduleState.ACTIVE:
        return schedule
    return _move(turn, schedule, ScheduleEvent.ENABLED)


def terminate_schedule(
    turn: Turn, account: str, schedule_id: str, when: Conditions, *, force: bool
) -> ScheduleRecord:
    """Make no job any more, and terminate the active one; then the schedule is completed.

    With `force` one that is being terminated waits no more for what its job still waited for.
    """
    found = turn.schedule(account, schedule_id)
    if force and found.state is ScheduleState.TERMINATING:
        when.check(found.modified_us)
        schedule = _put(turn, found)
    else:
        schedule = _live(turn, account, schedule_id, when)
        schedule = _move(turn, schedule, ScheduleEvent.TERMINATED, next_run_us=None)
    job = turn.state.jobs.get(schedule.job_no or 0)
    again = force and job is not None and job.state is JobState.TERMINATING
    if job is not None and (again or job.state in LIVE_JOB_STATES):
        reason = TERMINATED_WITH_SCHEDULE
        jobs.terminate_job(turn, account, job.id, reason, ANY, force=force)
    return schedule


def delete_schedule(
    turn: Turn, account: str, schedule_id: str, when: Conditions, *, force: bool
) -> None:
    """Delete all jobs of the schedule; when the last is gone, it is forgotten.

    With `force` one that is being deleted waits no more for what its jobs still waited for.
    """
    schedule = turn.schedule(account, schedule_id)
    when.check(schedule.modified_us)
    if schedule.state is not ScheduleState.DELETING:
        _move(turn, schedule, ScheduleEvent.DELETED, next_run_us=None, forced=force)
    elif force:
        _put(turn, schedule, forced=True)
        for job_no in turn.state.timetable.jobs_of(schedule.no):
            job = turn.state.jobs[job_no]
            if job.state is JobState.DELETING:
                jobs.delete_job(turn, job.account, job.id, ANY, force=True)
    else:
        raise JobScheduleBeingDeleted
    delete_jobs(turn)


def _live(turn: Turn, account: str, schedule_id: str, when: Conditions) -> ScheduleRecord:
    """Find a schedule that has not begun to end, or refuse."""
    schedule = turn.schedule(account, schedule_id)
    when.check(schedule.modified_us)
    if schedule.state is ScheduleState.TERMINATING:
        raise JobScheduleBeingTerminated
    if schedule.state is ScheduleState.DELETING:
        raise JobScheduleBeingDeleted
    if schedule.state is ScheduleState.COMPLETED:
        raise JobScheduleCompleted
    return schedule


# --- time ------------------------------------------------------------------------------------


def tick(turn: Turn) -> None:
    """Have the schedules looked at that are due, and go on with those that are being deleted."""
    for no in turn.state.timetable.due(turn.now_us, MOST_AT_ONCE):
        turn.touch_schedule(no)
    delete_jobs(turn)


def delete_jobs(turn: Turn) -> None:
    """Delete some jobs of schedules that are being deleted."""
    for schedule, job_no in list(islice(turn.state.timetable.to_clear(), DELETED_AT_ONCE)):
        job = turn.state.jobs[job_no]
        jobs.delete_job(turn, job.account, job.id, ANY, force=schedule.forced)


def settle(turn: Turn, schedule_no: int) -> None:
    """See what is due, and what the end of a job means for its schedule."""
    schedule = turn.state.schedules.get(schedule_no)
    if schedule is None:
        return
    job = turn.state.jobs.get(schedule.job_no or 0)
    if schedule.job_no is not None and (job is None or job.state is JobState.COMPLETED):
        schedule = _keep(turn, schedule, job_no=None)
    if schedule.state is ScheduleState.ACTIVE:
        _run(turn, schedule)
    elif schedule.state is ScheduleState.TERMINATING and schedule.job_no is None:
        _complete(turn, schedule, ScheduleEvent.QUIET)
    elif schedule.state is ScheduleState.DELETING and not turn.state.timetable.has_jobs(
        schedule_no
    ):
        auto_pools.schedule_over(turn, schedule)
        turn.put(c.DropSchedule(schedule_no))


def _run(turn: Turn, schedule: ScheduleRecord) -> None:
    found = decide(
        plan_of(schedule.spec.schedule),
        schedule.next_run_us,
        schedule.last_due_us,
        turn.now_us,
        busy=schedule.job_no is not None,
    )
    if found.ended:
        _complete(turn, schedule, ScheduleEvent.ENDED)
        return
    if (found.next_us, found.last_us) != (schedule.next_run_us, schedule.last_due_us):
        schedule = _keep(turn, schedule, next_run_us=found.next_us, last_due_us=found.last_us)
    if found.make:
        _make_job(turn, schedule)


def _make_job(turn: Turn, schedule: ScheduleRecord) -> None:
    template = schedule.spec.job_specification
    parts = {name: getattr(template, name) for name in JobTemplate.__struct_fields__}
    count = schedule.jobs_made + 1
    spec = JobSpec(id=f"{schedule.id}:job-{count}", **parts)
    job = jobs.make_job(turn, schedule.account, spec, schedule)
    shared = auto_pools.is_shared(template.pool_info)
    _keep(
        turn,
        schedule,
        jobs_made=count,
        job_no=job.no,
        recent_job=job.id,
        auto_pool=job.auto_pool if shared and job.auto_pool else schedule.auto_pool,
    )


def _complete(turn: Turn, schedule: ScheduleRecord, event: ScheduleEvent) -> None:
    moved = _moved(turn, schedule, event)
    _keep(turn, schedule, **moved, end_us=turn.now_us, next_run_us=None)
    auto_pools.schedule_over(turn, schedule)


def _moved(turn: Turn, schedule: ScheduleRecord, event: ScheduleEvent) -> dict[str, Any]:
    return {
        "state": after(SCHEDULE_MOVES, schedule.state, event),
        "state_us": turn.now_us,
        "previous_state": schedule.state,
        "previous_state_us": schedule.state_us,
    }


def _move(turn: Turn, schedule: ScheduleRecord, event: ScheduleEvent, **new: Any) -> ScheduleRecord:
    return _put(turn, schedule, **_moved(turn, schedule, event), **new)


def _put(turn: Turn, schedule: ScheduleRecord, **new: Any) -> ScheduleRecord:
    """Change a schedule as a user asked, so that its entity tag changes too."""
    return _keep(turn, schedule, modified_us=turn.modified(schedule.modified_us), **new)


def _keep(turn: Turn, schedule: ScheduleRecord, **new: Any) -> ScheduleRecord:
    changed = replace(schedule, **new)
    turn.put(c.PutSchedule(changed))
    turn.touch_schedule(schedule.no)
    return changed
