"""Which tasks get a token, and whose token it is that a client shows."""

from __future__ import annotations

from penstock.domain.records import JobRecord, TaskRecord
from penstock.domain.specs.task import TaskSpec
from penstock.domain.task_tokens import TASK_TOKEN, is_good, run_of, token_of
from penstock.engine.state import State
from penstock.engine.turn import Turn


def token_environment(turn: Turn, task: TaskRecord, spec: TaskSpec) -> dict[str, str]:
    """What a run is told of its token: nothing, unless its user asked for one."""
    wanted = spec.authentication_token_settings
    secret = turn.settings.token_secret
    if not secret or wanted is None or not wanted.access:
        return {}
    return {TASK_TOKEN: token_of(secret, turn.state.jobs[task.job_no], task)}


def job_of_token(state: State, secret: bytes, token: str) -> JobRecord | None:
    """The job of the task whose present run was given this token; None where there is none."""
    run = run_of(token)
    task = state.given.get(run.task_no) if run else None
    job = state.jobs.get(task.job_no) if task else None
    if task is None or job is None or not is_good(secret, token, job, task):
        return None
    return job
