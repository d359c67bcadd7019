"""What downloads and uploads share: clients, bounds, and the one way to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from penstock.agent.failures import failure, public
from penstock.agent.settings import AgentSettings
from penstock.domain.records import Failure

if TYPE_CHECKING:
    import httpx

RETRY_PAUSES_S: Final = (0.2, 0.8, 2.0)
_LANES: Final = 8
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class TransferFailed(Exception):
    """A file did not arrive where it should; why, in the words of the service."""

    def __init__(self, why: Failure) -> None:
        super().__init__(why.code)
        self.why = why


def failed(code: str, **details: str) -> TransferFailed:
    return TransferFailed(failure(code, **details))


class _Lane:
    """A client, and how many downloads it has in hand."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.busy = 0

    def load(self) -> int:
        return self.busy


class Transfers:
    """The clients of one host, opened when they are first needed and shared by all runs."""

    def __init__(self, settings: AgentSettings, executor: Executor) -> None:
        self.settings = settings
        self.executor = executor
        self.slots = asyncio.Semaphore(settings.max_transfers)
        self._lanes: list[_Lane] = []
        self._session: Any = None
        self._open = AsyncExitStack()

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one plain download. Proxies and SSL_CERT_FILE are those of the host."""
        async with self.slots:
            if not self._lanes:
                self._open_lanes()
            lane = min(self._lanes, key=_Lane.load)
            lane.busy += 1
            try:
                yield lane.client
            finally:
                lane.busy -= 1

    def _open_lanes(self) -> None:
        """Several clients, for the pool of each costs the square of its connections."""
        import httpx

        trust = httpx.create_ssl_context()
        times = httpx.Timeout(
            self.settings.idle_timeout_s, connect=self.settings.connect_timeout_s, pool=None
        )
        for _ in range(_LANES):
            client = httpx.AsyncClient(
                timeout=times,
                verify=trust,
                limits=httpx.Limits(max_connections=self.settings.max_transfers),
                follow_redirects=True,
                max_redirects=10,
            )
            self._open.push_async_callback(client.aclose)
            self._lanes.append(_Lane(client))

    async def container(self, url: str) -> Any:
        """A client of azure-storage-blob for a container named by its URL with SAS.

        Raises ValueError for what is no such URL. The import alone takes a third of a second,
        so it is left to a worker thread and to hosts that need it.
        """
        loop = asyncio.get_running_loop()
        client_of, transport, policy = await loop.run_in_executor(self.executor, _azure)
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(trust_env=True)
            self._open.push_async_callback(self._session.close)
        return client_of.from_container_url(
            url,
            transport=transport(session=self._session, session_owner=False),
            retry_policy=policy(
                initial_backoff=0,
                increment_base=1,
                random_jitter_range=1,
                retry_total=self.settings.transfer_tries - 1,
            ),
            connection_timeout=self.settings.connect_timeout_s,
            read_timeout=self.settings.idle_timeout_s,
            max_single_put_size=4 << 20,
            max_block_size=4 << 20,
        )

    async def close(self) -> None:
        await self._open.aclose()


def _azure() -> tuple[Any, Any, Any]:
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.storage.blob.aio import ContainerClient, ExponentialRetry

    return ContainerClient, AioHttpTransport, ExponentialRetry


__all__ = ["RETRY_PAUSES_S", "TRANSIENT", "TransferFailed", "Transfers", "failed", "public"]
