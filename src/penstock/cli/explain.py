"""`penstock explain`: why tasks do not run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

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

if TYPE_CHECKING:
    from penstock.cli.api import Api

LOOKED_AT: Final = 200
"""Waiting tasks that a summary asks about."""

EXAMPLES: Final = 3
_WAITING: Final = "state eq 'active' or state eq 'preparing'"


@dataclass(slots=True)
class Cause:
    """What keeps tasks waiting; `first` of them have no weightier cause."""

    code: str
    message: str  # to the first task
    remedy: str
    tasks: int = 0
    first: int = 0
    examples: list[str] = field(default_factory=list)


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

    Without a task, the causes of the tasks that wait, with how many each keeps waiting; only the
    first 200 tasks are asked about.
    """
    with answering():
        place = place_of(endpoint, account, key, ready_file, ca_file)
        from penstock.cli.api import Api

        with Api(place) as api:
            if task is None:
                _summary(api, job, output)
            else:
                _one(api, job, task, output)


def _one(api: Api, job: str, task: str, output: Form) -> None:
    from penstock.cli.api import decoded, path_of

    where = path_of("jobs", job, "tasks", task)
    body = api.get(f"{where}/explain")
    if output is Form.JSON:
        say_answer(body)
        return
    causes = decoded(body)["value"]
    if not causes:
        state = decoded(api.get(where))["state"]
        say(f"Nothing keeps task {task!r} from running: it is {state}.")
    for number, cause in enumerate(causes, 1):
        say(f"{number}. {cause['code']}: {cause['message']}\n   {cause['remedy']}")


def _summary(api: Api, job: str, output: Form) -> None:
    from penstock.cli.api import decoded, path_of

    where = path_of("jobs", job)
    query: dict[str, str | int] = {"$filter": _WAITING, "$select": "id", "maxresults": LOOKED_AT}
    waiting = [it["id"] for it in islice(api.pages(f"{where}/tasks", **query), LOOKED_AT)]
    asked = (
        (name, decoded(api.get(f"{path_of('jobs', job, 'tasks', name)}/explain"))["value"])
        for name in waiting
    )
    causes = grouped(asked)
    if output is Form.JSON:
        summary = {"job": job, "lookedAt": len(waiting), "causes": [asdict(it) for it in causes]}
        say(json.dumps(summary))
        return
    if not causes:
        say(f"No task of job {job!r} waits.")
        return
    least = "at least " if len(waiting) == LOOKED_AT else ""
    say(f"{least}{len(waiting)} tasks of job {job!r} wait:")
    for cause in causes:
        others = ", ..." if cause.tasks > len(cause.examples) else ""
        say(
            f"- {cause.code}, {cause.tasks} tasks ({', '.join(cause.examples)}{others})\n"
            f"  {cause.message}\n  {cause.remedy}"
        )


def grouped(asked: Iterable[tuple[str, list[dict[str, Any]]]]) -> list[Cause]:
    """The causes of many tasks, each once, those first that keep most tasks by themselves."""
    causes: dict[str, Cause] = {}
    for task, reasons in asked:
        for place, reason in enumerate(reasons):
            code = reason["code"]
            cause = causes.setdefault(code, Cause(code, reason["message"], reason["remedy"]))
            cause.tasks += 1
            cause.first += place == 0
            if len(cause.examples) < EXAMPLES:
                cause.examples.append(task)
    return sorted(causes.values(), key=lambda cause: (-cause.first, -cause.tasks))
