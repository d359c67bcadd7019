"""A container of the linked storage account, with URLs that carry their own permission."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from azure.batch.models import (
    OutputFile,
    OutputFileBlobContainerDestination,
    OutputFileDestination,
    OutputFileUploadConfiguration,
    ResourceFile,
)
from azure.storage.blob import BlobServiceClient, generate_container_sas

VALID = timedelta(hours=1)


class Container:
    """Where the files of one run are; used as a context, it is deleted at the end."""

    def __init__(self, connection_string: str | None, name: str) -> None:
        if connection_string is None:
            raise SystemExit("this scenario needs storage: penstock up --storage azurite")
        service = BlobServiceClient.from_connection_string(connection_string)
        self.blobs = service.create_container(name)
        sas = generate_container_sas(
            account_name=service.credential.account_name,
            container_name=name,
            account_key=service.credential.account_key,
            permission="racwl",
            expiry=datetime.now(UTC) + VALID,
        )
        self.url = f"{self.blobs.url}?{sas}"

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_error: object) -> None:
        self.blobs.delete_container()

    def put(self, name: str, data: bytes) -> ResourceFile:
        """Upload a file; give it as a task wants it, below the same name."""
        self.blobs.upload_blob(name, data)
        return self.all(name)

    def all(self, prefix: str) -> ResourceFile:
        """All files whose names begin so, present or still to come."""
        return ResourceFile(storage_container_url=self.url, blob_prefix=prefix)

    def get(self, name: str) -> bytes:
        """Download a file."""
        return self.blobs.download_blob(name).readall()

    def output(self, file: str, name: str) -> OutputFile:
        """Keep a file of a task that succeeded."""
        place = OutputFileBlobContainerDestination(container_url=self.url, path=name)
        return OutputFile(
            file_pattern=file,
            destination=OutputFileDestination(container=place),
            upload_options=OutputFileUploadConfiguration(upload_condition="tasksuccess"),
        )
