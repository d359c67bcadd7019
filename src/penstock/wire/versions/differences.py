"""The table: what each api-version has, what it calls it, and what it assumes.

It is kept to what the clients of each version know by tests, which read it from their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.domain.instants import INFINITE
from penstock.wire.versions import shapes
from penstock.wire.versions.parts import Part
from penstock.wire.versions.releases import (
    NEWEST,
    V2_2,
    V3_0,
    V3_1,
    V4_0,
    V5_0,
    V5_1,
    V6_0,
    V6_1,
    V7,
    V8,
    V9,
    V10,
    V11,
    V12,
    V14,
    V15,
    V16,
    V17,
    V18,
    V19,
    V20,
    WIDE_PATCH,
)
from penstock.wire.versions.shapes import Shape


@dataclass(frozen=True, slots=True)
class Has:
    """Properties that some versions have. Sent to one that no longer does, they are ignored."""

    names: tuple[str, ...]
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Lacks:
    """A property that went, and came back later."""

    name: str
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class Takes:
    """Properties that are ignored when they are sent to an older version."""

    names: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class Named:
    """A property that had another name. All versions take both."""

    new: str
    old: str
    until: str


@dataclass(frozen=True, slots=True)
class Shaped:
    """Properties that had another form. All versions take both."""

    shape: Shape
    until: str


@dataclass(frozen=True, slots=True)
class Assumes:
    """The value of a property, by its path, that a client of old means by leaving it out."""

    path: tuple[str, ...]
    value: Any
    until: str


Rule = Has | Lacks | Takes | Named | Shaped | Assumes


def _since(since: str, *names: str) -> Has:
    return Has(names, since=since)


def _until(until: str, *names: str) -> Has:
    return Has(names, until=until)


_POOL: Final[tuple[Rule, ...]] = (
    Shaped(shapes.FLAT_CLOUD_SERVICE, until=V2_2),
    Named("taskSlotsPerNode", "maxTasksPerNode", until=V11),
    Named("targetDedicatedNodes", "targetDedicated", until=V4_0),
    Named("currentDedicatedNodes", "currentDedicated", until=V4_0),
    Shaped(shapes.RESIZE_ERRORS, until=V4_0),
    _since(V3_0, "virtualMachineConfiguration"),
    _since(V3_1, "networkConfiguration"),
    _since(V4_0, "userAccounts"),
    _since(V5_0, "targetLowPriorityNodes", "currentLowPriorityNodes"),
    _since(V10, "mountConfiguration"),
    _since(V14, "identity"),
    _since(V19, "upgradePolicy"),
    _until(V19, "cloudServiceConfiguration"),
    _until(V20, "certificateReferences"),
    Has(("applicationLicenses",), V5_0, V19),
    Has(("currentNodeCommunicationMode", "targetNodeCommunicationMode"), V16, V20),
    Has(("resourceTags",), V18, V20),
)

_WIDELY_PATCHED: Final = Takes(
    (
        "displayName",
        "vmSize",
        "virtualMachineConfiguration",
        "taskSlotsPerNode",
        "taskSchedulingPolicy",
        "enableInterNodeCommunication",
        "networkConfiguration",
        "userAccounts",
        "mountConfiguration",
        "upgradePolicy",
        "resourceTags",
    ),
    since=WIDE_PATCH,
)

_COMMAND: Final[tuple[Rule, ...]] = (
    Shaped(shapes.RUN_ELEVATED, until=V3_1),
    _since(V6_0, "containerSettings"),
)

_KEPT_FOR_EVER: Final = Assumes(("constraints", "retentionTime"), str(INFINITE), until=V7)

_TASK: Final[tuple[Rule, ...]] = (
    *_COMMAND,
    _KEPT_FOR_EVER,
    _since(V3_1, "applicationPackageReferences"),
    _since(V5_0, "outputFiles"),
    _since(V12, "requiredSlots"),
    Has(("authenticationTokenSettings",), V4_0, V20),
)

_JOB: Final[tuple[Rule, ...]] = (
    _since(V8, "networkConfiguration"),
    _since(V14, "maxParallelTasks"),
    _since(V15, "allowTaskPreemption"),
)

DIFFERENCES: Final[Mapping[Part, tuple[Rule, ...]]] = {
    Part.POOL: _POOL,
    Part.POOL_SPECIFICATION: (*_POOL, Shaped(shapes.NO_CURRENT_OS, until=V2_2)),
    Part.POOL_PATCH: (*_POOL, _WIDELY_PATCHED),
    Part.POOL_PROPERTIES: (
        _until(V20, "certificateReferences"),
        Has(("targetNodeCommunicationMode",), V16, V20),
    ),
    Part.RESIZE: (Named("targetDedicatedNodes", "targetDedicated", until=V4_0),),
    Part.CLOUD_SERVICE: (Shaped(shapes.OS_VERSION, until=V7),),
    Part.MACHINE: (
        _since(V4_0, "osDisk"),
        Lacks("osDisk", V8, V12),
        _since(V6_0, "licenseType", "dataDisks", "containerConfiguration"),
        _since(V11, "diskEncryptionConfiguration"),
        _since(V14, "extensions", "nodePlacementConfiguration"),
        _since(V18, "securityProfile", "serviceArtifactReference"),
    ),
    Part.IMAGE: (
        _since(V6_0, "virtualMachineImageId"),
        _since(V14, "exactVersion"),
        _since(V20, "communityGalleryImageId", "sharedGalleryImageId"),
    ),
    Part.OS_DISK: (
        _until(V5_1, "imageUris"),
        Lacks("caching", V14, V17),
        _since(V14, "ephemeralOSDiskSettings"),
        _since(V18, "diskSizeGB", "managedDisk", "writeAcceleratorEnabled"),
    ),
    Part.DATA_DISK: (Shaped(shapes.STORAGE_TYPE, until=V20),),
    Part.MANAGED_DISK: (_since(V20, "securityProfile"), _since(NEWEST, "diskEncryptionSet")),
    Part.DISK_ENCRYPTION: (_since(NEWEST, "customerManagedKey"),),
    Part.SECURITY: (_since(NEWEST, "proxyAgentSettings"),),
    Part.EXTENSION: (_since(V17, "enableAutomaticUpgrade"),),
    Part.REGISTRY: (_since(V14, "identityReference"),),
    Part.NETWORK: (
        Shaped(shapes.PUBLIC_IPS, until=V10),
        _since(V5_1, "endpointConfiguration"),
        _since(V8, "dynamicVNetAssignmentScope"),
        _since(V10, "publicIPAddressConfiguration"),
        _since(V17, "enableAcceleratedNetworking"),
    ),
    Part.NAT_RULE: (_since(V9, "sourcePortRanges"),),
    Part.ADDRESSES: (_since(NEWEST, "ipFamilies", "ipTags"),),
    Part.BLOB_MOUNT: (_since(V14, "identityReference"),),
    Part.POLICY: (_since(NEWEST, "jobDefaultOrder"),),
    Part.ACCOUNT: (
        Shaped(shapes.SSH_KEY, until=V4_0),
        _since(V5_0, "linuxUserConfiguration"),
        _since(V8, "windowsUserConfiguration"),
    ),
    Part.START_TASK: (*_COMMAND, Assumes(("waitForSuccess",), False, until=V9)),
    Part.NODE: (
        _since(V3_1, "runningTasksCount", "totalTasksSucceeded"),
        _since(V5_0, "isDedicated"),
        _since(V5_1, "endpointConfiguration"),
        _since(V7, "nodeAgentInfo"),
        _since(V12, "runningTaskSlotsCount"),
        _since(V14, "virtualMachineInfo"),
        _since(NEWEST, "ipv6Address"),
        _until(V20, "certificateReferences"),
    ),
    Part.MACHINE_INFO: (_since(V18, "scaleSetVmResourceId"),),
    Part.REMOTE_LOGIN: (_since(NEWEST, "ipv6RemoteLoginIPAddress", "ipv6RemoteLoginPort"),),
    Part.STATE_COUNTS: (_since(V19, "upgradingOS"), _since(V20, "deallocated", "deallocating")),
    Part.USAGE: (Shaped(shapes.TRAFFIC, until=V7), _until(V7, "dataIngressGiB", "dataEgressGiB")),
    Part.JOB: (*_JOB, _since(V3_1, "onAllTasksComplete", "onTaskFailure")),
    Part.JOB_SPECIFICATION: (*_JOB, _since(V4_0, "onAllTasksComplete", "onTaskFailure")),
    Part.JOB_NETWORK: (_since(V20, "skipWithdrawFromVNet"),),
    Part.MANAGER: (*_TASK, _since(V5_0, "allowLowPriorityNode")),
    Part.PREPARATION: (*_COMMAND, _KEPT_FOR_EVER),
    Part.RELEASE: (*_COMMAND, Assumes(("retentionTime",), str(INFINITE), until=V7)),
    Part.TASK: (*_TASK, _since(V3_1, "exitConditions")),
    Part.TASK_UPDATE: (_KEPT_FOR_EVER,),
    Part.CONTAINER_SETTINGS: (
        _since(V9, "workingDirectory"),
        _since(V20, "containerHostBatchBindMounts"),
    ),
    Part.RESOURCE_FILE: (
        Named("httpUrl", "blobSource", until=V7),
        _since(V3_0, "fileMode"),
        _since(V8, "autoStorageContainerName", "blobPrefix", "storageContainerUrl"),
        _since(V14, "identityReference"),
    ),
    Part.BLOB_CONTAINER: (_since(V14, "identityReference"), _since(V15, "uploadHeaders")),
    Part.EXIT_CONDITIONS: (
        Named("preProcessingError", "schedulingError", until=V4_0),
        _since(V5_0, "fileUploadError"),
    ),
    Part.EXIT_OPTIONS: (_since(V4_0, "dependencyAction"),),
    Part.RUN: (Shaped(shapes.FAILURE, until=V4_0), _since(V6_0, "containerInfo")),
    Part.SUBTASK: (Shaped(shapes.FAILURE, until=V4_0), _since(V6_0, "containerInfo")),
    Part.TASK_COUNTS: (
        Shaped(shapes.FLAT_COUNTS, until=V11),
        Shaped(shapes.VALIDATED, until=V6_1),
    ),
    Part.FILE_PROPERTIES: (_since(V3_0, "fileMode"),),
}
