"""What becomes of pools, and what is refused of them: status, code, values, by the real engine."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from penstock.engine.settings import Quotas
from tests.wire.cases import FORMULA, MACHINE, RICH
from tests.wire.whole import Whole, play

POOL = {"id": "Pool", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}
LISTS: dict[str, list[Any]] = {"metadata": [], "applicationPackageReferences": []}
NODES = {"targetDedicatedNodes": 2}
TAGS = ("eTag", "lastModified")

CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"metadata": []}),
    ("DELETE", "", None),
    ("POST", "/resize", NODES),
    ("POST", "/stopresize", None),
    ("POST", "/updateproperties", LISTS),
    ("POST", "/removenodes", {"nodeList": ["a"]}),
    ("POST", "/enableautoscale", {"autoScaleFormula": FORMULA}),
    ("POST", "/disableautoscale", None),
    ("POST", "/evaluateautoscale", {"autoScaleFormula": FORMULA}),
]
ALWAYS: dict[str, Any] = {
    "startTask": {"commandLine": "x"},
    "applicationPackageReferences": [],
    "metadata": [{"name": "a", "value": "b"}],
}
EMPTY: dict[str, Any] = {
    "displayName": "x",
    "vmSize": "standard_d4s_v3",
    "virtualMachineConfiguration": RICH["virtualMachineConfiguration"],
    "taskSlotsPerNode": 2,
    "taskSchedulingPolicy": {"nodeFillType": "pack"},
    "enableInterNodeCommunication": True,
    "networkConfiguration": RICH["networkConfiguration"],
    "userAccounts": RICH["userAccounts"],
    "mountConfiguration": RICH["mountConfiguration"],
    "upgradePolicy": {"mode": "manual"},
}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def values(answer: httpx.Response) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in answer.json()["values"]}


async def steady(whole: Whole, nodes: int = 2, **more: Any) -> dict[str, Any]:
    """A pool whose nodes are all there."""
    await whole.house.host.connect()
    await whole.done("POST", "/pools", {**POOL, "targetDedicatedNodes": nodes, **more})
    await whole.house.host.settle()
    return await whole.shown("/pools/Pool")


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_pool_that_is_not_there(method: str, path: str, body: Any) -> None:
    async def scene(whole: Whole) -> None:
        answer = await whole.send_json(method, f"/pools/Pool{path}", body)
        assert code(answer) == (404, "PoolNotFound")

    play(scene)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_pool_that_is_being_deleted(method: str, path: str, body: Any) -> None:
    async def scene(whole: Whole) -> None:
        await steady(whole)
        await whole.done("DELETE", "/pools/Pool")
        before = await whole.shown("/pools/Pool")
        assert before["state"] == "deleting"
        answer = await whole.send_json(method, f"/pools/Pool{path}", body)
        assert code(answer) == (409, "PoolBeingDeleted")
        assert code(await whole.send_json("POST", "/pools", POOL)) == (409, "PoolBeingDeleted")
        assert await whole.shown("/pools/Pool") == before
        await whole.house.host.settle()
        assert (await whole.send("HEAD", "/pools/Pool")).status_code == 404
        await whole.done("POST", "/pools", POOL)

    play(scene)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/resize", NODES),
        ("/removenodes", {"nodeList": ["a"]}),
        ("/enableautoscale", {"autoScaleFormula": FORMULA}),
    ],
)
def test_a_pool_that_is_being_resized(path: str, body: Any) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/pools", {**POOL, **NODES})
        before = await whole.shown("/pools/Pool")
        assert before["allocationState"] == "resizing"
        answer = await whole.send_json("POST", f"/pools/Pool{path}", body)
        assert code(answer) == (409, "PoolBeingResized")
        assert await whole.shown("/pools/Pool") == before

    play(scene)


def test_a_resize_from_its_start_to_its_end() -> None:
    async def scene(whole: Whole) -> None:
        await steady(whole)
        answer = await whole.send_json("POST", "/pools/Pool/stopresize")
        assert code(answer) == (409, "OperationInvalidForCurrentState")
        resize = {"targetDedicatedNodes": "3", "resizeTimeout": "PT20M"}
        answer = await whole.done("POST", "/pools/Pool/resize", resize)
        pool = await whole.shown("/pools/Pool")
        assert (pool["allocationState"], pool["resizeTimeout"]) == ("resizing", "PT20M")
        assert pool["targetDedicatedNodes"] == 3
        assert pool["eTag"] == answer.headers["etag"]
        await whole.done("POST", "/pools/Pool/stopresize")
        await whole.house.host.settle()
        pool = await whole.shown("/pools/Pool")
        assert (pool["allocationState"], pool["targetDedicatedNodes"]) == ("steady", 3)
        assert pool["currentDedicatedNodes"] == 2
        assert [error["code"] for error in pool["resizeErrors"]] == ["ResizeStopped"]
        await whole.done("POST", "/pools/Pool/resize", {"targetDedicatedNodes": 2})
        await whole.house.host.settle()
        pool = await whole.shown("/pools/Pool")
        assert "resizeErrors" not in pool
        assert (pool["allocationState"], pool["resizeTimeout"]) == ("steady", "PT15M")

    play(scene)


def test_nodes_that_are_removed() -> None:
    async def scene(whole: Whole) -> None:
        before = await steady(whole)
        nodes = (await whole.shown("/pools/Pool/nodes"))["value"]
        answer = await whole.send_json(
            "POST", "/pools/Pool/removenodes", {"nodeList": [nodes[0]["id"], "none"]}
        )
        assert code(answer) == (404, "NodeNotFound")
        assert values(answer)["NodeId"] == "none"
        assert await whole.shown("/pools/Pool") == before, "nothing was half done"
        removal = {"nodeList": [nodes[0]["id"].upper()], "nodeDeallocationOption": "Terminate"}
        await whole.done("POST", "/pools/Pool/removenodes", removal)
        assert (await whole.shown("/pools/Pool"))["allocationState"] == "resizing"
        await whole.house.host.settle()
        pool = await whole.shown("/pools/Pool")
        assert (pool["targetDedicatedNodes"], pool["currentDedicatedNodes"]) == (1, 1)

    play(scene)


@pytest.mark.parametrize("name", EMPTY)
def test_what_changes_only_while_a_pool_has_no_nodes(name: str) -> None:
    async def scene(whole: Whole) -> None:
        before = await steady(whole, nodes=1)
        answer = await whole.send_json("PATCH", "/pools/Pool", {name: EMPTY[name], **ALWAYS})
        assert code(answer) == (409, "OperationInvalidForCurrentState")
        assert await whole.shown("/pools/Pool") == before
        await whole.done("POST", "/pools/Pool/resize", {"targetDedicatedNodes": 0})
        await whole.house.host.settle()
        before = await whole.shown("/pools/Pool")
        await whole.done("PATCH", "/pools/Pool", {name: EMPTY[name]})
        after = await whole.shown("/pools/Pool")
        assert {each for each in after if after[each] != before.get(each)} == {name, *TAGS}

    play(scene)


@pytest.mark.parametrize("name", ALWAYS)
def test_what_changes_while_a_pool_has_nodes(name: str) -> None:
    async def scene(whole: Whole) -> None:
        before = await steady(whole, nodes=1)
        await whole.done("PATCH", "/pools/Pool", {name: ALWAYS[name]})
        after = await whole.shown("/pools/Pool")
        assert {each for each in after if after[each] != before.get(each)} == {name, *TAGS}

    play(scene)


def test_what_nodes_do_is_not_a_change_of_their_pool() -> None:
    async def scene(whole: Whole) -> None:
        created = await whole.done("POST", "/pools", {**POOL, **NODES})
        await whole.house.host.connect()
        await whole.house.host.settle()
        pool = await whole.shown("/pools/Pool")
        assert (pool["allocationState"], pool["currentDedicatedNodes"]) == ("steady", 2)
        assert pool["eTag"] == created.headers["etag"]

    play(scene)


def test_pools_that_cannot_be_made() -> None:
    async def scene(whole: Whole) -> None:
        old = {"version": "2024-02-01.19.0"}
        for body, status, expected in (
            ({"applicationPackageReferences": [{"applicationId": "a"}]}, 409, "ApplicationPackage"),
            (
                {
                    "certificateReferences": [
                        {"thumbprint": "a" * 40, "thumbprintAlgorithm": "sha1"}
                    ]
                },
                409,
                "Certificate",
            ),
        ):
            answer = await whole.send_json("POST", "/pools", {**POOL, **body}, **old)
            assert code(answer) == (status, f"Invalid{expected}References")
        await whole.done("POST", "/pools", POOL)
        assert code(await whole.send_json("POST", "/pools", {**POOL, "id": "pOOL"})) == (
            409,
            "PoolExists",
        )
        answer = await whole.send_json("POST", "/pools", {**POOL, "id": "Other"})
        assert code(answer) == (409, "PoolQuotaReached")
        assert len((await whole.shown("/pools"))["value"]) == 1

    play(scene, quotas=Quotas(pools=1))


def test_everything_of_a_pool_survives_a_crash() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/pools", {**RICH, "targetDedicatedNodes": 0})
        before = await whole.shown("/pools/Rich")
        await whole.house.crash()
        whole.app = Whole(whole.house).app
        assert await whole.shown("/pools/Rich") == before

    play(scene)


def test_pools_that_are_asked_for() -> None:
    async def scene(whole: Whole) -> None:
        await steady(whole)
        await whole.done("POST", "/pools", {**POOL, "id": "Two", "vmSize": "standard_a1_v2"})
        for wanted, expected in (
            ("startswith(id,'p')", ["Pool"]),
            ("id gt 'pool'", ["Two"]),
            ("state eq 'Active' and vmSize ne 'STANDARD_A1_V2'", ["Pool"]),
            ("allocationState ne 'resizing'", ["Pool", "Two"]),
            ("enableAutoScale eq false and enableInterNodeCommunication ne true", ["Pool", "Two"]),
            ("creationTime gt DateTime'2099-01-01'", []),
        ):
            found = await whole.shown(f"/pools?$select=id&$filter={wanted.replace(' ', '%20')}")
            assert found["value"] == [{"id": name} for name in expected]
        for wrong in ("displayName eq 'x'", "state gt 'a'", "startswith(vmSize,'s')", "id eq 5"):
            answer = await whole.send("GET", f"/pools?$filter={wrong.replace(' ', '%20')}")
            assert code(answer) == (400, "InvalidQueryParameterValue")
        answer = await whole.send("GET", "/pools/Pool/nodes?$filter=id%20eq%20'a'")
        assert code(answer) == (400, "InvalidQueryParameterValue")

    play(scene)


def test_nodes_are_counted_by_state() -> None:
    async def scene(whole: Whole) -> None:
        await steady(whole, nodes=3, targetLowPriorityNodes=1)
        nodes = (await whole.shown("/pools/Pool/nodes"))["value"]
        first = next(node["id"] for node in nodes if node["isDedicated"])
        await whole.done("POST", f"/pools/Pool/nodes/{first}/disablescheduling", {})
        await whole.done("POST", "/pools", {**POOL, "id": "Empty"})
        empty, full = (await whole.shown("/nodecounts"))["value"]
        assert (empty["poolId"], full["poolId"]) == ("Empty", "Pool")
        assert set(empty["dedicated"].values()) == set(empty["lowPriority"].values()) == {0}
        counted = {name: count for name, count in full["dedicated"].items() if count}
        assert counted == {"idle": 2, "offline": 1, "total": 3}
        counted = {name: count for name, count in full["lowPriority"].items() if count}
        assert counted == {"idle": 1, "total": 1}

    play(scene)
