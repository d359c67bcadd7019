"""`penstock up`: it starts, says where it is, keeps its state, and leaves nothing behind."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from azure.batch.models import BatchTask, BatchTaskState

from tests.e2e.harness import Penstock, environment, refused
from tests.e2e.things import (
    all_completed,
    job_options,
    nodes_ready,
    pool_options,
    run,
    running,
    shell,
    stdout,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

ACCOUNT = "devbatchaccount1"


# --- the ready file ----------------------------------------------------------------------------


def test_the_ready_file_has_the_fields_of_the_contract(plain: Penstock) -> None:
    said = json.loads(plain.ready_file.read_text())

    assert set(said) >= {
        "endpoint",
        "tlsEndpoint",
        "caFile",
        "accountName",
        "accountKey",
        "storageConnectionString",
        "dataDir",
        "pid",
    }
    assert said["endpoint"].startswith("http://127.0.0.1:")
    assert said["tlsEndpoint"].startswith("https://")
    assert "BEGIN CERTIFICATE" in Path(said["caFile"]).read_text()
    assert "PRIVATE KEY" not in Path(said["caFile"]).read_text()
    assert said["accountName"] == ACCOUNT
    assert len(base64.b64decode(said["accountKey"], validate=True)) == 64
    assert not said["storageConnectionString"]
    assert Path(said["dataDir"]) == plain.data
    assert said["pid"] == plain.process.pid, "the process started is the server itself"


def test_the_ready_file_names_the_linked_storage_account(stored: Penstock) -> None:
    connection = stored.ready.storage_connection_string

    assert connection is not None
    assert "BlobEndpoint=http://127.0.0.1:" in connection
    container = unique("ready")
    blobs = stored.blobs()
    blobs.create_container(container)
    assert container in [found.name for found in blobs.list_containers()]
    blobs.delete_container(container)


@pytest.mark.parametrize(("storage", "bound_s"), [("none", 3.0), ("azurite", 10.0)])
def test_a_warm_start_is_ready_soon(
    stored: Penstock, tmp_path: Path, storage: str, bound_s: float
) -> None:
    with Penstock(tmp_path / "data", storage=storage) as service:
        service.restart()
        print(f"\nready after {service.start_s:.2f} s with storage {storage} (bound {bound_s} s)")
        assert service.start_s < 3 * bound_s, "far over the bound, even for a busy machine"
        assert list(service.client().list_pools()) == []


def test_the_development_account_is_the_same_everywhere(plain: Penstock, tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as other:
        assert other.ready.account_name == plain.ready.account_name == ACCOUNT
        assert other.ready.account_key == plain.ready.account_key


def test_alive_and_ready_need_no_authentication(plain: Penstock) -> None:
    for path in ("/alive", "/ready"):
        assert httpx.get(plain.ready.endpoint + path, trust_env=False).status_code == 200


def test_both_endpoints_show_the_same_state(
    plain: Penstock, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(plain.ready.ca_file))
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)

    assert plain.client(tls=True).get_pool(pool).id == plain.client().get_pool(pool).id == pool


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["TERM", "Ctrl-C"]
)
def test_a_signal_ends_everything_that_it_started(
    stored: Penstock, tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    service = Penstock(tmp_path / "data", storage="azurite")
    service.start()
    client = service.client()
    client.create_pool(pool_options("p", nodes=2, slots=2))
    client.create_job(job_options("j", "p"))
    client.create_task("j", task_options("deaf", shell("trap '' TERM; sleep 1000 & wait")))
    running(client, "j", "deaf")  # by the record, which is there before the process is
    eventually(lambda: len(service.living()) >= 4, 5, "server, node host, Azurite, task")

    took_s = service.terminate(number, group=group)  # checks that nothing is left

    print(f"\nall processes ended {took_s:.2f} s after {number!r} (bound 5 s)")


@pytest.mark.parametrize(
    "sign",
    ["", "endpoint", "logs/node-host.log", "node-host.process", "node-host", "store/penstock.db"],
)
def test_it_stops_while_it_starts(tmp_path: Path, sign: str) -> None:
    service = Penstock(tmp_path / "data")
    with service.log.open("wb") as log:
        process = subprocess.Popen(
            service.command(), stdout=log, stderr=log, env=environment(), start_new_session=True
        )
    eventually((service.data / sign).exists, 10, "a sign of its start", every_s=0.0005)

    process.terminate()

    process.wait(timeout=10)
    service.expect_nothing_left(5)


# --- one at a time -----------------------------------------------------------------------------


def test_a_second_one_on_the_same_data_is_refused(plain: Penstock, pool: str) -> None:
    before = plain.ready_file.read_text()
    second = plain.data.parent / "second.json"
    command = ["up", "--data", str(plain.data), "--port", "0", "--tls-port", "0"]

    printed = refused([*command, "--storage", "none", "--ready-file", str(second)])

    assert str(plain.data) in printed.replace("\n", ""), "it names the directory that is in use"
    assert str(plain.ready.pid) in printed, "it names the process that has it"
    assert not second.exists()
    assert plain.ready_file.read_text() == before
    assert plain.client().get_pool(pool).id == pool


def test_a_port_in_use_is_refused_with_the_reason(plain: Penstock, tmp_path: Path) -> None:
    taken = plain.ready.endpoint.rpartition(":")[2]
    command = ["up", "--data", str(tmp_path / "data"), "--storage", "none"]

    printed = refused([*command, "--port", taken, "--tls-port", "0"])

    assert taken in printed
    Penstock(tmp_path / "data").expect_nothing_left(5)


# --- state -------------------------------------------------------------------------------------


def test_state_and_files_survive_a_restart(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=2))
        nodes = {node.id for node in nodes_ready(client, "p", 2)}
        client.create_job(job_options("j", "p"))
        tasks = [task_options(f"t{i}", shell(f"echo said {i}; exit {i}")) for i in range(3)]
        expected = _shown(run(client, "j", tasks), service.ready.endpoint)

        service.restart()

        client = service.client()
        assert [stdout(client, "j", f"t{i}") for i in range(3)] == [f"said {i}\n" for i in range(3)]
        assert {node.id for node in nodes_ready(client, "p", 2)} == nodes
        after = {task.id: task for task in client.list_tasks("j")}
        assert _shown(after, service.ready.endpoint) == expected
        counts = client.get_job_task_counts("j").task_counts
        assert (counts.active, counts.running, counts.succeeded, counts.failed) == (0, 0, 1, 2)

        client.create_task("j", task_options("later", "/bin/true"))
        assert all_completed(client, "j", 4, 20)["later"].state == BatchTaskState.COMPLETED


def _shown(tasks: Mapping[str, BatchTask], endpoint: str) -> str:
    """All that the service says of tasks, without the port that it has by chance."""
    said = {task_id: task.as_dict() for task_id, task in sorted(tasks.items())}
    return json.dumps(said, indent=1, sort_keys=True).replace(endpoint.rstrip("/"), "")


def test_a_clean_stop_requeues_what_runs(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p"))
        client.create_job(job_options("j", "p"))
        flag = tmp_path / "go"
        script = f"while ! [ -e {flag} ]; do sleep 0.05; done; echo done"
        client.create_task("j", task_options("t", shell(script)))
        running(client, "j", "t")

        service.restart()
        flag.touch()

        client = service.client()
        task = all_completed(client, "j", 1, 30)["t"]
        assert task.execution_info is not None
        assert task.execution_info.exit_code == 0
        assert task.execution_info.requeue_count == 1
        assert stdout(client, "j", "t") == "done\n"


def test_the_certificate_is_made_once(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        before = service.ready.ca_file.read_bytes()
        service.restart()
        assert service.ready.ca_file.read_bytes() == before


# --- settings ----------------------------------------------------------------------------------


def test_an_unknown_setting_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text('fish_per_second = 3\n[sea]\ncolour = "green"\n')
    data = tmp_path / "data"
    command = ["up", "--data", str(data), "--port", "0", "--tls-port", "0"]

    printed = refused([*command, "--storage", "none", "--config", str(config)])

    assert "fish_per_second" in printed
    assert "sea" in printed, "all unknown names in one message"
    Penstock(data).expect_nothing_left(5)


def test_an_unknown_setting_in_the_environment_is_refused_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = ["up", "--data", str(data), "--port", "0", "--tls-port", "0"]

    printed = refused([*command, "--storage", "none"], PENSTOCK_FISH_PER_SECOND="3")

    assert "PENSTOCK_FISH_PER_SECOND" in printed.upper()


def test_a_config_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text("this is = = not toml")

    printed = refused(["up", "--data", str(tmp_path / "d"), "--config", str(config)])

    assert "penstock.toml" in printed.replace("\n", "")
