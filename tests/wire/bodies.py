"""Bodies with every property set, and what clients are shown of them."""

from __future__ import annotations

import re
from typing import Any

from penstock.domain.instants import Duration, instant

SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
IDENTITY = {"resourceId": "/subscriptions/s/resourceGroups/g/providers/M/userAssignedIdentities/i"}
SECRETS = {"password"}

CONTAINER = {
    "imageName": "registry.example/tool:1",
    "containerRunOptions": "--rm",
    "registry": {"username": "u", "password": "hunter2", "registryServer": "registry.example"},
    "workingDirectory": "ContainerImageDefault",
    "containerHostBatchBindMounts": [
        {"source": "shared", "isReadOnly": "true"},
        {"source": "Task"},
    ],
}
FILES = [
    {"httpUrl": "https://h/c/b?sig=s", "filePath": "in/b", "fileMode": "0755"},
    {
        "storageContainerUrl": "https://h/c",
        "blobPrefix": "p",
        "filePath": "in",
        "identityReference": IDENTITY,
    },
]
OUTPUTS = [
    {
        "filePattern": "**/*.txt",
        "destination": {
            "container": {
                "containerUrl": "https://h/out",
                "path": "a/b",
                "identityReference": IDENTITY,
                "uploadHeaders": [{"name": "x-ms-meta-a", "value": "1"}],
            }
        },
        "uploadOptions": {"uploadCondition": "TaskSuccess"},
    }
]
SETTINGS = [{"name": "A", "value": "1"}, {"name": "EMPTY"}]
AUTO_USER = {"autoUser": {"scope": "Task", "elevationLevel": "Admin"}}
CONSTRAINTS = {"maxWallClockTime": "PT01H00M00S", "retentionTime": "P1D", "maxTaskRetryCount": "3"}
OPTIONS = {"jobAction": "Terminate", "dependencyAction": "Satisfy"}

TASK: dict[str, Any] = {
    "id": "Full",
    "displayName": "a task",
    "commandLine": "/bin/true",
    "containerSettings": CONTAINER,
    "exitConditions": {
        "exitCodes": [{"code": "1", "exitOptions": OPTIONS}],
        "exitCodeRanges": [{"start": 2, "end": 9, "exitOptions": OPTIONS}],
        "preProcessingError": OPTIONS,
        "fileUploadError": {"dependencyAction": "block"},
        "default": {"jobAction": "none"},
    },
    "resourceFiles": FILES,
    "outputFiles": OUTPUTS,
    "environmentSettings": SETTINGS,
    "affinityInfo": {"affinityId": "TVM:node"},
    "constraints": CONSTRAINTS,
    "requiredSlots": "1",
    "userIdentity": {"username": "me"},
    "multiInstanceSettings": {
        "numberOfInstances": "2",
        "coordinationCommandLine": "/bin/true",
        "commonResourceFiles": FILES,
    },
    "dependsOn": {"taskIds": ["a", "b"], "taskIdRanges": [{"start": 1, "end": "5"}]},
    "applicationPackageReferences": [],
}
COMMON: dict[str, Any] = {
    "commandLine": "/bin/true",
    "containerSettings": CONTAINER,
    "resourceFiles": FILES,
    "environmentSettings": SETTINGS,
    "userIdentity": AUTO_USER,
}
TEMPLATE: dict[str, Any] = {
    "displayName": "a job",
    "usesTaskDependencies": True,
    "priority": "-1000",
    "allowTaskPreemption": True,
    "maxParallelTasks": "7",
    "constraints": {"maxWallClockTime": "P10D", "maxTaskRetryCount": "-1"},
    "jobManagerTask": {
        **COMMON,
        "id": "Manager",
        "displayName": "a manager",
        "outputFiles": OUTPUTS,
        "constraints": CONSTRAINTS,
        "requiredSlots": 2,
        "killJobOnCompletion": False,
        "runExclusive": False,
        "applicationPackageReferences": [],
        "allowLowPriorityNode": False,
    },
    "jobPreparationTask": {
        **COMMON,
        "id": "Before",
        "constraints": CONSTRAINTS,
        "waitForSuccess": False,
        "rerunOnNodeRebootAfterSuccess": False,
    },
    "jobReleaseTask": {
        **COMMON,
        "id": "After",
        "maxWallClockTime": "PT5M",
        "retentionTime": "PT1H",
    },
    "commonEnvironmentSettings": SETTINGS,
    "poolInfo": {"poolId": "Pool"},
    "onAllTasksComplete": "NoAction",
    "onTaskFailure": "PerformExitOptionsJobAction",
    "networkConfiguration": {"subnetId": SUBNET, "skipWithdrawFromVNet": "true"},
    "metadata": [{"name": "a", "value": "1"}],
}
JOB: dict[str, Any] = {"id": "Full", **TEMPLATE}
SCHEDULE: dict[str, Any] = {
    "id": "Whole",
    "displayName": "a schedule",
    "schedule": {
        "doNotRunUntil": "2030-01-01T01:00:00+01:00",
        "doNotRunAfter": "2031-01-01T00:00:00Z",
        "startWindow": "PT60S",
        "recurrenceInterval": "P1D",
    },
    "jobSpecification": TEMPLATE,
    "metadata": [{"name": "b", "value": None}],
}

_DURATION = re.compile(r"P[0-9DTHMS.]+")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")


def disagreements(sent: Any, shown: Any, path: str = "") -> list[str]:
    """Where what is shown is not what was sent: spelled as the service does, and no secret."""
    if isinstance(sent, dict):
        found = []
        for name, value in sent.items():
            where = f"{path}.{name}"
            if name in SECRETS:
                found += [f"{where} is shown"] if name in shown else []
            elif value is not None:
                found += disagreements(value, (shown or {}).get(name), where)
            elif where.endswith("].value") and ".metadata[" in where and shown["value"] != "":
                found.append(f"{where} is not empty")
        return found
    if isinstance(sent, list):
        if not isinstance(shown, list) or len(shown) != len(sent):
            return [f"{path}: {shown!r}"]
        return [
            one
            for at, (ours, theirs) in enumerate(zip(sent, shown, strict=True))
            for one in disagreements(ours, theirs, f"{path}[{at}]")
        ]
    return [] if _same(sent, shown) else [f"{path}: {sent!r} became {shown!r}"]


def _same(sent: Any, shown: Any) -> bool:
    if isinstance(shown, bool):
        return str(sent).lower() == str(shown).lower()
    if isinstance(shown, int):
        return int(sent) == shown
    if isinstance(sent, str) and isinstance(shown, str):
        if _DURATION.fullmatch(sent):
            return Duration.parse(sent) == Duration.parse(shown)
        if _INSTANT.fullmatch(sent):
            return instant(sent) == instant(shown)
        return sent.lower() == shown.lower()
    return bool(sent == shown)
