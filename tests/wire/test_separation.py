"""Two accounts on one server: what one has, the other can neither see, nor change, nor tell."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from penstock.wire.app import make_app
from penstock.wire.operations import OPERATIONS
from penstock.wire.routing import Operation, Router
from penstock.wire.settings import WireSettings
from penstock.wire.versions.releases import NEWEST
from tests.records import ACCOUNT
from tests.unit.engine.house import House
from tests.wire import cases
from tests.wire.edge import KEY
from tests.wire.whole import Whole, play

OTHER = "another"
WITH_CERTIFICATES = cases.LAST_WITH_CERTIFICATES
THUMBPRINT = cases.THUMBPRINT
UNKNOWN_THUMBPRINT = "0" * 40

POOL = {
    "id": "Pool",
    "vmSize": "standard_d2s_v3",
    "virtualMachineConfiguration": cases.MACHINE,
    "targetDedicatedNodes": 1,
}
JOB = {"id": "Job", "poolInfo": {"poolId": "Pool"}, "jobPreparationTask": {"commandLine": "true"}}
TASK = {"id": "Task", "commandLine": "secret-command"}
SCHEDULE = {
    "id": "Nightly",
    "schedule": {"recurrenceInterval": "P1D"},
    "jobSpecification": {"poolInfo": {"poolId": "Pool"}},
}
NAMES = ("Pool", "Job", "Task", "Nightly", "secret-command", THUMBPRINT)
"""What nobody but their owner is to be told, besides the id of the node."""

LISTS = tuple(it for it in OPERATIONS if it.verb == "GET" and "*" not in it.path)
CREATES: dict[str, dict[str, Any]] = {
    "/pools": POOL,
    "/jobs": JOB,
    "/jobschedules": SCHEDULE,
    "/certificates": cases.CERTIFICATE,
}
"""Operations without an id that make something."""

WITH_ID = tuple(
    it for it in OPERATIONS if "*" in it.path and not it.path.startswith("/applications")
)


class Two(Whole):
    """A service with two accounts, of which the first has one of everything."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.settings = WireSettings(
            accounts={ACCOUNT: [KEY], OTHER: [KEY]}, now_us=lambda: house.now_us
        )
        self.app = make_app(house.engine, self.settings, self._ready)
        self.node = ""

    async def furnish(self) -> None:
        await self.done("POST", "/certificates", cases.CERTIFICATE, version=WITH_CERTIFICATES)
        await self.done("POST", "/pools", POOL)
        await self.house.host.connect()
        await self.house.host.settle()
        (self.node,) = [node["id"] for node in (await self.shown("/pools/Pool/nodes"))["value"]]
        await self.done("POST", "/jobs", JOB)
        await self.done("POST", "/jobs/Job/tasks", TASK)
        await self.done("POST", "/jobschedules", SCHEDULE)

    async def as_other(
        self, method: str, target: str, body: Any = None, version: str = NEWEST
    ) -> httpx.Response:
        return await self.send_json(method, target, body, version=version, account=OTHER)

    async def snapshot(self) -> list[str]:
        """All that the first account is shown."""
        targets = (
            "/pools", "/pools/Pool/nodes", "/jobs", "/jobs/Job/tasks", "/jobschedules",
            "/jobs/Job/taskcounts", "/jobs/Job/jobpreparationandreleasetaskstatus",
        )  # fmt: skip
        found = [(await self.done("GET", target)).text for target in targets]
        listed = await self.done("GET", "/certificates", version=WITH_CERTIFICATES)
        return [*found, listed.text]


def version_of(operation: Operation) -> str:
    return operation.until or NEWEST


def target_of(operation: Operation, ids: dict[str, str]) -> str:
    """The path of an operation on these things."""
    parts = operation.path.strip("/").split("/")
    filled = [ids[parts[at - 1]] if part in ("*", "**") else part for at, part in enumerate(parts)]
    path = "/" + "/".join(filled)
    form = r"/certificates(thumbprintAlgorithm=sha1,thumbprint=\1)"
    return re.sub(r"^/certificates/([^/]+)", form, path)


def ids(node: str, *, known: bool) -> dict[str, str]:
    """An id for each collection that a path may lead through: of the first account, or nobody's."""
    return {
        "pools": "Pool" if known else "pool-of-nobody",
        "nodes": node if known else "node-of-nobody",
        "jobs": "Job" if known else "job-of-nobody",
        "tasks": "Task" if known else "task-of-nobody",
        "jobschedules": "Nightly" if known else "schedule-of-nobody",
        "certificates": THUMBPRINT if known else UNKNOWN_THUMBPRINT,
        "users": "me",
        "extensions": "extension",
        "files": "stdout.txt",
    }


def bodies() -> dict[str, Any]:
    """A good body for each operation that takes one, by its name."""
    router = Router(OPERATIONS)
    found = {}
    for case in cases.OPERATIONS.values():
        parts = case.target.partition("?")[0].strip("/").split("/")
        if case.body is not None:
            operation, _ = router.find(case.method, parts, case.version or NEWEST)
            found[operation.name] = case.body
    return found


BODIES = bodies()


def said(answer: httpx.Response, names: dict[str, str]) -> tuple[int, str]:
    """Status and body of an answer, without what differs from one answer to the next."""
    text = re.sub(r"RequestId:[^\\]*\\nTime:[^\"]*", "", answer.text)
    for kind, name in names.items():
        text = text.replace(f'"{name}"', kind)
    return answer.status_code, text


@pytest.mark.parametrize("operation", WITH_ID, ids=lambda it: f"{it.verb} {it.path}")
def test_things_of_others_are_like_things_of_nobody(operation: Operation) -> None:
    async def scene(two: Two) -> None:
        body, version = BODIES.get(operation.name), version_of(operation)
        answers = []
        for known in (True, False):
            names = ids(two.node, known=known)
            target = target_of(operation, names)
            answers.append(said(await two.as_other(operation.verb, target, body, version), names))

        assert answers[0] == answers[1]
        assert answers[0][0] == 404, answers[0]

    run(scene)


@pytest.mark.parametrize(
    "operation",
    [it for it in WITH_ID if "/nodes/*" in it.path or "/tasks/*" in it.path],
    ids=lambda it: f"{it.verb} {it.path}",
)
def test_neither_are_they_found_below_what_is_one_s_own(operation: Operation) -> None:
    async def scene(two: Two) -> None:
        await two.send_json("POST", "/pools", {**POOL, "id": "Mine"}, account=OTHER)
        mine = {"id": "Mine", "poolInfo": {"poolId": "Mine"}}
        await two.send_json("POST", "/jobs", mine, account=OTHER)
        body, version = BODIES.get(operation.name), version_of(operation)
        answers = []
        for known in (True, False):
            names = {**ids(two.node, known=known), "pools": "Mine", "jobs": "Mine"}
            target = target_of(operation, names)
            answers.append(said(await two.as_other(operation.verb, target, body, version), names))

        assert answers[0] == answers[1]
        assert answers[0][0] == 404, answers[0]

    run(scene)


@pytest.mark.parametrize("operation", LISTS, ids=lambda it: it.path)
def test_nothing_of_others_is_listed(operation: Operation) -> None:
    async def scene(two: Two) -> None:
        version = version_of(operation)
        answer = await two.as_other("GET", operation.path, version=version)
        assert answer.status_code == 200
        found = [name for name in (*NAMES, two.node) if f'"{name}"' in answer.text]
        assert found == []
        mine = await two.done("GET", operation.path, version=version)
        if operation.path in ("/pools", "/jobs", "/jobschedules", "/nodecounts", "/events"):
            assert mine.json() != answer.json(), "the owner is shown something"

    run(scene)


@pytest.mark.parametrize("path", CREATES)
def test_ids_of_others_are_free(path: str) -> None:
    async def scene(two: Two) -> None:
        version = WITH_CERTIFICATES if path == "/certificates" else NEWEST
        body = {**CREATES[path]}
        body.pop("certificateReferences", None)
        assert (await two.as_other("POST", path, body, version)).status_code == 201
        assert (await two.send_json("POST", path, body, version=version)).status_code == 409
        listed = (await two.as_other("GET", path, version=version)).json()["value"]
        assert len([it for it in listed if it.get("id", "Nightly") in NAMES]) == 1

    run(scene)


def test_a_job_does_not_reach_a_pool_of_others() -> None:
    async def scene(two: Two) -> None:
        await two.as_other("POST", "/jobs", JOB)
        await two.as_other("POST", "/jobs/Job/tasks", {**TASK, "id": "stranger"})
        await two.house.advance(1)
        shown = (await two.as_other("GET", "/jobs/Job/tasks/stranger")).json()
        assert shown["state"] == "active"
        why = (await two.as_other("GET", "/jobs/Job/tasks/stranger/explain")).text
        assert two.node not in why
        assert "stranger" not in await two.house.runs()

    run(scene)


def run(scene: Any) -> None:
    """Run a scene in a furnished service, and see that the first account has what it had."""

    async def whole(plain: Whole) -> None:
        two = Two(plain.house)
        await two.furnish()
        before = await two.snapshot()
        await scene(two)
        assert await two.snapshot() == before

    play(whole)
