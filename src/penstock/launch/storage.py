"""The linked storage account of a server: Azurite as a child, some other endpoint, or none."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from penstock.launch import azurite, azurite_install
from penstock.launch.children import blob_service, retire
from penstock.launch.datadir import DataDir
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.processes import ProcessRecord
from penstock.launch.supervise import Keeper, Supervisor

log = logging.getLogger("penstock.storage")

_STARTS_WITHIN_S: Final = 30.0
_ADOPTED_ANSWERS_WITHIN_S: Final = 3.0
_POLL_S: Final = 0.02


class Storage:
    """What `wanted` asks for: ``azurite``, ``none`` or a connection string."""

    def __init__(self, wanted: str, data: DataDir, supervisor: Supervisor) -> None:
        """Start what has to be started. Raises CannotStart."""
        self._keeper: Keeper | None = None
        self._port = 0
        self.connection_string = ""
        if wanted == "azurite":
            self._start_azurite(data, supervisor)
            return
        retire(data.child("azurite"))
        if wanted != "none":
            self.connection_string = _checked(wanted)

    async def answers(self) -> None:
        """Return when storage can be used. Raises CannotStart when it cannot be had."""
        if self._keeper is None:
            return
        if self._keeper.adopted and not await _answers(self._port, _ADOPTED_ANSWERS_WITHIN_S):
            log.warning("azurite_replaced port=%d", self._port)
            self._keeper.replace()
        if not await _answers(self._port, _STARTS_WITHIN_S):
            reason = f"Azurite does not answer; its log is {self._keeper.child.log}"
            raise CannotStart(Exit.NO_STORAGE, reason)

    def _start_azurite(self, data: DataDir, supervisor: Supervisor) -> None:
        try:
            installation = azurite_install.ensure(azurite_install.user_cache(), _busy)
        except azurite_install.AzuriteUnavailable as reason:
            raise CannotStart(Exit.NO_STORAGE, str(reason)) from None
        self._port = _port(data)
        self.connection_string = azurite.connection_string(self._port)
        self._keeper = supervisor.start(blob_service(data, installation, self._port))


def _port(data: DataDir) -> int:
    """The port of this data directory; another one if a stranger sits there."""
    file, rng = data.azurite_port, random.Random()
    port = azurite.port_of(file, rng)
    left = ProcessRecord.load(data.child("azurite"))
    if azurite.occupied(port) and not (left and left.alive()):
        new = azurite.new_port(file, rng)
        log.warning("azurite_port_taken port=%d new=%d", port, new)
        return new
    return port


def _checked(text: str) -> str:
    pairs = (part.partition("=") for part in text.split(";"))
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "usedevelopmentstorage" in parts:
        return azurite.connection_string(azurite.USUAL_PORT)
    if not (
        parts.get("accountname") and parts.get("accountkey")
    ):  # URLs with signatures are made with the key
        raise CannotStart(
            Exit.USAGE,
            "storage is 'azurite', 'none', or a connection string with AccountName and AccountKey",
        )
    try:
        base64.b64decode(parts["accountkey"], validate=True)
    except ValueError:
        raise CannotStart(Exit.USAGE, "the AccountKey of the storage is not base64") from None
    return text


async def _answers(port: int, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while not await azurite.answers(port):  # noqa: ASYNC110 (another process's state)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return False
    return True


def _busy(text: str) -> AbstractContextManager[object]:
    """A spinner on a terminal, else one line."""
    if sys.stderr.isatty():
        from rich.console import Console

        return Console(stderr=True).status(text)
    print(text, file=sys.stderr, flush=True)
    return nullcontext()
