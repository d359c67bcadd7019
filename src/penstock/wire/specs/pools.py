"""What users say of pools: checked, and filled with the defaults that the service echoes."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.sizes import MOST_SLOTS, Size, most_slots, size_of
from penstock.domain.specs.common import PackageReference, encode_spec
from penstock.domain.specs.pool import (
    CertificateReference,
    NodeRemoval,
    PoolPatch,
    PoolReplacement,
    PoolSpec,
    PoolTemplate,
    Resize,
    SchedulingPolicy,
    StartTask,
)
from penstock.wire.specs.bodies import body_of, missing, storable, wrong
from penstock.wire.specs.checks import (
    LARGEST_INT,
    canonical,
    check_display_name,
    check_duration,
    check_id,
    check_packages,
    check_range,
    check_text,
    each,
    environment,
    identity,
    metadata,
    required,
    resource_file,
)
from penstock.wire.specs.containers import check_command_of, container
from penstock.wire.specs.machines import cloud_service, machine, upgrades
from penstock.wire.specs.mounts import mounts
from penstock.wire.specs.networks import network
from penstock.wire.specs.scaling import check_scaling
from penstock.wire.specs.users import user_accounts

PoolT = TypeVar("PoolT", bound=PoolTemplate)

MOST_NODES: Final = 10_000
MOST_REMOVED: Final = 100
RESIZE_TIMEOUT: Final = Duration.of_seconds(15 * 60)
LEAST_RESIZE_TIMEOUT: Final = Duration.of_seconds(5 * 60)
FILL_TYPES: Final = ("spread", "pack")
JOB_ORDERS: Final = ("none", "creationtime")
DEALLOCATIONS: Final = ("requeue", "terminate", "taskcompletion", "retaineddata")
COMMUNICATION_MODES: Final = ("default", "classic", "simplified")
ALGORITHMS: Final = ("sha1",)
STORE_LOCATIONS: Final = ("currentuser", "localmachine")
VISIBILITIES: Final = ("starttask", "task", "remoteuser")
MOST_PACKAGES: Final = 10
LONGEST_START_TASK: Final = 32_768
"""Characters of a start task as JSON."""

_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")


def pool_from_wire(document: bytes) -> PoolSpec:
    """The body of POST /pools."""
    spec = storable(body_of(PoolSpec, document))
    check_id(spec.id)
    return filled_pool(spec)


def filled_pool(spec: PoolT) -> PoolT:
    """Check a pool, or what one is to be made from, and fill in the defaults."""
    check_display_name(spec.display_name)
    size = known_size(spec.vm_size)
    check_scaling(spec)
    _check_targets(spec.target_dedicated_nodes, spec.target_low_priority_nodes)
    check_duration(spec.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    check_slots(spec.task_slots_per_node, size)
    _check_packages(spec.application_package_references)
    _check_licenses(spec.application_licenses)
    return replace(
        spec,
        vm_size=size.name,
        **_machines(spec),
        resize_timeout=spec.resize_timeout or RESIZE_TIMEOUT,
        target_dedicated_nodes=spec.target_dedicated_nodes or 0,
        target_low_priority_nodes=spec.target_low_priority_nodes or 0,
        enable_auto_scale=False,
        auto_scale_formula=None,
        auto_scale_evaluation_interval=None,
        enable_inter_node_communication=spec.enable_inter_node_communication or False,
        network_configuration=network(spec.network_configuration),
        certificate_references=_certificates(spec.certificate_references),
        task_slots_per_node=spec.task_slots_per_node or 1,
        task_scheduling_policy=_policy(spec.task_scheduling_policy)
        or SchedulingPolicy(node_fill_type="spread", job_default_order="none"),
        start_task=_start_task(spec.start_task),
        user_accounts=user_accounts(spec.user_accounts),
        metadata=metadata(spec.metadata),
        mount_configuration=mounts(spec.mount_configuration),
        target_node_communication_mode=_mode(spec.target_node_communication_mode) or "default",
        upgrade_policy=upgrades(spec.upgrade_policy),
        resource_tags=_tags(spec.resource_tags),
    )


def pool_patch_from_wire(document: bytes) -> PoolPatch:
    """The body of PATCH /pools/{id}."""
    patch = storable(body_of(PoolPatch, document))
    check_display_name(patch.display_name)
    _check_packages(patch.application_package_references)
    size = known_size(patch.vm_size) if patch.vm_size is not None else None
    check_slots(patch.task_slots_per_node, size)
    given = patch.virtual_machine_configuration
    return replace(
        patch,
        vm_size=size.name if size else None,
        virtual_machine_configuration=machine(given) if given else None,
        task_scheduling_policy=_policy(patch.task_scheduling_policy),
        start_task=_start_task(patch.start_task),
        certificate_references=_certificates(patch.certificate_references),
        network_configuration=network(patch.network_configuration),
        user_accounts=user_accounts(patch.user_accounts),
        metadata=metadata(patch.metadata),
        mount_configuration=mounts(patch.mount_configuration),
        target_node_communication_mode=_mode(patch.target_node_communication_mode),
        upgrade_policy=upgrades(patch.upgrade_policy),
        resource_tags=_tags(patch.resource_tags),
    )


def pool_properties_from_wire(document: bytes) -> PoolReplacement:
    """The body of POST /pools/{id}/updateproperties."""
    new = storable(body_of(PoolReplacement, document))
    _check_packages(new.application_package_references)
    return replace(
        new,
        start_task=_start_task(new.start_task),
        certificate_references=_certificates(new.certificate_references),
        metadata=metadata(new.metadata) or [],
        target_node_communication_mode=_mode(new.target_node_communication_mode) or "default",
    )


def resize_from_wire(document: bytes) -> Resize:
    """The body of POST /pools/{id}/resize."""
    resize = body_of(Resize, document)
    if resize.target_dedicated_nodes is None and resize.target_low_priority_nodes is None:
        raise missing("targetDedicatedNodes")
    _check_targets(resize.target_dedicated_nodes, resize.target_low_priority_nodes)
    check_duration(resize.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    return replace(
        resize,
        resize_timeout=resize.resize_timeout or RESIZE_TIMEOUT,
        node_deallocation_option=_deallocation(resize.node_deallocation_option),
    )


def removal_from_wire(document: bytes) -> NodeRemoval:
    """The body of POST /pools/{id}/removenodes."""
    removal = body_of(NodeRemoval, document)
    count = len(removal.node_list)
    if not 1 <= count <= MOST_REMOVED:
        raise wrong("nodeList", f"{count} ids", f"must have 1 to {MOST_REMOVED} ids")
    check_duration(removal.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    return replace(
        removal,
        resize_timeout=removal.resize_timeout or RESIZE_TIMEOUT,
        node_deallocation_option=_deallocation(removal.node_deallocation_option),
    )


def known_size(name: str) -> Size:
    """Find a VM size, or refuse it."""
    size = size_of(name)
    if size is None:
        raise wrong("vmSize", name, "is not a size that this service knows")
    return size


def check_slots(slots: int | None, size: Size | None) -> None:
    """Slots go by the cores of the size; without one, by what any size may have."""
    most = most_slots(size) if size else MOST_SLOTS
    check_range(slots, 1, most, "taskSlotsPerNode", " for this vmSize" if size else "")


def _check_targets(dedicated: int | None, low_priority: int | None) -> None:
    check_range(dedicated, 0, MOST_NODES, "targetDedicatedNodes")
    check_range(low_priority, 0, MOST_NODES, "targetLowPriorityNodes")


def _deallocation(value: str | None) -> str | None:
    return canonical(value, DEALLOCATIONS, "nodeDeallocationOption")


def _policy(policy: SchedulingPolicy | None) -> SchedulingPolicy | None:
    if policy is None:
        return None
    name = "taskSchedulingPolicy"
    return SchedulingPolicy(
        node_fill_type=required(policy.node_fill_type, FILL_TYPES, f"{name}.nodeFillType"),
        job_default_order=canonical(policy.job_default_order, JOB_ORDERS, f"{name}.jobDefaultOrder")
        or "none",
    )


def _machines(spec: PoolTemplate) -> dict[str, Any]:
    """What the nodes are made from: virtual machines, or a cloud service in old api-versions."""
    virtual, cloud = spec.virtual_machine_configuration, spec.cloud_service_configuration
    if virtual is not None and cloud is not None:
        raise wrong(
            "cloudServiceConfiguration",
            cloud.os_family,
            "virtualMachineConfiguration and cloudServiceConfiguration exclude each other",
        )
    if virtual is not None:
        return {"virtual_machine_configuration": machine(virtual)}
    if cloud is not None:
        return {"cloud_service_configuration": cloud_service(cloud)}
    raise missing("virtualMachineConfiguration")


def _mode(value: str | None) -> str | None:
    return canonical(value, COMMUNICATION_MODES, "targetNodeCommunicationMode")


def _check_packages(references: list[PackageReference] | None) -> None:
    if references is not None and len(references) > MOST_PACKAGES:
        raise wrong(
            "applicationPackageReferences",
            f"{len(references)} packages",
            f"must have {MOST_PACKAGES} at most",
        )
    check_packages(references)


def _check_licenses(licenses: list[str] | None) -> None:
    for at, name in enumerate(licenses or ()):
        check_text(name, f"applicationLicenses[{at}]")


def _tags(tags: dict[str, str] | None) -> dict[str, str] | None:
    if tags and not all(tags):
        raise wrong("resourceTags", "", "the name of a tag must not be empty")
    return tags


def _certificates(given: list[CertificateReference] | None) -> list[CertificateReference] | None:
    return each(given, "certificateReferences", _certificate)


def _certificate(reference: CertificateReference, name: str) -> CertificateReference:
    """Whether there is such a certificate, the engine knows."""
    if _THUMBPRINT.fullmatch(reference.thumbprint) is None:
        raise wrong(f"{name}.thumbprint", reference.thumbprint, "must be 40 hexadecimal digits")
    location = canonical(reference.store_location, STORE_LOCATIONS, f"{name}.storeLocation")
    visibility = [
        required(item, VISIBILITIES, f"{name}.visibility[{at}]")
        for at, item in enumerate(reference.visibility or VISIBILITIES)
    ]
    return CertificateReference(
        thumbprint=reference.thumbprint.lower(),
        thumbprint_algorithm=required(
            reference.thumbprint_algorithm, ALGORITHMS, f"{name}.thumbprintAlgorithm"
        ),
        store_location=location or "currentuser",
        store_name=reference.store_name or "My",
        visibility=visibility,
    )


def _start_task(task: StartTask | None) -> StartTask | None:
    if task is None:
        return None
    name = "startTask"
    check_command_of(task.command_line, task.container_settings, f"{name}.commandLine")
    check_range(task.max_task_retry_count, -1, LARGEST_INT, f"{name}.maxTaskRetryCount")
    filled = replace(
        task,
        container_settings=container(task.container_settings, f"{name}.containerSettings"),
        resource_files=each(task.resource_files, f"{name}.resourceFiles", resource_file),
        environment_settings=environment(task.environment_settings, f"{name}.environmentSettings"),
        user_identity=identity(task.user_identity, f"{name}.userIdentity"),
        max_task_retry_count=task.max_task_retry_count or 0,
        wait_for_success=True if task.wait_for_success is None else task.wait_for_success,
    )
    length = len(encode_spec(filled).decode())
    if length > LONGEST_START_TASK:
        raise wrong(
            name,
            f"{length} characters",
            f"must have {LONGEST_START_TASK} characters at most, written as JSON",
        )
    return filled
