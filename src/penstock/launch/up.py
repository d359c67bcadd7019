"""Starting, running and stopping a server: `penstock up` and `penstock serve`.

The order is that of the waiting: what takes long elsewhere (node host, Azurite) is started
first, and the heavy imports of this process happen while those start.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from penstock.config import Config
from penstock.launch import accounts, listeners, tls
from penstock.launch.accounts import Users
from penstock.launch.children import node_host, retire
from penstock.launch.datadir import DataDir, DataDirInUse
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.issuers import issuers_of
from penstock.launch.plan import Plan
from penstock.launch.ready import Ready
from penstock.launch.signals import StopSignals
from penstock.launch.storage import Storage
from penstock.launch.supervise import Supervisor

log = logging.getLogger("penstock.server")

Announce = Callable[[Ready], None]
"""Tells the world that all is ready."""

_SERVER_STOPS_WITHIN_S: Final = 1.7
_CHILDREN_STOP_WITHIN_S: Final = 2.8


def up(config: Config, root: Path, announce: Announce) -> None:
    """Run everything on this machine until a signal comes. Raises CannotStart."""
    with _full_disk_refused(root), ExitStack() as stack:
        start = _Start(stack, config, root)
        start.supervisor.start(node_host(start.data, config))
        storage = Storage(config.storage or "azurite", start.data, start.supervisor)
        users = accounts.development(storage.connection_string)
        start.run(users, storage, announce, emulator=True)


def serve(config: Config, root: Path, announce: Announce) -> None:
    """Run a server for node hosts elsewhere until a signal comes. Raises CannotStart."""
    with _full_disk_refused(root), ExitStack() as stack:
        start = _Start(stack, config, root)
        retire(start.data.child("node-host"))
        storage = Storage(config.storage or "none", start.data, start.supervisor)
        users = accounts.of_service(config.accounts, storage.connection_string, start.data)
        start.run(users, storage, announce, emulator=False)


@contextmanager
def _full_disk_refused(root: Path) -> Iterator[None]:
    """Say in a line that there is no space for what a start has to write."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CannotStart(Exit.FAILED, f"{error.filename or root}: {error.strerror}") from None


class _Start:
    """What both have in common; `stack` undoes it in turn."""

    def __init__(self, stack: ExitStack, config: Config, root: Path) -> None:
        self.signals = StopSignals()
        self.config = config
        try:
            self.data = DataDir(root)
            self.data.claim()
        except DataDirInUse as reason:
            raise CannotStart(Exit.IN_USE, str(reason)) from None
        except OSError as error:
            why = f"{root} cannot be the data directory: {error.strerror}"
            raise CannotStart(Exit.USAGE, why) from None
        stack.callback(self.data.release)
        _check_database(self.data)
        if config.ready_file:
            ready_file = Path(config.ready_file)
            _check_ready_file(ready_file)
            stack.callback(ready_file.unlink, missing_ok=True)
        self.listeners = listeners.bind(config.host, config.port, config.tls_port)
        stack.callback(self.listeners.close)
        self.token = self.data.token()
        self.data.announce(self.listeners.endpoint)
        self.supervisor = Supervisor(self.signals.held)
        stack.callback(self.supervisor.stop, _CHILDREN_STOP_WITHIN_S)
        stack.callback(self.signals.ignore)

    def run(self, users: Users, storage: Storage, announce: Announce, *, emulator: bool) -> None:
        """Run the event loop until a signal comes."""
        issuers = issuers_of(self.config.token_issuers, users.accounts)
        names = tls.names_for(
            (
                self.config.host,
                *self.config.tls_names,
                *(f"{it.name}.localhost" for it in users.accounts),
            )
        )
        plan = Plan(
            config=self.config,
            data=self.data,
            listeners=self.listeners,
            tls=tls.ensure(self.data.tls, names, tls.utc_now()),
            users=users,
            issuers=issuers,
            agent_token=self.token,
            emulator=emulator,
        )
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live(plan, storage, announce))

    async def _live(self, plan: Plan, storage: Storage, announce: Announce) -> None:
        from penstock.launch.assembly import run_server
        from penstock.store.contract import StoreRefused

        stop, ready = asyncio.Event(), asyncio.Event()
        self.signals.set_event(stop)

        async def announce_when_ready() -> None:
            await storage.answers()
            await ready.wait()
            announce(_ready(plan))

        def stop_if_failed(task: asyncio.Task[None]) -> None:
            if _failed(task):
                stop.set()

        others = [
            asyncio.create_task(announce_when_ready()),
            asyncio.create_task(self.supervisor.run()),
        ]
        for task in others:
            task.add_done_callback(stop_if_failed)
        server = asyncio.create_task(run_server(plan, stop=stop, on_ready=ready.set))
        try:
            await _until_stopped(server, stop)
        except StoreRefused as reason:
            raise CannotStart(Exit.NO_STORE, _without_store(plan.data, reason)) from None
        finally:
            for task in others:
                task.cancel()
        for task in others:
            if task.done() and (error := _failed(task)):
                raise error


def _check_database(data: DataDir) -> None:
    """Refuse what no server can use before a node host, perhaps one with tasks, is touched."""
    from penstock.store import sqlite_file
    from penstock.store.contract import StoreRefused
    from penstock.store.sqlite import SCHEMA

    try:
        sqlite_file.check(data.database, SCHEMA, whole=False)
    except StoreRefused as reason:
        raise CannotStart(Exit.NO_STORE, _without_store(data, reason)) from None


def _check_ready_file(file: Path) -> None:
    """See, before anything is started, whether the file can be written; take an old one away.

    Nothing is written to see it: who waits for the file takes its being there for the news.
    """
    try:
        file.unlink(missing_ok=True)
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise CannotStart(Exit.USAGE, f"{file} cannot be the ready file: no such directory")
    except OSError as error:
        reason = f"{file} cannot be the ready file: {error.strerror}"
        raise CannotStart(Exit.USAGE, reason) from None


async def _until_stopped(server: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Wait for the server; when it should stop and does not in time, cancel it."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.wait({server}, timeout=_SERVER_STOPS_WITHIN_S)
    if not server.done():
        log.warning("server_cancelled after_s=%.1f", _SERVER_STOPS_WITHIN_S)
        server.cancel()
        await asyncio.wait({server}, timeout=_SERVER_STOPS_WITHIN_S / 4)
    if server.done() and (error := _failed(server)):
        raise error


def _without_store(data: DataDir, reason: Exception) -> str:
    from penstock.store.contract import StoreDamaged

    why = f"{data.database}: {reason}"
    if isinstance(reason, StoreDamaged):
        why += (
            f"\nput a backup in its place with `penstock restore FILE --data {data.root} --force`,"
            " or move it away to begin with nothing"
        )
    return why


def _failed(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _ready(plan: Plan) -> Ready:
    account = plan.accounts[0]
    return Ready(
        endpoint=plan.listeners.endpoint,
        tls_endpoint=plan.listeners.tls_endpoint,
        ca_file=plan.tls.ca,
        account_name=account.name,
        account_key=account.keys[0],
        storage=account.storage or None,
        data=plan.data.root,
        told={it.name: it.keys for it in plan.accounts if it.name in plan.users.fresh},
        keys_at=_keys_at(plan, account.name),
    )


def _keys_at(plan: Plan, account: str) -> str:
    if account in plan.users.kept:
        return f"penstock account keys --data {plan.data.root}"
    return "those of the settings"
