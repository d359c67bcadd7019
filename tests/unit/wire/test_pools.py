"""Operations on pools, and what the account has for them, as clients meet them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.states import AllocationState, PoolState
from tests.wire.cases import FORMULA, MACHINE, RICH
from tests.wire.edge import ACCOUNT, Edge

POOL = {
    "id": "Pool",
    "vmSize": "standard_d2s_v3",
    "virtualMachineConfiguration": MACHINE,
    "targetDedicatedNodes": 1,
}
LISTS: dict[str, list[Any]] = {"metadata": [], "applicationPackageReferences": []}
SCALED = {"autoScaleFormula": FORMULA}


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    assert edge.ask("POST", "/pools", POOL).status_code == 201
    return edge


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def values(answer: httpx.Response) -> dict[str, str]:
    return {item["key"]: item["value"] for item in answer.json()["values"]}


def become(edge: Edge, **changed: Any) -> None:
    """Let the pool be in another state."""

    async def change() -> None:
        pool = await edge.service.store.pool(ACCOUNT, "Pool")
        assert pool is not None
        await edge.service._keep(c.PutPool(replace(pool, **changed)))

    asyncio.run(change())


# --- secrets -----------------------------------------------------------------------------------


def test_secrets_are_not_shown(edge: Edge) -> None:
    assert edge.ask("POST", "/pools", RICH).status_code == 201

    for target in ("/pools", "/pools/Rich", "/pools/Rich/nodes", "/pools/Rich/nodes/node-0-d"):
        text = edge.ask("GET", target).text
        assert "never shown" not in text
        for name in ("sshPrivateKey", "sasKey", "accountKey", "protectedSettings"):
            assert name not in text
    assert "shown: these are public" in edge.ask("GET", "/pools/Rich").text


def test_secrets_of_an_auto_pool_are_not_shown(edge: Edge) -> None:
    template = {name: value for name, value in RICH.items() if name != "id"}
    auto = {"poolLifetimeOption": "job", "pool": template}
    job = {"id": "Job", "poolInfo": {"autoPoolSpecification": auto}}
    assert edge.ask("POST", "/jobs", job).status_code == 201

    schedule = {
        "id": "Often",
        "schedule": {},
        "jobSpecification": {"poolInfo": {"autoPoolSpecification": auto}},
    }
    assert edge.ask("POST", "/jobschedules", schedule).status_code == 201

    for target in ("/jobs", "/jobs/Job", "/jobschedules", "/jobschedules/Often"):
        text = edge.ask("GET", target).text
        assert "never shown" not in text
        assert "shown: these are public" in text


def test_secrets_are_kept(edge: Edge) -> None:
    """They are for the nodes."""
    assert edge.ask("POST", "/pools", RICH).status_code == 201

    pool = asyncio.run(edge.service.store.pool(ACCOUNT, "Rich"))

    assert pool is not None
    assert pool.spec.user_accounts is not None
    assert pool.spec.user_accounts[0].password == "never shown"


# --- changes -----------------------------------------------------------------------------------


def test_a_patch_leaves_what_it_does_not_name(edge: Edge) -> None:
    network = {"dynamicVNetAssignmentScope": "job"}
    first = {"networkConfiguration": network, "startTask": {"commandLine": "a"}}
    assert edge.ask("PATCH", "/pools/Pool", first).status_code == 200
    assert edge.ask("PATCH", "/pools/Pool", {"displayName": "b"}).status_code == 200
    nothing = {"startTask": None, "networkConfiguration": None, "metadata": None}
    assert edge.ask("PATCH", "/pools/Pool", nothing).status_code == 200

    pool = edge.ask("GET", "/pools/Pool").json()

    assert pool["displayName"] == "b"
    assert pool["startTask"]["commandLine"] == "a"
    assert pool["networkConfiguration"]["dynamicVNetAssignmentScope"] == "job"


def test_a_patch_replaces_a_part_as_a_whole(edge: Edge) -> None:
    task = {"commandLine": "a", "waitForSuccess": False, "maxTaskRetryCount": 5}
    assert edge.ask("PATCH", "/pools/Pool", {"startTask": task}).status_code == 200
    assert edge.ask("PATCH", "/pools/Pool", {"startTask": {"commandLine": "b"}}).status_code == 200

    task = edge.ask("GET", "/pools/Pool").json()["startTask"]
    assert (task["commandLine"], task["waitForSuccess"], task["maxTaskRetryCount"]) == (
        "b",
        True,
        0,
    )


def test_an_empty_start_task_is_none(edge: Edge) -> None:
    """A part that is there overwrites what was, so it has to be whole."""
    for verb, target, body in (
        ("PATCH", "/pools/Pool", {}),
        ("POST", "/pools/Pool/updateproperties", LISTS),
    ):
        answer = edge.ask(verb, target, {**body, "startTask": {}})
        assert told(answer) == (400, "MissingRequiredProperty")
        assert values(answer)["PropertyName"] == "startTask.commandLine"


def test_replaced_properties(edge: Edge) -> None:
    before = {
        "startTask": {"commandLine": "a"},
        "metadata": [{"name": "a", "value": "b"}],
        "targetNodeCommunicationMode": "classic",
    }
    assert edge.ask("PATCH", "/pools/Pool", before, version="2024-02-01.19.0").status_code == 200

    answer = edge.ask(
        "POST",
        "/pools/Pool/updateproperties",
        {**LISTS, "certificateReferences": []},
        version="2024-02-01.19.0",
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["dataserviceid"].endswith("/pools/Pool/updateproperties")
    pool = edge.ask("GET", "/pools/Pool", version="2024-02-01.19.0").json()
    assert "startTask" not in pool
    assert "certificateReferences" not in pool
    assert pool["metadata"] == []
    assert pool["targetNodeCommunicationMode"] == "default"
    assert pool["eTag"] == answer.headers["etag"]


@pytest.mark.parametrize("name", LISTS)
def test_replaced_lists_must_be_there(edge: Edge, name: str) -> None:
    body = {key: value for key, value in LISTS.items() if key != name}
    answer = edge.ask("POST", "/pools/Pool/updateproperties", body)

    assert told(answer) == (400, "MissingRequiredProperty")
    assert values(answer)["PropertyName"] == name


def test_slots_go_by_the_cores_of_the_new_size(edge: Edge) -> None:
    assert edge.ask("PATCH", "/pools/Pool", {"taskSlotsPerNode": 8}).status_code == 200

    answer = edge.ask("PATCH", "/pools/Pool", {"vmSize": "standard_a1_v2"})
    assert (told(answer), values(answer)["PropertyName"]) == (
        (400, "InvalidPropertyValue"),
        "taskSlotsPerNode",
    )
    both = {"vmSize": "STANDARD_A1_v2", "taskSlotsPerNode": 4}
    assert edge.ask("PATCH", "/pools/Pool", both).status_code == 200


def test_a_cloud_service_stays_one(edge: Edge) -> None:
    cloud = {"id": "Cloud", "vmSize": "Small", "cloudServiceConfiguration": {"osFamily": "5"}}
    old = "2024-02-01.19.0"
    assert edge.ask("POST", "/pools", cloud, version=old).status_code == 201
    pool = edge.ask("GET", "/pools/Cloud", version=old).json()
    assert pool["cloudServiceConfiguration"] == {"osFamily": "5", "osVersion": "*"}
    assert "virtualMachineConfiguration" not in pool

    answer = edge.ask("PATCH", "/pools/Cloud", {"virtualMachineConfiguration": MACHINE})

    assert told(answer) == (400, "InvalidPropertyValue")


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {}),
    ("DELETE", "", None),
    ("POST", "/resize", {"targetDedicatedNodes": 2}),
    ("POST", "/stopresize", None),
    ("POST", "/removenodes", {"nodeList": ["node-0-d"]}),
    ("POST", "/enableautoscale", SCALED),
]


@pytest.mark.parametrize(("verb", "path", "body"), CHANGES)
def test_conditions_of_changes(edge: Edge, verb: str, path: str, body: Any) -> None:
    modified = edge.ask("GET", "/pools/Pool").headers["last-modified"]
    for header, value in (
        ("if-match", '"0x1"'),
        ("if-none-match", "*"),
        ("if-modified-since", modified),
        ("if-unmodified-since", "Sun, 31 Dec 2023 00:00:00 GMT"),
    ):
        answer = edge.ask(verb, f"/pools/Pool{path}", body, headers={header: value})
        assert told(answer) == (412, "ConditionNotMet")


def test_headers_of_changes(edge: Edge) -> None:
    for verb, path, body, status in (
        ("PATCH", "", {}, 200),
        ("POST", "/resize", {"targetDedicatedNodes": 2}, 202),
        ("POST", "/stopresize", None, 202),
        ("POST", "/removenodes", {"nodeList": ["node-0-d"]}, 202),
        ("POST", "/disableautoscale", None, 200),
    ):
        answer = edge.ask(verb, f"/pools/Pool{path}", body)
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers["dataserviceid"] == f"http://batch.test:10600/pools/Pool{path}"
        pool = edge.ask("GET", "/pools/Pool")
        assert answer.headers["etag"] == pool.json()["eTag"]
        assert answer.headers["last-modified"] == pool.headers["last-modified"]


# --- scaling -----------------------------------------------------------------------------------


def test_scaling_that_is_off_can_be_switched_off(edge: Edge) -> None:
    before = edge.ask("GET", "/pools/Pool").json()
    assert edge.ask("POST", "/pools/Pool/disableautoscale").status_code == 200
    assert edge.ask("GET", "/pools/Pool").json() == before
    assert before["enableAutoScale"] is False


def test_scaling_cannot_be_switched_on(edge: Edge) -> None:
    answer = edge.ask("POST", "/pools/Pool/enableautoscale", SCALED)
    assert told(answer) == (400, "InvalidPropertyValue")
    assert values(answer) == {
        "PropertyName": "autoScaleFormula",
        "PropertyValue": FORMULA,
        "Reason": "autoScaleFormula is not supported by this release",
    }
    for body in ({}, {"autoScaleEvaluationInterval": "PT10M"}, None):
        answer = edge.ask("POST", "/pools/Pool/enableautoscale", body)
        assert told(answer) == (400, "MissingRequiredProperty")


def test_scaling_that_is_off_cannot_be_tried(edge: Edge) -> None:
    answer = edge.ask("POST", "/pools/Pool/evaluateautoscale", SCALED)
    assert told(answer) == (409, "OperationNotValidOnPool")
    answer = edge.ask("POST", "/pools/Pool/evaluateautoscale", {})
    assert told(answer) == (400, "MissingRequiredProperty")


@pytest.mark.parametrize("verb", ["enableautoscale", "disableautoscale", "evaluateautoscale"])
def test_scaling_needs_a_pool_that_stays(edge: Edge, verb: str) -> None:
    assert told(edge.ask("POST", f"/pools/None/{verb}", SCALED)) == (404, "PoolNotFound")
    become(edge, state=PoolState.DELETING)
    assert told(edge.ask("POST", f"/pools/Pool/{verb}", SCALED)) == (409, "PoolBeingDeleted")


def test_scaling_is_switched_on_in_a_steady_pool(edge: Edge) -> None:
    become(edge, allocation=AllocationState.RESIZING)
    answer = edge.ask("POST", "/pools/Pool/enableautoscale", SCALED)
    assert told(answer) == (409, "PoolBeingResized")
    assert edge.ask("POST", "/pools/Pool/disableautoscale").status_code == 200


# --- the account -------------------------------------------------------------------------------


def test_there_are_no_applications(edge: Edge) -> None:
    answer = edge.ask("GET", "/applications?maxresults=5&timeOut=30")
    assert answer.json() == {
        "odata.metadata": "http://batch.test:10600/$metadata#applications",
        "value": [],
    }
    assert told(edge.ask("GET", "/applications?maxresults=1001")) == (
        400,
        "OutOfRangeQueryParameterValue",
    )
    assert told(edge.ask("GET", "/applications?$skiptoken=!")) == (
        400,
        "InvalidQueryParameterValue",
    )
    assert told(edge.ask("GET", "/applications/blender")) == (404, "ApplicationNotFound")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("osType eq 'linux'", True),
        ("osType eq 'Linux' and verificationType eq 'Verified'", True),
        ("osType eq 'windows'", False),
        ("verificationType ne 'verified'", False),
        ("nodeAgentSKUId ne 'batch.node.ubuntu 22.04'", True),
    ],
)
def test_images_that_are_wanted(edge: Edge, wanted: str, found: bool) -> None:
    images = edge.ask("GET", f"/supportedimages?$filter={wanted.replace(' ', '%20')}").json()
    assert bool(images["value"]) is found


@pytest.mark.parametrize("sku", ["16.04-LTS", "18.04-LTS"])
def test_the_images_that_samples_look_for(edge: Edge, sku: str) -> None:
    images = edge.ask("GET", "/supportedimages").json()["value"]
    [image] = [
        image
        for image in images
        if image["imageReference"]["sku"].lower() == sku.lower()
        and image["imageReference"]["publisher"].lower() == "canonical"
        and image["imageReference"]["offer"].lower() == "ubuntuserver"
    ]
    assert image["verificationType"] == "verified"
    assert image["nodeAgentSKUId"].startswith("batch.node.ubuntu")
    assert (image["osType"], image["capabilities"]) == ("linux", [])


def test_pages_of_node_counts(edge: Edge) -> None:
    for number in range(11):
        assert edge.ask("POST", "/pools", {**POOL, "id": f"more-{number:02}"}).status_code == 201
    first = edge.ask("GET", "/nodecounts").json()
    assert len(first["value"]) == 10
    assert "odata.nextLink" in first
    assert len(edge.ask("GET", "/nodecounts?maxresults=1000").json()["value"]) == 12
    for size in ("0", "1001"):
        answer = edge.ask("GET", f"/nodecounts?maxresults={size}")
        assert told(answer) == (400, "OutOfRangeQueryParameterValue")
    one = edge.ask("GET", "/nodecounts?$filter=poolId%20eq%20'POOL'").json()["value"]
    assert [pool["poolId"] for pool in one] == ["Pool"]
    assert one[0]["dedicated"]["idle"] == one[0]["dedicated"]["total"] == 1
    assert set(one[0]["lowPriority"].values()) == {0}


def test_pages_of_named_node_counts(edge: Edge) -> None:
    """Each pool once, in order, however the filter names them."""
    for name in ("beta", "Alpha"):
        assert edge.ask("POST", "/pools", {**POOL, "id": name}).status_code == 201
    names = ("pool", "none", "BETA", "alpha", "Pool")
    wanted = "%20or%20".join(f"poolId%20eq%20'{name}'" for name in names)
    target = f"/nodecounts?maxresults=1&$filter={wanted}"
    seen: list[str] = []
    while target:
        page = edge.ask("GET", target, version=None if seen else "2025-06-01").json()
        seen += [pool["poolId"] for pool in page["value"]]
        target = page.get("odata.nextLink", "").removeprefix("http://batch.test:10600")
    assert seen == ["Alpha", "beta", "Pool"]
