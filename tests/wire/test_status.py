"""Counts, subtasks and the special tasks of a job, as the engine lets them come about."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from penstock.messages import TaskCoordinated
from tests.unit.engine.house import FAILED
from tests.wire.whole import Whole, play

JOB = {"id": "Job", "poolInfo": {"poolId": "Pool"}}
LINE = {"commandLine": "x"}
STATUS = "/jobs/Job/jobpreparationandreleasetaskstatus"


async def prepared(whole: Whole) -> None:
    """Three nodes: prepared well, badly, and still at it."""
    house = whole.house
    await house.pool(nodes=3, slots=1, name="Pool")
    special = {
        "jobPreparationTask": {**LINE, "waitForSuccess": False},
        "jobReleaseTask": LINE,
    }
    await whole.done("POST", "/jobs", {**JOB, **special})
    for name in ("a", "b", "c"):
        await whole.done("POST", "/jobs/Job/tasks", {"id": name, **LINE})
    runs = await house.told("jobpreparation")
    house.elapse(10)
    await house.host.end(runs[0], length_us=5_000_000)
    await house.host.end(runs[1], 3, length_us=5_000_000)


async def listed(whole: Whole, text: str = "", query: str = "") -> list[dict[str, Any]]:
    clause = f"?$filter={quote(text)}{query}" if text else f"?x=1{query}"
    found: list[dict[str, Any]] = (await whole.shown(STATUS + clause))["value"]
    return found


def test_what_was_done_on_the_nodes_of_a_job() -> None:
    async def scene(whole: Whole) -> None:
        await prepared(whole)
        first, second, third = await listed(whole)
        info = first["jobPreparationTaskExecutionInfo"]
        assert (info["state"], info["result"], info["exitCode"]) == ("completed", "success", 0)
        assert info["retryCount"] == 0
        assert info["taskRootDirectory"] == "workitems/Job/job-1/jobpreparation"
        assert first["nodeUrl"].endswith(f"/pools/Pool/nodes/{first['nodeId']}")
        failed = second["jobPreparationTaskExecutionInfo"]
        assert (failed["result"], failed["exitCode"]) == ("failure", 3)
        assert failed["failureInfo"]["code"] == FAILED.code
        running = third["jobPreparationTaskExecutionInfo"]
        assert running["state"] == "running"
        assert not {"endTime", "exitCode", "result"} & running.keys()

    play(scene)


def test_filters_and_pages_of_them() -> None:
    async def scene(whole: Whole) -> None:
        await prepared(whole)
        nodes = [item["nodeId"] for item in await listed(whole)]
        first, second, third = nodes
        info = "jobPreparationTaskExecutionInfo"
        for text, expected in (
            (f"{info}/state eq 'running'", [third]),
            (f"{info}/state eq 'Completed'", [first, second]),
            (f"{info}/result eq 'failure'", [second]),
            (f"{info}/exitCode ge 1", [second]),
            (f"{info}/exitCode lt 1", [first]),
            (f"nodeId eq '{second}'", [second]),
            (f"nodeId ne '{second}' and poolId eq 'Pool'", [first, third]),
            ("poolId ne 'pool'", []),
            (f"{info}/endTime gt DateTime'2000-01-01T00:00:00Z'", [first, second]),
            ("jobReleaseTaskExecutionInfo/state eq 'completed'", []),
        ):
            found = await listed(whole, text, "&$select=nodeId")
            assert [item["nodeId"] for item in found] == expected, text
            assert all(item.keys() == {"nodeId"} for item in found)
        page = await whole.shown(f"{STATUS}?maxresults=2")
        assert [item["nodeId"] for item in page["value"]] == [first, second]
        token = page["odata.nextLink"].partition("$skiptoken=")[2]
        rest = await whole.shown(f"{STATUS}?maxresults=2&$skiptoken={token}")
        assert [item["nodeId"] for item in rest["value"]] == [third]
        wrong = await whole.send("GET", f"{STATUS}?$filter={quote('colour eq 1')}")
        assert wrong.json()["code"] == "InvalidQueryParameterValue"

    play(scene)


def test_release_tasks_show_up_beside_the_preparation() -> None:
    async def scene(whole: Whole) -> None:
        await prepared(whole)
        await whole.done("POST", "/jobs/Job/terminate?force=false")
        assert (await whole.shown("/jobs/Job"))["state"] == "terminating"
        await whole.done("POST", "/jobs/Job/terminate?force=true")
        assert (await whole.shown("/jobs/Job"))["state"] == "completed"
        assert len(await listed(whole)) == 3, "they stay listed"

    play(scene)


def test_jobs_without_preparation_have_no_status() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        answer = await whole.send("GET", STATUS)
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "JobPreparationTaskOrReleaseTaskNotSpecified",
        )

    play(scene)


def test_counts_of_tasks_and_their_slots() -> None:
    async def scene(whole: Whole) -> None:
        await whole.house.pool(slots=4, name="Pool")
        await whole.done("POST", "/jobs", JOB)
        for name, needs in (("good", 1), ("bad", 2), ("runs", 1), ("waits", 4)):
            body = {"id": name, **LINE, "requiredSlots": needs}
            await whole.done("POST", "/jobs/Job/tasks", body)
        runs = await whole.house.runs()
        await whole.house.host.end(runs["good"])
        await whole.house.host.end(runs["bad"], 3)
        counts = await whole.shown("/jobs/Job/taskcounts")
        tasks = {"active": 1, "running": 1, "completed": 2, "succeeded": 1, "failed": 1}
        slots = {"active": 4, "running": 1, "completed": 3, "succeeded": 1, "failed": 2}
        assert counts["taskCounts"] == tasks
        assert counts["taskSlotCounts"] == slots
        assert (await whole.send("GET", "/jobs/none/taskcounts")).status_code == 404

    play(scene)


def test_the_subtasks_of_a_task() -> None:
    async def scene(whole: Whole) -> None:
        house = whole.house
        await house.pool(nodes=3, slots=1, name="Pool", enable_inter_node_communication=True)
        await whole.done("POST", "/jobs", JOB)
        several = {"numberOfInstances": 3, "coordinationCommandLine": "y"}
        body = {"id": "t", **LINE, "multiInstanceSettings": several}
        await whole.done("POST", "/jobs/Job/tasks", body)
        parts = await house.told("t")
        assert {part.command_line for part in parts} == {"y"}
        shown = (await whole.shown("/jobs/Job/tasks/t/subtasksinfo"))["value"]
        assert [(part["id"], part["state"]) for part in shown] == [(1, "running"), (2, "running")]
        assert shown[0]["nodeInfo"]["taskRootDirectory"] == "workitems/Job/job-1/t/1"
        for part in parts:
            at = {"task_no": part.task_no, "attempt": part.attempt, "at_us": house.now_us}
            await house.host.report(TaskCoordinated(report=house.host.number(), **at))
        (command,) = await house.told("t")
        await house.host.end(command)
        for part in parts:
            await house.host.end(part, 0, killed=True)
        assert (await whole.shown("/jobs/Job/tasks/t"))["executionInfo"]["result"] == "success"
        shown = (await whole.shown("/jobs/Job/tasks/t/subtasksinfo?$select=id,result"))["value"]
        assert shown == [{"id": 1, "result": "success"}, {"id": 2, "result": "success"}]

    play(scene)
