"""Routes, statuses and names of every api-version, beside what its clients know.

A client of a version sends its names and reads its names: what it has to be given is looked up in
its sources, not in our table. `tests.wire.facts` has the names.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from penstock.domain.instants import INFINITE
from penstock.wire.operations import OPERATIONS
from penstock.wire.request import segments
from penstock.wire.routing import Operation, Router
from penstock.wire.versions.parts import Part
from penstock.wire.versions.reading import reader
from penstock.wire.versions.releases import NEWEST, VERSIONS, covers
from penstock.wire.versions.showing import shown_in
from tests.wire import cases
from tests.wire.edge import Edge
from tests.wire.facts import clients
from tests.wire.facts.clients import Tree, call, calls, tree
from tests.wire.test_recorded import RECORDED, exchange

SHOWN = {
    "pools": "GET /pools/*",
    "nodes": "GET /pools/*/nodes/*",
    "jobs": "GET /jobs/*",
    "tasks": "GET /jobs/*/tasks/*",
    "subtasks": "GET /jobs/*/tasks/*/subtasksinfo",
    "jobschedules": "GET /jobschedules/*",
    "taskcounts": "GET /jobs/*/taskcounts",
    "poolnodecounts": "GET /nodecounts",
    "poolusagemetrics": "GET /poolusagemetrics",
    "jobpreparationandreleasetaskstatuslist": "GET /jobs/*/jobpreparationandreleasetaskstatus",
    "remoteloginsettings": "GET /pools/*/nodes/*/remoteloginsettings",
    "extensions": "GET /pools/*/nodes/*/extensions/*",
    "files": "GET /jobs/*/tasks/*/files",
    "supportedimages": "GET /supportedimages",
    "applications": "GET /applications/*",
    "certificates": "GET /certificates/*",
}
"""What answers call the things that they show, and the operation that shows one."""

NOT_SHOWN = {
    "userAccounts.sshPrivateKey": "a secret",
    "virtualMachineConfiguration.osDisk.imageUris": "pools are made from images alone",
}
"""By the end of the path."""

ROUND_TRIPS = {
    "pools": ("POST /pools", Part.POOL),
    "jobs": ("POST /jobs", Part.JOB),
    "tasks": ("POST /jobs/*/tasks", Part.TASK),
    "jobschedules": ("POST /jobschedules", Part.SCHEDULE),
}


def of_model(version: str, kind: str) -> Tree | None:
    """What the client of a version knows of what it is shown; None where it is shown nothing."""
    known = call(version, SHOWN[kind])
    if known is None:
        return None
    found = tree(version, known.response)
    return found["value"] if list(found) == ["value"] else found


@cache
def with_newest_names(kind: str) -> dict[str, Any]:
    """A document with all that this service may have to show, which the last versions know."""
    known: Tree = {}
    for version in VERSIONS[-3:]:
        known = merged(known, of_model(version, kind) or {})
    return document(known)


@cache
def sendable(name: str) -> dict[str, Any]:
    """A body with all that the last versions send with an operation."""
    known: Tree = {}
    for version in VERSIONS:
        last = call(version, name)
        following = VERSIONS[VERSIONS.index(version) + 1 :][2:]
        if last and not any(call(later, name) for later in following):
            known = merged(known, tree(version, last.request))
    return document(known)


def read(version: str, part: Part, sent: dict[str, Any]) -> dict[str, Any]:
    got: dict[str, Any] = json.loads(reader(version, part).read(json.dumps(sent).encode()))
    return got


def merged(one: Tree, other: Tree) -> Tree:
    return {name: merged(one.get(name, {}), other.get(name, {})) for name in {**one, **other}}


LISTS = {"resizeErrors", "ipAddressIds", "dataDisks", "userAccounts", "publicIPs"}


def document(known: Tree) -> dict[str, Any]:
    """An object that has every property; where the old and the new stand together, the new."""
    made: dict[str, Any] = {name: document(held) if held else "x" for name, held in known.items()}
    if {"storageAccountType", "managedDisk"} <= made.keys():
        del made["storageAccountType"]
    return {name: [value] if name in LISTS else value for name, value in made.items()}


def paths(part: Any, start: str = "") -> Iterator[str]:
    """The path of every property."""
    for name, value in part.items():
        yield start + name
        below = value[0] if isinstance(value, list) else value
        if isinstance(below, dict):
            yield from paths(below, f"{start}{name}.")


def explained(path: str) -> bool:
    return path.endswith(tuple(NOT_SHOWN))


def shown(version: str, kind: str, whole: dict[str, Any]) -> dict[str, Any]:
    show = shown_in(version, kind)
    return whole if show is None else show(whole)


def test_the_versions_are_those_of_the_clients() -> None:
    assert VERSIONS == clients.VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_operations_are_those_of_the_client(version: str) -> None:
    ours = {
        (operation.verb, operation.path)
        for operation in OPERATIONS
        if not operation.extension and covers(version, operation.since, operation.until)
    }
    assert ours == {(known.verb, known.path) for known in calls(version)}


@pytest.mark.parametrize("version", VERSIONS)
def test_statuses_are_those_of_the_client(version: str) -> None:
    expected = {(known.verb, known.path): known.status for known in calls(version)}
    router = Router(OPERATIONS)
    for name, case in cases.OPERATIONS.items():
        if case.version is None:
            continue
        found, _ = router.find(case.method, segments(case.target.partition("?")[0]), case.version)
        answer = json.loads((RECORDED / f"operations/{name}.json").read_text("utf-8"))["answer"]
        if (found.verb, found.path) in expected and answer["status"] < 400:
            assert answer["status"] == expected[found.verb, found.path], name


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_shown_has_the_names_that_the_client_knows(version: str) -> None:
    for kind in SHOWN:
        known = of_model(version, kind)
        if known is None:
            continue
        given = set(paths(shown(version, kind, with_newest_names(kind))))

        wanted = set(paths(known))
        assert given <= wanted, kind
        assert [path for path in wanted - given if not explained(path)] == [], kind


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_client_sends_is_shown_to_it_again(version: str) -> None:
    for kind, (name, part) in ROUND_TRIPS.items():
        known = call(version, name)
        assert known is not None
        sent = document(tree(version, known.request))

        again = shown(version, kind, read(version, part, sent))

        lost = set(paths(sent)) - set(paths(again))
        assert [path for path in lost if not explained(path)] == [], kind


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_client_sends_is_read_as_newest_names(version: str) -> None:
    takes = {(each.verb, each.path): each.takes for each in OPERATIONS}
    for known in calls(version):
        sent = document(tree(version, known.request))
        part = takes[known.verb, known.path]
        got = sent if part is None else read(version, part, sent)
        strange = set(paths(got)) - set(paths(sendable(f"{known.verb} {known.path}")))
        assert [path for path in strange if not explained(path)] == [], known


def test_names_of_old_are_translated_somewhere() -> None:
    """The test above would pass if nothing but the newest names were ever sent."""
    old = call("2016-07-01.3.1", "POST /pools")
    assert old is not None
    sent = set(paths(document(tree("2016-07-01.3.1", old.request))))
    assert {"targetDedicated", "startTask.runElevated"} <= sent - set(
        paths(sendable("POST /pools"))
    )


FREE = re.compile(r"(extensions|vmExtension)\.(settings|protectedSettings)\.|resourceTags\.")
"""Objects with names of the user's own."""


def names_in(body: dict[str, Any]) -> set[str]:
    """The path of every property of what an answer shows, or of each in its list."""
    found = {path for thing in body.get("value", [body]) for path in every_path(thing)}
    return {path for path in found if not path.startswith("odata.") and not FREE.search(path)}


def every_path(part: Any, start: str = "") -> Iterator[str]:
    for each in part if isinstance(part, list) else [part]:
        for name, value in each.items() if isinstance(each, dict) else ():
            yield start + name
            yield from every_path(value, f"{start}{name}.")


def names_known(version: str, operation: Operation) -> set[str]:
    known = call(version, f"{operation.verb} {operation.path}")
    assert known is not None
    found = tree(version, known.response)
    return set(paths(found["value"] if list(found) == ["value"] else found))


ERAS = (
    *("2015-12-01.2.2", "2016-07-01.3.1", "2017-06-01.5.1", "2018-12-01.8.0", "2020-09-01.12.0"),
    *("2024-02-01.19.0", "2024-07-01.20.0", NEWEST),
)


@pytest.mark.parametrize("version", ERAS)
def test_operations_answer_as_they_do_under_the_newest_version(version: str) -> None:
    router = Router(OPERATIONS)
    for name, case in cases.OPERATIONS.items():
        if case.version != NEWEST:
            continue
        path = segments(case.target.partition("?")[0])
        operation, _ = router.find(case.method, path, NEWEST)
        if operation.extension or not covers(version, operation.since, operation.until):
            continue
        told = asyncio.run(exchange(replace(case, version=version)))["answer"]

        recorded = json.loads((RECORDED / f"operations/{name}.json").read_text("utf-8"))
        assert told["status"] == recorded["answer"]["status"], name
        if told["status"] < 400 and isinstance(told["body"], dict):
            strange = names_in(told["body"]) - names_known(version, operation)
            assert strange == set(), name


def test_a_client_of_2016_sees_what_it_sent() -> None:
    edge = Edge()
    pool: dict[str, Any] = {
        "id": "Pool",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": cases.MACHINE,
        "targetDedicated": 1,
        "maxTasksPerNode": 2,
        "startTask": {
            "commandLine": "/bin/true",
            "runElevated": True,
            "resourceFiles": [{"blobSource": "https://host/c/b", "filePath": "b"}],
        },
    }
    task = {
        "id": "Task",
        "commandLine": "/bin/true",
        "runElevated": True,
        "resourceFiles": [{"blobSource": "https://host/c/b", "filePath": "b"}],
    }
    version = "2016-07-01.3.1"
    for target, body in (
        ("/pools", pool),
        ("/jobs", {"id": "Job", "poolInfo": {"poolId": "Pool"}}),
        ("/jobs/Job/tasks", task),
    ):
        assert edge.ask("POST", target, body, version=version).status_code == 201

    told = edge.ask("GET", "/pools/Pool?$select=targetDedicated,startTask", version=version).json()
    assert set(told) == {"odata.metadata", "targetDedicated", "startTask"}
    assert told["targetDedicated"] == 1
    assert told["startTask"]["resourceFiles"] == pool["startTask"]["resourceFiles"]
    assert told["startTask"]["waitForSuccess"] is False
    (seen,) = edge.ask("GET", "/jobs/Job/tasks", version=version).json()["value"]
    assert {name: seen[name] for name in task} == task
    assert seen["constraints"]["retentionTime"] == str(INFINITE)
    new = edge.ask("GET", "/pools/Pool").json()
    assert new["taskSlotsPerNode"] == 2
    assert new["startTask"]["userIdentity"] == {
        "autoUser": {"scope": "pool", "elevationLevel": "admin"}
    }
