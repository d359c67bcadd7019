"""`penstock explain`: why tasks do not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from penstock.cli.options import (
    Account,
    CaFile,
    Endpoint,
    Form,
    Key,
    Output,
    ReadyFile,
    answering,
    place_of,
    say,
    say_answer,
)


def explain(
    *,
    job: Annotated[str, typer.Argument(metavar="JOB")],
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="Default: all that wait, by cause.")
    ] = None,
    endpoint: Endpoint = None,
    account: Account = None,
    key: Key = None,
    ready_file: ReadyFile = None,
    ca_file: CaFile = None,
    output: Output = Form.TEXT,
) -> None:
    """Say why a task does not run, the weightiest cause first, and what would change it.

    Without a task: what keeps the tasks of the job waiting that have waited for longest, and how
    many of them each cause does.
    """
    with answering():
        place = place_of(endpoint, account, key, ready_file, ca_file)
        from penstock.cli.api import Api, decoded, path_of

        words = ("jobs", job) if task is None else ("jobs", job, "tasks", task)
        with Api(place) as api:
            body = api.get(f"{path_of(*words)}/explain")
        if output is Form.JSON:
            say_answer(body)
        elif task is None:
            _summary(decoded(body))
        else:
            _causes(decoded(body))


def _causes(said: Mapping[str, Any]) -> None:
    for number, cause in enumerate(said["value"], 1):
        say(f"{number}. {cause['code']}: {cause['message']}\n   {cause['remedy']}")


def _summary(said: Mapping[str, Any]) -> None:
    job, waiting, looked_at = said["jobId"], said["waiting"], said["lookedAt"]
    if not waiting:
        say(f"No task of job {job!r} waits; the job is {said['jobState']}.")
    else:
        of_those = "" if looked_at >= waiting else f"; what keeps the first {looked_at}"
        say(f"{waiting} tasks of job {job!r} wait{of_those}:")
    for cause in said["value"]:
        count, such = cause["count"], cause.get("exampleTaskId")
        of_whom = f"{count} of them, such as {such!r}, " if count else ""
        say(f"- {of_whom}{cause['code']}: {cause['message']}\n  {cause['remedy']}")
