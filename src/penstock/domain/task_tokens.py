"""Tokens by which a task may work on its own job.

A token names one run of one task and is signed with the server's secret. It is made when the
run is sent to a node and kept nowhere: what it stands for can be made again from the records,
which is also how it is checked. So it ends with its run, and a record that takes the numbers of
another, in a database that was restored, does not inherit its tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final, NamedTuple

from penstock.domain.records import JobRecord, TaskRecord

TASK_TOKEN: Final = "AZ_BATCH_AUTHENTICATION_TOKEN"
"""Where a task finds its token."""

_PREFIX: Final = "penstock-task."
_FORM: Final = re.compile(
    re.escape(_PREFIX) + r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.[A-Za-z0-9_-]{43}"
)


class Run(NamedTuple):
    """What a token says that it is for."""

    job_no: int
    task_no: int
    attempt: int


def is_task_token(token: str) -> bool:
    """Whether a bearer token is one of these, good or not."""
    return token.startswith(_PREFIX)


def token_of(secret: bytes, job: JobRecord, task: TaskRecord) -> str:
    """The token of the present run of a task."""
    said = (job.account, job.no, job.id, job.created_us, task.no, task.id, task.created_us)
    text = "\0".join(map(str, (*said, task.attempt)))
    digest = hmac.digest(secret, text.encode(), hashlib.sha256)
    seal = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{_PREFIX}{job.no}.{task.no}.{task.attempt}.{seal}"


def run_of(token: str) -> Run | None:
    """What a token says; whether that is true has yet to be seen. None: it is no token."""
    match = _FORM.fullmatch(token)
    return Run(*map(int, match.groups())) if match else None


def is_good(secret: bytes, token: str, job: JobRecord, task: TaskRecord) -> bool:
    """Whether this is the token of the present run of a task. Without a secret there is none."""
    return bool(secret) and hmac.compare_digest(token_of(secret, job, task), token)
