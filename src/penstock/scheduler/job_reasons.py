"""What the state of a job means for its tasks."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.domain.records import JobRecord
from penstock.domain.states import JobState
from penstock.scheduler.reasons import Code, Reason, because

_NEVER = "Nothing: the task will not run. Add it to another job."


def is_over(job: JobRecord) -> bool:
    """Whether no task of the job will run any more, so that nothing else matters."""
    return job.state in (JobState.TERMINATING, JobState.DELETING, JobState.COMPLETED)


def of_job(job: JobRecord) -> Iterator[Reason]:
    """What keeps all tasks of a job."""
    if job.state in (JobState.DISABLED, JobState.DISABLING):
        yield because(
            Code.JOB_DISABLED,
            f"Job {job.id!r} is {job.state}.",
            "Enable the job.",
            job=job.id,
            job_state=job.state,
            disable_tasks=job.disable_how,
        )
    elif job.state is JobState.ENABLING:
        yield because(
            Code.JOB_ENABLING,
            f"Job {job.id!r} is enabling.",
            "It is active in a moment.",
            job=job.id,
            job_state=job.state,
        )
    elif job.scheduling_error is not None:
        error = job.scheduling_error
        yield because(
            Code.AUTO_POOL_FAILED,
            f"The auto pool of job {job.id!r} could not be made: {error.code}: {error.message}",
            "Correct what the error names, and add the job anew.",
            job=job.id,
            error=error.code,
            **{_name(detail.name): detail.value for detail in error.details},
        )
    elif is_over(job):
        yield _over(job)


def _name(name: str) -> str:
    return name[:1].lower() + name[1:]


def _over(job: JobRecord) -> Reason:
    why = f" ({job.terminate_reason})" if job.terminate_reason else ""
    return because(
        Code.JOB_COMPLETED if job.state is JobState.COMPLETED else Code.JOB_ENDING,
        f"Job {job.id!r} is {job.state}{why}.",
        _NEVER,
        job=job.id,
        job_state=job.state,
        terminate_reason=job.terminate_reason,
    )
