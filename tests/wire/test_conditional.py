"""Entity tags, times and conditions: the headers of every operation on jobs, schedules, tasks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.domain.instants import SECOND_US, http_date
from penstock.messages import RunTask
from tests.unit.engine.house import KILLED
from tests.wire.cases import JOB, SCHEDULE, TASK
from tests.wire.whole import Whole, play

POOL_JOB = {**JOB, "id": "Job", "poolInfo": {"poolId": "Pool"}}
PATIENT = {
    **SCHEDULE,
    "schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z"},
    "jobSpecification": {"poolInfo": {"poolId": "Pool"}},
}
JOBS, SCHEDULES, TASKS = "/jobs/Job", "/jobschedules/Nightly", "/jobs/Job/tasks/Task"


@dataclass(frozen=True)
class Operation:
    """One that honours conditions; `of` is the thing that they are about."""

    method: str
    of: str
    action: str = ""
    body: Any = None
    status: int = 200
    tagged: bool = True  # the answer has the tag of the thing
    changes: bool = True  # the tag of the thing

    @property
    def target(self) -> str:
        return self.of + self.action

    @property
    def reads(self) -> bool:
        return self.method in ("GET", "HEAD")


OPERATIONS = [
    Operation("GET", JOBS, changes=False),
    Operation("PATCH", JOBS, "", {"priority": 1}),
    Operation("PUT", JOBS, "", {"poolInfo": {"poolId": "Pool"}}),
    Operation("POST", JOBS, "/disable", {"disableTasks": "wait"}, 202),
    Operation("POST", JOBS, "/enable", None, 202, changes=False),
    Operation("POST", JOBS, "/terminate", None, 202),
    Operation("DELETE", JOBS, "", None, 202, tagged=False),
    Operation("GET", SCHEDULES, changes=False),
    Operation("HEAD", SCHEDULES, changes=False),
    Operation("PATCH", SCHEDULES, "", {"metadata": []}),
    Operation("PUT", SCHEDULES, "", PATIENT),
    Operation("POST", SCHEDULES, "/disable", None, 204),
    Operation("POST", SCHEDULES, "/enable", None, 204, changes=False),
    Operation("POST", SCHEDULES, "/terminate", None, 202),
    Operation("DELETE", SCHEDULES, "", None, 202, tagged=False),
    Operation("GET", TASKS, changes=False),
    Operation("PUT", TASKS, "", {"constraints": {"maxTaskRetryCount": 1}}),
    Operation("POST", TASKS, "/terminate", None, 204, changes=False),
    Operation("POST", "/jobs/Job/tasks/Failed", "/reactivate", None, 204),
    Operation("DELETE", TASKS, "", None, 200, tagged=False),
]
NAMES = [f"{operation.method} {operation.target}" for operation in OPERATIONS]


async def furnish(whole: Whole) -> None:
    """A job with a task that waits and one that failed, and a schedule that waits."""
    await whole.done("POST", "/jobs", POOL_JOB)
    await whole.done("POST", "/jobs/Job/tasks", TASK)
    await whole.done("POST", "/jobs/Job/tasks", {**TASK, "id": "Failed"})
    await whole.done("POST", "/jobs/Job/tasks/Failed/terminate")
    await whole.done("POST", "/jobschedules", PATIENT)
    whole.house.elapse(60)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_conditions_are_honoured(operation: Operation) -> None:
    async def scene(whole: Whole) -> None:
        await furnish(whole)
        before = await whole.shown(operation.of)
        tag = before["eTag"]
        changed_us = whole.house.now_us - 60 * SECOND_US
        now, past = http_date(whole.house.now_us), http_date(changed_us - SECOND_US)
        same = http_date(changed_us)

        async def told(**headers: str) -> tuple[int, str]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await whole.send_json(
                operation.method, operation.target, operation.body, headers=named
            )
            if answer.status_code == 304 or operation.method == "HEAD":
                assert answer.content == b""
            if answer.status_code == 304:
                assert answer.headers["etag"] == tag
                assert answer.headers["last-modified"] == same
            return answer.status_code, answer.json()["code"] if answer.content else ""

        unmet = (412, "" if operation.method == "HEAD" else "ConditionNotMet")
        known = (304, "") if operation.reads else unmet
        both = (400, "" if operation.method == "HEAD" else "MultipleConditionHeadersNotSupported")
        assert await told(if_match='"0x8D000000000000"') == unmet
        assert await told(if_none_match=f'W/"{tag}"') == known
        assert await told(if_none_match="*") == known
        assert await told(if_modified_since=same) == known
        assert await told(if_modified_since=now) == known
        assert await told(if_unmodified_since=past) == unmet
        assert await told(if_match=tag, if_none_match="0x0") == both
        assert await told(if_match=tag, if_modified_since=past) == both
        assert await whole.shown(operation.of) == before, "nothing has changed"
        good = {"if-match": f'"{tag}"', "if-unmodified-since": same}
        answer = await whole.done(operation.method, operation.target, operation.body, headers=good)
        assert answer.status_code == operation.status

    play(scene)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_the_headers_of_an_answer(operation: Operation) -> None:
    async def scene(whole: Whole) -> None:
        await furnish(whole)
        before = (await whole.shown(operation.of))["eTag"]
        answer = await whole.done(operation.method, operation.target, operation.body)
        assert answer.status_code == operation.status
        if operation.method != "GET":
            assert answer.content == b""
            assert answer.headers["dataserviceid"] == f"http://batch.test:10600{operation.target}"
        assert ("etag" in answer.headers) == operation.tagged
        assert ("last-modified" in answer.headers) == operation.tagged
        if operation.tagged:
            after = answer.headers["etag"]
            assert (after != before) == operation.changes
            shown = await whole.shown(operation.of)
            if operation.method != "POST":  # after an action its state may have gone on
                assert shown["eTag"] == after

    play(scene)


def test_what_is_made_says_where_it_is() -> None:
    async def scene(whole: Whole) -> None:
        for target, body, path in (
            ("/jobs", POOL_JOB, JOBS),
            ("/jobschedules", PATIENT, SCHEDULES),
            ("/jobs/Job/tasks", TASK, TASKS),
        ):
            answer = await whole.done("POST", target, body)
            assert (answer.status_code, answer.content) == (201, b"")
            assert answer.headers["location"] == f"http://batch.test:10600{path}"
            assert answer.headers["dataserviceid"] == answer.headers["location"]
            shown = await whole.shown(path)
            assert shown["eTag"] == answer.headers["etag"]
            assert answer.headers["last-modified"] == http_date(whole.house.now_us)

    play(scene)


async def tag_of(whole: Whole, target: str) -> str:
    return str((await whole.shown(target))["eTag"])


def test_a_task_s_tag_stays_while_it_runs_and_its_job_s_while_tasks_come_and_go() -> None:
    async def scene(whole: Whole) -> None:
        await whole.house.pool(name="Pool")
        await whole.done("POST", "/jobs", POOL_JOB)
        job = await tag_of(whole, JOBS)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "Task", "commandLine": "x"})
        task = await tag_of(whole, TASKS)
        run = (await whole.house.runs())["Task"]
        assert (await whole.shown(TASKS))["state"] == "running"
        assert await tag_of(whole, TASKS) == task
        await whole.house.host.end(run, 3)
        assert (await whole.shown(TASKS))["state"] == "completed"
        assert await tag_of(whole, TASKS) == task
        await whole.done("DELETE", TASKS)
        assert await tag_of(whole, JOBS) == job

    play(scene)


def test_a_task_that_somebody_else_deletes_was_terminated_all_the_same() -> None:
    async def scene(whole: Whole) -> None:
        await whole.house.pool(name="Pool")
        await whole.done("POST", "/jobs", POOL_JOB)
        await whole.done("POST", "/jobs/Job/tasks", {"id": "Task", "commandLine": "x"})
        tag = await tag_of(whole, TASKS)
        run = (await whole.house.runs())["Task"]
        ended = asyncio.create_task(whole.send("POST", f"{TASKS}/terminate"))
        deleted = asyncio.create_task(whole.send("DELETE", TASKS))
        await whole.house.engine._submit(lambda _turn: None)
        await whole.house.host.end(run, None, KILLED, killed=True)
        await whole.house.host.settle()
        assert (await deleted).status_code == 200
        assert (await ended).status_code == 204
        assert (await ended).headers["etag"] == tag

    play(scene, stop_wait_s=10.0)


def test_a_job_s_tag_changes_with_its_state_and_not_with_what_nobody_sees() -> None:
    async def scene(whole: Whole) -> None:
        host = whole.house.host
        await whole.house.pool(name="Pool")
        special = {
            "jobPreparationTask": {"commandLine": "x"},
            "jobReleaseTask": {"commandLine": "x"},
        }
        running: list[RunTask] = []
        for name in ("Job", "Other"):
            await whole.done("POST", "/jobs", {**POOL_JOB, **special, "id": name})
            await whole.done("POST", f"/jobs/{name}/tasks", {"id": "Task", "commandLine": "x"})
            (preparation,) = await whole.house.told("jobpreparation")
            await host.end(preparation)
            running += await whole.house.told("Task")
        first, second = running

        await whole.done("POST", "/jobs/Job/terminate")
        ending = await whole.shown(JOBS)
        await host.end(first, None, KILLED, killed=True)
        (release,) = await whole.house.told("jobrelease")
        assert await whole.shown(JOBS) == ending, "its release task has begun"
        assert ending["state"] == "terminating"
        await host.end(release)
        over = await whole.shown(JOBS)
        assert over["state"] == "completed"
        assert over["eTag"] != ending["eTag"]

        host.obedient = False
        await whole.done("DELETE", "/jobs/Other")
        leaving = await whole.shown("/jobs/Other")
        await host.end(second, None, KILLED, killed=True)
        (release,) = await whole.house.told("jobrelease")
        await host.end(release)
        assert await whole.shown("/jobs/Other") == leaving, "its directories are being removed"
        assert leaving["state"] == "deleting"

    play(scene)


def test_a_schedule_s_tag_stays_when_it_makes_a_job() -> None:
    async def scene(whole: Whole) -> None:
        body = {**PATIENT, "schedule": {"recurrenceInterval": "PT1H"}}
        await whole.done("POST", "/jobschedules", body)
        first = await whole.shown(SCHEDULES)
        await whole.done("POST", "/jobs/Nightly:job-1/terminate")
        await whole.house.pass_time(3601)
        second = await whole.shown(SCHEDULES)
        assert second["executionInfo"]["recentJob"]["id"] == "Nightly:job-2"
        assert second["eTag"] == first["eTag"]
        assert second["lastModified"] == first["lastModified"]

    play(scene)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jan 2018 00:00:00 GMT",
        "Mon, 1 Jan 2018 00:00:00 +0000",
        "Monday, 01-Jan-18 00:00:00 GMT",
        "Mon Jan  1 00:00:00 2018",
        "1 Jan 2018 00:00:00 GMT",
        "2018-01-01T00:00:00Z",
    ],
)
def test_forms_of_dates(text: str) -> None:
    async def scene(whole: Whole) -> None:
        await furnish(whole)
        since = await whole.send("GET", JOBS, headers={"if-modified-since": text})
        assert since.status_code == 200
        before = await whole.send("GET", JOBS, headers={"if-unmodified-since": text})
        assert before.status_code == 412

    play(scene)


def test_a_date_that_is_none() -> None:
    async def scene(whole: Whole) -> None:
        await furnish(whole)
        answer = await whole.send("GET", JOBS, headers={"if-modified-since": "yesterday"})
        assert answer.json()["code"] == "InvalidHeaderValue"
        values = {pair["key"]: pair["value"] for pair in answer.json()["values"]}
        assert values["HeaderName"] == "if-modified-since"
        assert values["HeaderValue"] == "yesterday"

    play(scene)


def test_subtasks_and_lists_know_no_conditions() -> None:
    async def scene(whole: Whole) -> None:
        await furnish(whole)
        for target in ("/jobs", "/jobs/Job/tasks", f"{TASKS}/subtasksinfo", "/jobs/Job/taskcounts"):
            answer = await whole.send("GET", target, headers={"if-match": "0x0"})
            assert answer.status_code == 200

    play(scene)
