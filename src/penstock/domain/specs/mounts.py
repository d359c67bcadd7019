"""What a user may say of the file systems that nodes mount. Keys and passwords are never shown."""

from __future__ import annotations

from penstock.domain.specs.common import Identity, Spec


class BlobMount(Spec, frozen=True, kw_only=True):
    """A container of blobs, with exactly one of the three ways to get at it."""

    account_name: str
    container_name: str
    account_key: str | None = None
    sas_key: str | None = None
    identity_reference: Identity | None = None
    blobfuse_options: str | None = None
    relative_mount_path: str


class NfsMount(Spec, frozen=True, kw_only=True):
    source: str
    relative_mount_path: str
    mount_options: str | None = None


class CifsMount(Spec, frozen=True, kw_only=True):
    username: str
    source: str
    relative_mount_path: str
    mount_options: str | None = None
    password: str


class FileShareMount(Spec, frozen=True, kw_only=True):
    account_name: str
    azure_file_url: str
    account_key: str
    relative_mount_path: str
    mount_options: str | None = None


class MountConfiguration(Spec, frozen=True, kw_only=True):
    """Exactly one of them."""

    azure_blob_file_system_configuration: BlobMount | None = None
    nfs_mount_configuration: NfsMount | None = None
    cifs_mount_configuration: CifsMount | None = None
    azure_file_share_configuration: FileShareMount | None = None

    @property
    def path(self) -> str:
        """Where it is to be, below the directory for mounts."""
        for mount in (
            self.azure_blob_file_system_configuration,
            self.nfs_mount_configuration,
            self.cifs_mount_configuration,
            self.azure_file_share_configuration,
        ):
            if mount is not None:
                return mount.relative_mount_path
        return ""
