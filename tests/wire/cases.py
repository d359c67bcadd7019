"""Requests whose answers are recorded: one for each operation, one for each kind of error."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.domain.records import EventRecord
from tests.certificates import FIXED, body, thumbprint
from tests.wire.edge import ACCOUNT, Edge
from tests.wire.fakes import NOON_US

MACHINE = {
    "imageReference": {
        "publisher": "canonical",
        "offer": "0001-com-ubuntu-server-jammy",
        "sku": "22_04-lts",
    },
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
POOL = {
    "id": "Pool",
    "displayName": "a pool",
    "vmSize": "STANDARD_D2s_v3",
    "virtualMachineConfiguration": MACHINE,
    "targetDedicatedNodes": "2",
    "targetLowPriorityNodes": 1,
    "taskSlotsPerNode": 2,
    "taskSchedulingPolicy": {"nodeFillType": "Pack"},
    "userAccounts": [{"name": "me", "password": "never shown"}],
    "startTask": {
        "commandLine": "/bin/echo hello",
        "environmentSettings": [{"name": "A", "value": "1"}],
        "resourceFiles": [{"autoStorageContainerName": "input"}],
    },
    "metadata": [{"name": "owner", "value": "me"}, {"name": "empty", "value": None}],
}
FORMULA = "$TargetDedicatedNodes = 2;"
RICH = {
    "id": "Rich",
    "vmSize": "standard_d2s_v3",
    "targetDedicatedNodes": 1,
    "virtualMachineConfiguration": {
        **MACHINE,
        "windowsConfiguration": {},
        "dataDisks": [{"lun": "0", "diskSizeGB": "64"}],
        "licenseType": "windows_server",
        "containerConfiguration": {
            "type": "DockerCompatible",
            "containerImageNames": ["busybox"],
            "containerRegistries": [{"username": "me", "password": "never shown"}],
        },
        "diskEncryptionConfiguration": {"targets": ["OsDisk"], "customerManagedKey": {}},
        "nodePlacementConfiguration": {},
        "extensions": [
            {
                "name": "watch",
                "publisher": "p",
                "type": "t",
                "settings": {"password": "shown: these are public"},
                "protectedSettings": {"key": "never shown"},
            }
        ],
        "osDisk": {"ephemeralOSDiskSettings": {"placement": "CacheDisk"}, "caching": "ReadOnly"},
        "securityProfile": {
            "securityType": "TrustedLaunch",
            "proxyAgentSettings": {"imds": {"mode": "enforce"}},
        },
    },
    "networkConfiguration": {
        "endpointConfiguration": {
            "inboundNATPools": [
                {
                    "name": "web",
                    "protocol": "TCP",
                    "backendPort": "80",
                    "frontendPortRangeStart": 8000,
                    "frontendPortRangeEnd": 8100,
                    "networkSecurityGroupRules": [
                        {"priority": 150, "access": "Allow", "sourceAddressPrefix": "internet"}
                    ],
                }
            ]
        },
        "publicIPAddressConfiguration": {"ipFamilies": ["ipv4"]},
    },
    "userAccounts": [
        {
            "name": "me",
            "password": "never shown",
            "elevationLevel": "Admin",
            "linuxUserConfiguration": {"uid": 5, "gid": 6, "sshPrivateKey": "never shown"},
            "windowsUserConfiguration": {},
        }
    ],
    "mountConfiguration": [
        {
            "azureBlobFileSystemConfiguration": {
                "accountName": "a",
                "containerName": "c",
                "relativeMountPath": "blobs",
                "sasKey": "never shown",
            }
        },
        {
            "cifsMountConfiguration": {
                "username": "me",
                "source": "//host/share",
                "relativeMountPath": "share",
                "password": "never shown",
            }
        },
    ],
    "upgradePolicy": {"mode": "Rolling", "rollingUpgradePolicy": {"maxBatchInstancePercent": 20}},
    "startTask": {
        "commandLine": "",
        "containerSettings": {
            "imageName": "busybox",
            "registry": {"username": "me", "password": "never shown"},
        },
    },
}
JOB = {
    "id": "Job",
    "poolInfo": {"poolId": "Pool"},
    "priority": "100",
    "onAllTasksComplete": "noAction",
    "usesTaskDependencies": True,
    "commonEnvironmentSettings": [{"name": "B", "value": "2"}],
}
TASK = {
    "id": "Task",
    "displayName": "a task",
    "commandLine": "/bin/sh -c 'exit 3'",
    "constraints": {"maxWallClockTime": "PT01H00M00S", "maxTaskRetryCount": "2"},
    "dependsOn": {"taskIds": ["other"], "taskIdRanges": [{"start": 1, "end": "5"}]},
    "exitConditions": {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "Satisfy"}}]},
    "resourceFiles": [{"httpUrl": "https://host/c/b?sig=x", "filePath": "in/b"}],
    "outputFiles": [
        {
            "filePattern": "../std*.txt",
            "destination": {"container": {"containerUrl": "https://host/out", "path": "Task"}},
            "uploadOptions": {"uploadCondition": "taskCompletion"},
        }
    ],
}
SPECIAL = {
    "id": "Special",
    "poolInfo": {"poolId": "Pool"},
    "jobManagerTask": {
        "id": "Manager",
        "commandLine": "/bin/true",
        "requiredSlots": 2,
        "killJobOnCompletion": False,
        "runExclusive": False,
    },
    "jobPreparationTask": {
        "id": "Before",
        "commandLine": "/bin/mkdir data",
        "constraints": {"maxTaskRetryCount": 3},
        "rerunOnNodeRebootAfterSuccess": False,
    },
    "jobReleaseTask": {
        "commandLine": "/bin/rm -r data",
        "environmentSettings": [{"name": "C", "value": "3"}],
        "maxWallClockTime": "PT5M",
    },
}
SEVERAL = {
    "id": "Several",
    "commandLine": "/bin/true",
    "multiInstanceSettings": {
        "numberOfInstances": "3",
        "coordinationCommandLine": "/bin/sleep 1",
        "commonResourceFiles": [{"httpUrl": "https://host/c/b", "filePath": "b"}],
    },
}
COLLECTION = {
    "value": [
        {"id": "one", "commandLine": "/bin/true"},
        {"id": "Task", "commandLine": "/bin/true"},
        {"id": "no good", "commandLine": "/bin/true"},
        {"id": "two"},
    ]
}
AUTO_JOB = {
    "id": "Auto",
    "poolInfo": {
        "autoPoolSpecification": {
            "autoPoolIdPrefix": "nightly",
            "poolLifetimeOption": "Job",
            "pool": {
                "vmSize": "STANDARD_D2s_v3",
                "virtualMachineConfiguration": MACHINE,
                "targetDedicatedNodes": 1,
                "userAccounts": [{"name": "me", "password": "never shown"}],
            },
        }
    },
}
SCHEDULE = {
    "id": "Nightly",
    "displayName": "every night",
    "schedule": {
        "doNotRunUntil": "2024-01-01T13:00:00+01:00",
        "doNotRunAfter": "2024-12-31T00:00:00Z",
        "startWindow": "PT10M",
        "recurrenceInterval": "P1D",
    },
    "jobSpecification": {
        "displayName": "a night",
        "priority": 5,
        "poolInfo": {
            "autoPoolSpecification": {
                **AUTO_JOB["poolInfo"]["autoPoolSpecification"],  # type: ignore[index]
                "poolLifetimeOption": "jobSchedule",
                "keepAlive": True,
            }
        },
        "onAllTasksComplete": "terminateJob",
    },
    "metadata": [{"name": "owner", "value": "me"}],
}
SCHEDULED = (("POST", "/jobschedules", SCHEDULE),)
FIXED_DATA = base64.b64decode(FIXED)
THUMBPRINT = thumbprint(FIXED_DATA)
CERTIFICATE = body(FIXED_DATA, THUMBPRINT)
CERTIFICATED = (("POST", "/certificates", CERTIFICATE),)
ONE_CERTIFICATE = f"/certificates(thumbprintAlgorithm=sha1,thumbprint={THUMBPRINT})"
LAST_WITH_CERTIFICATES = "2024-07-01.20.0"
REFERRING = {
    **POOL,
    "id": "Referring",
    "targetDedicatedNodes": 1,
    "certificateReferences": [{"thumbprint": THUMBPRINT, "thumbprintAlgorithm": "sha1"}],
}
UNDELETED = (
    *CERTIFICATED,
    ("POST", "/pools", REFERRING),
    ("DELETE", ONE_CERTIFICATE, None),
)
USER = {"name": "me", "password": "never shown", "isAdmin": True}
FILES = "/jobs/Job/tasks/Task/files"
NODE = "/pools/Pool/nodes/node-0-d"
NODE_FILES = f"{NODE}/files"
BELOW = "workitems/Job/job-1/Task"


async def prepared(*, emulator: bool = False) -> Edge:
    """The service that every case begins with."""
    edge = Edge(emulator=emulator)
    await edge.send_json("POST", "/pools", POOL)
    await edge.send_json("POST", "/jobs", JOB)
    await edge.send_json("POST", "/jobs/Job/tasks", TASK)
    await edge.send_json("POST", "/jobs/Job/tasks", {"id": "Waiting", "commandLine": "/bin/true"})
    await edge.service.run(ACCOUNT, "Job", "Task", exit_code=3)
    edge.service.files = {f"{BELOW}/stdout.txt": b"printed\n", f"{BELOW}/wd/out": b"0123456789"}
    edge.service.directories = {f"{BELOW}/wd", "shared"}
    edge.service.memory.log = {
        no: EventRecord(no, NOON_US, ACCOUNT, name, body)
        for no, name, body in (
            (3, "PoolDeleteStartEvent", b'{"id":"Older"}'),
            (5, "TaskDeleteEvent", b'{"jobId":"Job","id":"Gone"}'),
            (8, "PoolDeleteStartEvent", b'{"id":"Old"}'),
        )
    }
    await edge.service.events.open(9)
    return edge


async def prepared_specially() -> Edge:
    """The same with a job that has special tasks, and a task of several instances."""
    edge = await prepared()
    await edge.send_json("POST", "/jobs", SPECIAL)
    await edge.send_json("POST", "/jobs/Special/tasks", SEVERAL)
    await edge.service.run(ACCOUNT, "Special", "Several")
    await edge.service.run_parts(ACCOUNT, "Special", "Several")
    await edge.service.prepare_nodes(ACCOUNT, "Special")
    return edge


async def prepared_used() -> Edge:
    """The same with a job schedule, and with something used by all that there is."""
    edge = await prepared()
    await edge.send_json("POST", "/jobschedules", SCHEDULE)
    await edge.service.use_all(ACCOUNT)
    return edge


@dataclass(frozen=True)
class Case:
    """A request to a service that has a pool, a job, and a task that ran."""

    method: str
    target: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    signed: bool = True
    version: str | None = "2025-06-01"
    service: Callable[[], Awaitable[Edge]] = prepared
    after: tuple[tuple[str, str, Any], ...] = ()  # requests that come before it
    emulator: bool = False


STATUS = "/jobs/Special/jobpreparationandreleasetaskstatus"

OPERATIONS: dict[str, Case] = {
    "supportedimages-list": Case("GET", "/supportedimages?maxresults=2"),
    "nodeagentskus-list": Case(
        "GET", "/nodeagentskus?maxresults=2&$filter=osType%20eq%20'Linux'", version="2018-12-01.8.0"
    ),
    "poolusagemetrics-list": Case(
        "GET",
        "/poolusagemetrics?maxresults=2&starttime=2024-01-01T09:00:00Z&endTime=2024-01-01T13:00:00Z"
        "&$filter=startswith(poolId,'po')",
        service=prepared_used,
    ),
    "lifetimepoolstats": Case(
        "GET", "/lifetimepoolstats", service=prepared_used, version="2022-10-01.16.0"
    ),
    "lifetimejobstats": Case(
        "GET", "/lifetimejobstats", service=prepared_used, version="2022-10-01.16.0"
    ),
    "nodecounts-list": Case("GET", "/nodecounts"),
    "applications-list": Case("GET", "/applications?maxresults=10"),
    "application-get": Case("GET", "/applications/blender"),
    "pool-get-rich": Case(
        "GET",
        "/pools/Rich?$select=networkConfiguration,virtualMachineConfiguration,userAccounts,"
        "mountConfiguration,upgradePolicy,startTask",
        after=(("POST", "/pools", RICH),),
    ),
    "pool-enableautoscale": Case(
        "POST", "/pools/Pool/enableautoscale", {"autoScaleFormula": FORMULA}
    ),
    "pool-disableautoscale": Case("POST", "/pools/Pool/disableautoscale"),
    "pool-evaluateautoscale": Case(
        "POST", "/pools/Pool/evaluateautoscale", {"autoScaleFormula": FORMULA}
    ),
    "pool-add": Case("POST", "/pools", {**POOL, "id": "Other"}),
    "pool-list": Case("GET", "/pools"),
    "pool-get": Case("GET", "/pools/pool"),
    "pool-get-stats": Case(
        "GET", "/pools/Pool?$select=id,stats&$expand=stats", service=prepared_used
    ),
    "pool-exists": Case("HEAD", "/pools/Pool"),
    "pool-patch": Case("PATCH", "/pools/Pool", {"metadata": []}),
    "pool-delete": Case("DELETE", "/pools/Pool"),
    "pool-resize": Case("POST", "/pools/Pool/resize", {"targetDedicatedNodes": 3}),
    "pool-stopresize": Case("POST", "/pools/Pool/stopresize"),
    "pool-upgradeos": Case(
        "POST",
        "/pools/Pool/upgradeos",
        {"targetOSVersion": "*"},
        version="2018-08-01.7.0",
    ),
    "pool-updateproperties": Case(
        "POST",
        "/pools/Pool/updateproperties",
        {"metadata": [], "applicationPackageReferences": [], "certificateReferences": []},
    ),
    "pool-removenodes": Case("POST", "/pools/Pool/removenodes", {"nodeList": ["node-0-d"]}),
    "node-list": Case("GET", "/pools/Pool/nodes?maxresults=1"),
    "node-get": Case("GET", "/pools/Pool/nodes/node-0-p"),
    "node-get-unmounted": Case(
        "GET",
        "/pools/Rich/nodes/node-0-d?$select=id,state,errors,startTask",
        after=(("POST", "/pools", RICH),),
    ),
    "node-reboot": Case("POST", f"{NODE}/reboot", {"nodeRebootOption": "taskCompletion"}),
    "node-reimage": Case("POST", f"{NODE}/reimage"),
    "node-start": Case("POST", f"{NODE}/start"),
    "node-deallocate": Case("POST", f"{NODE}/deallocate", {"nodeDeallocateOption": "terminate"}),
    "node-disablescheduling": Case("POST", f"{NODE}/disablescheduling", {}),
    "node-enablescheduling": Case("POST", f"{NODE}/enablescheduling"),
    "node-preempt": Case("POST", "/pools/Pool/nodes/node-0-p/preempt"),
    "node-remoteloginsettings": Case("GET", f"{NODE}/remoteloginsettings"),
    "node-rdp": Case("GET", f"{NODE}/rdp", version="2024-02-01.19.0"),
    "node-uploadlogs": Case(
        "POST",
        f"{NODE}/uploadbatchservicelogs",
        {"containerUrl": "https://host/logs?sig=x", "startTime": "2024-01-01T00:00:00Z"},
    ),
    "node-extensions": Case("GET", f"{NODE}/extensions"),
    "node-extension": Case(
        "GET", "/pools/Rich/nodes/node-0-d/extensions/Watch", after=(("POST", "/pools", RICH),)
    ),
    "node-extension-none": Case("GET", f"{NODE}/extensions/none"),
    "node-user-add": Case("POST", f"{NODE}/users", USER),
    "node-user-put": Case(
        "PUT",
        f"{NODE}/users/me",
        {"sshPublicKey": "ssh-ed25519 AAAAC3Nz me", "expiryTime": "2024-02-01T00:00:00Z"},
        after=(("POST", f"{NODE}/users", USER),),
    ),
    "node-user-delete": Case(
        "DELETE", f"{NODE}/users/me", after=(("POST", f"{NODE}/users", USER),)
    ),
    "node-files-list": Case("GET", f"{NODE_FILES}?recursive=true&maxresults=2"),
    "node-file-get": Case("GET", f"{NODE_FILES}/{BELOW.replace('/', '%2F')}%2Fstdout.txt"),
    "node-file-head": Case("HEAD", f"{NODE_FILES}/shared"),
    "node-file-delete": Case("DELETE", f"{NODE_FILES}/{BELOW}/stdout.txt"),
    "job-add": Case("POST", "/jobs", {**JOB, "id": "Other"}),
    "job-list": Case("GET", "/jobs"),
    "job-get": Case("GET", "/jobs/JOB"),
    "job-list-stats": Case("GET", "/jobs?$select=stats&$expand=stats", service=prepared_used),
    "job-patch": Case("PATCH", "/jobs/Job", {"priority": 5}),
    "job-put": Case("PUT", "/jobs/Job", {"poolInfo": {"poolId": "Pool"}}),
    "job-delete": Case("DELETE", "/jobs/Job"),
    "job-disable": Case("POST", "/jobs/Job/disable", {"disableTasks": "requeue"}),
    "job-enable": Case("POST", "/jobs/Job/enable"),
    "job-terminate": Case("POST", "/jobs/Job/terminate", {"terminateReason": "done"}),
    "job-get-special": Case("GET", "/jobs/Special", service=prepared_specially),
    "job-special-status": Case("GET", f"{STATUS}?maxresults=2", service=prepared_specially),
    "job-special-status-selected": Case(
        "GET",
        f"{STATUS}?$select=nodeId,jobReleaseTaskExecutionInfo"
        "&$filter=jobPreparationTaskExecutionInfo/result%20eq%20'failure'",
        service=prepared_specially,
    ),
    "job-taskcounts": Case("GET", "/jobs/Job/taskcounts"),
    "job-get-auto-pool": Case("GET", "/jobs/Auto", after=(("POST", "/jobs", AUTO_JOB),)),
    "jobschedule-add": Case("POST", "/jobschedules", SCHEDULE),
    "jobschedule-list": Case("GET", "/jobschedules", after=SCHEDULED),
    "jobschedule-get": Case("GET", "/jobschedules/nightly", after=SCHEDULED),
    "jobschedule-get-stats": Case(
        "GET", "/jobschedules/nightly?$select=id,stats&$expand=stats", service=prepared_used
    ),
    "jobschedule-get-completed": Case(
        "GET",
        "/jobschedules/Nightly?$select=id,state,previousState,executionInfo",
        after=(*SCHEDULED, ("POST", "/jobschedules/Nightly/terminate", None)),
    ),
    "jobschedule-exists": Case("HEAD", "/jobschedules/Nightly", after=SCHEDULED),
    "jobschedule-patch": Case("PATCH", "/jobschedules/Nightly", {"metadata": []}, after=SCHEDULED),
    "jobschedule-put": Case("PUT", "/jobschedules/Nightly", SCHEDULE, after=SCHEDULED),
    "jobschedule-delete": Case("DELETE", "/jobschedules/Nightly?force=true", after=SCHEDULED),
    "jobschedule-disable": Case("POST", "/jobschedules/Nightly/disable", after=SCHEDULED),
    "jobschedule-enable": Case("POST", "/jobschedules/Nightly/enable", after=SCHEDULED),
    "jobschedule-terminate": Case("POST", "/jobschedules/Nightly/terminate", after=SCHEDULED),
    "jobschedule-jobs": Case("GET", "/jobschedules/Nightly/jobs", after=SCHEDULED),
    "task-add": Case("POST", "/jobs/Job/tasks", {**TASK, "id": "Other"}),
    "task-addcollection": Case("POST", "/jobs/Job/addtaskcollection", COLLECTION),
    "task-list": Case("GET", "/jobs/Job/tasks"),
    "task-get": Case("GET", "/jobs/Job/tasks/Task"),
    "task-get-stats": Case(
        "GET", "/jobs/Job/tasks/Task?$select=id,stats&$expand=stats", service=prepared_used
    ),
    "task-put": Case("PUT", "/jobs/Job/tasks/Task", {"constraints": {"retentionTime": "P1D"}}),
    "task-delete": Case("DELETE", "/jobs/Job/tasks/Task"),
    "task-terminate": Case("POST", "/jobs/Job/tasks/Waiting/terminate"),
    "task-reactivate": Case("POST", "/jobs/Job/tasks/Task/reactivate"),
    "task-subtasks": Case("GET", "/jobs/Job/tasks/Task/subtasksinfo"),
    "task-subtasks-several": Case(
        "GET", "/jobs/Special/tasks/Several/subtasksinfo", service=prepared_specially
    ),
    "task-get-several": Case("GET", "/jobs/Special/tasks/Several", service=prepared_specially),
    "task-explain": Case("GET", "/jobs/Job/tasks/Waiting/explain"),
    "job-explain": Case("GET", "/jobs/Job/explain?maxresults=100"),
    "task-files-list": Case("GET", f"{FILES}?recursive=true"),
    "task-file-get": Case("GET", f"{FILES}/wd%2Fout", headers={"ocp-range": "bytes=2-5"}),
    "task-file-head": Case("HEAD", f"{FILES}/stdout.txt"),
    "task-file-delete": Case("DELETE", f"{FILES}/stdout.txt"),
    "certificate-add": Case("POST", "/certificates", CERTIFICATE, version=LAST_WITH_CERTIFICATES),
    "certificate-list": Case(
        "GET", "/certificates", after=CERTIFICATED, version=LAST_WITH_CERTIFICATES
    ),
    "certificate-get": Case(
        "GET", ONE_CERTIFICATE, after=CERTIFICATED, version=LAST_WITH_CERTIFICATES
    ),
    "certificate-get-deletefailed": Case(
        "GET",
        f"{ONE_CERTIFICATE}?$select=thumbprint,state,previousState,deleteCertificateError",
        after=UNDELETED,
        version=LAST_WITH_CERTIFICATES,
    ),
    "certificate-delete": Case(
        "DELETE", ONE_CERTIFICATE, after=CERTIFICATED, version=LAST_WITH_CERTIFICATES
    ),
    "certificate-canceldelete": Case(
        "POST", f"{ONE_CERTIFICATE}/canceldelete", after=UNDELETED, version=LAST_WITH_CERTIFICATES
    ),
    "node-get-certificates": Case(
        "GET",
        "/pools/Referring/nodes?$select=id,certificateReferences",
        after=UNDELETED,
        version=LAST_WITH_CERTIFICATES,
    ),
    "events-list": Case("GET", "/events?after=1&maxresults=2"),
    "clock-get": Case("GET", "/clock"),
    "clock-advance": Case("POST", "/clock", {"advance": "P1DT6H"}, emulator=True),
    "alive": Case("GET", "/alive", signed=False, version=None),
    "ready": Case("GET", "/ready", signed=False, version=None),
}
"""By name."""

OLD_ANSWERS: dict[str, Case] = {
    f"{name}-{version}": replace(OPERATIONS[name], version=version)
    for version in ("2016-07-01.3.1", "2018-12-01.8.0")
    for name in (
        "pool-get",
        "node-get",
        "job-get-special",
        "job-special-status",
        "job-taskcounts",
        "jobschedule-get",
        "task-get",
        "task-subtasks-several",
        "nodecounts-list",
    )
    if (name, version)
    not in (("job-taskcounts", "2016-07-01.3.1"), ("nodecounts-list", "2016-07-01.3.1"))
}
"""What is shown of the same things under versions of old."""

ERRORS: dict[str, Case] = {
    "MissingRequiredHeader": Case("GET", "/pools", signed=False),
    "InvalidHeaderValue": Case("GET", "/jobs/Job", headers={"if-modified-since": "once"}),
    "InvalidAuthenticationInfo": Case(
        "GET", "/pools", headers={"authorization": "Basic dTpw"}, signed=False
    ),
    "AuthenticationFailed": Case(
        "GET", "/pools", headers={"authorization": f"SharedKey {ACCOUNT}:d3Jvbmc="}, signed=False
    ),
    "MissingRequiredQueryParameter": Case("GET", "/pools", version=None),
    "UnsupportedRequestVersion": Case("GET", "/pools", version="2001-01-01"),
    "InvalidQueryParameterValue": Case("GET", "/pools?$filter=colour%20eq%20'red'"),
    "OutOfRangeQueryParameterValue": Case("GET", "/pools?maxresults=0"),
    "InvalidRequestBody": Case("POST", "/pools", b"{"),
    "MissingRequiredProperty": Case("POST", "/pools", {"id": "x"}),
    "InvalidPropertyValue": Case("POST", "/jobs", {**JOB, "priority": 5000}),
    "EmptyMetadataKey": Case("PATCH", "/pools/Pool", {"metadata": [{"name": ""}]}),
    "MultipleConditionHeadersNotSupported": Case(
        "GET", "/jobs/Job", headers={"if-match": "a", "if-none-match": "b"}
    ),
    "TaskDependencyListTooLong": Case(
        "POST",
        "/jobs/Job/tasks",
        {"id": "x", "commandLine": "x", "dependsOn": {"taskIds": ["x" * 64_001]}},
    ),
    "InvalidUri": Case("GET", "/pools/%ff"),
    "ClockIsFixed": Case("POST", "/clock", {"advance": "PT1H"}),
    "ResourceNotFound": Case("GET", "/fish"),
    "JobPreparationTaskOrReleaseTaskNotSpecified": Case(
        "GET", "/jobs/Job/jobpreparationandreleasetaskstatus"
    ),
    "PoolNotFound": Case("GET", "/pools/none"),
    "NodeNotFound": Case("GET", "/pools/Pool/nodes/none"),
    "JobNotFound": Case("GET", "/jobs/none"),
    "TaskNotFound": Case("GET", "/jobs/Job/tasks/none"),
    "CertificateNotFound": Case("GET", ONE_CERTIFICATE, version=LAST_WITH_CERTIFICATES),
    "CertificateExists": Case(
        "POST", "/certificates", CERTIFICATE, after=CERTIFICATED, version=LAST_WITH_CERTIFICATES
    ),
    "CertificateStateActive": Case(
        "POST",
        f"{ONE_CERTIFICATE}/canceldelete",
        after=CERTIFICATED,
        version=LAST_WITH_CERTIFICATES,
    ),
    "NodeUserNotFound": Case("DELETE", f"{NODE}/users/nobody"),
    "NodeUserExists": Case("POST", f"{NODE}/users", USER, after=(("POST", f"{NODE}/users", USER),)),
    "FileNotFound": Case("GET", f"{FILES}/none"),
    "UnsupportedHttpVerb": Case("PUT", "/pools", {}),
    "OperationInvalidForCurrentState": Case("DELETE", f"{FILES}/wd"),
    "PoolExists": Case("POST", "/pools", {**POOL, "id": "pOOL"}),
    "InvalidApplicationPackageReferences": Case(
        "POST", "/pools", {**POOL, "applicationPackageReferences": [{"applicationId": "blender"}]}
    ),
    "OperationNotValidOnNode": Case("POST", f"{NODE}/preempt"),
    "JobExists": Case("POST", "/jobs", JOB),
    "TaskExists": Case("POST", "/jobs/Job/tasks", TASK),
    "TaskCompleted": Case("POST", "/jobs/Job/tasks/Task/terminate"),
    "ConditionNotMet": Case("PATCH", "/jobs/Job", {}, headers={"if-match": "0x0"}),
    "NotModified": Case("GET", "/jobs/Job", headers={"if-none-match": "*"}),
    "RequestBodyTooLarge": Case("POST", "/pools", b" " * (1 << 21)),
    "InvalidRange": Case("GET", f"{FILES}/stdout.txt", headers={"ocp-range": "bytes=8-"}),
    "JobScheduleNotFound": Case("GET", "/jobschedules/none"),
    "JobScheduleExists": Case("POST", "/jobschedules", SCHEDULE, after=SCHEDULED),
    "ApplicationNotFound": Case("GET", "/applications/blender"),
    "AutoScalingFormulaTooLong": Case(
        "POST", "/pools/Pool/evaluateautoscale", {"autoScaleFormula": " " * 8193}
    ),
    "InvalidAutoScalingSettings": Case(
        "POST", "/pools", {**POOL, "enableAutoScale": True, "autoScaleFormula": FORMULA}
    ),
    "OperationNotValidOnPool": Case(
        "POST", "/pools/Pool/evaluateautoscale", {"autoScaleFormula": FORMULA}
    ),
}
"""By class. The others depend on states that the fake service does not have; see the test."""
