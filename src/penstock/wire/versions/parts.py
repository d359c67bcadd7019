"""The objects of the protocol in which versions differ, and which of them hold which.

The names of properties are the newest ones. An object that is not listed here, and is in none
that is, looks the same in all versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """A kind of object in a body or in an answer."""

    POOL = "pool"
    POOL_SPECIFICATION = "pool specification"
    POOL_PATCH = "pool update"
    POOL_PROPERTIES = "pool properties"
    RESIZE = "resize"
    CLOUD_SERVICE = "cloud service configuration"
    MACHINE = "virtual machine configuration"
    IMAGE = "image reference"
    OS_DISK = "OS disk"
    DATA_DISK = "data disk"
    MANAGED_DISK = "managed disk"
    DISK_ENCRYPTION = "disk encryption configuration"
    SECURITY = "security profile"
    EXTENSION = "extension"
    NODE_EXTENSION = "extension of a node"
    SUPPORTED_IMAGE = "supported image"
    CONTAINERS = "container configuration"
    REGISTRY = "container registry"
    NETWORK = "network configuration"
    ENDPOINTS = "endpoint configuration"
    NAT_POOL = "NAT pool"
    NAT_RULE = "network security group rule"
    ADDRESSES = "public IP address configuration"
    MOUNT = "mount configuration"
    BLOB_MOUNT = "blob file system configuration"
    POLICY = "task scheduling policy"
    ACCOUNT = "user account"
    START_TASK = "start task"
    NODE = "node"
    MACHINE_INFO = "virtual machine info"
    RECENT_TASK = "recent task"
    REMOTE_LOGIN = "remote login settings"
    NODE_COUNTS = "node counts"
    STATE_COUNTS = "node counts by state"
    USAGE = "pool usage metrics"
    JOB = "job"
    JOB_SPECIFICATION = "job specification"
    JOB_NETWORK = "job network configuration"
    POOL_INFO = "pool info"
    AUTO_POOL = "auto pool specification"
    MANAGER = "job manager task"
    PREPARATION = "job preparation task"
    RELEASE = "job release task"
    JOB_NODE = "preparation and release status"
    SCHEDULE = "job schedule"
    TASK = "task"
    TASK_UPDATE = "task update"
    TASK_COLLECTION = "task collection"
    MULTI_INSTANCE = "multi-instance settings"
    CONTAINER_SETTINGS = "container settings"
    RESOURCE_FILE = "resource file"
    OUTPUT_FILE = "output file"
    DESTINATION = "output file destination"
    BLOB_CONTAINER = "blob container"
    EXIT_CONDITIONS = "exit conditions"
    EXIT_CODES = "exit code mapping"
    EXIT_OPTIONS = "exit options"
    RUN = "execution info"
    SUBTASK = "subtask"
    TASK_COUNTS = "task counts"
    FILE = "file"
    FILE_PROPERTIES = "file properties"


_POOL: Final = {
    "cloudServiceConfiguration": Part.CLOUD_SERVICE,
    "virtualMachineConfiguration": Part.MACHINE,
    "networkConfiguration": Part.NETWORK,
    "taskSchedulingPolicy": Part.POLICY,
    "startTask": Part.START_TASK,
    "userAccounts": Part.ACCOUNT,
    "mountConfiguration": Part.MOUNT,
}
_COMMAND: Final = {
    "containerSettings": Part.CONTAINER_SETTINGS,
    "resourceFiles": Part.RESOURCE_FILE,
}
_JOB: Final = {
    "poolInfo": Part.POOL_INFO,
    "jobManagerTask": Part.MANAGER,
    "jobPreparationTask": Part.PREPARATION,
    "jobReleaseTask": Part.RELEASE,
    "networkConfiguration": Part.JOB_NETWORK,
}

HOLDS: Final[Mapping[Part, Mapping[str, Part]]] = {
    Part.POOL: _POOL,
    Part.POOL_SPECIFICATION: _POOL,
    Part.POOL_PATCH: _POOL,
    Part.POOL_PROPERTIES: {"startTask": Part.START_TASK},
    Part.MACHINE: {
        "imageReference": Part.IMAGE,
        "osDisk": Part.OS_DISK,
        "dataDisks": Part.DATA_DISK,
        "diskEncryptionConfiguration": Part.DISK_ENCRYPTION,
        "securityProfile": Part.SECURITY,
        "extensions": Part.EXTENSION,
        "containerConfiguration": Part.CONTAINERS,
    },
    Part.OS_DISK: {"managedDisk": Part.MANAGED_DISK},
    Part.DATA_DISK: {"managedDisk": Part.MANAGED_DISK},
    Part.CONTAINERS: {"containerRegistries": Part.REGISTRY},
    Part.NETWORK: {
        "endpointConfiguration": Part.ENDPOINTS,
        "publicIPAddressConfiguration": Part.ADDRESSES,
    },
    Part.ENDPOINTS: {"inboundNATPools": Part.NAT_POOL},
    Part.NAT_POOL: {"networkSecurityGroupRules": Part.NAT_RULE},
    Part.MOUNT: {"azureBlobFileSystemConfiguration": Part.BLOB_MOUNT},
    Part.START_TASK: _COMMAND,
    Part.NODE: {
        "startTask": Part.START_TASK,
        "startTaskInfo": Part.RUN,
        "recentTasks": Part.RECENT_TASK,
        "virtualMachineInfo": Part.MACHINE_INFO,
    },
    Part.MACHINE_INFO: {"imageReference": Part.IMAGE},
    Part.SUPPORTED_IMAGE: {"imageReference": Part.IMAGE},
    Part.NODE_EXTENSION: {"vmExtension": Part.EXTENSION},
    Part.RECENT_TASK: {"executionInfo": Part.RUN},
    Part.NODE_COUNTS: {"dedicated": Part.STATE_COUNTS, "lowPriority": Part.STATE_COUNTS},
    Part.JOB: _JOB,
    Part.JOB_SPECIFICATION: _JOB,
    Part.POOL_INFO: {"autoPoolSpecification": Part.AUTO_POOL},
    Part.AUTO_POOL: {"pool": Part.POOL_SPECIFICATION},
    Part.MANAGER: {**_COMMAND, "outputFiles": Part.OUTPUT_FILE},
    Part.PREPARATION: _COMMAND,
    Part.RELEASE: _COMMAND,
    Part.JOB_NODE: {
        "jobPreparationTaskExecutionInfo": Part.RUN,
        "jobReleaseTaskExecutionInfo": Part.RUN,
    },
    Part.SCHEDULE: {"jobSpecification": Part.JOB_SPECIFICATION},
    Part.TASK: {
        **_COMMAND,
        "outputFiles": Part.OUTPUT_FILE,
        "exitConditions": Part.EXIT_CONDITIONS,
        "multiInstanceSettings": Part.MULTI_INSTANCE,
        "executionInfo": Part.RUN,
    },
    Part.TASK_COLLECTION: {"value": Part.TASK},
    Part.MULTI_INSTANCE: {"commonResourceFiles": Part.RESOURCE_FILE},
    Part.CONTAINER_SETTINGS: {"registry": Part.REGISTRY},
    Part.OUTPUT_FILE: {"destination": Part.DESTINATION},
    Part.DESTINATION: {"container": Part.BLOB_CONTAINER},
    Part.EXIT_CONDITIONS: {
        "exitCodes": Part.EXIT_CODES,
        "exitCodeRanges": Part.EXIT_CODES,
        "preProcessingError": Part.EXIT_OPTIONS,
        "fileUploadError": Part.EXIT_OPTIONS,
        "default": Part.EXIT_OPTIONS,
    },
    Part.EXIT_CODES: {"exitOptions": Part.EXIT_OPTIONS},
    Part.FILE: {"properties": Part.FILE_PROPERTIES},
}
"""What stands below a property: an object of that kind, or a list of them."""

SHOWN: Final[Mapping[str, Part]] = {
    "pools": Part.POOL,
    "nodes": Part.NODE,
    "jobs": Part.JOB,
    "jobschedules": Part.SCHEDULE,
    "tasks": Part.TASK,
    "subtasks": Part.SUBTASK,
    "taskcounts": Part.TASK_COUNTS,
    "jobpreparationandreleasetaskstatuslist": Part.JOB_NODE,
    "poolnodecounts": Part.NODE_COUNTS,
    "poolusagemetrics": Part.USAGE,
    "remoteloginsettings": Part.REMOTE_LOGIN,
    "extensions": Part.NODE_EXTENSION,
    "supportedimages": Part.SUPPORTED_IMAGE,
    "files": Part.FILE,
}
"""By the name that answers have in their metadata."""
