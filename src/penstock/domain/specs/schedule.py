"""What a user may say of a job schedule."""

from __future__ import annotations

from penstock.domain.instants import Duration
from penstock.domain.specs.common import NameValue, Spec
from penstock.domain.specs.job import JobTemplate


class Schedule(Spec, frozen=True, kw_only=True):
    """When jobs are made. Instants are text as clients sent it, in UTC with seven digits."""

    do_not_run_until: str | None = None
    do_not_run_after: str | None = None
    start_window: Duration | None = None
    recurrence_interval: Duration | None = None


class JobScheduleSpec(Spec, frozen=True, kw_only=True):
    """A job schedule as its user described it, with the defaults that the service adds."""

    id: str
    display_name: str | None = None
    schedule: Schedule
    job_specification: JobTemplate
    metadata: list[NameValue] | None = None


class JobSchedulePatch(Spec, frozen=True, kw_only=True):
    """What PATCH and PUT may change, each as a whole."""

    schedule: Schedule | None = None
    job_specification: JobTemplate | None = None
    metadata: list[NameValue] | None = None
