"""Old names and forms: bodies are read from them, and documents shown in them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from penstock.wire.versions.parts import Part
from penstock.wire.versions.paths import path_in
from penstock.wire.versions.reading import reader
from penstock.wire.versions.releases import (
    NEWEST,
    V2_2,
    V3_0,
    V3_1,
    V4_0,
    V5_0,
    V7,
    V8,
    V9,
    V10,
    V11,
    V12,
    V19,
    V20,
    VERSIONS,
    covers,
)
from penstock.wire.versions.showing import shown_in
from tests.wire.edge import Edge

FOR_EVER = "P10675199DT2H48M5.4775807S"


def read(version: str, part: Part, body: Any) -> Any:
    return json.loads(reader(version, part).read(json.dumps(body).encode()))


def shown(version: str, kind: str, document: dict[str, Any]) -> dict[str, Any]:
    show = shown_in(version, kind)
    return document if show is None else show(document)


OLD_AND_NEW: list[tuple[str, Part, Any, Any]] = [
    (V11, Part.POOL, {"maxTasksPerNode": 4}, {"taskSlotsPerNode": 4}),
    (V4_0, Part.POOL, {"targetDedicated": 2}, {"targetDedicatedNodes": 2}),
    (V4_0, Part.RESIZE, {"targetDedicated": 2}, {"targetDedicatedNodes": 2}),
    (
        V2_2,
        Part.POOL,
        {"osFamily": "4", "targetOSVersion": "*"},
        {"cloudServiceConfiguration": {"osFamily": "4", "osVersion": "*"}},
    ),
    (
        V3_0,
        Part.POOL,
        {"cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": "*"}},
        {"cloudServiceConfiguration": {"osFamily": "4", "osVersion": "*"}},
    ),
    (
        V10,
        Part.POOL,
        {"networkConfiguration": {"publicIPs": ["a"]}},
        {
            "networkConfiguration": {
                "publicIPAddressConfiguration": {"provision": "usermanaged", "ipAddressIds": ["a"]}
            }
        },
    ),
    (
        V19,
        Part.POOL,
        {"virtualMachineConfiguration": {"dataDisks": [{"lun": 0, "storageAccountType": "x"}]}},
        {
            "virtualMachineConfiguration": {
                "dataDisks": [{"lun": 0, "managedDisk": {"storageAccountType": "x"}}]
            }
        },
    ),
    (
        V4_0,
        Part.POOL,
        {"userAccounts": [{"name": "me", "sshPrivateKey": "k"}]},
        {"userAccounts": [{"name": "me", "linuxUserConfiguration": {"sshPrivateKey": "k"}}]},
    ),
    (
        NEWEST,
        Part.TASK,
        {"runElevated": True, "resourceFiles": [{"blobSource": "u"}]},
        {
            "userIdentity": {"autoUser": {"elevationLevel": "admin"}},
            "resourceFiles": [{"httpUrl": "u"}],
        },
    ),
    (NEWEST, Part.TASK, {"runElevated": False}, {}),
    (
        NEWEST,
        Part.TASK,
        {"exitConditions": {"schedulingError": {"jobAction": "none"}}},
        {"exitConditions": {"preProcessingError": {"jobAction": "none"}}},
    ),
    (
        NEWEST,
        Part.TASK_COLLECTION,
        {"value": [{"multiInstanceSettings": {"commonResourceFiles": [{"blobSource": "u"}]}}]},
        {"value": [{"multiInstanceSettings": {"commonResourceFiles": [{"httpUrl": "u"}]}}]},
    ),
    (
        NEWEST,
        Part.SCHEDULE,
        {
            "jobSpecification": {
                "poolInfo": {"autoPoolSpecification": {"pool": {"maxTasksPerNode": 2}}}
            }
        },
        {
            "jobSpecification": {
                "poolInfo": {"autoPoolSpecification": {"pool": {"taskSlotsPerNode": 2}}}
            }
        },
    ),
]


@pytest.mark.parametrize(("version", "part", "old", "new"), OLD_AND_NEW)
def test_old_names_and_forms_are_read(version: str, part: Part, old: Any, new: Any) -> None:
    assert read(V19, part, old) == new
    assert read(version, part, old) == new


def test_the_newest_name_wins() -> None:
    assert read(V19, Part.POOL, {"maxTasksPerNode": 1, "taskSlotsPerNode": 2}) == {
        "taskSlotsPerNode": 2
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'"blobSource"',
        b'["blobSource"]',
        b'{"resourceFiles": {"blobSource": 1}}',
        b'{"resourceFiles": "blobSource"}',
        b'{"constraints": 5, "runElevated": null}',
        b'{"environmentSettings": [{"name": "blobSource"}]}',
        b'{"value": "blobSource", "exitConditions": [["schedulingError"]]}',
        b'{"blobSource": 1e999}',
        b'{"blobSource": 18446744073709551616}',
        b'{"blobSource": "\xff"}',
        b"[" * 100_000 + b'"blobSource"',
    ],
)
@pytest.mark.parametrize("version", [V2_2, NEWEST])
def test_what_is_wrong_is_left_for_the_decoder(version: str, body: bytes) -> None:
    for part in Part:
        assert isinstance(reader(version, part).read(body), bytes)


def test_a_body_with_the_newest_names_is_not_touched() -> None:
    body = b'{ "value": [ {"id": "a", "requiredSlots": 2} ] }'
    for version in VERSIONS:
        if covers(version, V8, None):
            assert reader(version, Part.TASK_COLLECTION).read(body) is body


def test_a_value_that_looks_like_an_old_name_stays() -> None:
    body = {"environmentSettings": [{"name": "blobSource", "value": "runElevated"}]}
    assert read(NEWEST, Part.TASK, body) == body


def test_what_a_version_no_longer_has_is_ignored() -> None:
    body: Any = {"certificateReferences": [], "resourceTags": {}, "cloudServiceConfiguration": {}}
    assert read(NEWEST, Part.POOL, body) == {}
    assert read(V19, Part.POOL, body) == body


def test_most_of_a_pool_is_not_changed_by_patches_of_old() -> None:
    body: Any = {"vmSize": "x", "metadata": []}
    assert read(V19, Part.POOL_PATCH, body) == {"metadata": []}
    assert read(V20, Part.POOL_PATCH, body) == body


@pytest.mark.parametrize(
    ("part", "last", "body", "meant"),
    [
        (Part.TASK, V7, {}, {"constraints": {"retentionTime": FOR_EVER}}),
        (
            Part.TASK,
            V7,
            {"constraints": {"retentionTime": "P1D"}},
            {"constraints": {"retentionTime": "P1D"}},
        ),
        (
            Part.TASK_UPDATE,
            V7,
            {"constraints": None},
            {"constraints": {"retentionTime": FOR_EVER}},
        ),
        (
            Part.JOB,
            V7,
            {"jobReleaseTask": {}},
            {"jobReleaseTask": {"retentionTime": FOR_EVER}},
        ),
        (
            Part.POOL,
            V9,
            {"startTask": {"commandLine": "x"}},
            {"startTask": {"commandLine": "x", "waitForSuccess": False}},
        ),
        (Part.POOL, V9, {"startTask": {"waitForSuccess": True}}, None),
        (Part.POOL, V9, {}, None),
    ],
)
def test_what_old_clients_mean_by_leaving_it_out(
    part: Part, last: str, body: Any, meant: Any
) -> None:
    following = VERSIONS[VERSIONS.index(last) + 1]
    assert read(last, part, body) == (meant or body)
    assert read(following, part, body) == body


NEW_AND_OLD: list[tuple[str, str, Any, Any]] = [
    (V11, "pools", {"taskSlotsPerNode": 4}, {"maxTasksPerNode": 4}),
    (V12, "pools", {"taskSlotsPerNode": 4}, {"taskSlotsPerNode": 4}),
    (
        V4_0,
        "pools",
        {"currentDedicatedNodes": 1, "currentLowPriorityNodes": 0, "resizeErrors": [{"code": "a"}]},
        {"currentDedicated": 1, "resizeError": {"code": "a"}},
    ),
    (
        V2_2,
        "pools",
        {"cloudServiceConfiguration": {"osFamily": "4", "osVersion": "x"}},
        {"osFamily": "4", "targetOSVersion": "x", "currentOSVersion": "x"},
    ),
    (
        V3_0,
        "pools",
        {"cloudServiceConfiguration": {"osFamily": "4", "osVersion": "*"}},
        {"cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": "*"}},
    ),
    (V20, "pools", {"cloudServiceConfiguration": {"osFamily": "4"}}, {}),
    (
        V3_1,
        "tasks",
        {
            "userIdentity": {"autoUser": {"elevationLevel": "admin"}},
            "requiredSlots": 1,
            "executionInfo": {
                "result": "failure",
                "retryCount": 0,
                "failureInfo": {"code": "BlobNotFound"},
            },
        },
        {
            "runElevated": True,
            "executionInfo": {"retryCount": 0, "schedulingError": {"code": "BlobNotFound"}},
        },
    ),
    (
        V4_0,
        "tasks",
        {"executionInfo": {"exitCode": 3, "failureInfo": {"code": "FailureExitCode"}}},
        {"executionInfo": {"exitCode": 3}},
    ),
    (
        V7,
        "jobs",
        {"jobPreparationTask": {"resourceFiles": [{"httpUrl": "u"}, {"blobPrefix": "p"}]}},
        {"jobPreparationTask": {"resourceFiles": [{"blobSource": "u"}, {}]}},
    ),
    (
        V11,
        "taskcounts",
        {"taskCounts": {"active": 1}, "taskSlotCounts": {"active": 2}},
        {"active": 1},
    ),
    (
        V5_0,
        "taskcounts",
        {"taskCounts": {"active": 1}, "taskSlotCounts": {"active": 2}},
        {"active": 1, "validationStatus": "validated"},
    ),
    (NEWEST, "tasks", {"authenticationTokenSettings": {}, "id": "a"}, {"id": "a"}),
    (NEWEST, "reasons", {"authenticationTokenSettings": {}}, {"authenticationTokenSettings": {}}),
]


@pytest.mark.parametrize(("version", "kind", "new", "old"), NEW_AND_OLD)
def test_documents_are_shown_in_the_names_of_the_version(
    version: str, kind: str, new: Any, old: Any
) -> None:
    given = json.dumps(new)
    assert shown(version, kind, new) == old
    assert json.dumps(new) == given, "the document itself stays"


def test_a_task_of_the_newest_version_is_not_copied() -> None:
    task = {"id": "a", "resourceFiles": [{"httpUrl": "u"}], "executionInfo": {}}
    assert shown(NEWEST, "tasks", task) is task


@pytest.mark.parametrize(
    ("version", "part", "new", "old"),
    [
        (
            V7,
            Part.POOL,
            "startTask.resourceFiles[0].httpUrl",
            "startTask.resourceFiles[0].blobSource",
        ),
        (V8, Part.POOL, "startTask.resourceFiles[0].httpUrl", None),
        (V4_0, Part.RESIZE, "targetDedicatedNodes", "targetDedicated"),
        (
            V11,
            Part.SCHEDULE,
            "jobSpecification.poolInfo.autoPoolSpecification.pool.taskSlotsPerNode",
            "jobSpecification.poolInfo.autoPoolSpecification.pool.maxTasksPerNode",
        ),
        (V7, Part.TASK, "outputFiles[1].x.httpUrl", None),
    ],
)
def test_refusals_name_properties_as_the_version_does(
    version: str, part: Part, new: str, old: str | None
) -> None:
    assert path_in(version, part, new) == (old or new)


def test_a_refusal_under_an_old_version() -> None:
    answer = Edge().ask("POST", "/pools", {"id": "a", "vmSize": "x", "taskSlotsPerNode": "y"})
    assert values_of(answer)["PropertyName"] == "taskSlotsPerNode"
    answer = Edge().ask("POST", "/pools", {"id": "a", "maxTasksPerNode": "y"}, version=V11)
    assert values_of(answer)["PropertyName"] == "maxTasksPerNode"


def values_of(answer: httpx.Response) -> dict[str, str]:
    return {each["key"]: each["value"] for each in answer.json()["values"]}
