"""What was sent is shown again: every property, with the defaults that the service adds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.bodies import CONTAINER, JOB, SCHEDULE, TASK, disagreements
from tests.wire.whole import Whole, play

INFINITE = "P10675199DT2H48M5.4775807S"
NOBODY = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
OFTEN = {"maxWallClockTime": INFINITE, "retentionTime": "P7D", "maxTaskRetryCount": 0}
READ_ONLY = {
    "odata.metadata",
    "url",
    "eTag",
    "lastModified",
    "creationTime",
    "state",
    "stateTransitionTime",
    "executionInfo",
}


def own(shown: dict[str, Any]) -> dict[str, Any]:
    """Without what the service says by itself."""
    return {name: value for name, value in shown.items() if name not in READ_ONLY}


def test_a_task_with_every_property() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        await whole.done("POST", "/jobs/Full/tasks", TASK)
        answer = await whole.done("GET", "/jobs/Full/tasks/full")
        shown = answer.json()
        assert disagreements(TASK, shown) == []
        assert set(own(shown)) == set(TASK)
        assert "hunter2" not in answer.text
        assert shown["containerSettings"]["workingDirectory"] == "containerImageDefault"
        mounts = shown["containerSettings"]["containerHostBatchBindMounts"]
        assert mounts == [
            {"source": "Shared", "isReadOnly": True},
            {"source": "Task", "isReadOnly": False},
        ]
        listed = (await whole.done("GET", "/jobs/Full/tasks")).text
        assert "hunter2" not in listed

    play(scene)


def test_a_job_with_every_property() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", JOB)
        answer = await whole.done("GET", "/jobs/Full")
        assert disagreements(JOB, answer.json()) == []
        assert set(own(answer.json())) == set(JOB)
        assert answer.json()["onTaskFailure"] == "performexitoptionsjobaction"
        assert "hunter2" not in answer.text + (await whole.done("GET", "/jobs")).text
        manager = (await whole.done("GET", "/jobs/Full/tasks/Manager")).json()
        for name in ("containerSettings", "outputFiles"):
            assert manager[name] == answer.json()["jobManagerTask"][name]

    play(scene)


def test_a_schedule_with_every_property() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobschedules", SCHEDULE)
        answer = await whole.done("GET", "/jobschedules/whole")
        assert disagreements(SCHEDULE, answer.json()) == []
        assert set(own(answer.json())) == set(SCHEDULE)
        assert answer.json()["schedule"]["doNotRunUntil"] == "2030-01-01T00:00:00.0000000Z"
        assert "hunter2" not in answer.text + (await whole.done("GET", "/jobschedules")).text

    play(scene)


def test_the_least_of_everything_gets_its_defaults() -> None:
    async def scene(whole: Whole) -> None:
        pool = {"poolInfo": {"poolId": "Pool"}}
        await whole.done("POST", "/jobs", {"id": "j", **pool})
        job = {
            "usesTaskDependencies": False,
            "priority": 0,
            "allowTaskPreemption": False,
            "maxParallelTasks": -1,
            "constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0},
            **pool,
            "onAllTasksComplete": "noaction",
            "onTaskFailure": "noaction",
        }
        assert own(await whole.shown("/jobs/j")) == {"id": "j", **job}
        await whole.done("POST", "/jobs/j/tasks", {"id": "t", "commandLine": "x"})
        shown = await whole.shown("/jobs/j/tasks/t")
        assert own(shown) == {
            "id": "t",
            "commandLine": "x",
            "constraints": OFTEN,
            "requiredSlots": 1,
            "userIdentity": NOBODY,
        }
        assert shown["executionInfo"] == {"retryCount": 0, "requeueCount": 0}
        await whole.done(
            "POST", "/jobschedules", {"id": "s", "schedule": {}, "jobSpecification": pool}
        )
        assert own(await whole.shown("/jobschedules/s")) == {
            "id": "s",
            "schedule": {},
            "jobSpecification": job,
        }

    play(scene)


def test_the_least_of_special_tasks_gets_its_defaults() -> None:
    async def scene(whole: Whole) -> None:
        line = {"commandLine": "x", "containerSettings": {"imageName": "i"}}
        special = {
            "jobManagerTask": {"id": "m", **line},
            "jobPreparationTask": line,
            "jobReleaseTask": line,
        }
        await whole.done("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "Pool"}, **special})
        shown = await whole.shown("/jobs/j")
        inside = {"imageName": "i", "workingDirectory": "taskWorkingDirectory"}
        common = {"commandLine": "x", "containerSettings": inside, "userIdentity": NOBODY}
        assert shown["jobManagerTask"] == {
            "id": "m",
            **common,
            "constraints": OFTEN,
            "requiredSlots": 1,
            "killJobOnCompletion": True,
            "runExclusive": True,
            "allowLowPriorityNode": True,
        }
        assert shown["jobPreparationTask"] == {
            "id": "jobpreparation",
            **common,
            "constraints": OFTEN,
            "waitForSuccess": True,
            "rerunOnNodeRebootAfterSuccess": True,
        }
        assert shown["jobReleaseTask"] == {
            "id": "jobrelease",
            **common,
            "maxWallClockTime": "PT15M",
            "retentionTime": "P7D",
        }

    play(scene)


def nulls(body: Any) -> Any:
    """The same with a null for every property that may be absent."""
    if isinstance(body, dict):
        return {
            name: None if name not in ("id", "commandLine", "poolInfo") else value
            for name, value in body.items()
        }
    return body


@pytest.mark.parametrize("body", [JOB, TASK], ids=["job", "task"])
def test_null_is_absent(body: dict[str, Any]) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "Pool"}})
        target = "/jobs" if body is JOB else "/jobs/j/tasks"
        await whole.done("POST", target, nulls({**body, "id": "nulls"}))
        needed = {name: body[name] for name in ("commandLine", "poolInfo") if name in body}
        await whole.done("POST", target, {**needed, "id": "absent"})
        first, second = [own(await whole.shown(f"{target}/{name}")) for name in ("nulls", "absent")]
        assert {**first, "id": ""} == {**second, "id": ""}

    play(scene)


def test_what_nobody_knows_and_what_is_only_read_is_passed_over() -> None:
    async def scene(whole: Whole) -> None:
        body = {**TASK, "id": "t", "state": "completed", "url": 5, "colour": {"red": [1]}}
        del body["dependsOn"], body["exitConditions"]
        await whole.done("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "Pool"}, "eTag": "x"})
        await whole.done("POST", "/jobs/j/tasks", body)
        shown = await whole.shown("/jobs/j/tasks/t")
        assert shown["state"] == "active"
        assert "colour" not in shown

    play(scene)


def test_the_token_settings_of_versions_that_have_them() -> None:
    old = "2024-07-01.20.0"
    wanted = {"authenticationTokenSettings": {"access": ["Job", "job"]}}
    line = {"commandLine": "x", **wanted}
    job = {"id": "j", "poolInfo": {"poolId": "Pool"}, "jobManagerTask": {"id": "m", **line}}

    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", job, version=old)
        await whole.done("POST", "/jobs/j/tasks", {"id": "t", **line}, version=old)
        for target in ("/jobs/j/tasks/m", "/jobs/j/tasks/t"):
            shown = (await whole.done("GET", target, version=old)).json()
            assert shown["authenticationTokenSettings"] == {"access": ["job"]}
            assert "authenticationTokenSettings" not in await whole.shown(target)

    play(scene)


def test_a_password_is_kept_though_it_is_not_shown() -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "Pool"}})
        await whole.done(
            "POST", "/jobs/j/tasks", {"id": "t", "commandLine": "x", "containerSettings": CONTAINER}
        )
        job = await whole.house.job_record("j")
        assert job is not None
        found = await whole.house.store.task(job.no, "t")
        assert found is not None
        assert b"hunter2" in found[1]

    play(scene)


@pytest.mark.parametrize(
    ("schedule", "next_run"),
    [
        ({"doNotRunUntil": "0001-01-01T00:00:00Z"}, None),
        ({"doNotRunUntil": "9999-12-31T23:59:59Z"}, "9999-12-31T23:59:59.0000000Z"),
        ({"recurrenceInterval": "P10000000D"}, "9999-12-31T23:59:59.0000000Z"),
        ({"recurrenceInterval": INFINITE}, None),
        ({"startWindow": INFINITE, "recurrenceInterval": "PT1M"}, "2023-11-14T22:14:20.0000000Z"),
    ],
)
def test_the_ends_of_time(schedule: dict[str, str], next_run: str | None) -> None:
    async def scene(whole: Whole) -> None:
        body = {"id": "s", "schedule": schedule, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
        await whole.done("POST", "/jobschedules", body)
        shown = await whole.shown("/jobschedules/s")
        assert disagreements(schedule, shown["schedule"]) == []
        assert shown["executionInfo"].get("nextRunTime") == next_run
        await whole.house.crash()

    play(scene)
