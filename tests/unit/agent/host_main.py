"""Runs a node host for tests: settings as JSON in the first argument, ``uvloop`` in the second.

The server's address is read from a file before each dial, as ``penstock agent`` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from penstock.agent import log
from penstock.agent.host import NodeHost
from penstock.agent.settings import AgentSettings, ServerAddress


def settings(given: dict[str, Any]) -> AgentSettings:
    endpoint = Path(given.pop("endpoint_file"))

    def locate() -> ServerAddress | None:
        return ServerAddress(endpoint.read_text().strip()) if endpoint.exists() else None

    return AgentSettings(
        data_dir=Path(given.pop("data_dir")), locate=locate, token=given.pop("token"), **given
    )


def main() -> None:
    log.configure()
    host = NodeHost(settings(json.loads(sys.argv[1])))
    if sys.argv[2:] == ["uvloop"]:
        import uvloop

        uvloop.run(host.run())
    else:
        asyncio.run(host.run())


if __name__ == "__main__":
    main()
