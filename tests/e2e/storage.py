"""Containers of the linked storage account, through the official storage SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from azure.storage.blob import BlobServiceClient, generate_blob_sas, generate_container_sas

from tests.e2e.things import unique

VALID = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Container:
    """A container, with URLs that carry their own permission."""

    service: BlobServiceClient
    name: str

    @classmethod
    @contextmanager
    def made(cls, service: BlobServiceClient, stem: str = "box") -> Iterator[Self]:
        """A new container, deleted at the end."""
        name = unique(stem)
        service.create_container(name)
        try:
            yield cls(service, name)
        finally:
            service.delete_container(name)

    def put(self, blob: str, data: bytes) -> None:
        """Upload a blob."""
        self.service.get_blob_client(self.name, blob).upload_blob(data, overwrite=True)

    def get(self, blob: str) -> bytes:
        """Download a blob."""
        return self.service.get_blob_client(self.name, blob).download_blob().readall()

    def names(self) -> set[str]:
        """The names of all blobs."""
        return set(self.service.get_container_client(self.name).list_blob_names())

    def url(self, permission: str = "racwl") -> str:
        """The container's URL with a SAS."""
        sas = generate_container_sas(
            account_name=self._account,
            container_name=self.name,
            account_key=self._key,
            permission=permission,
            expiry=datetime.now(UTC) + VALID,
        )
        return f"{self.service.get_container_client(self.name).url}?{sas}"

    def blob_url(self, blob: str) -> str:
        """A blob's URL with a SAS to read it."""
        sas = generate_blob_sas(
            account_name=self._account,
            container_name=self.name,
            blob_name=blob,
            account_key=self._key,
            permission="r",
            expiry=datetime.now(UTC) + VALID,
        )
        return f"{self.service.get_blob_client(self.name, blob).url}?{sas}"

    @property
    def _account(self) -> str:
        return str(self.service.account_name)

    @property
    def _key(self) -> str:
        return str(self.service.credential.account_key)
