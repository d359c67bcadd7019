"""Users of nodes, remote login, logs and extensions, through the official SDK."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchNodeUserCreateOptions,
    BatchNodeUserReplaceOptions,
    UploadBatchServiceLogsOptions,
    VMExtension,
)

# The SDK takes this, and shows it nowhere else.
from azure.batch.models._models import BatchNodeReimageOptions

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire
from tests.e2e.test_nodes import host_stopped
from tests.e2e.things import (
    delete_pool,
    made_pool,
    nodes_ready,
    pool_options,
    refusal,
    unique,
)
from tests.e2e.waiting import eventually

PASSWORD = "nobody reads this either"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@here"


def a_user(name: str) -> BatchNodeUserCreateOptions:
    until = datetime.now(UTC) + timedelta(days=3)
    return BatchNodeUserCreateOptions(
        name=name, is_admin=True, password=PASSWORD, ssh_public_key=KEY, expiry_time=until
    )


@pytest.fixture
def node(batch: BatchClient, pool: str) -> str:
    """A node of the shared pool."""
    return next(iter(batch.list_nodes(pool))).id


def test_a_user_is_made_changed_and_deleted(
    plain: Penstock, batch: BatchClient, pool: str, node: str
) -> None:
    name = unique("me").replace("-", "_")
    batch.create_node_user(pool, node, a_user(name))
    again = refusal(lambda: batch.create_node_user(pool, node, a_user(name.upper())))
    assert again == (409, "NodeUserExists")
    batch.replace_node_user(pool, node, name, BatchNodeUserReplaceOptions(ssh_public_key=KEY))
    batch.delete_node_user(pool, node, name)

    nobody = (404, "NodeUserNotFound")
    change = BatchNodeUserReplaceOptions(password="x")
    assert refusal(lambda: batch.delete_node_user(pool, node, name)) == nobody
    assert refusal(lambda: batch.replace_node_user(pool, node, name, change)) == nobody
    forms = (PASSWORD.encode(), base64.b64encode(PASSWORD.encode()))
    for file in (plain.data / "store").iterdir():
        content = file.read_bytes()
        assert not [form for form in forms if form in content], file


def test_answers_about_users_are_empty(wire: Wire, pool: str, node: str) -> None:
    users = f"/pools/{pool}/nodes/{node}/users"
    made = wire.send("POST", users, {"name": "wired", "password": "x"})
    assert (made.status_code, made.content) == (201, b"")
    assert made.headers["location"].endswith(f"{users}/wired")
    changed = wire.send("PUT", f"{users}/wired", {})
    assert (changed.status_code, changed.content) == (200, b"")
    gone = wire.send("DELETE", f"{users}/wired")
    assert (gone.status_code, gone.content) == (200, b"")
    for answer in (made, changed, gone):
        assert "dataserviceid" in answer.headers
    bad = wire.send("POST", users, {"name": "wi red"})
    assert bad.status_code == 400
    assert bad.json()["values"][0] == {"key": "PropertyName", "value": "name"}


def test_users_go_with_the_machine(batch: BatchClient) -> None:
    with made_pool(batch, pool_options(unique("pool"))) as pool:
        (node,) = batch.list_nodes(pool)
        batch.create_node_user(pool, node.id, a_user("me"))
        how = BatchNodeReimageOptions(node_reimage_option="requeue")
        batch.begin_reimage_node(pool, node.id, how, polling_interval=1)
        nodes_ready(batch, pool, 1)
        gone = refusal(lambda: batch.delete_node_user(pool, node.id, "me"))
        assert gone == (404, "NodeUserNotFound")


def test_a_node_that_is_being_created(plain: Penstock, batch: BatchClient) -> None:
    pool = unique("slow")
    with host_stopped(plain):
        batch.create_pool(pool_options(pool))
        node = eventually(lambda: next(iter(batch.list_nodes(pool)), None), 5, "a node").id
        assert refusal(lambda: batch.create_node_user(pool, node, a_user("me"))) == (
            409,
            "NodeBeingCreated",
        )
    delete_pool(batch, pool)


def test_nobody_logs_in_yet(batch: BatchClient, wire: Wire, pool: str, node: str) -> None:
    expected = (409, "OperationNotValidOnNode")
    assert refusal(lambda: batch.get_node_remote_login_settings(pool, node)) == expected
    old = {"api-version": "2024-02-01.19.0"}
    desktop = wire.send("GET", f"/pools/{pool}/nodes/{node}/rdp", query=old)
    assert (desktop.status_code, desktop.json()["code"]) == expected
    unknown = refusal(lambda: batch.get_node_remote_login_settings(pool, "none"))
    assert unknown == (404, "NodeNotFound")
    assert wire.send("GET", f"/pools/{pool}/nodes/{node}/rdp").status_code == 404


def test_no_logs_are_uploaded(batch: BatchClient, pool: str, node: str) -> None:
    options = UploadBatchServiceLogsOptions(
        container_url="https://host/logs?sig=x", start_time=datetime.now(UTC)
    )
    result = batch.upload_node_logs(pool, node, options)
    assert result.number_of_files_uploaded == 0
    assert result.virtual_directory_name.startswith(f"{pool}/{node}/")


def test_extensions_are_not_installed(batch: BatchClient) -> None:
    options = pool_options(unique("pool"))
    assert options.virtual_machine_configuration is not None
    options.virtual_machine_configuration.extensions = [
        VMExtension(
            name="Watcher",
            publisher="somebody",
            type="agent",
            settings={"level": "1"},
            protected_settings={"key": PASSWORD},
        )
    ]
    with made_pool(batch, options) as pool:
        (node,) = batch.list_nodes(pool)
        (listed,) = batch.list_node_extensions(pool, node.id)
        found = batch.get_node_extension(pool, node.id, "watcher")

    assert found.as_dict().items() >= listed.as_dict().items()
    assert found.provisioning_state == "NotInstalled"
    assert found.vm_extension is not None
    assert (found.vm_extension.name, found.vm_extension.settings) == ("Watcher", {"level": "1"})
    assert found.vm_extension.protected_settings is None
    assert found.instance_view is not None
    (status,) = found.instance_view.statuses or []
    assert status.level == "Warning"
    assert status.time is not None


def test_a_node_without_extensions(batch: BatchClient, pool: str, node: str) -> None:
    assert list(batch.list_node_extensions(pool, node)) == []
    missing = refusal(lambda: batch.get_node_extension(pool, node, "none"))
    assert missing == (404, "ResourceNotFound")
