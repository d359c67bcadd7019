"""What users say of the disks of a pool's machines: checked, and filled with defaults."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain.specs.machine import (
    CustomerManagedKey,
    DataDisk,
    DiskEncryption,
    DiskSecurityProfile,
    EphemeralDisk,
    ManagedDisk,
    OSDisk,
)
from penstock.wire.specs.bodies import wrong
from penstock.wire.specs.checks import (
    LARGEST_INT,
    canonical,
    check_identity,
    check_range,
    each,
    required,
)

CACHINGS: Final = ("none", "readonly", "readwrite")
STORAGE_TYPES: Final = ("standard_lrs", "premium_lrs", "standardssd_lrs")
DISK_PLACEMENTS: Final = ("cachedisk",)
ENCRYPTIONS: Final = ("DiskWithVMGuestState", "NonPersistedTPM", "VMGuestStateOnly")
TARGETS: Final = ("osdisk", "temporarydisk")
LAST_LUN: Final = 63


def data_disks(given: list[DataDisk] | None, name: str) -> list[DataDisk] | None:
    """The empty disks that each machine gets, each at a place of its own."""
    places: set[int] = set()
    for at, disk in enumerate(given or ()):
        check_range(disk.lun, 0, LAST_LUN, f"{name}[{at}].lun")
        if disk.lun in places:
            raise wrong(f"{name}[{at}].lun", disk.lun, "is the number of another disk, too")
        places.add(disk.lun)
    return each(given, name, _data_disk)


def _data_disk(disk: DataDisk, name: str) -> DataDisk:
    check_range(disk.disk_size_gb, 1, LARGEST_INT, f"{name}.diskSizeGB")
    managed = _managed(disk.managed_disk or ManagedDisk(), f"{name}.managedDisk")
    return replace(
        disk,
        caching=canonical(disk.caching, CACHINGS, f"{name}.caching") or "readwrite",
        managed_disk=replace(
            managed, storage_account_type=managed.storage_account_type or "standard_lrs"
        ),
    )


def os_disk(disk: OSDisk | None, name: str) -> OSDisk | None:
    """The disk that a machine starts from."""
    if disk is None:
        return None
    check_range(disk.disk_size_gb, 1, LARGEST_INT, f"{name}.diskSizeGB")
    return replace(
        disk,
        ephemeral_os_disk_settings=_ephemeral(
            disk.ephemeral_os_disk_settings, f"{name}.ephemeralOSDiskSettings"
        ),
        caching=canonical(disk.caching, CACHINGS, f"{name}.caching"),
        managed_disk=_managed(disk.managed_disk, f"{name}.managedDisk")
        if disk.managed_disk
        else None,
    )


def _ephemeral(disk: EphemeralDisk | None, name: str) -> EphemeralDisk | None:
    if disk is None:
        return None
    return EphemeralDisk(placement=canonical(disk.placement, DISK_PLACEMENTS, f"{name}.placement"))


def _managed(disk: ManagedDisk, name: str) -> ManagedDisk:
    kind = canonical(disk.storage_account_type, STORAGE_TYPES, f"{name}.storageAccountType")
    security = disk.security_profile
    if security is not None:
        encryption = canonical(
            security.security_encryption_type,
            ENCRYPTIONS,
            f"{name}.securityProfile.securityEncryptionType",
        )
        security = DiskSecurityProfile(security_encryption_type=encryption)
    return replace(disk, storage_account_type=kind, security_profile=security)


def disk_encryption(config: DiskEncryption | None, name: str) -> DiskEncryption | None:
    """Which disks are encrypted, and by whose key."""
    if config is None:
        return None
    targets = config.targets
    if targets:
        targets = [
            required(item, TARGETS, f"{name}.targets[{at}]") for at, item in enumerate(targets)
        ]
        if len(set(targets)) < len(targets):
            raise wrong(f"{name}.targets", ", ".join(targets), "names a disk twice")
    return DiskEncryption(
        targets=targets,
        customer_managed_key=_key(config.customer_managed_key, f"{name}.customerManagedKey"),
    )


def _key(key: CustomerManagedKey | None, name: str) -> CustomerManagedKey | None:
    if key is None:
        return None
    check_identity(key.identity_reference, f"{name}.identityReference")
    return replace(
        key,
        rotation_to_latest_key_version_enabled=key.rotation_to_latest_key_version_enabled or False,
    )
