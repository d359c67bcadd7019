"""Work on nodes: bodies, versions, and what is shown of nodes and their pool meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import (
    Detail,
    Failure,
    NodeRecord,
    NodeWork,
    PoolRecord,
    RecentTask,
    Removal,
    StartTaskInfo,
)
from penstock.domain.specs.common import ContainerRegistry, ContainerSettings
from penstock.domain.specs.pool import StartTask
from penstock.domain.states import AllocationState, NodeState, TaskResult, TaskState
from tests.wire.edge import ACCOUNT, Edge

POOL = {
    "id": "Pool",
    "vmSize": "standard_d2s_v3",
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
    "targetDedicatedNodes": 2,
    "targetLowPriorityNodes": 1,
    "startTask": {"commandLine": "new"},
}
NODE = "/pools/Pool/nodes/node-0-d"
OPTIONS = {
    "reboot": "nodeRebootOption",
    "reimage": "nodeReimageOption",
    "deallocate": "nodeDeallocateOption",
    "disablescheduling": "nodeDisableSchedulingOption",
}


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    assert edge.ask("POST", "/pools", POOL).status_code == 201
    return edge


def pool_of(edge: Edge) -> PoolRecord:
    pool = asyncio.run(edge.service.store.pool(ACCOUNT, "Pool"))
    assert pool is not None
    return pool


def node_of(edge: Edge, name: str = "node-0-d") -> NodeRecord:
    node = asyncio.run(edge.service.store.node(pool_of(edge).no, name))
    assert node is not None
    return node


def keep(edge: Edge, *changes: c.Change) -> None:
    asyncio.run(edge.service._keep(*changes))


@pytest.mark.parametrize("verb", OPTIONS)
@pytest.mark.parametrize("value", ["requeue", "Terminate", "taskCompletion", "retainedData"])
def test_an_option_is_taken_in_any_case(edge: Edge, verb: str, value: str) -> None:
    answer = edge.ask("POST", f"{NODE}/{verb}", {OPTIONS[verb]: value})
    if (verb, value) == ("disablescheduling", "retainedData"):
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPropertyValue")
        return
    assert answer.status_code == (200 if verb == "disablescheduling" else 202)
    assert edge.service.heard[-1][-1] == Removal(value.lower())


@pytest.mark.parametrize("verb", OPTIONS)
@pytest.mark.parametrize("body", [None, {}, b"", {"somethingElse": 1}])
def test_a_body_may_be_absent(edge: Edge, verb: str, body: Any) -> None:
    assert edge.ask("POST", f"{NODE}/{verb}", body).status_code < 300
    assert edge.service.heard[-1][-1] is Removal.REQUEUE


@pytest.mark.parametrize("verb", OPTIONS)
@pytest.mark.parametrize("value", ["sometimes", 5])
def test_other_options_are_refused(edge: Edge, verb: str, value: object) -> None:
    answer = edge.ask("POST", f"{NODE}/{verb}", {OPTIONS[verb]: value})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPropertyValue")
    assert answer.json()["values"][0]["value"] == OPTIONS[verb]


@pytest.mark.parametrize(("verb", "work"), [(work.value, work) for work in NodeWork])
def test_each_work_is_asked_for(edge: Edge, verb: str, work: NodeWork) -> None:
    answer = edge.ask("POST", f"{NODE}/{verb}")
    assert (answer.status_code, answer.content) == (202, b"")
    assert edge.service.heard == [("work_on_node", work, Removal.REQUEUE)]


@pytest.mark.parametrize("verb", [*OPTIONS, "start", "enablescheduling", "preempt"])
def test_what_is_not_there(edge: Edge, verb: str) -> None:
    for place, code in (("none/nodes/x", "PoolNotFound"), ("Pool/nodes/x", "NodeNotFound")):
        answer = edge.ask("POST", f"/pools/{place}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize("verb", ["start", "deallocate"])
def test_older_versions_know_less(edge: Edge, verb: str) -> None:
    assert edge.ask("POST", f"{NODE}/{verb}", version="2024-02-01.19.0").status_code == 404
    assert edge.ask("POST", f"{NODE}/{verb}", version="2024-07-01.20.0").status_code == 202


def test_a_node_shows_the_start_task_that_it_has_run(edge: Edge) -> None:
    shown = edge.ask("GET", NODE).json()
    assert shown["startTask"]["commandLine"] == "new", "of a node that an older release made"
    keep(edge, c.PutNode(replace(node_of(edge), start_spec=StartTask(command_line="old"))))
    assert edge.ask("GET", NODE).json()["startTask"]["commandLine"] == "old"
    keep(edge, c.PutNode(replace(node_of(edge), start_spec=None)))
    assert "startTask" not in edge.ask("GET", NODE).json()


def test_all_that_a_node_shows(edge: Edge) -> None:
    now_us = edge.service.now_us
    ran = RecentTask(
        job_id="j",
        task_id="t",
        state=TaskState.COMPLETED,
        start_us=now_us,
        end_us=now_us,
        exit_code=3,
        result=TaskResult.FAILURE,
        failure=Failure("usererror", "FailureExitCode", "bad", (Detail("Message", "3"),)),
    )
    node = replace(
        node_of(edge),
        booted_us=now_us,
        address="127.0.0.9",
        agent_version="1",
        start_task=StartTaskInfo(running=False, start_us=now_us, end_us=now_us, exit_code=0),
        tasks_run=1,
        errors=(Failure("usererror", "DiskFull", "full", (Detail("Free", "0"),)),),
    )
    keep(edge, c.PutNode(node), c.RanOn(node.no, 1, ran))
    shown = edge.ask("GET", NODE).json()

    assert set(shown) == {
        "odata.metadata",
        "id",
        "url",
        "state",
        "schedulingState",
        "stateTransitionTime",
        "lastBootTime",
        "allocationTime",
        "ipAddress",
        "affinityId",
        "vmSize",
        "totalTasksRun",
        "runningTasksCount",
        "runningTaskSlotsCount",
        "totalTasksSucceeded",
        "recentTasks",
        "startTask",
        "startTaskInfo",
        "errors",
        "isDedicated",
        "nodeAgentInfo",
        "virtualMachineInfo",
    }
    assert shown["affinityId"] == "TVM:node-0-d"
    assert shown["errors"][0]["errorDetails"] == [{"name": "Free", "value": "0"}]
    assert shown["startTaskInfo"]["result"] == "success"
    assert shown["virtualMachineInfo"]["imageReference"]["sku"] == "22_04"
    (recent,) = shown["recentTasks"]
    assert recent["taskUrl"].endswith("/jobs/j/tasks/t")
    assert (recent["taskState"], recent["executionInfo"]["result"]) == ("completed", "failure")
    assert recent["executionInfo"]["failureInfo"]["category"] == "usererror"
    assert edge.ask("GET", f"{NODE}?$select=id,%20state").json().keys() == {
        "odata.metadata",
        "id",
        "state",
    }


def test_secrets_of_a_start_task_are_not_shown(edge: Edge) -> None:
    registry = ContainerRegistry(username="me", password="a secret")
    settings = ContainerSettings(image_name="image", registry=registry)
    task = StartTask(command_line="x", container_settings=settings)
    keep(edge, c.PutNode(replace(node_of(edge), start_spec=task)))
    for target in (NODE, "/pools/Pool/nodes"):
        answer = edge.ask("GET", target)
        assert '"username":"me"' in answer.text
        assert "a secret" not in answer.text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("state eq 'Idle'", 2),
        ("state ne 'idle'", 1),
        ("startTaskInfo/state eq 'completed' and startTaskInfo/exitCode ne 0", 1),
        ("startTaskInfo/result eq 'failure'", 1),
        ("startTaskInfo/endTime gt DateTime'2020-01-01T00:00:00Z'", 1),
        ("lastBootTime le DateTime'2100-01-01T00:00:00Z' or state eq 'running'", 2),
        ("allocationTime lt DateTime'2020-01-01T00:00:00Z'", 0),
    ],
)
def test_nodes_are_filtered(edge: Edge, wanted: str, found: int) -> None:
    now_us = edge.service.now_us
    failed = StartTaskInfo(
        running=False,
        start_us=now_us,
        end_us=now_us,
        exit_code=1,
        failure=Failure("usererror", "FailureExitCode", "bad"),
    )
    other = replace(node_of(edge, "node-1-d"), state=NodeState.START_TASK_FAILED)
    keep(edge, c.PutNode(replace(other, start_task=failed, booted_us=now_us)))
    answer = edge.ask("GET", f"/pools/Pool/nodes?$filter={quote(wanted)}&maxresults=2")
    assert len(answer.json()["value"]) == found


def test_errors_of_a_resize_are_shown_when_it_is_over(edge: Edge) -> None:
    errors = (Failure("usererror", "ResizeStopped", "stopped"),)
    pool = replace(pool_of(edge), resize_errors=errors, allocation=AllocationState.STOPPING)
    keep(edge, c.PutPool(pool))
    assert "resizeErrors" not in edge.ask("GET", "/pools/Pool").json()
    keep(edge, c.PutPool(replace(pool, allocation=AllocationState.STEADY)))
    (error,) = edge.ask("GET", "/pools/Pool").json()["resizeErrors"]
    assert error["code"] == "ResizeStopped"


@pytest.mark.parametrize("state", NodeState)
def test_each_state_is_counted_and_shown(edge: Edge, state: NodeState) -> None:
    keep(edge, c.PutNode(replace(node_of(edge, "node-0-p"), state=state)))
    (row,) = edge.ask("GET", "/nodecounts").json()["value"]
    counts = {name.lower(): count for name, count in row["lowPriority"].items()}
    assert (counts.pop("total"), counts.pop(state.value)) == (1, 1)
    assert set(counts.values()) == {0}
    assert (row["dedicated"]["idle"], row["dedicated"]["total"]) == (2, 2)
    assert edge.ask("GET", "/pools/Pool/nodes/node-0-p").json()["state"] == state.value
