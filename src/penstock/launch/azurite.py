"""Azurite as the linked storage account: its address and its command line.

Each data directory has one port for it for good, because URLs with signatures that were handed
out name that port.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

from penstock.launch.azurite_install import Installation
from penstock.launch.files import write_atomically
from penstock.launch.probe import head_of

ACCOUNT: Final = "devstoreaccount1"
KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The account and key that Azurite publishes in its documentation."""

USUAL_PORT: Final = 10000
"""Where ``UseDevelopmentStorage=true`` looks for an Azurite that a person started."""

_PORTS: Final = range(20_000, 32_000)
"""Ports to choose from by chance, so that two servers that start at once do not choose the same
and then share one Azurite. The kernel gives none of these to outgoing connections."""


def connection_string(port: int) -> str:
    """What storage clients need to know."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )


def port_of(file: Path, rng: random.Random) -> int:
    """Give the port kept in `file`, chosen now where there is none."""
    try:
        return int(file.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        port = _free_port(rng)
        write_atomically(file, str(port).encode())
        return port


def new_port(file: Path, rng: random.Random) -> int:
    """Choose another port, because a stranger listens on the one kept in `file`."""
    file.unlink(missing_ok=True)
    return port_of(file, rng)


def command(installation: Installation, port: int, location: Path) -> list[str]:
    """The words that start the blob service."""
    return [
        str(installation.node),
        str(installation.main),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(location)),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]


async def answers(port: int) -> bool:
    """Whether Azurite, and nothing else, answers on this port."""
    try:
        _, head = await head_of("127.0.0.1", port, f"/{ACCOUNT}?comp=list")
    except OSError:
        return False
    return "azurite-blob" in head.lower()


def occupied(port: int) -> bool:
    """Whether someone listens on this port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _free_port(rng: random.Random) -> int:
    for port in rng.sample(_PORTS, 50):
        if not occupied(port):
            return port
    raise OSError("no free port for Azurite")
