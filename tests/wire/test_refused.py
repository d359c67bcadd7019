"""What is refused of jobs, schedules and tasks: status, code and values, by the real engine."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.unit.engine.house import KILLED
from tests.wire.bodies import SUBNET, TASK
from tests.wire.cases import MACHINE
from tests.wire.whole import Whole, play

POOL = {"poolId": "Pool"}
JOB = {"id": "Job", "poolInfo": POOL}
LINE = {"commandLine": "x"}
SCHEDULE = {
    "id": "Often",
    "schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z"},
    "jobSpecification": {"poolInfo": POOL},
}
PROPERTY = ["PropertyName", "PropertyValue", "Reason"]
QUERY = ["QueryParameterName", "QueryParameterValue", "Reason"]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def values(part: Any) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in part["values"]}


ON_JOBS = [
    ("PATCH", "", {"priority": 1}),
    ("PUT", "", {"poolInfo": POOL}),
    ("POST", "/disable", {"disableTasks": "wait"}),
    ("POST", "/enable", None),
    ("POST", "/terminate", None),
    ("POST", "/tasks", {"id": "new", **LINE}),
    ("POST", "/addtaskcollection", {"value": [{"id": "new", **LINE}]}),
    ("PUT", "/tasks/Task", {}),
    ("POST", "/tasks/Task/reactivate", None),
]
LEAVING_ALONE = [("DELETE", "", None), ("POST", "/tasks/Task/terminate", None)]


@pytest.mark.parametrize(("method", "path", "body"), ON_JOBS)
def test_a_job_that_is_completed(method: str, path: str, body: Any) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "Task", **LINE})
        await whole.done("POST", "/jobs/Job/tasks/Task/terminate")
        await whole.done("POST", "/jobs/Job/terminate")
        before = await whole.shown("/jobs/Job")
        answer = await whole.send_json(method, f"/jobs/Job{path}", body)
        assert code(answer) == (409, "JobCompleted")
        assert await whole.shown("/jobs/Job") == before

    play(scene)


@pytest.mark.parametrize(("method", "path", "body"), ON_JOBS)
@pytest.mark.parametrize(
    ("how", "expected"),
    [("terminate", "JobBeingTerminated"), ("delete", "JobBeingDeleted")],
)
def test_a_job_that_ends(how: str, expected: str, method: str, path: str, body: Any) -> None:
    async def scene(whole: Whole) -> None:
        await ending(whole, how)
        answer = await whole.send_json(method, f"/jobs/Job{path}", body)
        assert code(answer) == (409, expected)

    play(scene)


async def ending(whole: Whole, how: str) -> None:
    """A job that waits for its task to stop."""
    await whole.house.pool(name="Pool")
    await whole.done("POST", "/jobs", JOB)
    await whole.done("POST", "/jobs/Job/tasks", {"id": "Task", **LINE})
    await whole.house.runs()
    if how == "delete":
        await whole.done("DELETE", "/jobs/Job")
    else:
        await whole.done("POST", f"/jobs/Job/{how}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", ""),
        ("POST", "/tasks/Task/terminate"),
        ("DELETE", "/tasks/Task"),
    ],
)
def test_a_job_that_is_being_deleted_is_left_alone(method: str, path: str) -> None:
    async def scene(whole: Whole) -> None:
        await ending(whole, "delete")
        answer = await whole.send_json(method, f"/jobs/Job{path}")
        assert code(answer) == (409, "JobBeingDeleted")
        assert (await whole.shown("/jobs/Job"))["state"] == "deleting", "it can be read"

    play(scene)


def test_a_job_that_is_being_deleted_is_in_the_way_of_another() -> None:
    async def scene(whole: Whole) -> None:
        await ending(whole, "delete")
        assert code(await whole.send_json("POST", "/jobs", JOB)) == (409, "JobBeingDeleted")

    play(scene)


def test_the_states_of_tasks() -> None:
    async def scene(whole: Whole) -> None:
        await whole.house.pool(name="Pool", slots=4)
        await whole.done("POST", "/jobs", JOB)
        for name in ("good", "bad", "runs"):
            await whole.done("POST", "/jobs/Job/tasks", {"id": name, **LINE})
        runs = await whole.house.runs()
        await whole.house.host.end(runs["good"])
        await whole.house.host.end(runs["bad"], 3)
        tasks = "/jobs/Job/tasks"
        for method, target, expected in (
            ("PUT", f"{tasks}/good", "TaskCompleted"),
            ("PUT", f"{tasks}/bad", "TaskCompleted"),
            ("POST", f"{tasks}/good/terminate", "TaskCompleted"),
            ("POST", f"{tasks}/good/reactivate", "TaskSucceeded"),
            ("POST", f"{tasks}/runs/reactivate", "TaskNotCompleted"),
        ):
            answer = await whole.send_json(method, target, {} if method == "PUT" else None)
            assert code(answer) == (409, expected)
        for target in ("", "/terminate", "/reactivate", "/subtasksinfo"):
            method = "GET" if target in ("", "/subtasksinfo") else "POST"
            answer = await whole.send(method, f"{tasks}/none{target}")
            assert code(answer) == (404, "TaskNotFound")
            answer = await whole.send(method, f"/jobs/none/tasks/good{target}")
            assert code(answer) == (404, "JobNotFound")
        await whole.done("POST", f"{tasks}/bad/reactivate")
        assert (await whole.shown(f"{tasks}/bad"))["state"] != "completed"

    play(scene)


def test_the_states_of_schedules() -> None:
    async def scene(whole: Whole) -> None:
        await whole.house.pool(name="Pool")
        runs_now = {**SCHEDULE, "schedule": {}}
        await whole.done("POST", "/jobschedules", SCHEDULE)
        await whole.done("POST", "/jobschedules", {**runs_now, "id": "Now"})
        changes: list[tuple[str, str, Any]] = [
            ("PATCH", "", {"metadata": []}),
            ("PUT", "", SCHEDULE),
            ("POST", "/disable", None),
            ("POST", "/enable", None),
            ("POST", "/terminate", None),
        ]
        await whole.done("POST", "/jobschedules/Often/terminate")
        for method, path, body in changes:
            answer = await whole.send_json(method, f"/jobschedules/Often{path}", body)
            assert code(answer) == (409, "JobScheduleCompleted")
        await whole.done("POST", "/jobs/Now:job-1/tasks", {"id": "t", **LINE})
        run = (await whole.house.runs())["t"]
        await whole.done("POST", "/jobschedules/Now/terminate")
        for method, path, body in changes:
            answer = await whole.send_json(method, f"/jobschedules/Now{path}", body)
            assert code(answer) == (409, "JobScheduleBeingTerminated")
        await whole.done("DELETE", "/jobschedules/Now")
        for method, path, body in [*changes, ("DELETE", "", None)]:
            answer = await whole.send_json(method, f"/jobschedules/Now{path}", body)
            assert code(answer) == (409, "JobScheduleBeingDeleted")
        await whole.house.host.end(run, None, KILLED, killed=True)

    play(scene)


def test_ids_that_are_taken() -> None:
    async def scene(whole: Whole) -> None:
        special = {"jobPreparationTask": LINE, "jobReleaseTask": LINE}
        await whole.done("POST", "/jobs", {**JOB, **special})
        await whole.done("POST", "/jobschedules", SCHEDULE)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "Task", **LINE})
        for target, body, expected in (
            ("/jobs", {**JOB, "id": "JOB"}, "JobExists"),
            ("/jobs", {**JOB, "id": "often"}, "JobScheduleWithSameIdExists"),
            ("/jobschedules", {**SCHEDULE, "id": "OFTEN"}, "JobScheduleExists"),
            ("/jobschedules", {**SCHEDULE, "id": "job"}, "JobWithSameIdExists"),
            ("/jobs/Job/tasks", {"id": "TASK", **LINE}, "TaskExists"),
            ("/jobs/Job/tasks", {"id": "jobPreparation", **LINE}, "TaskIdSameAsJobPreparationTask"),
            ("/jobs/Job/tasks", {"id": "JobRelease", **LINE}, "TaskIdSameAsJobReleaseTask"),
        ):
            assert code(await whole.send_json("POST", target, body)) == (409, expected)

    play(scene)


def test_what_a_job_may_change_of_its_pool() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        other = {"poolInfo": {"poolId": "Other"}}
        for method in ("PATCH", "PUT"):
            answer = await whole.send_json(method, "/jobs/Job", other)
            assert code(answer) == (409, "OperationInvalidForCurrentState")
            assert list(values(answer.json())) == PROPERTY
            assert values(answer.json())["PropertyName"] == "poolInfo"
            await whole.done(method, "/jobs/Job", {"poolInfo": {"poolId": "POOL"}})
        await whole.done("POST", "/jobs/Job/disable", {"disableTasks": "Terminate"})
        await whole.done("PATCH", "/jobs/Job", other)
        shown = await whole.shown("/jobs/Job")
        assert shown["poolInfo"] == other["poolInfo"]
        assert shown["executionInfo"]["poolId"] == "Other"

    play(scene)


def test_what_a_job_may_change_of_its_auto_pool() -> None:
    pool = {"vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}
    auto: dict[str, Any] = {"poolLifetimeOption": "job", "keepAlive": False, "pool": pool}

    def info(**more: Any) -> dict[str, Any]:
        return {"poolInfo": {"autoPoolSpecification": {**auto, **more}}}

    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", {"id": "Job", **info()})
        await whole.done("PATCH", "/jobs/Job", info())
        kept = await whole.send_json("PATCH", "/jobs/Job", info(keepAlive=True))
        assert code(kept) == (409, "OperationInvalidForCurrentState")
        await whole.done("POST", "/jobs/Job/disable", {"disableTasks": "requeue"})
        await whole.done("PATCH", "/jobs/Job", info(keepAlive="TRUE"))
        assert (await whole.shown("/jobs/Job"))["poolInfo"]["autoPoolSpecification"]["keepAlive"]
        for change in (info(autoPoolIdPrefix="x"), {"poolInfo": POOL}):
            answer = await whole.send_json("PATCH", "/jobs/Job", change)
            assert code(answer) == (400, "InvalidPropertyValue")
            assert values(answer.json())["PropertyName"] == "poolInfo.autoPoolSpecification"

    play(scene)


def test_a_job_that_ends_when_its_tasks_do_goes_on_doing_so() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "t", **LINE})
        await whole.done("PATCH", "/jobs/Job", {"onAllTasksComplete": "TERMINATEJOB"})
        for method, body in (("PATCH", {"onAllTasksComplete": "noaction"}), ("PUT", {})):
            answer = await whole.send_json(method, "/jobs/Job", {**body, "poolInfo": POOL})
            assert code(answer) == (400, "InvalidPropertyValue")
            assert list(values(answer.json())) == PROPERTY
            assert values(answer.json())["PropertyName"] == "onAllTasksComplete"
        await whole.done(
            "PUT", "/jobs/Job", {"onAllTasksComplete": "terminateJob", "poolInfo": POOL}
        )
        await whole.done("PATCH", "/jobs/Job", {"priority": 3})

    play(scene)


BAD_BODIES: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/jobs", {**JOB, "id": "n", "priority": 1001}, "InvalidPropertyValue", "priority"),
    ("POST", "/jobs", {**JOB, "id": "n", "priority": "x"}, "InvalidPropertyValue", "priority"),
    ("POST", "/jobs", {"id": "n"}, "MissingRequiredProperty", "poolInfo"),
    ("POST", "/jobs", {"id": "n", "poolInfo": None}, "MissingRequiredProperty", "poolInfo"),
    ("POST", "/jobs", {"id": "n", "poolInfo": {}}, "MissingRequiredProperty", "poolInfo.poolId"),
    ("POST", "/jobs", {**JOB, "id": "a:b"}, "InvalidPropertyValue", "id"),
    (
        "POST",
        "/jobs",
        {**JOB, "id": "n", "networkConfiguration": {"subnetId": SUBNET[:-2]}},
        "InvalidPropertyValue",
        "networkConfiguration.subnetId",
    ),
    (
        "POST",
        "/jobs",
        {**JOB, "id": "n", "jobReleaseTask": LINE},
        "MissingRequiredProperty",
        "jobPreparationTask",
    ),
    (
        "POST",
        "/jobs",
        {**JOB, "id": "n", "metadata": [{"name": "", "value": "x"}]},
        "EmptyMetadataKey",
        "metadata[0].name",
    ),
    ("PATCH", "/jobs/Job", {"maxParallelTasks": 0}, "InvalidPropertyValue", "maxParallelTasks"),
    ("PUT", "/jobs/Job", {}, "MissingRequiredProperty", "poolInfo"),
    ("POST", "/jobs/Job/disable", {}, "MissingRequiredProperty", "disableTasks"),
    (
        "POST",
        "/jobs/Job/disable",
        {"disableTasks": "maybe"},
        "InvalidPropertyValue",
        "disableTasks",
    ),
    ("PUT", "/jobschedules/Often", {}, "MissingRequiredProperty", "schedule"),
    (
        "PUT",
        "/jobschedules/Often",
        {"schedule": {}},
        "MissingRequiredProperty",
        "jobSpecification",
    ),
    (
        "PATCH",
        "/jobschedules/Often",
        {"schedule": {"startWindow": "PT59S"}},
        "InvalidPropertyValue",
        "schedule.startWindow",
    ),
    (
        "PATCH",
        "/jobschedules/Often",
        {"jobSpecification": {"poolInfo": POOL, "priority": -1001}},
        "InvalidPropertyValue",
        "jobSpecification.priority",
    ),
    ("POST", "/jobs/Job/tasks", {"id": "n"}, "MissingRequiredProperty", "commandLine"),
    (
        "POST",
        "/jobs/Job/tasks",
        {"id": "n", **LINE, "dependsOn": {"taskIds": ["a"]}},
        "TaskDependenciesNotSpecifiedOnJob",
        "dependsOn",
    ),
    (
        "POST",
        "/jobs/Job/tasks",
        {"id": "n", **LINE, "exitConditions": {"default": {"jobAction": "disable"}}},
        "InvalidPropertyValue",
        "exitConditions.default.jobAction",
    ),
    (
        "POST",
        "/jobs/Job/tasks",
        {
            "id": "n",
            **LINE,
            "exitConditions": {
                "exitCodes": [{"code": 1, "exitOptions": {"jobAction": "terminate"}}]
            },
        },
        "InvalidPropertyValue",
        "exitConditions.exitCodes[0].exitOptions.jobAction",
    ),
    (
        "PUT",
        "/jobs/Job/tasks/t",
        {"constraints": {"maxTaskRetryCount": -2}},
        "InvalidPropertyValue",
        "constraints.maxTaskRetryCount",
    ),
]


@pytest.mark.parametrize(("method", "target", "body", "expected", "name"), BAD_BODIES)
def test_a_body_that_is_wrong(
    method: str, target: str, body: Any, expected: str, name: str
) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "t", **LINE})
        await whole.done("POST", "/jobschedules", SCHEDULE)
        answer = await whole.send_json(method, target, body)
        assert code(answer) == (400, expected)
        assert values(answer.json())["PropertyName"] == name
        if expected == "InvalidPropertyValue":
            assert list(values(answer.json())) == PROPERTY

    play(scene)


def test_each_task_of_a_collection_has_an_outcome_of_its_own() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        items = [
            {"id": "good", **LINE},
            {"id": "GOOD", **LINE},
            {"id": "bad", **LINE, "requiredSlots": 0},
            {"id": "less"},
            {"id": 5, **LINE},
            None,
            "text",
            {"id": "later", **LINE, "dependsOn": {"taskIds": ["good"]}},
            {**TASK, "id": "other", "dependsOn": None, "exitConditions": None},
        ]
        answer = await whole.done("POST", "/jobs/Job/addtaskcollection", {"value": items})
        assert answer.status_code == 200
        results = answer.json()["value"]
        told = [(one["status"], one["taskId"], one.get("error", {}).get("code")) for one in results]
        assert told == [
            ("success", "good", None),
            ("clienterror", "GOOD", "TaskExists"),
            ("clienterror", "bad", "InvalidPropertyValue"),
            ("clienterror", "less", "MissingRequiredProperty"),
            ("clienterror", "", "InvalidPropertyValue"),
            ("clienterror", "", "InvalidRequestBody"),
            ("clienterror", "", "InvalidRequestBody"),
            ("clienterror", "later", "TaskDependenciesNotSpecifiedOnJob"),
            ("success", "other", None),
        ]
        assert values(results[2]["error"]) == {
            "PropertyName": "requiredSlots",
            "PropertyValue": "0",
            "Reason": "must be from 1 to 256",
        }
        assert values(results[3]["error"])["PropertyName"] == "commandLine"
        assert values(results[4]["error"])["PropertyName"] == "id"
        shown = await whole.shown("/jobs/Job/tasks/good")
        assert (results[0]["eTag"], results[0]["lastModified"]) == (
            shown["eTag"],
            shown["lastModified"],
        )
        assert results[0]["location"] == shown["url"]
        assert not {"eTag", "lastModified", "location"} & results[1].keys()
        listed = (await whole.shown("/jobs/Job/tasks"))["value"]
        assert [task["id"] for task in listed] == ["good", "other"]

    play(scene)


def test_a_collection_as_a_whole() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        target = "/jobs/Job/addtaskcollection"
        for count in (0, 101):
            many = {"value": [{"id": f"t{at}", **LINE} for at in range(count)]}
            answer = await whole.send_json("POST", target, many)
            assert code(answer) == (400, "InvalidPropertyValue")
            assert values(answer.json())["PropertyName"] == "value"
        large = await whole.send("POST", target, b" " * ((1 << 20) + 1))
        assert code(large) == (413, "RequestBodyTooLarge")
        assert values(large.json()) == {"MaxLimit": str(1 << 20)}
        for body, expected in (
            (b"", "InvalidRequestBody"),
            (b"[]", "InvalidRequestBody"),
            (b"{}", "MissingRequiredProperty"),
            (b'{"value": [{"id": ', "InvalidRequestBody"),
        ):
            assert code(await whole.send("POST", target, body)) == (400, expected)
        one = {"value": [{"id": "t", **LINE}]}
        missing = await whole.send_json("POST", "/jobs/none/addtaskcollection", one)
        assert code(missing) == (404, "JobNotFound")
        hundred = {"value": [{"id": f"t{at}", **LINE} for at in range(100)]}
        answer = await whole.done("POST", target, hundred)
        assert {result["status"] for result in answer.json()["value"]} == {"success"}
        again = await whole.done("POST", target, hundred)
        assert {result["error"]["code"] for result in again.json()["value"]} == {"TaskExists"}
        counts = await whole.shown("/jobs/Job/taskcounts")
        assert counts["taskCounts"]["active"] == 100

    play(scene)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "OutOfRangeQueryParameterValue"),
        ("-5", "OutOfRangeQueryParameterValue"),
        ("soon", "InvalidQueryParameterValue"),
        ("1.5", "InvalidQueryParameterValue"),
    ],
)
@pytest.mark.parametrize("name", ["timeout", "timeOut", "TIMEOUT"])
def test_a_timeout_that_is_none(name: str, text: str, expected: str) -> None:
    async def scene(whole: Whole) -> None:
        answer = await whole.send("GET", f"/jobs?{name}={text}")
        assert code(answer) == (400, expected)
        assert list(values(answer.json())) == QUERY
        assert values(answer.json())["QueryParameterName"] == "timeout"
        assert values(answer.json())["QueryParameterValue"] == text

    play(scene)


def test_habits_of_clients() -> None:
    async def scene(whole: Whole) -> None:
        for text in ("1", "30", "120", "9" * 40, "%2B5", ""):
            await whole.done("GET", f"/jobs?timeOut={text}&colour=red&$top=5&MaxResults=1")
        guid = {"client-request-id": "9c4d50ee-2d56-4cd3-8152-34347dc9f2b0"}
        assert "client-request-id" not in (await whole.done("GET", "/jobs", headers=guid)).headers
        for wish in ("true", "True", "TRUE"):
            echo = {**guid, "return-client-request-id": wish}
            for target in ("/jobs", "/jobs/none"):
                answer = await whole.send("GET", target, headers=echo)
                assert answer.headers["client-request-id"] == guid["client-request-id"]
                assert answer.headers["request-id"] != guid["client-request-id"]

    play(scene)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; odata=minimalmetadata",
        "application/json;odata=minimalmetadata; charset=utf-8",
        "APPLICATION/JSON ;  charset=UTF-8 ; odata=nometadata",
        "application/json",
        "text/plain",
        "",
    ],
)
def test_content_types_of_bodies(kind: str) -> None:
    async def scene(whole: Whole) -> None:
        body = b"\xef\xbb\xbf" + json.dumps(JOB).encode()
        await whole.done("POST", "/jobs", body, headers={"content-type": kind})
        assert (await whole.shown("/jobs/Job"))["id"] == "Job"

    play(scene)


def test_a_body_of_another_kind() -> None:
    async def scene(whole: Whole) -> None:
        answer = await whole.send("POST", "/jobs", b"<a/>", headers={"content-type": "text/xml"})
        assert code(answer) == (400, "InvalidHeaderValue")
        assert values(answer.json())["HeaderName"] == "Content-Type"
        utf16 = json.dumps(JOB).encode("utf-16")
        assert code(await whole.send("POST", "/jobs", utf16)) == (400, "InvalidRequestBody")

    play(scene)


@pytest.mark.parametrize("body", [None, b"", b" \r\n", b"\xef\xbb\xbf"])
def test_an_empty_body(body: bytes | None) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        for method, target in (
            ("POST", "/jobs"),
            ("POST", "/jobs/Job/disable"),
            ("PATCH", "/jobs/Job"),
            ("PUT", "/jobs/Job/tasks/t"),
            ("POST", "/jobs/Job/addtaskcollection"),
            ("POST", "/jobschedules"),
        ):
            answer = await whole.send(method, target, body)
            assert code(answer) == (400, "InvalidRequestBody")
            assert "the body is empty" in values(answer.json())["Reason"]
        await whole.done("POST", "/jobs/Job/terminate", body)

    play(scene)


def test_selected_and_expanded() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "t", **LINE})
        await whole.done("POST", "/jobschedules", SCHEDULE)
        for target in ("/jobs/Job", "/jobschedules/Often", "/jobs/Job/tasks/t"):
            shown = await whole.shown(f"{target}?$SELECT=state,%20url,nothing&$expand=stats")
            assert shown.keys() - {"stats"} == {"odata.metadata", "state", "url"}
            answer = await whole.send("GET", f"{target}?$expand=tasks")
            assert code(answer) == (400, "InvalidQueryParameterValue")
            assert list(values(answer.json())) == QUERY
        assert (await whole.shown("/jobs/Job/tasks/t/subtasksinfo?$select=id"))["value"] == []

    play(scene)
