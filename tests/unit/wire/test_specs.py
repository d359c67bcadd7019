"""The rules of pools, jobs and tasks: defaults, spellings, ranges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.domain.refusals import (
    EmptyMetadataKey,
    InvalidApplicationPackageReferences,
    InvalidPropertyValue,
    MetadataTooLarge,
    MissingRequiredProperty,
    Refusal,
    TaskDependencyListTooLong,
    TaskDependencyRangesTooLong,
)
from penstock.domain.specs.common import encode_spec
from penstock.domain.specs.task import TaskSpec
from penstock.wire.specs.jobs import (
    disable_from_wire,
    job_from_wire,
    job_patch_from_wire,
    job_update_from_wire,
    terminate_reason_from_wire,
)
from penstock.wire.specs.pools import (
    pool_from_wire,
    pool_patch_from_wire,
    pool_properties_from_wire,
    removal_from_wire,
    resize_from_wire,
)
from penstock.wire.specs.tasks import constraints_from_wire, task_from_wire, tasks_from_wire

IMAGE = {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"}
MACHINE = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
POOL = {"id": "p", "vmSize": "Standard_D2s_v3", "virtualMachineConfiguration": MACHINE}
JOB = {"id": "j", "poolInfo": {"poolId": "p"}}
TASK = {"id": "t", "commandLine": "/bin/true"}
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
INFINITE = "P10675199DT2H48M5.4775807S"
NOBODY = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}

Reader = Callable[[bytes], Any]


def put(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `base` with one property set, or removed when the value is `...`."""
    copy: dict[str, Any] = json.loads(json.dumps(base))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner.setdefault(parent, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy


def read(reader: Reader, body: Any) -> dict[str, Any]:
    """What the reader makes of a body, as JSON."""
    spec: dict[str, Any] = json.loads(encode_spec(reader(json.dumps(body).encode())))
    return spec


def refused(reader: Reader, body: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        reader(json.dumps(body).encode())
    return raised.value


# --- pools -------------------------------------------------------------------------------------


def test_the_defaults_of_a_pool() -> None:
    body = {**POOL, "startTask": {"commandLine": "x"}, "metadata": [{"name": "a", "value": None}]}

    assert read(pool_from_wire, body) == {
        "id": "p",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": {
            **MACHINE,
            "imageReference": {**IMAGE, "version": "latest"},
        },
        "resizeTimeout": "PT15M",
        "targetDedicatedNodes": 0,
        "targetLowPriorityNodes": 0,
        "enableAutoScale": False,
        "enableInterNodeCommunication": False,
        "startTask": {
            "commandLine": "x",
            "userIdentity": NOBODY,
            "maxTaskRetryCount": 0,
            "waitForSuccess": True,
        },
        "taskSlotsPerNode": 1,
        "taskSchedulingPolicy": {"nodeFillType": "spread", "jobDefaultOrder": "none"},
        "metadata": [{"name": "a", "value": ""}],
        "targetNodeCommunicationMode": "default",
    }


def test_spellings_of_a_pool() -> None:
    body = put(POOL, "taskSchedulingPolicy", {"nodeFillType": "Pack", "jobDefaultOrder": "None"})
    body = put(body, "startTask", {"commandLine": "x", "waitForSuccess": False})
    body = put(body, "startTask.userIdentity.autoUser.elevationLevel", "NonAdmin")
    body = put(body, "targetDedicatedNodes", "7")

    spec = read(pool_from_wire, body)

    assert spec["taskSchedulingPolicy"] == {"nodeFillType": "pack", "jobDefaultOrder": "none"}
    assert spec["startTask"]["userIdentity"] == NOBODY
    assert spec["startTask"]["waitForSuccess"] is False
    assert spec["targetDedicatedNodes"] == 7


BAD_POOLS: list[tuple[str, Any, type[Refusal], str]] = [
    ("id", "a b", InvalidPropertyValue, "id"),
    ("id", "", InvalidPropertyValue, "id"),
    ("id", "a\n", InvalidPropertyValue, "id"),
    ("id", ..., MissingRequiredProperty, "id"),
    ("displayName", "x" * 1025, InvalidPropertyValue, "displayName"),
    ("vmSize", "standard_huge", InvalidPropertyValue, "vmSize"),
    ("vmSize", ..., MissingRequiredProperty, "vmSize"),
    ("virtualMachineConfiguration", ..., MissingRequiredProperty, "virtualMachineConfiguration"),
    (
        "virtualMachineConfiguration.nodeAgentSKUId",
        ...,
        MissingRequiredProperty,
        "virtualMachineConfiguration.nodeAgentSKUId",
    ),
    (
        "virtualMachineConfiguration.imageReference.sku",
        ...,
        MissingRequiredProperty,
        "virtualMachineConfiguration.imageReference.sku",
    ),
    (
        "virtualMachineConfiguration.imageReference.virtualMachineImageId",
        "/subscriptions/x",
        InvalidPropertyValue,
        "virtualMachineConfiguration.imageReference",
    ),
    ("targetDedicatedNodes", -1, InvalidPropertyValue, "targetDedicatedNodes"),
    ("targetLowPriorityNodes", 100_001, InvalidPropertyValue, "targetLowPriorityNodes"),
    ("resizeTimeout", "PT4M59S", InvalidPropertyValue, "resizeTimeout"),
    ("taskSlotsPerNode", 0, InvalidPropertyValue, "taskSlotsPerNode"),
    ("taskSlotsPerNode", 9, InvalidPropertyValue, "taskSlotsPerNode"),
    ("taskSchedulingPolicy", {}, MissingRequiredProperty, "taskSchedulingPolicy.nodeFillType"),
    (
        "taskSchedulingPolicy",
        {"nodeFillType": "heap"},
        InvalidPropertyValue,
        "taskSchedulingPolicy.nodeFillType",
    ),
    ("startTask", {"commandLine": " "}, InvalidPropertyValue, "startTask.commandLine"),
    ("startTask", {"commandLine": "x" * 40_000}, InvalidPropertyValue, "startTask"),
    (
        "startTask",
        {"commandLine": "x", "maxTaskRetryCount": -2},
        InvalidPropertyValue,
        "startTask.maxTaskRetryCount",
    ),
    ("userAccounts", [{"name": "x"}], MissingRequiredProperty, "userAccounts[0].password"),
    (
        "userAccounts",
        [{"name": "x" * 21, "password": "p"}],
        InvalidPropertyValue,
        "userAccounts[0].name",
    ),
    ("metadata", [{"name": ""}], EmptyMetadataKey, "metadata[0].name"),
    (
        "applicationPackageReferences",
        [{"applicationId": "app"}],
        InvalidApplicationPackageReferences,
        "applicationPackageReferences[0].applicationId",
    ),
    ("enableAutoScale", True, MissingRequiredProperty, "autoScaleFormula"),
]


@pytest.mark.parametrize(("path", "value", "kind", "name"), BAD_POOLS)
def test_a_bad_pool(path: str, value: Any, kind: type[Refusal], name: str) -> None:
    refusal = refused(pool_from_wire, put(POOL, path, value))

    assert type(refusal) is kind
    assert refusal.values["PropertyName"] == name


def test_slots_go_by_the_cores_of_the_size() -> None:
    assert read(pool_from_wire, {**POOL, "taskSlotsPerNode": 8})["taskSlotsPerNode"] == 8


@pytest.mark.parametrize("kind", ["virtualMachineImageId", "sharedGalleryImageId"])
def test_an_image_by_its_id(kind: str) -> None:
    body = put(POOL, "virtualMachineConfiguration.imageReference", {kind: "/x"})

    spec = read(pool_from_wire, body)

    assert spec["virtualMachineConfiguration"]["imageReference"] == {kind: "/x"}


def test_a_pool_patch_changes_only_what_it_names() -> None:
    assert read(pool_patch_from_wire, {}) == {}
    assert read(pool_patch_from_wire, {"vmSize": "STANDARD_A1_V2", "metadata": []}) == {
        "vmSize": "standard_a1_v2",
        "metadata": [],
    }
    assert refused(pool_patch_from_wire, {"taskSlotsPerNode": 257}).values["PropertyName"]


def test_properties_are_replaced_with_all_their_lists() -> None:
    lists: dict[str, Any] = {
        "metadata": [],
        "applicationPackageReferences": [],
        "certificateReferences": [],
    }
    assert pool_properties_from_wire(json.dumps(lists).encode()).start_task is None
    refusal = refused(pool_properties_from_wire, {"metadata": []})
    assert refusal.values["PropertyName"] == "applicationPackageReferences"


def test_a_resize() -> None:
    body = {"targetLowPriorityNodes": 3, "nodeDeallocationOption": "TaskCompletion"}
    assert read(resize_from_wire, body)["nodeDeallocationOption"] == "taskcompletion"
    assert isinstance(refused(resize_from_wire, {}), MissingRequiredProperty)
    for bad in ({"resizeTimeout": "PT1M"}, {"nodeDeallocationOption": "maybe"}):
        refusal = refused(resize_from_wire, {"targetDedicatedNodes": 1, **bad})
        assert refusal.values["PropertyName"] == next(iter(bad))


@pytest.mark.parametrize("count", [0, 101])
def test_a_removal_of_too_few_or_too_many(count: int) -> None:
    refusal = refused(removal_from_wire, {"nodeList": [f"n{at}" for at in range(count)]})

    assert refusal.values["PropertyName"] == "nodeList"


# --- jobs --------------------------------------------------------------------------------------


def test_the_defaults_of_a_job() -> None:
    assert read(job_from_wire, JOB) == {
        "id": "j",
        "usesTaskDependencies": False,
        "priority": 0,
        "allowTaskPreemption": False,
        "maxParallelTasks": -1,
        "constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0},
        "poolInfo": {"poolId": "p"},
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
    }


def test_spellings_of_a_job() -> None:
    body = {**JOB, "onAllTasksComplete": "terminateJob", "priority": "-1000"}
    body["onTaskFailure"] = "performExitOptionsJobAction"

    spec = read(job_from_wire, body)

    assert spec["onAllTasksComplete"] == "terminatejob"
    assert spec["onTaskFailure"] == "performexitoptionsjobaction"
    assert spec["priority"] == -1000


BAD_JOBS: list[tuple[str, Any, str]] = [
    ("id", "sched:job-1", "id"),
    ("priority", 1001, "priority"),
    ("priority", -1001, "priority"),
    ("maxParallelTasks", 0, "maxParallelTasks"),
    ("maxParallelTasks", -2, "maxParallelTasks"),
    ("maxParallelTasks", 2**31, "maxParallelTasks"),
    ("constraints", {"maxTaskRetryCount": -2}, "constraints.maxTaskRetryCount"),
    ("constraints", {"maxWallClockTime": "PT0S"}, "constraints.maxWallClockTime"),
    ("constraints", {"maxWallClockTime": "-PT1H"}, "constraints.maxWallClockTime"),
    ("poolInfo", {}, "poolInfo.poolId"),
    ("poolInfo", {"poolId": ""}, "poolInfo.poolId"),
    (
        "poolInfo",
        {"poolId": "p", "autoPoolSpecification": {"poolLifetimeOption": "job"}},
        "poolInfo.autoPoolSpecification",
    ),
    ("onAllTasksComplete", "party", "onAllTasksComplete"),
    ("commonEnvironmentSettings", [{"name": "A=B"}], "commonEnvironmentSettings[0].name"),
    ("jobManagerTask", {"commandLine": "x"}, "jobManagerTask.id"),
    ("jobManagerTask", {"id": "a b", "commandLine": "x"}, "jobManagerTask.id"),
    ("jobManagerTask", {"id": "m"}, "jobManagerTask.commandLine"),
    ("jobManagerTask", {"id": "m", "commandLine": "'"}, "jobManagerTask.commandLine"),
    (
        "jobManagerTask",
        {"id": "m", "commandLine": "x", "requiredSlots": 0},
        "jobManagerTask.requiredSlots",
    ),
    (
        "jobManagerTask",
        {"id": "m", "commandLine": "x", "constraints": {"maxTaskRetryCount": -2}},
        "jobManagerTask.constraints.maxTaskRetryCount",
    ),
    (
        "jobManagerTask",
        {"id": "m", "commandLine": "x", "outputFiles": [{"filePattern": "a"}]},
        "jobManagerTask.outputFiles[0].destination",
    ),
    (
        "jobPreparationTask",
        {"commandLine": "x", "resourceFiles": [{"httpUrl": "http://h/b"}]},
        "jobPreparationTask.resourceFiles[0].filePath",
    ),
    (
        "jobPreparationTask",
        {"commandLine": "x", "environmentSettings": [{"name": "A=B"}]},
        "jobPreparationTask.environmentSettings[0].name",
    ),
    ("jobPreparationTask", {"id": "", "commandLine": "x"}, "jobPreparationTask.id"),
    ("jobReleaseTask", {"commandLine": "x"}, "jobPreparationTask"),
    ("networkConfiguration", {}, "networkConfiguration.subnetId"),
    ("networkConfiguration", {"subnetId": 5}, "networkConfiguration.subnetId"),
    ("networkConfiguration", {"subnetId": ""}, "networkConfiguration.subnetId"),
    ("networkConfiguration", {"subnetId": f"{SUBNET}/more"}, "networkConfiguration.subnetId"),
    (
        "networkConfiguration",
        {"subnetId": SUBNET, "skipWithdrawFromVNet": "x"},
        "networkConfiguration.skipWithdrawFromVNet",
    ),
]


@pytest.mark.parametrize(("path", "value", "name"), BAD_JOBS)
def test_a_bad_job(path: str, value: Any, name: str) -> None:
    assert refused(job_from_wire, put(JOB, path, value)).values["PropertyName"] == name


LINE = {"commandLine": "x"}
SPECIAL = {
    **JOB,
    "jobManagerTask": {"id": "m", **LINE},
    "jobPreparationTask": LINE,
    "jobReleaseTask": LINE,
}


def test_the_defaults_of_special_tasks() -> None:
    spec = read(job_from_wire, SPECIAL)

    constraints = {"maxWallClockTime": INFINITE, "retentionTime": "P7D", "maxTaskRetryCount": 0}
    assert spec["jobManagerTask"] == {
        "id": "m",
        "commandLine": "x",
        "constraints": constraints,
        "requiredSlots": 1,
        "killJobOnCompletion": True,
        "userIdentity": NOBODY,
        "runExclusive": True,
        "allowLowPriorityNode": True,
    }
    assert spec["jobPreparationTask"] == {
        "id": "jobpreparation",
        "commandLine": "x",
        "constraints": constraints,
        "waitForSuccess": True,
        "userIdentity": NOBODY,
        "rerunOnNodeRebootAfterSuccess": True,
    }
    assert spec["jobReleaseTask"] == {
        "id": "jobrelease",
        "commandLine": "x",
        "maxWallClockTime": "PT15M",
        "retentionTime": "P7D",
        "userIdentity": NOBODY,
    }


def test_what_is_said_of_special_tasks_stays() -> None:
    body = put(SPECIAL, "jobManagerTask.killJobOnCompletion", False)
    body = put(body, "jobManagerTask.runExclusive", False)
    body = put(body, "jobManagerTask.allowLowPriorityNode", False)
    body = put(body, "jobPreparationTask.waitForSuccess", False)
    body = put(body, "jobPreparationTask.rerunOnNodeRebootAfterSuccess", False)
    body = put(body, "jobPreparationTask.id", "before")
    body = put(body, "jobReleaseTask.id", "after")
    body = put(body, "jobReleaseTask.maxWallClockTime", "PT1M")
    body = put(body, "jobReleaseTask.retentionTime", "PT0S")

    spec = read(job_from_wire, body)

    manager, before, after = (
        spec[name] for name in ("jobManagerTask", "jobPreparationTask", "jobReleaseTask")
    )
    assert manager["killJobOnCompletion"] is False
    assert manager["runExclusive"] is False
    assert manager["allowLowPriorityNode"] is False
    assert (before["id"], after["id"]) == ("before", "after")
    assert before["waitForSuccess"] is False
    assert before["rerunOnNodeRebootAfterSuccess"] is False
    assert (after["maxWallClockTime"], after["retentionTime"]) == ("PT1M", "PT0S")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("jobReleaseTask.maxWallClockTime", "PT15M0.0000001S"),
        ("jobReleaseTask.maxWallClockTime", "PT0S"),
        ("jobReleaseTask.retentionTime", "-PT1S"),
        ("jobReleaseTask.commandLine", ""),
        ("jobReleaseTask.id", "JobPreparation"),
        ("jobPreparationTask.id", "M"),
        ("jobReleaseTask.id", "m"),
    ],
)
def test_bad_special_tasks(path: str, value: Any) -> None:
    assert refused(job_from_wire, put(SPECIAL, path, value)).values["PropertyName"] == path


def test_a_job_patch_replaces_constraints_as_a_whole() -> None:
    assert read(job_patch_from_wire, {}) == {}
    patch = read(job_patch_from_wire, {"constraints": {"maxTaskRetryCount": 3}, "priority": None})
    assert patch == {"constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 3}}


def test_a_job_update_needs_its_pool() -> None:
    assert read(job_update_from_wire, {"poolInfo": {"poolId": "p"}}) == {
        "poolInfo": {"poolId": "p"}
    }
    assert refused(job_update_from_wire, {"priority": 1}).values["PropertyName"] == "poolInfo"


def test_disable_and_terminate() -> None:
    assert disable_from_wire(b'{"disableTasks":"Requeue"}') == "requeue"
    assert refused(disable_from_wire, {"disableTasks": "drop"}).values["PropertyName"]
    assert refused(disable_from_wire, {}).values["PropertyName"] == "disableTasks"
    assert terminate_reason_from_wire(b"") is None
    assert terminate_reason_from_wire(b'{"terminateReason":"enough"}') == "enough"


# --- tasks -------------------------------------------------------------------------------------


def test_the_defaults_of_a_task() -> None:
    assert read(task_from_wire, TASK) == {
        **TASK,
        "constraints": {"maxWallClockTime": INFINITE, "retentionTime": "P7D"},
        "requiredSlots": 1,
        "userIdentity": NOBODY,
    }


def test_spellings_of_a_task() -> None:
    body = {
        **TASK,
        "userIdentity": {"autoUser": {"scope": "Task"}},
        "outputFiles": [
            {
                "filePattern": "*",
                "destination": {"container": {"containerUrl": "https://h/c?sig=x"}},
                "uploadOptions": {"uploadCondition": "TaskSuccess"},
            }
        ],
        "exitConditions": {
            "exitCodes": [{"code": 1, "exitOptions": {"jobAction": "Terminate"}}],
            "exitCodeRanges": [{"start": 2, "end": 5, "exitOptions": {}}],
            "default": {"dependencyAction": "Satisfy"},
        },
        "constraints": {"retentionTime": "P0D", "maxTaskRetryCount": 0},
    }

    spec = read(task_from_wire, body)

    assert spec["userIdentity"]["autoUser"] == {"scope": "task", "elevationLevel": "nonadmin"}
    assert spec["outputFiles"][0]["uploadOptions"] == {"uploadCondition": "tasksuccess"}
    assert spec["exitConditions"] == {
        "exitCodes": [{"code": 1, "exitOptions": {"jobAction": "terminate"}}],
        "exitCodeRanges": [{"start": 2, "end": 5, "exitOptions": {}}],
        "default": {"dependencyAction": "satisfy"},
    }
    assert spec["constraints"] == {
        "maxWallClockTime": INFINITE,
        "retentionTime": "PT0S",
        "maxTaskRetryCount": 0,
    }


def file(**parts: Any) -> list[dict[str, Any]]:
    return [{"httpUrl": "https://h/x", "filePath": "x", **parts}]


def bucket(**parts: Any) -> dict[str, Any]:
    return {"container": {"containerUrl": "https://h/c", **parts}}


def container(**parts: Any) -> dict[str, Any]:
    return {"imageName": "busybox", **parts}


def output(**parts: Any) -> list[dict[str, Any]]:
    done = {"uploadCondition": "taskcompletion"}
    return [{"filePattern": "*", "destination": bucket(), "uploadOptions": done, **parts}]


BAD_TASKS: list[tuple[str, Any, str]] = [
    ("id", "x" * 65, "id"),
    ("commandLine", "", "commandLine"),
    ("commandLine", "a\0b", "commandLine"),
    ("commandLine", "echo 'open", "commandLine"),
    ("commandLine", 'echo "open', "commandLine"),
    ("commandLine", "echo \\", "commandLine"),
    ("displayName", "x" * 1025, "displayName"),
    ("requiredSlots", 0, "requiredSlots"),
    ("requiredSlots", 257, "requiredSlots"),
    ("constraints", {"maxTaskRetryCount": 10**30}, "constraints.maxTaskRetryCount"),
    ("constraints", {"retentionTime": "-PT1S"}, "constraints.retentionTime"),
    ("environmentSettings", [{"name": ""}], "environmentSettings[0].name"),
    ("environmentSettings", [{"name": "a", "value": "\0"}], "environmentSettings[0].value"),
    ("resourceFiles", [{"filePath": "x"}], "resourceFiles[0]"),
    ("resourceFiles", file(storageContainerUrl="https://h/c"), "resourceFiles[0]"),
    ("resourceFiles", file(filePath=None), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="../x"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="a/../../x"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="/etc/passwd"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="a\\..\\..\\x"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="\\x"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="C:x"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="a\0"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(filePath="a/"), "resourceFiles[0].filePath"),
    ("resourceFiles", file(fileMode="0999"), "resourceFiles[0].fileMode"),
    ("resourceFiles", file(httpUrl="file:///etc/passwd"), "resourceFiles[0].httpUrl"),
    ("resourceFiles", file(blobPrefix="a"), "resourceFiles[0].blobPrefix"),
    (
        "resourceFiles",
        [{"autoStorageContainerName": "../x"}],
        "resourceFiles[0].autoStorageContainerName",
    ),
    ("outputFiles", output(filePattern=""), "outputFiles[0].filePattern"),
    ("outputFiles", output(destination={}), "outputFiles[0].destination.container"),
    (
        "outputFiles",
        output(uploadOptions={"uploadCondition": "never"}),
        "outputFiles[0].uploadOptions.uploadCondition",
    ),
    (
        "outputFiles",
        output(destination={"container": {"containerUrl": "c"}}),
        "outputFiles[0].destination.container.containerUrl",
    ),
    ("userIdentity", {"username": ""}, "userIdentity.username"),
    ("userIdentity", {"username": "u", "autoUser": {}}, "userIdentity"),
    ("userIdentity", {"autoUser": {"scope": "all"}}, "userIdentity.autoUser.scope"),
    ("dependsOn", {"taskIds": [""]}, "dependsOn.taskIds[0]"),
    ("dependsOn", {"taskIdRanges": [{"start": 5, "end": 4}]}, "dependsOn.taskIdRanges[0].end"),
    ("dependsOn", {"taskIdRanges": [{"start": -1, "end": 4}]}, "dependsOn.taskIdRanges[0].start"),
    ("affinityInfo", {"affinityId": ""}, "affinityInfo.affinityId"),
    (
        "exitConditions",
        {"exitCodes": [{"code": 2**31, "exitOptions": {}}]},
        "exitConditions.exitCodes[0].code",
    ),
    (
        "exitConditions",
        {"exitCodeRanges": [{"start": 2, "end": 1, "exitOptions": {}}]},
        "exitConditions.exitCodeRanges[0].end",
    ),
    (
        "exitConditions",
        {"default": {"jobAction": "explode"}},
        "exitConditions.default.jobAction",
    ),
    ("containerSettings", {}, "containerSettings.imageName"),
    ("containerSettings", {"imageName": " "}, "containerSettings.imageName"),
    ("containerSettings", container(workingDirectory="here"), "containerSettings.workingDirectory"),
    (
        "containerSettings",
        container(registry={"username": "u", "identityReference": {"resourceId": "/i"}}),
        "containerSettings.registry.identityReference",
    ),
    (
        "containerSettings",
        container(registry={"identityReference": {}}),
        "containerSettings.registry.identityReference.resourceId",
    ),
    (
        "containerSettings",
        container(containerHostBatchBindMounts=[{"source": "Everything"}]),
        "containerSettings.containerHostBatchBindMounts[0].source",
    ),
    (
        "authenticationTokenSettings",
        {"access": ["job", "pool"]},
        "authenticationTokenSettings.access[1]",
    ),
    ("resourceFiles", file(identityReference={}), "resourceFiles[0].identityReference.resourceId"),
    (
        "outputFiles",
        output(destination=bucket(identityReference={"resourceId": ""})),
        "outputFiles[0].destination.container.identityReference.resourceId",
    ),
    (
        "outputFiles",
        output(destination=bucket(uploadHeaders=[{"name": "a b"}])),
        "outputFiles[0].destination.container.uploadHeaders[0].name",
    ),
    (
        "outputFiles",
        output(destination=bucket(uploadHeaders=[{"name": "a", "value": "b\r\nc: d"}])),
        "outputFiles[0].destination.container.uploadHeaders[0].value",
    ),
    (
        "multiInstanceSettings",
        {"numberOfInstances": 2},
        "multiInstanceSettings.coordinationCommandLine",
    ),
    (
        "multiInstanceSettings",
        {"coordinationCommandLine": ""},
        "multiInstanceSettings.coordinationCommandLine",
    ),
    (
        "multiInstanceSettings",
        {"coordinationCommandLine": "x", "numberOfInstances": 0},
        "multiInstanceSettings.numberOfInstances",
    ),
    (
        "multiInstanceSettings",
        {"coordinationCommandLine": "x", "commonResourceFiles": file(filePath="../a")},
        "multiInstanceSettings.commonResourceFiles[0].filePath",
    ),
]


@pytest.mark.parametrize(("path", "value", "name"), BAD_TASKS)
def test_a_bad_task(path: str, value: Any, name: str) -> None:
    assert refused(task_from_wire, put(TASK, path, value)).values["PropertyName"] == name


def test_the_defaults_of_a_multi_instance_task() -> None:
    body = {**TASK, "multiInstanceSettings": {"coordinationCommandLine": "x"}}

    settings = read(task_from_wire, body)["multiInstanceSettings"]

    assert settings == {"numberOfInstances": 1, "coordinationCommandLine": "x"}


def test_a_multi_instance_task_takes_one_slot() -> None:
    body = {**TASK, "multiInstanceSettings": {"coordinationCommandLine": "x"}, "requiredSlots": 2}

    assert refused(task_from_wire, body).values["PropertyName"] == "requiredSlots"


@pytest.mark.parametrize(
    "good",
    [
        file(filePath="a/b..c/d"),
        file(filePath=".hidden", fileMode="0770"),
        [{"storageContainerUrl": "http://h/c?sig", "blobPrefix": "a/", "filePath": "dir/"}],
        [{"autoStorageContainerName": "input-1"}],
    ],
)
def test_resource_files_that_are_as_they_should_be(good: Any) -> None:
    assert read(task_from_wire, {**TASK, "resourceFiles": good})["resourceFiles"] == good


@pytest.mark.parametrize(
    "line", ['a \'b c\' "d\\"e"', "x\\ y", "''", "sh -c \"echo 'a' && b\"", "a\nb"]
)
def test_command_lines_that_can_be_divided(line: str) -> None:
    assert read(task_from_wire, {**TASK, "commandLine": line})["commandLine"] == line


def test_dependencies_that_are_too_long() -> None:
    ids = ["x" * 64] * 1001

    refusal = refused(task_from_wire, {**TASK, "dependsOn": {"taskIds": ids}})

    assert isinstance(refusal, TaskDependencyListTooLong)


def test_ranges_of_dependencies_that_are_too_long() -> None:
    ranges = [{"start": 1_000_000_000, "end": 1_000_000_009}] * 3201

    refusal = refused(task_from_wire, {**TASK, "dependsOn": {"taskIdRanges": ranges}})

    assert isinstance(refusal, TaskDependencyRangesTooLong)
    assert refusal.values["PropertyName"] == "dependsOn.taskIdRanges"
    assert read(task_from_wire, {**TASK, "dependsOn": {"taskIdRanges": ranges[:3200]}})


def test_metadata_that_is_too_large() -> None:
    items = [{"name": "a", "value": "x" * 65_535}]
    assert read(job_from_wire, {**JOB, "metadata": items})["metadata"] == items

    refusal = refused(job_from_wire, {**JOB, "metadata": [*items, {"name": "b"}]})

    assert isinstance(refusal, MetadataTooLarge)


def test_the_container_of_a_task() -> None:
    registry = {"username": "u", "password": "p", "registryServer": "r.io"}
    mounts = [{"source": "VFSMOUNTS"}, {"source": "task", "isReadOnly": "true"}]
    settings = container(
        containerRunOptions="--rm", registry=registry, containerHostBatchBindMounts=mounts
    )

    spec = read(task_from_wire, {**TASK, "commandLine": "", "containerSettings": settings})

    assert spec["commandLine"] == ""
    assert spec["containerSettings"] == {
        "containerRunOptions": "--rm",
        "imageName": "busybox",
        "registry": registry,
        "workingDirectory": "taskWorkingDirectory",
        "containerHostBatchBindMounts": [
            {"source": "VfsMounts", "isReadOnly": False},
            {"source": "Task", "isReadOnly": True},
        ],
    }
    settings = container(workingDirectory="CONTAINERIMAGEDEFAULT", containerHostBatchBindMounts=[])
    shown = read(task_from_wire, {**TASK, "containerSettings": settings})["containerSettings"]
    assert shown["workingDirectory"] == "containerImageDefault"
    assert shown["containerHostBatchBindMounts"] == []


def test_new_constraints_of_a_task() -> None:
    assert read(constraints_from_wire, {})["retentionTime"] == "P7D"
    assert read(constraints_from_wire, {"constraints": {"maxTaskRetryCount": 5}}) == {
        "maxWallClockTime": INFINITE,
        "retentionTime": "P7D",
        "maxTaskRetryCount": 5,
    }


def collection(*items: Any) -> bytes:
    return json.dumps({"value": items}).encode()


def test_a_collection_in_order_with_what_is_wrong_in_its_place() -> None:
    first, second, third, fourth, last = tasks_from_wire(
        collection(TASK, {"id": "u"}, {"id": 5}, "text", {**TASK, "id": "a b"})
    )

    assert isinstance(first, TaskSpec)
    assert isinstance(second, tuple)
    assert (second[0], type(second[1])) == ("u", MissingRequiredProperty)
    assert isinstance(third, tuple)
    assert (third[0], third[1].values["PropertyName"]) == ("", "id")
    assert isinstance(fourth, tuple)
    assert fourth[0] == ""
    assert isinstance(last, tuple)
    assert last[0] == "a b"


@pytest.mark.parametrize("count", [0, 101])
def test_a_collection_that_is_too_small_or_too_large(count: int) -> None:
    with pytest.raises(InvalidPropertyValue) as raised:
        tasks_from_wire(collection(*[TASK] * count))
    assert raised.value.values["PropertyName"] == "value"


@pytest.mark.parametrize("document", [b"{}", b'{"value":null}'])
def test_a_collection_without_its_list(document: bytes) -> None:
    with pytest.raises(MissingRequiredProperty) as raised:
        tasks_from_wire(document)
    assert raised.value.values["PropertyName"] == "value"
