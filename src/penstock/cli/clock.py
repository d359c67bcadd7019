"""`penstock clock`: what time it is for a server, and letting it be later."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from penstock.cli.exits import Exit, GaveUp
from penstock.cli.lengths import length
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
from penstock.cli.place import Place

PATH: Final = "/clock"

app = typer.Typer(
    no_args_is_help=False,
    rich_markup_mode="markdown",
    help=f"""
Say what time it is for a server; `penstock clock advance 6h` lets it be later.
{EPILOG}
""",
)


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    *,
    endpoint: Endpoint = None,
    account: Account = None,
    key: Key = None,
    ready_file: ReadyFile = None,
    ca_file: CaFile = None,
    output: Output = Form.TEXT,
) -> None:
    # no docstring, which would take the place of the help above
    if context.invoked_subcommand is not None:
        with answering():
            if any((endpoint, account, key, ready_file, ca_file)):
                raise GaveUp(Exit.USAGE, "options go behind the last word of the command")
        return
    with answering():
        _ask(place_of(endpoint, account, key, ready_file, ca_file), None, output)


@app.command(epilog=EPILOG)
def advance(
    *,
    by: Annotated[str, typer.Argument(metavar="LENGTH", help="6h, 90m, 2d, 1h30m or PT6H.")],
    endpoint: Endpoint = None,
    account: Account = None,
    key: Key = None,
    ready_file: ReadyFile = None,
    ca_file: CaFile = None,
    output: Output = Form.TEXT,
) -> None:
    """Move the clock of a `penstock up` on, as if the time had passed.

    What falls due on the way happens in its order, each at its time: job schedules make their
    jobs, limits of time end them, kept directories go. Processes that run go on as they are.
    Returns when all that is decided.
    """
    with answering():
        try:
            iso = str(length(by))
        except ValueError:
            raise GaveUp(
                Exit.USAGE, f"{by!r} is no length of time", "it looks like 6h, 90m, 1h30m or PT6H"
            ) from None
        _ask(place_of(endpoint, account, key, ready_file, ca_file), iso, output)


def _ask(place: Place, advance_by: str | None, output: Form) -> None:
    from penstock.cli.api import Api, decoded

    with Api(place) as api:
        if advance_by is None:
            body = api.get(PATH)
        else:
            body = api.post(PATH, {"advance": advance_by}, patient=True)
    if output is Form.JSON:
        say_answer(body)
        return
    said = decoded(body)
    ahead = said["offset"]
    where = "as the machine" if ahead == "PT0S" else f"{ahead} ahead of the machine"
    moving = "; an advance is on its way" if said["advancing"] else ""
    say(f"{said['now']}, {where}{moving}")
