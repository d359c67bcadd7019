"""What users say of the machines of a pool: checked, and filled with defaults.

Nodes run on what their hosts run on: most of it is stored and returned.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.specs.common import ContainerRegistry
from penstock.domain.specs.machine import (
    CloudServiceConfiguration,
    ContainerConfiguration,
    Extension,
    HostEndpoint,
    ImageReference,
    NodePlacement,
    ProxyAgent,
    RollingUpgrade,
    SecurityProfile,
    UpgradePolicy,
    VirtualMachineConfiguration,
    WindowsConfiguration,
)
from penstock.wire.specs.bodies import missing, wrong
from penstock.wire.specs.checks import (
    canonical,
    check_duration,
    check_range,
    check_text,
    each,
    required,
)
from penstock.wire.specs.containers import registry
from penstock.wire.specs.disks import data_disks, disk_encryption, os_disk

LICENSES: Final = ("Windows_Server", "Windows_Client")
CONTAINER_TYPES: Final = ("dockerCompatible", "criCompatible")
OLD_DOCKER: Final = "docker"
"""How the first clients that knew containers called the kind of all of them."""

PLACEMENTS: Final = ("regional", "zonal")
SECURITY_TYPES: Final = ("trustedLaunch", "confidentialvm")
PROXY_MODES: Final = ("Audit", "Enforce")
UPGRADE_MODES: Final = ("automatic", "manual", "rolling")
OS_FAMILIES: Final = ("2", "3", "4", "5", "6", "7")
NO_TIME: Final = Duration(0)


def machine(config: VirtualMachineConfiguration) -> VirtualMachineConfiguration:
    """The virtualMachineConfiguration of a pool."""
    name = "virtualMachineConfiguration"
    check_text(config.node_agent_sku_id, f"{name}.nodeAgentSKUId")
    if config.service_artifact_reference is not None:
        check_text(config.service_artifact_reference.id, f"{name}.serviceArtifactReference.id")
    return replace(
        config,
        image_reference=_source(config, name),
        windows_configuration=_windows(config.windows_configuration),
        data_disks=data_disks(config.data_disks, f"{name}.dataDisks"),
        license_type=canonical(config.license_type, LICENSES, f"{name}.licenseType"),
        container_configuration=_containers(
            config.container_configuration, f"{name}.containerConfiguration"
        ),
        disk_encryption_configuration=disk_encryption(
            config.disk_encryption_configuration, f"{name}.diskEncryptionConfiguration"
        ),
        node_placement_configuration=_placement(
            config.node_placement_configuration, f"{name}.nodePlacementConfiguration"
        ),
        extensions=_extensions(config.extensions, f"{name}.extensions"),
        os_disk=os_disk(config.os_disk, f"{name}.osDisk"),
        security_profile=_security(config.security_profile, f"{name}.securityProfile"),
    )


def cloud_service(config: CloudServiceConfiguration) -> CloudServiceConfiguration:
    """The cloudServiceConfiguration of a pool of an old api-version."""
    family = required(config.os_family, OS_FAMILIES, "cloudServiceConfiguration.osFamily")
    return CloudServiceConfiguration(os_family=family, os_version=config.os_version or "*")


def _source(config: VirtualMachineConfiguration, name: str) -> ImageReference | None:
    """Machines are made from an image, or from disks that an old client named."""
    uris = config.os_disk.image_uris if config.os_disk else None
    image = config.image_reference
    if image is None:
        if not uris:
            raise missing(f"{name}.imageReference")
        return None
    if uris:
        raise wrong(f"{name}.osDisk.imageUris", uris[0], "cannot be given with an imageReference")
    return _image(image, f"{name}.imageReference")


def _image(image: ImageReference, name: str) -> ImageReference:
    """An image is named by publisher, offer and SKU, or by exactly one id."""
    ids = (image.virtual_machine_image_id, image.shared_gallery_image_id)
    given = sum(each is not None for each in (*ids, image.community_gallery_image_id))
    parts = {"publisher": image.publisher, "offer": image.offer, "sku": image.sku}
    market = any(parts.values()) or image.version is not None
    if given > 1 or (given and market):
        raise wrong(name, "", "must name one image: publisher, offer and sku, or one id")
    if given:
        return image
    for part, value in parts.items():
        if not value:
            raise missing(f"{name}.{part}")
    return image if image.version else replace(image, version="latest")


def _windows(config: WindowsConfiguration | None) -> WindowsConfiguration | None:
    if config is None:
        return None
    return WindowsConfiguration(
        enable_automatic_updates=config.enable_automatic_updates is not False
    )


def _placement(placement: NodePlacement | None, name: str) -> NodePlacement | None:
    if placement is None:
        return None
    policy = canonical(placement.policy, PLACEMENTS, f"{name}.policy")
    return NodePlacement(policy=policy or "regional")


# --- containers and extensions ---------------------------------------------------------------


def _containers(config: ContainerConfiguration | None, name: str) -> ContainerConfiguration | None:
    if config is None:
        return None
    for at, image in enumerate(config.container_image_names or ()):
        check_text(image, f"{name}.containerImageNames[{at}]")
    kind = CONTAINER_TYPES[0] if config.type.lower() == OLD_DOCKER else config.type
    return replace(
        config,
        type=required(kind, CONTAINER_TYPES, f"{name}.type"),
        container_registries=each(
            config.container_registries, f"{name}.containerRegistries", _registry
        ),
    )


def _registry(value: ContainerRegistry, name: str) -> ContainerRegistry:
    return registry(value, name) or value


def _extensions(given: list[Extension] | None, name: str) -> list[Extension] | None:
    names: set[str] = set()
    for at, extension in enumerate(given or ()):
        for part in ("name", "publisher", "type"):
            check_text(getattr(extension, part), f"{name}[{at}].{part}")
        if extension.name.lower() in names:
            raise wrong(
                f"{name}[{at}].name", extension.name, "is the name of another extension, too"
            )
        names.add(extension.name.lower())
    return given


# --- security --------------------------------------------------------------------------------


def _security(profile: SecurityProfile | None, name: str) -> SecurityProfile | None:
    if profile is None:
        return None
    return replace(
        profile,
        security_type=canonical(profile.security_type, SECURITY_TYPES, f"{name}.securityType"),
        proxy_agent_settings=_proxy(profile.proxy_agent_settings, f"{name}.proxyAgentSettings"),
    )


def _proxy(proxy: ProxyAgent | None, name: str) -> ProxyAgent | None:
    if proxy is None:
        return None
    return ProxyAgent(
        enabled=proxy.enabled or False,
        imds=_endpoint(proxy.imds, f"{name}.imds"),
        wire_server=_endpoint(proxy.wire_server, f"{name}.wireServer"),
    )


def _endpoint(endpoint: HostEndpoint | None, name: str) -> HostEndpoint | None:
    if endpoint is None:
        return None
    return replace(endpoint, mode=canonical(endpoint.mode, PROXY_MODES, f"{name}.mode"))


# --- upgrades --------------------------------------------------------------------------------


def upgrades(policy: UpgradePolicy | None) -> UpgradePolicy | None:
    """The upgradePolicy of a pool."""
    if policy is None:
        return None
    name = "upgradePolicy"
    if policy.rolling_upgrade_policy is not None:
        _check_rolling(policy.rolling_upgrade_policy, f"{name}.rollingUpgradePolicy")
    return replace(policy, mode=required(policy.mode, UPGRADE_MODES, f"{name}.mode"))


def _check_rolling(rolling: RollingUpgrade, name: str) -> None:
    batch, unhealthy = rolling.max_batch_instance_percent, rolling.max_unhealthy_instance_percent
    check_range(batch, 5, 100, f"{name}.maxBatchInstancePercent")
    check_range(unhealthy, 5, 100, f"{name}.maxUnhealthyInstancePercent")
    check_range(
        rolling.max_unhealthy_upgraded_instance_percent,
        0,
        100,
        f"{name}.maxUnhealthyUpgradedInstancePercent",
    )
    check_duration(rolling.pause_time_between_batches, NO_TIME, f"{name}.pauseTimeBetweenBatches")
    if batch is not None and unhealthy is not None and batch > unhealthy:
        raise wrong(
            f"{name}.maxBatchInstancePercent",
            batch,
            "must not be more than maxUnhealthyInstancePercent",
        )
