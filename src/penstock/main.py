"""The command line: `penstock up`, `serve`, `agent`, `backup`, `restore`, and what asks a server.

Nothing heavy is imported before it is known what is wanted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer

from penstock import __version__
from penstock.cli import clock, explain, node
from penstock.cli import events as events_command
from penstock.cli.options import EPILOG, PANEL
from penstock.config import Config, ConfigRefused, read_file
from penstock.launch.exits import CannotStart, Exit

_EXITS = """
Exit codes: 0 stopped as asked, 1 failed, 2 bad options or settings, 3 the data directory is in
use by another server, 4 a port cannot be had, 5 storage cannot be had, 6 the database cannot be
used, 7 the file is no backup that can be restored. Of what asks a server: 0 done, 8 no server
answers, 9 it refuses, 10 it failed.
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""
A batch compute service that speaks the Azure Batch REST API.

Start here: `penstock up`, then paste the example that it prints.

Each option may also be set in a TOML file (`--config`) or in the environment (`PENSTOCK_PORT`
for `--port`). Options win over the environment, the environment over the file.
{_EXITS}
""",
)

NICE: Final = 10  # a backup gives way to the server and to its tasks


class Output(StrEnum):
    """How a command says what it did."""

    TEXT = "text"
    JSON = "json"


class Which(StrEnum):
    """One of the two keys of an account."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Told(Protocol):
    """What a command did."""

    def document(self) -> dict[str, Any]:
        """For programs."""

    def text(self) -> str:
        """For a person."""


ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in a TOML file.")
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where all state lives; it survives a restart. Default: a directory per user.",
    ),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Port for http; 0 is a free one. Default: 10600.")]
TlsPort = Annotated[int | None, typer.Option(help="Port for https, likewise. Default: 10643.")]
ReadyFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Written as JSON when requests succeed; removed at the end."),
]
OutputForm = Annotated[Output, typer.Option("--output", help="For a person, or for a program.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error. Default: info.")]


@app.command(rich_help_panel="On one machine")
def up(
    *,
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tls_port: TlsPort = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="azurite|none|CONNECTION_STRING",
            help="The linked storage account. Default: azurite, installed once by itself.",
        ),
    ] = None,
    ready_file: ReadyFile = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
) -> None:
    """Run everything on this machine: server, nodes, storage.

    The account is always `devbatchaccount1` with a published key, so keep it on addresses that
    only you can reach. Ctrl-C or SIGTERM stops it with all that it started. Killed outright, it
    needs no clean-up: the next `penstock up` takes over what was left.

    For a script: `penstock up --port 0 --tls-port 0 --ready-file ready.json`
    """
    with _refusals():
        settings, root = _settings(
            config,
            data=data,
            host=host,
            port=port,
            tls_port=tls_port,
            storage=storage,
            ready_file=ready_file,
            log_level=log_level,
        )
        from penstock.launch import up as launch

        launch.up(settings, root, _announcer(settings, "Penstock is up"))


@app.command(rich_help_panel="On several machines")
def serve(
    *,
    config: ConfigFile = None,
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tls_port: TlsPort = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="azurite|none|CONNECTION_STRING",
            help="Linked to accounts that name none of their own. Default: none.",
        ),
    ] = None,
    ready_file: ReadyFile = None,
    log_level: LogLevel = None,
) -> None:
    """Run a server alone; nodes come from `penstock agent` on other machines.

    Accounts come from the settings file; without any, one is made and kept in the data
    directory. The development key of `penstock up` is refused. Node hosts need the file
    `agent.token` of the data directory.
    """
    with _refusals():
        settings, root = _settings(
            config,
            data=data,
            host=host,
            port=port,
            tls_port=tls_port,
            storage=storage,
            ready_file=ready_file,
            log_level=log_level,
        )
        from penstock.launch import up as launch

        launch.serve(settings, root, _announcer(settings, "Penstock serves"))


@app.command(rich_help_panel="On several machines")
def agent(
    *,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="The server, http:// or https://.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A copy of the server's agent.token.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who vouches for an https server.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the nodes' directories live.")
    ] = None,
    join: Annotated[
        Path | None,
        typer.Option(
            metavar="DATADIR",
            help="Instead of the others: the data directory of a server on this machine.",
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option(
            "--null",
            help="Run nothing: tell the server at once that each task succeeded. To measure and "
            "load a server without processes, files or --data.",
        ),
    ] = False,
    config: ConfigFile = None,
    log_level: LogLevel = None,
) -> None:
    """Host compute nodes on this machine. It dials out to the server and needs no open port.

    `penstock agent --server https://batch.example:10643 --ca-file ca.pem --token-file agent.token
    --data /var/lib/penstock-nodes`
    """
    with _refusals():
        settings, _ = _settings(config, log_level=log_level)
        from penstock.launch import node_host

        if null and data is not None:
            raise CannotStart(Exit.USAGE, "--null takes no --data: its nodes have no directories")
        if join is not None:
            if server or token_file or ca_file or data:
                raise CannotStart(Exit.USAGE, "--join takes no other option of the connection")
            node_host.join(settings, join, null=null)
        elif server is None or token_file is None or not (null or data):
            raise CannotStart(Exit.USAGE, "give --server, --token-file and --data, or --join")
        else:
            node_host.dial(settings, server, token_file, data, ca_file)


@app.command(rich_help_panel="The data")
def backup(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to be made.")],
    data: Data = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    output: OutputForm = Output.TEXT,
    config: ConfigFile = None,
    log_level: LogLevel = None,
) -> None:
    """Write the database and the keys of a server into one file, while it runs or not.

    All that was answered before the command began is in it. It has secrets: only its owner may
    read it. Files on nodes and blobs are not in it.
    """
    with _refusals(), _unwinding():
        _, root = _settings(config, data=data, log_level=log_level)
        from penstock.launch import backup as launch
        from penstock.launch import watching

        os.nice(NICE)
        with watching.shown("Copying") as watch:
            made = launch.backup(root, file, _now_us(), watch, force=force)
        _tell(made, output)


@app.command(rich_help_panel="The data")
def restore(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    data: Data = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the database that is there; it is kept aside.")
    ] = False,
    output: OutputForm = Output.TEXT,
    config: ConfigFile = None,
    log_level: LogLevel = None,
) -> None:
    """Put a backup into a data directory that no server uses, here or on another machine.

    Tasks that ran or waited when the backup was made run again; completed ones stay as they were.
    """
    with _refusals(), _unwinding():
        _, root = _settings(config, data=data, log_level=log_level)
        from penstock.launch import restore as launch
        from penstock.launch import watching

        with watching.shown("Restoring") as watch:
            made = launch.restore(file, root, _now_us(), watch, force=force)
        _tell(made, output)


account_app = typer.Typer(
    no_args_is_help=True,
    help="The keys that a server made for its accounts: see them, and replace one of them.",
)
app.add_typer(account_app, name="account", rich_help_panel="The data")

AccountName = Annotated[
    str | None,
    typer.Argument(metavar="[ACCOUNT]", help="Which account, where there are several."),
]


@account_app.command()
def keys(
    *,
    account: AccountName = None,
    data: Data = None,
    output: OutputForm = Output.TEXT,
    config: ConfigFile = None,
) -> None:
    """Print the two keys of an account, for programs on other machines. Keep them secret.

    Keys that stand in the settings are not printed, and neither are the published ones of
    `penstock up`.
    """
    with _refusals():
        _, root = _settings(config, data=data)
        from penstock.launch import account_keys as launch

        _tell(launch.shown(root, account), output)


@account_app.command()
def regenerate(
    *,
    which: Annotated[Which, typer.Argument(metavar="primary|secondary", help="Which key.")],
    account: AccountName = None,
    data: Data = None,
    output: OutputForm = Output.TEXT,
    config: ConfigFile = None,
) -> None:
    """Replace one key of an account by a new one; the other stays valid meanwhile.

    Let all programs use the other key first. A server that runs refuses the old key within two
    seconds.
    """
    with _refusals():
        _, root = _settings(config, data=data)
        from penstock.launch import account_keys as launch

        _tell(launch.regenerated(root, account, which.value), output)


app.add_typer(clock.app, name="clock", rich_help_panel=PANEL)
app.command(rich_help_panel=PANEL, epilog=EPILOG)(events_command.events)
app.command(rich_help_panel=PANEL, epilog=EPILOG)(explain.explain)
app.add_typer(node.app, name="node", rich_help_panel=PANEL)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Only carries --version."""


def _settings(file: Path | None, **options: object) -> tuple[Config, Path]:
    """Read the settings, start logging by them, give them with the data directory."""
    from penstock.launch import logs
    from penstock.launch.datadir import default_root

    settings = Config.read(read_file(file) if file else {}, os.environ, options)
    logs.set_up(settings.log_level)
    root = Path(settings.data) if settings.data else default_root(os.environ, Path.home())
    return settings, root


def _now_us() -> int:
    from penstock.clock import Clock

    return Clock().now_us()


def _tell(what: Told, form: Output) -> None:
    import json

    sys.stdout.write(what.text() if form is Output.TEXT else f"{json.dumps(what.document())}\n")


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let a signal end what is half done as an error does, so that nothing of it is left."""

    def stop(number: int, _frame: object) -> None:
        raise CannotStart(Exit.FAILED, f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    yield


def _announcer(settings: Config, title: str) -> Callable[..., None]:
    from penstock.launch import ready

    def announce(what: ready.Ready) -> None:
        if settings.ready_file:
            ready.write(Path(settings.ready_file), what)
        ready.show(what, title)

    return announce


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell a person why it cannot be, without a traceback."""
    try:
        yield
    except ConfigRefused as reason:
        _give_up(Exit.USAGE, str(reason))
    except CannotStart as reason:
        _give_up(reason.code, str(reason))


def _give_up(code: Exit, reason: str) -> None:
    sys.stderr.write("".join(f"penstock: {line}\n" for line in reason.splitlines()))
    raise typer.Exit(int(code))


def main() -> None:
    """Run the command line."""
    app(prog_name="penstock")
