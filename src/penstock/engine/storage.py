"""Rules about the linked storage account."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.domain.refusals import InvalidPropertyValue
from penstock.domain.specs.common import ResourceFile


def need_storage(files: Iterable[ResourceFile] | None, name: str) -> None:
    """Refuse files from the linked storage account, for there is none."""
    for at, file in enumerate(files or ()):
        if file.auto_storage_container_name is not None:
            raise InvalidPropertyValue(
                PropertyName=f"{name}[{at}].autoStorageContainerName",
                PropertyValue=file.auto_storage_container_name,
                Reason="no storage account is linked to this Batch account",
            )
