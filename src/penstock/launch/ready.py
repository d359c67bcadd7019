"""Saying that all is ready: to programs in a file, to a person on the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from penstock.launch.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a client needs to know of a running server."""

    endpoint: str
    tls_endpoint: str
    ca_file: Path
    account_name: str
    account_key: str
    storage: str | None  # connection string
    data: Path
    told: Mapping[str, Sequence[str]]  # the keys that a person is shown, by account
    keys_at: str  # where the other keys are

    def document(self) -> dict[str, object]:
        """The content of the ready file; programs rely on these names."""
        return {
            "endpoint": self.endpoint,
            "tlsEndpoint": self.tls_endpoint,
            "caFile": str(self.ca_file),
            "accountName": self.account_name,
            "accountKey": self.account_key,
            "storageConnectionString": self.storage,
            "dataDir": str(self.data),
            "pid": os.getpid(),
        }


def write(file: Path, ready: Ready) -> None:
    """Write the ready file; whoever sees it sees all of it."""
    content = json.dumps(ready.document(), indent=2) + "\n"
    write_atomically(file, content.encode())


EXAMPLE = """\
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

client = BatchClient(
    "{endpoint}",
    AzureNamedKeyCredential("{name}", "{key}"),
)
print([pool.id for pool in client.list_pools()])
"""


def show(ready: Ready, title: str, out: TextIO = sys.stdout) -> None:
    """Tell a person; with colours on a terminal only."""
    if not out.isatty():
        out.write(_plain(ready, title))
        out.flush()
        return
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(ready):
        table.add_row(name, value)
    console = Console(file=out)
    console.print(Panel(Group(table), title=f"[bold]{title}[/]", border_style="cyan"))
    console.print("Try it ([bold]pip install azure-batch[/]):\n", highlight=False)
    console.print(Syntax(_example(ready), "python", background_color="default", word_wrap=True))
    console.print("[dim]Ctrl-C stops it; all state stays in the data directory.[/]")


def _rows(ready: Ready) -> list[tuple[str, str]]:
    return [
        ("Batch", ready.endpoint),
        ("Batch, TLS", ready.tls_endpoint),
        ("CA file", str(ready.ca_file)),
        ("Account", ready.account_name),
        *_keys(ready),
        ("Storage", ready.storage or "none"),
        ("Data", str(ready.data)),
    ]


def _keys(ready: Ready) -> list[tuple[str, str]]:
    """The keys that were made just now, which are shown once; where the others are."""
    rows = [
        (label if name == ready.account_name else f"{label} of {name}", key)
        for name, keys in ready.told.items()
        for label, key in zip(("Key", "Second key"), keys, strict=False)
    ]
    return rows if ready.account_name in ready.told else [("Keys", ready.keys_at), *rows]


def _plain(ready: Ready, title: str) -> str:
    rows = "".join(f"  {name:<11} {value}\n" for name, value in _rows(ready))
    return f"{title}\n{rows}\n{_example(ready)}\n"


def _example(ready: Ready) -> str:
    key = ready.account_key if ready.account_name in ready.told else "<one of its keys>"
    return EXAMPLE.format(endpoint=ready.endpoint, name=ready.account_name, key=key)
