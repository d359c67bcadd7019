"""What a user may say of a pool."""

from __future__ import annotations

from typing import Final

from penstock.domain.instants import Duration
from penstock.domain.specs.accounts import UserAccount
from penstock.domain.specs.common import (
    ContainerSettings,
    NameValue,
    PackageReference,
    ResourceFile,
    Spec,
    UserIdentity,
)
from penstock.domain.specs.machine import (
    CloudServiceConfiguration,
    UpgradePolicy,
    VirtualMachineConfiguration,
)
from penstock.domain.specs.mounts import MountConfiguration
from penstock.domain.specs.network import NetworkConfiguration


class StartTask(Spec, frozen=True, kw_only=True):
    """What every node of the pool runs before it takes tasks."""

    command_line: str
    container_settings: ContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[NameValue] | None = None
    user_identity: UserIdentity | None = None
    max_task_retry_count: int | None = None
    wait_for_success: bool | None = None


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
    cloud_service_configuration: CloudServiceConfiguration | None = None
    resize_timeout: Duration | None = None
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    enable_auto_scale: bool | None = None
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: NetworkConfiguration | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference] | None = None
    application_licenses: list[str] | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: SchedulingPolicy | None = None
    user_accounts: list[UserAccount] | None = None
    metadata: list[NameValue] | None = None
    mount_configuration: list[MountConfiguration] | None = None
    target_node_communication_mode: str | None = None  # default | classic | simplified
    upgrade_policy: UpgradePolicy | None = None
    resource_tags: dict[str, str] | None = None


class PoolSpec(PoolTemplate, frozen=True, kw_only=True):
    """A pool as its user described it, with the defaults that the service adds."""

    id: str


class PoolPatch(Spec, frozen=True, kw_only=True):
    """What PATCH may change; None leaves the part as it is.

    The parts after the blank line may change only while the pool has no nodes.
    """

    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference] | None = None
    metadata: list[NameValue] | None = None
    target_node_communication_mode: str | None = None

    display_name: str | None = None
    vm_size: str | None = None
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: SchedulingPolicy | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: NetworkConfiguration | None = None
    user_accounts: list[UserAccount] | None = None
    mount_configuration: list[MountConfiguration] | None = None
    upgrade_policy: UpgradePolicy | None = None
    resource_tags: dict[str, str] | None = None


ALWAYS_CHANGEABLE: Final = {
    "start_task",
    "certificate_references",
    "application_package_references",
    "metadata",
    "target_node_communication_mode",
}
"""The parts of a patch that may change while the pool has nodes."""


class PoolReplacement(Spec, frozen=True, kw_only=True):
    """What updateproperties replaces; an absent start task removes it."""

    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[PackageReference]
    metadata: list[NameValue]
    target_node_communication_mode: str | None = None


class AutoScaling(Spec, frozen=True, kw_only=True):
    """What enableautoscale sets; what is absent stays."""

    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None


class Evaluation(Spec, frozen=True, kw_only=True):
    """A formula that is to be tried."""

    auto_scale_formula: str


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
