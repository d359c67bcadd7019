"""What a user may say of the machines of a pool: image, disks, containers, extensions, security."""

from __future__ import annotations

from msgspec import field

from penstock.domain.instants import Duration
from penstock.domain.specs.common import ContainerRegistry, Identity, JsonObject, Spec


class ImageReference(Spec, frozen=True, kw_only=True):
    """Publisher, offer and SKU, or exactly one of the ids."""

    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    version: str | None = None
    virtual_machine_image_id: str | None = None
    shared_gallery_image_id: str | None = None
    community_gallery_image_id: str | None = None


class WindowsConfiguration(Spec, frozen=True, kw_only=True):
    enable_automatic_updates: bool | None = None


# --- disks -----------------------------------------------------------------------------------


class DiskEncryptionSet(Spec, frozen=True, kw_only=True):
    id: str | None = None


class DiskSecurityProfile(Spec, frozen=True, kw_only=True):
    security_encryption_type: str | None = None
    # DiskWithVMGuestState | NonPersistedTPM | VMGuestStateOnly


class ManagedDisk(Spec, frozen=True, kw_only=True):
    disk_encryption_set: DiskEncryptionSet | None = None
    storage_account_type: str | None = None  # standard_lrs | premium_lrs | standardssd_lrs
    security_profile: DiskSecurityProfile | None = None


class DataDisk(Spec, frozen=True, kw_only=True):
    lun: int
    caching: str | None = None  # none | readonly | readwrite
    disk_size_gb: int = field(name="diskSizeGB")
    managed_disk: ManagedDisk | None = None


class EphemeralDisk(Spec, frozen=True, kw_only=True):
    placement: str | None = None  # cachedisk


class OSDisk(Spec, frozen=True, kw_only=True):
    image_uris: list[str] | None = None  # in the oldest api-versions, instead of an image
    ephemeral_os_disk_settings: EphemeralDisk | None = field(
        name="ephemeralOSDiskSettings", default=None
    )
    caching: str | None = None  # none | readonly | readwrite
    disk_size_gb: int | None = field(name="diskSizeGB", default=None)
    managed_disk: ManagedDisk | None = None
    write_accelerator_enabled: bool | None = None


class CustomerManagedKey(Spec, frozen=True, kw_only=True):
    identity_reference: Identity | None = None
    key_url: str | None = None
    rotation_to_latest_key_version_enabled: bool | None = None


class DiskEncryption(Spec, frozen=True, kw_only=True):
    customer_managed_key: CustomerManagedKey | None = None
    targets: list[str] | None = None  # osdisk | temporarydisk


# --- containers and extensions ---------------------------------------------------------------


class ContainerConfiguration(Spec, frozen=True, kw_only=True):
    type: str  # dockerCompatible | criCompatible
    container_image_names: list[str] | None = None
    container_registries: list[ContainerRegistry] | None = None


class Extension(Spec, frozen=True, kw_only=True):
    """An extension of the virtual machines. Its protected settings are never shown."""

    name: str
    publisher: str
    type: str
    type_handler_version: str | None = None
    auto_upgrade_minor_version: bool | None = None
    enable_automatic_upgrade: bool | None = None
    settings: JsonObject | None = None
    protected_settings: JsonObject | None = None
    provision_after_extensions: list[str] | None = None


# --- security --------------------------------------------------------------------------------


class HostEndpoint(Spec, frozen=True, kw_only=True):
    in_vm_access_control_profile_reference_id: str | None = field(
        name="inVMAccessControlProfileReferenceId", default=None
    )
    mode: str | None = None  # Audit | Enforce


class ProxyAgent(Spec, frozen=True, kw_only=True):
    enabled: bool | None = None
    imds: HostEndpoint | None = None
    wire_server: HostEndpoint | None = None


class UefiSettings(Spec, frozen=True, kw_only=True):
    secure_boot_enabled: bool | None = None
    v_tpm_enabled: bool | None = None


class SecurityProfile(Spec, frozen=True, kw_only=True):
    security_type: str | None = None  # trustedLaunch | confidentialvm
    encryption_at_host: bool | None = None
    uefi_settings: UefiSettings | None = None
    proxy_agent_settings: ProxyAgent | None = None


# --- the whole -------------------------------------------------------------------------------


class NodePlacement(Spec, frozen=True, kw_only=True):
    policy: str | None = None  # regional | zonal


class ServiceArtifact(Spec, frozen=True, kw_only=True):
    id: str


class VirtualMachineConfiguration(Spec, frozen=True, kw_only=True):
    image_reference: ImageReference | None = None  # or the image URIs of the OS disk
    node_agent_sku_id: str = field(name="nodeAgentSKUId")
    windows_configuration: WindowsConfiguration | None = None
    data_disks: list[DataDisk] | None = None
    license_type: str | None = None  # Windows_Server | Windows_Client
    container_configuration: ContainerConfiguration | None = None
    disk_encryption_configuration: DiskEncryption | None = None
    node_placement_configuration: NodePlacement | None = None
    extensions: list[Extension] | None = None
    os_disk: OSDisk | None = None
    security_profile: SecurityProfile | None = None
    service_artifact_reference: ServiceArtifact | None = None


class CloudServiceConfiguration(Spec, frozen=True, kw_only=True):
    """What pools of old api-versions may have instead of virtual machines."""

    os_family: str  # 2 … 7
    os_version: str | None = None


# --- upgrades --------------------------------------------------------------------------------


class AutomaticUpgrade(Spec, frozen=True, kw_only=True):
    disable_automatic_rollback: bool | None = None
    enable_automatic_os_upgrade: bool | None = field(name="enableAutomaticOSUpgrade", default=None)
    use_rolling_upgrade_policy: bool | None = None
    os_rolling_upgrade_deferral: bool | None = None


class RollingUpgrade(Spec, frozen=True, kw_only=True):
    """How many machines at once, in percent."""

    enable_cross_zone_upgrade: bool | None = None
    max_batch_instance_percent: int | None = None
    max_unhealthy_instance_percent: int | None = None
    max_unhealthy_upgraded_instance_percent: int | None = None
    pause_time_between_batches: Duration | None = None
    prioritize_unhealthy_instances: bool | None = None
    rollback_failed_instances_on_policy_breach: bool | None = None


class UpgradePolicy(Spec, frozen=True, kw_only=True):
    mode: str  # automatic | manual | rolling
    automatic_os_upgrade_policy: AutomaticUpgrade | None = field(
        name="automaticOSUpgradePolicy", default=None
    )
    rolling_upgrade_policy: RollingUpgrade | None = None
