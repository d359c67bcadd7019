"""What users say of the file systems that nodes mount: checked.

Nodes do not mount them yet; each node shows an error that says so.
"""

from __future__ import annotations

import re
from typing import Final

from penstock.domain.specs.mounts import (
    BlobMount,
    CifsMount,
    FileShareMount,
    MountConfiguration,
    NfsMount,
)
from penstock.wire.specs.bodies import missing, wrong
from penstock.wire.specs.checks import check_file_path, check_identity, check_text

MOST_MOUNTS: Final = 10
_URL: Final = re.compile(r"https?://[^/\s]+\S*", re.IGNORECASE)

_NAMES: Final = {
    "azure_blob_file_system_configuration": "azureBlobFileSystemConfiguration",
    "nfs_mount_configuration": "nfsMountConfiguration",
    "cifs_mount_configuration": "cifsMountConfiguration",
    "azure_file_share_configuration": "azureFileShareConfiguration",
}
"""The kinds, by their names in the specification."""


def mounts(given: list[MountConfiguration] | None) -> list[MountConfiguration] | None:
    """The mountConfiguration of a pool: up to ten file systems, each at a place of its own."""
    name = "mountConfiguration"
    if given is not None and len(given) > MOST_MOUNTS:
        raise wrong(name, f"{len(given)} file systems", f"must have {MOST_MOUNTS} at most")
    paths: set[str] = set()
    for at, mount in enumerate(given or ()):
        _check_mount(mount, f"{name}[{at}]")
        path = mount.path.strip("/")
        if path in paths:
            raise wrong(f"{name}[{at}]", mount.path, "is the path of another one, too")
        paths.add(path)
    return given


def _check_mount(mount: MountConfiguration, name: str) -> None:
    given = [part for part in _NAMES if getattr(mount, part) is not None]
    if len(given) != 1:
        raise wrong(
            name,
            "",
            f"needs exactly one of {', '.join(_NAMES.values())}",
        )
    where = f"{name}.{_NAMES[given[0]]}"
    check_file_path(mount.path.lstrip("/"), f"{where}.relativeMountPath")
    match getattr(mount, given[0]):
        case BlobMount() as blobs:
            _check_blobs(blobs, where)
        case NfsMount() as nfs:
            _check_texts(where, source=nfs.source, relativeMountPath=nfs.relative_mount_path)
        case CifsMount() as cifs:
            _check_cifs(cifs, where)
        case FileShareMount() as share:
            _check_share(share, where)


def _check_blobs(mount: BlobMount, name: str) -> None:
    _check_texts(
        name,
        accountName=mount.account_name,
        containerName=mount.container_name,
        relativeMountPath=mount.relative_mount_path,
    )
    ways = (mount.account_key, mount.sas_key, mount.identity_reference)
    if sum(way is not None for way in ways) != 1:
        raise wrong(name, "", "needs exactly one of accountKey, sasKey, identityReference")
    check_identity(mount.identity_reference, f"{name}.identityReference")


def _check_cifs(mount: CifsMount, name: str) -> None:
    _check_texts(
        name,
        username=mount.username,
        source=mount.source,
        relativeMountPath=mount.relative_mount_path,
    )
    if not mount.password:
        raise missing(f"{name}.password")


def _check_share(mount: FileShareMount, name: str) -> None:
    _check_texts(name, accountName=mount.account_name, relativeMountPath=mount.relative_mount_path)
    if _URL.fullmatch(mount.azure_file_url) is None:
        raise wrong(f"{name}.azureFileUrl", mount.azure_file_url, "must be an http or https URL")
    if not mount.account_key:
        raise missing(f"{name}.accountKey")


def _check_texts(name: str, **parts: str) -> None:
    for part, value in parts.items():
        check_text(value, f"{name}.{part}")
