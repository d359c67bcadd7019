"""`penstock node`: what the protocol has no word for, but a person who tries things out wants."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import (
    EPILOG,
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

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=f"""
Do something with a node that the protocol has no word for.
{EPILOG}
""",
)


@app.callback()
def node() -> None:
    """Only there so that the commands keep their names."""


@app.command(epilog=EPILOG)
def preempt(
    *,
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    name: Annotated[str, typer.Argument(metavar="NODE")],
    endpoint: Endpoint = None,
    account: Account = None,
    key: Key = None,
    ready_file: ReadyFile = None,
    ca_file: CaFile = None,
    output: Output = Form.TEXT,
) -> None:
    """Take a low-priority node away, as its cloud would: its tasks run elsewhere, it comes back."""
    with answering():
        place = place_of(endpoint, account, key, ready_file, ca_file)
        from penstock.cli.api import Api, path_of

        with Api(place) as api:
            body = api.post(f"{path_of('pools', pool, 'nodes', name)}/preempt", None)
        if output is Form.JSON:
            if body:
                say_answer(body)
        else:
            say(f"Node {name!r} is being preempted.")
