"""What all commands have in common that ask a server: where it is, how to say it, how to fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from penstock.cli.exits import Exit, GaveUp
from penstock.cli.place import Place, Wanted, find

PANEL: Final = "Ask a server"

EPILOG: Final = """
The server is that of `--endpoint`, else of `--ready-file`, else of `AZURE_BATCH_ENDPOINT` (with
`AZURE_BATCH_ACCOUNT` and `AZURE_BATCH_ACCESS_KEY`, as `az batch` has them), else of
`PENSTOCK_READY_FILE`, else `penstock up` on its usual port.

Exit codes: 0 done, 2 bad options, 8 no server answers, 9 the server refuses, 10 the server failed.
"""


class Form(StrEnum):
    """How a command says what it found."""

    TEXT = "text"
    JSON = "json"


Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="The server.", rich_help_panel="The server"),
]
Account = Annotated[
    str | None,
    typer.Option(
        "--account", metavar="NAME", help="The Batch account.", rich_help_panel="The server"
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="BASE64",
        help="Its key; others see it here, so rather set AZURE_BATCH_ACCESS_KEY.",
        rich_help_panel="The server",
    ),
]
ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        metavar="FILE",
        help="What the server was given as --ready-file.",
        rich_help_panel="The server",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="Who vouches for an https server.",
        rich_help_panel="The server",
    ),
]
Output = Annotated[
    Form, typer.Option("--output", help="For a person; or the server's answer, untouched.")
]


def place_of(
    endpoint: str | None,
    account: str | None,
    key: str | None,
    ready_file: Path | None,
    ca_file: Path | None,
) -> Place:
    """The server that the options and the environment name. Raises GaveUp."""
    return find(Wanted(endpoint, account, key, ready_file, ca_file), os.environ)


@contextmanager
def answering() -> Iterator[None]:
    """Tell a person why it cannot be and what to do next; end with the code that says so."""
    try:
        yield
    except GaveUp as reason:
        lines = [*str(reason).splitlines(), *filter(None, [reason.next_step])]
        sys.stderr.write("".join(f"penstock: {line}\n" for line in lines))
        raise typer.Exit(int(reason.code)) from None
    except BrokenPipeError:  # whoever read has enough; Python is not to complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(int(Exit.DONE)) from None


def say(text: str) -> None:
    """Write a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_answer(body: bytes) -> None:
    """Write the answer of a server as it came."""
    say(body.decode("utf-8", "replace"))
