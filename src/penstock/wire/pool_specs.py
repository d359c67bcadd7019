"""What users say of pools: checked, and filled with the defaults that the service echoes."""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from penstock.domain.instants import Duration
from penstock.domain.sizes import MOST_SLOTS, Size, most_slots, size_of
from penstock.domain.specs.common import JsonObject
from penstock.domain.specs.pool import (
    ImageReference,
    NodeRemoval,
    PoolPatch,
    PoolReplacement,
    PoolSpec,
    PoolTemplate,
    Resize,
    SchedulingPolicy,
    StartTask,
    VirtualMachineConfiguration,
)
from penstock.wire.bodies import body_of, missing, storable, wrong
from penstock.wire.checks import (
    LEVELS,
    canonical,
    check_command,
    check_display_name,
    check_duration,
    check_id,
    check_packages,
    check_range,
    each,
    environment,
    identity,
    metadata,
    required,
    resource_file,
)
from penstock.wire.unsupported import refuse_unsupported

PoolT = TypeVar("PoolT", bound=PoolTemplate)

MOST_NODES: Final = 10_000
MOST_REMOVED: Final = 100
RESIZE_TIMEOUT: Final = Duration.of_seconds(15 * 60)
LEAST_RESIZE_TIMEOUT: Final = Duration.of_seconds(5 * 60)
FILL_TYPES: Final = ("spread", "pack")
JOB_ORDERS: Final = ("none", "creationtime")
DEALLOCATIONS: Final = ("requeue", "terminate", "taskcompletion", "retaineddata")
LONGEST_ACCOUNT_NAME: Final = 20
LONGEST_START_TASK: Final = 32_768
"""Characters of the command line, the largest part of a start task."""


def pool_from_wire(document: bytes) -> PoolSpec:
    """The body of POST /pools."""
    spec = storable(body_of(PoolSpec, document))
    check_id(spec.id)
    return filled_pool(spec)


def filled_pool(spec: PoolT) -> PoolT:
    """Check a pool, or what one is to be made from, and fill in the defaults."""
    refuse_unsupported("pool", spec)
    check_display_name(spec.display_name)
    size = known_size(spec.vm_size)
    if spec.virtual_machine_configuration is None:
        raise missing("virtualMachineConfiguration")
    _check_targets(spec.target_dedicated_nodes, spec.target_low_priority_nodes)
    check_duration(spec.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    check_slots(spec.task_slots_per_node, size)
    check_packages(spec.application_package_references)
    return replace(
        spec,
        vm_size=size.name,
        virtual_machine_configuration=_machine(spec.virtual_machine_configuration),
        resize_timeout=spec.resize_timeout or RESIZE_TIMEOUT,
        target_dedicated_nodes=spec.target_dedicated_nodes or 0,
        target_low_priority_nodes=spec.target_low_priority_nodes or 0,
        enable_auto_scale=False,
        enable_inter_node_communication=spec.enable_inter_node_communication or False,
        task_slots_per_node=spec.task_slots_per_node or 1,
        task_scheduling_policy=_policy(spec.task_scheduling_policy)
        or SchedulingPolicy(node_fill_type="spread"),
        start_task=_start_task(spec.start_task),
        user_accounts=_user_accounts(spec.user_accounts),
        metadata=metadata(spec.metadata),
    )


def pool_patch_from_wire(document: bytes) -> PoolPatch:
    """The body of PATCH /pools/{id}."""
    patch = storable(body_of(PoolPatch, document))
    refuse_unsupported("pool update", patch)
    check_display_name(patch.display_name)
    check_packages(patch.application_package_references)
    size = known_size(patch.vm_size) if patch.vm_size is not None else None
    check_slots(patch.task_slots_per_node, size)
    machine = patch.virtual_machine_configuration
    return replace(
        patch,
        vm_size=size.name if size else None,
        virtual_machine_configuration=_machine(machine) if machine else None,
        task_scheduling_policy=_policy(patch.task_scheduling_policy),
        start_task=_start_task(patch.start_task),
        user_accounts=_user_accounts(patch.user_accounts),
        metadata=metadata(patch.metadata),
    )


def pool_properties_from_wire(document: bytes) -> PoolReplacement:
    """The body of POST /pools/{id}/updateproperties."""
    new = storable(body_of(PoolReplacement, document))
    refuse_unsupported("pool properties", new)
    check_packages(new.application_package_references)
    return replace(
        new, start_task=_start_task(new.start_task), metadata=metadata(new.metadata) or []
    )


def resize_from_wire(document: bytes) -> Resize:
    """The body of POST /pools/{id}/resize."""
    resize = body_of(Resize, document)
    if resize.target_dedicated_nodes is None and resize.target_low_priority_nodes is None:
        raise missing("targetDedicatedNodes")
    _check_targets(resize.target_dedicated_nodes, resize.target_low_priority_nodes)
    check_duration(resize.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    return replace(resize, node_deallocation_option=_deallocation(resize.node_deallocation_option))


def removal_from_wire(document: bytes) -> NodeRemoval:
    """The body of POST /pools/{id}/removenodes."""
    removal = body_of(NodeRemoval, document)
    count = len(removal.node_list)
    if not 1 <= count <= MOST_REMOVED:
        raise wrong("nodeList", f"{count} ids", f"must have 1 to {MOST_REMOVED} ids")
    check_duration(removal.resize_timeout, LEAST_RESIZE_TIMEOUT, "resizeTimeout")
    return replace(
        removal, node_deallocation_option=_deallocation(removal.node_deallocation_option)
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
        job_default_order=canonical(
            policy.job_default_order, JOB_ORDERS, f"{name}.jobDefaultOrder"
        ),
    )


def _machine(machine: VirtualMachineConfiguration) -> VirtualMachineConfiguration:
    name = "virtualMachineConfiguration"
    if not machine.node_agent_sku_id:
        raise wrong(f"{name}.nodeAgentSKUId", "", "must not be empty")
    return replace(machine, image_reference=_image(machine.image_reference, name))


def _image(image: ImageReference, name: str) -> ImageReference:
    """An image is named by publisher, offer and SKU, or by exactly one id."""
    name = f"{name}.imageReference"
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


def _start_task(task: StartTask | None) -> StartTask | None:
    if task is None:
        return None
    check_command(task.command_line, "startTask.commandLine")
    if len(task.command_line) > LONGEST_START_TASK:
        raise wrong(
            "startTask.commandLine",
            task.command_line,
            f"must have {LONGEST_START_TASK} characters at most",
        )
    check_range(task.max_task_retry_count, -1, 2**31 - 1, "startTask.maxTaskRetryCount")
    return replace(
        task,
        resource_files=each(task.resource_files, "startTask.resourceFiles", resource_file),
        environment_settings=environment(
            task.environment_settings, "startTask.environmentSettings"
        ),
        user_identity=identity(task.user_identity, "startTask.userIdentity"),
        max_task_retry_count=task.max_task_retry_count or 0,
        wait_for_success=True if task.wait_for_success is None else task.wait_for_success,
    )


def _user_accounts(accounts: list[JsonObject] | None) -> list[JsonObject] | None:
    """Accounts are stored; their secrets are never shown again."""
    if accounts is None:
        return None
    return [_user_account(item, f"userAccounts[{at}]") for at, item in enumerate(accounts)]


def _user_account(account: JsonObject, name: str) -> JsonObject:
    for part in ("name", "password"):
        if account.get(part) is None:
            raise missing(f"{name}.{part}")
        if not isinstance(account[part], str) or not account[part]:
            raise wrong(f"{name}.{part}", "", "must be text, and not empty")
    if len(account["name"]) > LONGEST_ACCOUNT_NAME:
        raise wrong(
            f"{name}.name", account["name"], f"must have {LONGEST_ACCOUNT_NAME} characters at most"
        )
    level = account.get("elevationLevel") or "nonadmin"
    return {**account, "elevationLevel": canonical(str(level), LEVELS, f"{name}.elevationLevel")}
