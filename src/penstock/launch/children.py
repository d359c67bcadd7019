"""The command lines of a server's children, and what to do with those left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from penstock.config import Config
from penstock.launch import azurite
from penstock.launch.azurite_install import Installation
from penstock.launch.datadir import DataDir
from penstock.launch.processes import ProcessRecord
from penstock.launch.supervise import Child

_RETIRE_WITHIN_S: Final = 3.0


def node_host(data: DataDir, config: Config) -> Child:
    """The node host of this machine. It asks the data directory for the server each time."""
    return Child(
        name="node-host",
        command=(sys.executable, "-P", "-m", "penstock", "agent", "--join", str(data.root)),
        record=data.child("node-host"),
        log=data.logs / "node-host.log",
        environment=config.for_node_host(),
    )


def blob_service(data: DataDir, installation: Installation, port: int) -> Child:
    """Azurite with its files in the data directory."""
    return Child(
        name="azurite",
        command=tuple(azurite.command(installation, port, data.azurite)),
        record=data.child("azurite"),
        log=data.logs / "azurite.log",
    )


def retire(record: Path) -> None:
    """End the child that an earlier server left and this one does not want."""
    if (left := ProcessRecord.load(record)) is not None:
        left.end(_RETIRE_WITHIN_S)
        record.unlink(missing_ok=True)
