"""`penstock events`: what happened, and what happens."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from penstock.cli.exits import Exit, GaveUp
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

PATH: Final = "/events"
_WAIT_S: Final = 30
_TRIES: Final = 20
_PAUSE_S: Final = 0.5
"""A server that starts anew is waited for, for ten seconds."""


def events(
    *,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="ID", help="Only what came after this one.")
    ] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    endpoint: Endpoint = None,
    account: Account = None,
    key: Key = None,
    ready_file: ReadyFile = None,
    ca_file: CaFile = None,
    output: Output = Form.TEXT,
) -> None:
    """Show the log of events of an account, oldest first.

    With `--output json` the answer is one page, whose `next` is the `--after` of the next; with
    `--follow` too, it is one event per line.
    """
    with answering():
        place = place_of(endpoint, account, key, ready_file, ca_file)
        from penstock.cli.api import Api

        with Api(place) as api:
            if follow:
                _follow(api, after, output)
            elif output is Form.JSON:
                say_answer(api.get(PATH, after=after))
            else:
                _all(api, after)


def _all(api: Api, after: int) -> None:
    while page := _page(api, after):
        _show(page, after, Form.TEXT)
        if not page["value"]:
            return
        after = page["next"]


def _follow(api: Api, after: int, output: Form) -> None:
    page = _page(api, after)
    tries = 0
    try:
        while True:
            _show(page, after, output)
            after = page["next"]
            try:
                page = _page(api, after, timeout=_WAIT_S)
                tries = 0
            except GaveUp as reason:
                tries += 1
                if reason.code is not Exit.UNREACHABLE or tries > _TRIES:
                    raise
                time.sleep(_PAUSE_S)
                page = {"value": [], "next": after, "missed": False}
    except KeyboardInterrupt:
        return


def _page(api: Api, after: int, **query: int) -> dict[str, Any]:
    from penstock.cli.api import decoded

    page: dict[str, Any] = decoded(api.get(PATH, after=after, **query))
    return page


def _show(page: Mapping[str, Any], after: int, output: Form) -> None:
    if page["missed"]:
        typer.echo(
            f"penstock: what came between {after} and {page['first']} is kept no more", err=True
        )
    for event in page["value"]:
        if output is Form.JSON:
            say(json.dumps(event, separators=(",", ":"), ensure_ascii=False))
        else:
            say(f"{event['id']:>8}  {event['time'][:23]}Z  {event['name']:<28}  {_gist(event)}")


def _gist(event: Mapping[str, Any]) -> str:
    """What it is about, in a few words."""
    body = event["body"]
    name = body.get("id", body.get("taskName", ""))
    subject = f"{body['jobId']}/{name}" if "jobId" in body else name
    info = body.get("executionInfo", {})
    error = info.get("schedulingError") or body.get("schedulingError") or {}
    found = [subject]
    if "state" in body:
        was = body.get("previousState")
        found.append(f"{was} -> {body['state']}" if was else body["state"])
    if "exitCode" in info:
        found.append(f"exit {info['exitCode']}")
    found += filter(None, [info.get("result"), error.get("code"), body.get("resultCode")])
    if "nodeInfo" in body:
        found.append(f"on {body['nodeInfo']['nodeId'][:20]}")
    return "  ".join(found)
