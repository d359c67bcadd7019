"""Putting a server together: store, engine, REST edge and link in one event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

from penstock.clock import Clock
from penstock.config import Account, Config
from penstock.engine.engine import Engine
from penstock.engine.settings import EngineSettings, Quotas
from penstock.launch.account_keys import KeptKeys, watch
from penstock.launch.event_file import EventFile
from penstock.launch.linked_storage import ContainerUrls
from penstock.launch.plan import Plan
from penstock.launch.restored import take_over_copy
from penstock.launch.server import serve
from penstock.store.sqlite import SqliteStore
from penstock.wire.access.shared_keys import SharedKeys
from penstock.wire.app import make_app
from penstock.wire.link import link_routes
from penstock.wire.settings import WireSettings

log = logging.getLogger("penstock.server")

_STOP_CHECK_S = 5
_LAST_EVENTS_S = 0.5


async def run_server(plan: Plan, *, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Serve until `stop` is set. `on_ready` is called when a real request would succeed.

    Raises StoreRefused when the database cannot be used.
    """
    clock = Clock()
    await take_over_copy(plan.data.database, clock.now_us())
    store = SqliteStore.open(plan.data.database, plan.config.slow_commit_ms / 1000)
    settings = _engine_settings(plan, clock)
    engine = Engine(store, clock.now_us, SystemRandom(), settings, clock.monotonic_us)
    await engine.load()
    if not await engine.opens_certificates():
        log.warning("vault_key_is_another file=%s", plan.data.vault_key)
    _spare_the_collector()
    running = asyncio.create_task(engine.run(), name="engine")
    running.add_done_callback(lambda _: stop.set())  # without its engine a server is none
    app = make_app(
        engine,
        WireSettings(
            accounts={account.name: account.keys for account in plan.accounts},
            now_us=clock.now_us,
            issuers=plan.issuers,
            emulator=plan.emulator,
            body_limit=plan.config.max_body_bytes,
            bodies_limit=plan.config.max_bodies_bytes,
        ),
        engine.writable,
        link_routes(engine, plan.agent_token),
    )
    written = asyncio.create_task(_write_events(plan, engine), name="events file")
    closing = asyncio.create_task(_end_streams(stop, engine))
    keys = asyncio.create_task(_take_new_keys(plan, app.door.keys), name="keys of accounts")
    try:
        await serve(
            app,
            plan.listeners,
            plan.tls,
            max_connections=plan.config.max_connections,
            stop=stop,
            on_listening=on_ready,
        )
    finally:
        closing.cancel()
        keys.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=_STOP_CHECK_S)
        engine.events.close()
        await asyncio.wait({written}, timeout=_LAST_EVENTS_S)
        written.cancel()
        await store.close()
    if not running.cancelled():
        running.result()


async def _write_events(plan: Plan, engine: Engine) -> None:
    config = plan.config
    if config.events_file and config.events_kept:
        path = Path(config.events_file).expanduser()
        await EventFile(engine.events, path, config.events_file_bytes).run()


async def _take_new_keys(plan: Plan, keys: SharedKeys) -> None:
    """Let keys that were regenerated sign from now on, and those before them no more."""
    known = {account.name: account.keys for account in plan.accounts}
    if plan.users.kept:
        kept = KeptKeys(plan.data)
        await watch(kept, plan.users.kept, lambda changed: keys.change({**known, **changed}))


async def _end_streams(stop: asyncio.Event, engine: Engine) -> None:
    """Let those who follow the log go as soon as the server is to stop."""
    await stop.wait()
    engine.events.close()


def _spare_the_collector() -> None:
    """Let the collector of cycles look seldom, and not at what was there from the start.

    Records hold no cycles, and what waits may be a million tasks. Looking at every 700th new
    object took a tenth of the server's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def quotas_of(config: Config, account: Account | None = None) -> Quotas:
    """The quotas of an account: its own where it has them."""

    def of(name: str) -> int:
        own: int | None = getattr(account, name, None)
        common: int = getattr(config, name)
        return common if own is None else own

    return Quotas(
        dedicated_cores=of("dedicated_core_quota"),
        low_priority_cores=of("low_priority_core_quota"),
        pools=of("pool_quota"),
        active_jobs=of("active_job_quota"),
    )


def _engine_settings(plan: Plan, clock: Clock) -> EngineSettings:
    config = plan.config
    urls = ContainerUrls(
        {account.name: account.storage for account in plan.accounts if account.storage},
        clock.now_us,
    )
    return EngineSettings(
        server_id=plan.data.server_id(),
        node_silent_us=int(config.node_silent_s * 1_000_000),
        heartbeat_s=config.heartbeat_s,
        token_secret=plan.data.task_token_secret(),
        events_kept=config.events_kept,
        account_url=lambda _account: config.account_url.rstrip("/") or plan.listeners.endpoint,
        quotas=quotas_of(config),
        account_quotas={it.name: quotas_of(config, it) for it in plan.accounts},
        preemptions_per_hour=config.low_priority_preemptions_per_hour,
        return_us=int(config.low_priority_return_s * 1_000_000),
        containers_as_processes=config.container_tasks == "host",
        vault=plan.data.vault(),
        storage_accounts=frozenset(urls.accounts),
        container_url=urls.url,
    )
