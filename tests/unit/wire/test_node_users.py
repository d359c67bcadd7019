"""What users say of those who log in to nodes, of logs, and what is shown of extensions."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.refusals import InvalidPropertyValue, MissingRequiredProperty, Refusal
from penstock.domain.specs.node import NodeLogin
from penstock.wire.specs.nodes import (
    check_log_upload,
    node_user_from_wire,
    node_user_update_from_wire,
)
from tests.unit.wire.test_nodes import NODE, POOL, pool_of
from tests.wire.edge import Edge

NOON = "2024-01-01T12:00:00Z"
NOON_US = 1_704_110_400_000_000
KEY = "ssh-rsa AAAAB3NzaC1yc2E= me@here"
SECRET = "a password"


def written(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def test_a_user_with_everything() -> None:
    user, login = node_user_from_wire(
        written(
            {
                "name": "me.too",
                "isAdmin": True,
                "password": SECRET,
                "sshPublicKey": f"{KEY}\n",
                "expiryTime": NOON,
            }
        )
    )
    assert (user.name, user.is_admin) == ("me.too", True)
    assert login == NodeLogin(password=SECRET, ssh_public_key=KEY, expiry_us=NOON_US)


def test_a_user_needs_a_name_alone() -> None:
    user, login = node_user_from_wire(b'{"name": "_"}')
    assert (user.name, user.is_admin, login) == ("_", None, NodeLogin())
    assert node_user_update_from_wire(b"{}") == NodeLogin()
    assert node_user_update_from_wire(b'{"password": null}') == NodeLogin()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("name", ""),
        ("name", "two words"),
        ("name", "-x"),
        ("name", "x" * 33),
        ("password", ""),
        ("password", f"{SECRET}\n"),
        ("password", SECRET * 100),
        ("sshPublicKey", ""),
        ("sshPublicKey", "ssh-rsa nothing"),
        ("sshPublicKey", f"{KEY}\n{KEY}"),
        ("sshPublicKey", "AAAA" * 5000),
        ("expiryTime", "tomorrow"),
        ("expiryTime", "9999-99-99T00:00:00Z"),
    ],
)
def test_what_is_refused_of_a_user(part: str, value: str) -> None:
    with pytest.raises(InvalidPropertyValue) as caught:
        node_user_from_wire(written({"name": "me", part: value}))
    assert caught.value.values["PropertyName"] == part
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "AAAAB3NzaC1yc2E=",
        "c3NoLXJzYSBBQUFBQjNO",
        "sk-ssh-ed25519@openssh.com AAAAGnNr",
        "ecdsa-sha2-nistp256 AAAAE2Vj me and you",
    ],
)
def test_forms_of_a_key(key: str) -> None:
    assert node_user_update_from_wire(written({"sshPublicKey": key})).ssh_public_key == key


@pytest.mark.parametrize(
    ("user", "code"),
    [
        ({"password": SECRET}, None),
        ({"password": SECRET, "sshPublicKey": KEY}, "InvalidPropertyValue"),
        ({}, "MissingRequiredProperty"),
    ],
)
def test_windows_has_users_with_passwords(user: dict[str, Any], code: str | None) -> None:
    edge = Edge()
    image = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022"}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.windows amd64"}
    pool = {**POOL, "virtualMachineConfiguration": machine}
    assert edge.ask("POST", "/pools", pool).status_code == 201
    added = edge.ask("POST", f"{NODE}/users", {"name": "me", **user})
    assert added.status_code == (400 if code else 201)
    if code:
        assert added.json()["code"] == code
        return
    assert edge.ask("PUT", f"{NODE}/users/me", user).status_code == 200
    assert edge.ask("PUT", f"{NODE}/users/me", {}).status_code == 400


@pytest.mark.parametrize("user", [{"password": [SECRET]}, {"name": {"password": SECRET}}])
def test_no_refusal_has_a_secret(user: dict[str, Any]) -> None:
    with pytest.raises(InvalidPropertyValue) as caught:
        node_user_from_wire(written({"name": "me", **user}))
    assert SECRET not in str(caught.value.values)


def test_a_user_without_a_name() -> None:
    with pytest.raises(MissingRequiredProperty):
        node_user_from_wire(b"{}")


UPLOAD = {"containerUrl": "https://host/logs?sig=x", "startTime": NOON}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"endTime": NOON},
        {"identityReference": {"resourceId": "/subscriptions/x"}},
        {"containerUrl": "http://127.0.0.1:10000/devstoreaccount1/logs?sig=x"},
    ],
)
def test_an_upload_of_logs(more: dict[str, Any]) -> None:
    check_log_upload(written(UPLOAD | more))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"containerUrl": None}, "containerUrl"),
        ({"containerUrl": "logs"}, "containerUrl"),
        ({"containerUrl": "https://host"}, "containerUrl"),
        ({"startTime": None}, "startTime"),
        ({"startTime": "then"}, "startTime"),
        ({"endTime": "then"}, "endTime"),
        ({"endTime": "2024-01-01T11:00:00Z"}, "endTime"),
        ({"identityReference": {}}, "identityReference.resourceId"),
    ],
)
def test_what_is_refused_of_an_upload(more: dict[str, Any], name: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_log_upload(written(UPLOAD | more))
    assert caught.value.values["PropertyName"] == name


def with_extensions(edge: Edge, *extensions: dict[str, Any]) -> None:
    """Let the pool ask for extensions."""
    pool = pool_of(edge)
    machine = pool.spec.virtual_machine_configuration
    assert machine is not None
    asked = replace(machine, extensions=list(extensions))
    spec = replace(pool.spec, virtual_machine_configuration=asked)
    asyncio.run(edge.service._keep(c.PutPool(replace(pool, spec=spec))))


def test_extensions_are_shown_as_what_they_are() -> None:
    edge = Edge()
    assert edge.ask("POST", "/pools", POOL).status_code == 201
    asked = {"name": "Agent", "publisher": "p", "type": "t", "settings": {"a": 1}}
    with_extensions(edge, asked | {"protectedSettings": {"key": SECRET}}, asked | {"name": "b"})

    answer = edge.ask("GET", f"{NODE}/extensions/AGENT")
    shown = answer.json()
    assert shown["vmExtension"] == asked
    assert shown["provisioningState"] == "NotInstalled"
    view = shown["instanceView"]
    assert view["name"] == "Agent"
    assert [status["level"] for status in view["statuses"]] == ["Warning"]
    assert SECRET not in answer.text

    first = edge.ask("GET", f"{NODE}/extensions?maxresults=1&$select=vmExtension").json()
    assert first["value"] == [{"vmExtension": asked}]
    assert "$skiptoken" in first["odata.nextLink"]
    token = first["odata.nextLink"].partition("$skiptoken=")[2]
    rest = edge.ask("GET", f"{NODE}/extensions?$skiptoken={token}").json()
    assert [it["vmExtension"]["name"] for it in rest["value"]] == ["b"]
    assert "odata.nextLink" not in rest
    assert edge.ask("GET", f"{NODE}/extensions/c").status_code == 404
    assert edge.ask("GET", "/pools/Pool/nodes/none/extensions").status_code == 404
