"""Running a node host: `penstock agent`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.config import Config
from penstock.launch.datadir import read_endpoint
from penstock.launch.exits import CannotStart, Exit

if TYPE_CHECKING:
    from penstock.agent.host import NodeHost
    from penstock.agent.null import NullHost
    from penstock.agent.settings import ServerAddress


def join(config: Config, root: Path, *, null: bool) -> None:
    """Host nodes for the server of a data directory on this machine, wherever it listens now."""
    from penstock.agent.settings import ServerAddress

    def locate() -> ServerAddress | None:
        found = read_endpoint(root)
        return ServerAddress(found.url) if found else None

    data = None if null else root / "node-host"
    _run(config, data, locate, _token(root / "agent.token"))


def dial(
    config: Config, url: str, token_file: Path, data: Path | None, ca_file: Path | None
) -> None:
    """Host nodes for the server at `url`; without a `data` directory, nodes that run nothing.

    Raises CannotStart when the words make no sense.
    """
    from penstock.agent.settings import ServerAddress

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CannotStart(Exit.USAGE, f"--server {url}: give http://host:port or https://host:port")
    if ca_file is not None:
        _check_ca(ca_file)
    address = ServerAddress(url.rstrip("/"), str(ca_file) if ca_file else None)
    _run(config, data, lambda: address, _token(token_file))


def _run(
    config: Config, data: Path | None, locate: Callable[[], ServerAddress | None], token: str
) -> None:
    import uvloop

    from penstock.agent.host import HostBusy

    host = _host(config, data, locate, token) if data else _null_host(config, locate, token)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(host.run())
        except HostBusy as reason:
            raise CannotStart(Exit.IN_USE, str(reason)) from None


def _host(
    config: Config, data: Path, locate: Callable[[], ServerAddress | None], token: str
) -> NodeHost:
    from penstock.agent.host import NodeHost
    from penstock.agent.settings import AgentSettings

    data.mkdir(parents=True, exist_ok=True)
    settings = AgentSettings(
        data_dir=data,
        locate=locate,
        token=token,
        orphan_after_s=config.orphan_after_s,
        kill_grace_s=config.kill_grace_s,
        max_processes=config.max_processes,
        max_output_bytes=config.max_output_bytes,
        min_free_bytes=config.min_free_bytes,
    )
    return NodeHost(settings)


def _null_host(config: Config, locate: Callable[[], ServerAddress | None], token: str) -> NullHost:
    from penstock.agent.null import NullHost

    return NullHost(locate, token, config.orphan_after_s)


def _token(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        reason = f"no token of the server in {file}: {error.strerror}"
        raise CannotStart(Exit.USAGE, reason) from None


def _check_ca(file: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(Exit.USAGE, f"--ca-file {file}: {error}") from None
