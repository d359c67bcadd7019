"""What a user may say of a pool."""

from __future__ import annotations

import msgspec

from penstock.domain.instants import Duration
from penstock.domain.specs.common import (
    ContainerSettings,
    JsonObject,
    NameValue,
    PackageReference,
    ResourceFile,
    Spec,
    UserIdentity,
)


class StartTask(Spec, frozen=True, kw_only=True):
    """What every node of the pool runs before it takes tasks."""

    command_line: str
    container_settings: ContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[NameValue] | None = None
    user_identity: UserIdentity | None = None
    max_task_retry_count: int | None = None
    wait_for_success: bool | None = None


class ImageReference(Spec, frozen=True, kw_only=True):
    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    version: str | None = None
    virtual_machine_image_id: str | None = None
    shared_gallery_image_id: str | None = None
    community_gallery_image_id: str | None = None


class VirtualMachineConfiguration(Spec, frozen=True, kw_only=True):
    image_reference: ImageReference
    node_agent_sku_id: str = msgspec.field(name="nodeAgentSKUId")
    windows_configuration: JsonObject | None = None
    data_disks: list[JsonObject] | None = None
    license_type: str | None = None
    container_configuration: JsonObject | None = None
    disk_encryption_configuration: JsonObject | None = None
    node_placement_configuration: JsonObject | None = None
    extensions: list[JsonObject] | None = None
    os_disk: JsonObject | None = None
    security_profile: JsonObject | None = None
    service_artifact_reference: JsonObject | None = None


class SchedulingPolicy(Spec, frozen=True, kw_only=True):
    node_fill_type: str | None = None  # spread | pack
    job_default_order: str | None = None  # none | creationtime


class CertificateReference(Spec, frozen=True, kw_only=True):
    """A certificate that nodes are to have, and who may use it there."""

    thumbprint: str
    thumbprint_algorithm: str
    store_location: str | None = None  # currentuser | localmachine
    store_name: str | None = None
    visibility: list[str] | None = None  # starttask | task | remoteuser


class PoolTemplate(Spec, frozen=True, kw_only=True):
    """A pool without an id, as the one that is made for a job is described."""

    display_name: str | None = None
    vm_size: str
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    resize_timeout: Duration | None = None
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    enable_auto_scale: bool | None = None
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: JsonObject | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference] | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: SchedulingPolicy | None = None
    user_accounts: list[JsonObject] | None = None
    metadata: list[NameValue] | None = None
    mount_configuration: list[JsonObject] | None = None
    upgrade_policy: JsonObject | None = None


class PoolSpec(PoolTemplate, frozen=True, kw_only=True):
    """A pool as its user described it, with the defaults that the service adds."""

    id: str


class PoolPatch(Spec, frozen=True, kw_only=True):
    """What PATCH may change; None leaves the part as it is.

    The parts after `metadata` may change only while the pool has no nodes.
    """

    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference] | None = None
    metadata: list[NameValue] | None = None
    display_name: str | None = None
    vm_size: str | None = None
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: SchedulingPolicy | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: JsonObject | None = None
    user_accounts: list[JsonObject] | None = None
    mount_configuration: list[JsonObject] | None = None
    upgrade_policy: JsonObject | None = None


class PoolReplacement(Spec, frozen=True, kw_only=True):
    """What updateproperties replaces; an absent start task removes it."""

    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference]
    metadata: list[NameValue]


class Resize(Spec, frozen=True, kw_only=True):
    """New targets of a pool; at least one is given."""

    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    resize_timeout: Duration | None = None
    node_deallocation_option: str | None = None


class NodeRemoval(Spec, frozen=True, kw_only=True):
    """Nodes that are to leave a pool."""

    node_list: list[str]
    resize_timeout: Duration | None = None
    node_deallocation_option: str | None = None
