"""Where things lie below a node's root, as its users know it."""

from __future__ import annotations

import re
from typing import Final

from penstock.messages import RunTask

NODE_DIRECTORIES: Final = (
    "applications",
    "fsmounts",
    "shared",
    "startup",
    "startup/wd",
    "volatile",
    "workitems",
)

_JOB_OF_SCHEDULE: Final = re.compile(r"(.+):(job-\d+)")


def job_directory(job_id: str) -> str:
    """``workitems/{job}/job-1``; ``workitems/{schedule}/job-{n}`` for a job of a schedule."""
    of_schedule = _JOB_OF_SCHEDULE.fullmatch(job_id) if ":" in job_id else None
    if of_schedule is None:
        return f"workitems/{job_id}/job-1"
    return f"workitems/{of_schedule[1]}/{of_schedule[2]}"


def task_directory(job_id: str, task_id: str) -> str:
    """The directory of a task's ``stdout.txt`` and ``wd``."""
    return f"{job_directory(job_id)}/{task_id}"


def run_directory(order: RunTask) -> str:
    """That of the task, or below it with its number that of a subtask."""
    directory = task_directory(order.job_id, order.task_id)
    if order.gang is None or order.gang.index == 0:
        return directory
    return f"{directory}/{order.gang.index}"
