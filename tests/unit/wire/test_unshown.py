"""Clients read a thing, change a part and send the whole back: what was not shown stays."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tests.wire.cases import MACHINE
from tests.wire.edge import ACCOUNT, Edge

REGISTRY = {"username": "u", "password": "hidden", "registryServer": "r.example"}
BOB = {
    "name": "Bob",
    "password": "hidden",
    "elevationLevel": "nonAdmin",
    "linuxUserConfiguration": {"uid": 7, "gid": 7, "sshPrivateKey": "hidden"},
}
EVE = {
    "name": "Eve",
    "password": "hidden too",
    "linuxUserConfiguration": {"sshPrivateKey": "hidden"},
}
MOUNT = {
    "azureFileShareConfiguration": {
        "accountName": "a",
        "azureFileUrl": "https://a.example/s",
        "relativeMountPath": "r",
        "accountKey": "hidden",
    }
}
POOL = {
    "vmSize": "standard_d2s_v3",
    "virtualMachineConfiguration": MACHINE,
    "userAccounts": [BOB, EVE],
    "mountConfiguration": [MOUNT],
    "startTask": {
        "commandLine": "x",
        "containerSettings": {"imageName": "i", "registry": REGISTRY},
    },
}
JOB = {"poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": POOL}}}
SCHEDULE = {"schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z"}, "jobSpecification": JOB}


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    assert edge.ask("POST", "/jobs", {"id": "j", **JOB}).status_code == 201
    assert edge.ask("POST", "/jobschedules", {"id": "s", **SCHEDULE}).status_code == 201
    return edge


def stored(edge: Edge, path: str) -> Any:
    """The pool that a job or a schedule describes, with its secrets."""
    store = edge.service.store
    if path == "/jobs/j":
        job = asyncio.run(store.job(ACCOUNT, "j"))
        assert job is not None
        info = job.spec.pool_info
    else:
        schedule = asyncio.run(store.schedule(ACCOUNT, "s"))
        assert schedule is not None
        info = schedule.spec.job_specification.pool_info
    assert info.auto_pool_specification is not None
    return info.auto_pool_specification.pool


def pool_in(document: Any) -> Any:
    job = document.get("jobSpecification", document)
    return job["poolInfo"]["autoPoolSpecification"]["pool"]


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize("path", ["/jobs/j", "/jobschedules/s"])
def test_what_was_read_may_be_sent_back(edge: Edge, verb: str, path: str) -> None:
    before = stored(edge, path)
    shown = edge.ask("GET", path).json()
    assert "hidden" not in str(shown)
    pool_in(shown)["userAccounts"][0]["elevationLevel"] = "nonAdmin"
    pool_in(shown)["userAccounts"][0]["windowsUserConfiguration"] = None
    assert pool_in(shown)["userAccounts"][1].pop("linuxUserConfiguration") == {}

    assert edge.ask(verb, path, shown).status_code == 200
    assert stored(edge, path) == before


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_part_that_was_changed_has_no_secret_of_the_old_one(edge: Edge, verb: str) -> None:
    shown = edge.ask("GET", "/jobschedules/s").json()
    renamed = copy.deepcopy(shown)
    pool_in(renamed)["userAccounts"][0]["name"] = "bob"
    assert edge.ask(verb, "/jobschedules/s", renamed).status_code == 400

    given = copy.deepcopy(shown)
    pool_in(given)["userAccounts"] = [EVE, {**BOB, "password": "new"}]
    pool_in(given)["startTask"]["containerSettings"]["registry"]["username"] = "other"
    assert edge.ask(verb, "/jobschedules/s", given).status_code == 200
    pool = stored(edge, "/jobschedules/s")
    assert [account.password for account in pool.user_accounts] == ["hidden too", "new"]
    registry = pool.start_task.container_settings.registry
    assert (registry.username, registry.password) == ("other", None)


@pytest.mark.parametrize("body", [b"", b"{", b'"x"', b"[" * 100_000, b"\xff"])
def test_what_cannot_be_read_is_refused_as_ever(edge: Edge, body: bytes) -> None:
    answer = edge.ask("PATCH", "/jobs/j", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")
