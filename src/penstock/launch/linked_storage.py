"""URLs with which nodes read containers of the linked storage account."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

log = logging.getLogger("penstock.storage")

VALID_FOR: Final = timedelta(days=7)
MADE_ANEW_AFTER_US: Final = 3600 * 1_000_000
_CLOCK_SKEW: Final = timedelta(minutes=15)
_KEPT: Final = 1000


class ContainerUrls:
    """Makes URLs of containers, with a signature that allows to list and read them.

    `storage` has a connection string by Batch account. A URL is valid for a week and is handed
    out for an hour, so that a task which starts late can still read.
    """

    def __init__(self, storage: Mapping[str, str], now_us: Callable[[], int]) -> None:
        self._storage = storage
        self._now_us = now_us
        self._made: dict[tuple[str, str], tuple[int, str]] = {}

    @property
    def accounts(self) -> Iterable[str]:
        """The Batch accounts that have linked storage."""
        return self._storage.keys()

    def url(self, account: str, container: str) -> str | None:
        """The URL of a container of the storage that is linked to a Batch account, if any is."""
        if account not in self._storage:
            return None
        now_us = self._now_us()
        kept = self._made.get((account, container))
        if kept is not None and now_us - kept[0] < MADE_ANEW_AFTER_US:
            return kept[1]
        if len(self._made) >= _KEPT:
            self._made.clear()
        now = datetime.fromtimestamp(now_us / 1e6, UTC)
        try:
            url = _signed(self._storage[account], container, now)
        except ValueError as error:  # as of a key that is not base64: the task fails, not the turn
            log.error("container_url_not_made container=%s reason=%s", container, error)
            return None
        self._made[account, container] = (now_us, url)
        return url


def _signed(connection_string: str, container: str, now: datetime) -> str:
    # Slow to import, and most servers never need it.
    from azure.storage.blob import (
        BlobServiceClient,
        ContainerSasPermissions,
        generate_container_sas,
    )

    client = BlobServiceClient.from_connection_string(connection_string)
    signature = generate_container_sas(
        str(client.account_name),
        container,
        account_key=client.credential.account_key,
        permission=ContainerSasPermissions(read=True, list=True),
        start=now - _CLOCK_SKEW,
        expiry=now + VALID_FOR,
    )
    return f"{client.get_container_client(container).url}?{signature}"
