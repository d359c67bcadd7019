"""Every data plane command of `az batch`: over http with the account in the environment, each
command once in a process of its own, and over https with the account in the words and Penstock's
own authority.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTaskState

from tests.clients import results
from tests.clients.az import API_VERSION, AZURE_CLI, MISUSED, NOT_FOUND, WRONG, Az, Processes
from tests.clients.installs import Client, Install
from tests.clients.walk import SCRIPTS
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock, Ready
from tests.e2e.things import job_exists, nodes_ready, pool_exists, shell, unique
from tests.e2e.waiting import eventually

IMAGE: Final = (
    "--image",
    "canonical:0001-com-ubuntu-server-jammy:22_04-lts",
    "--node-agent-sku-id",
    "batch.node.ubuntu 22.04",
)
MACHINE: Final = {
    "imageReference": {
        "publisher": "canonical",
        "offer": "0001-com-ubuntu-server-jammy",
        "sku": "22_04-lts",
    },
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
NAME: Final = "az batch (azure-cli 2.91.0)"
KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIm0sZ0Bp5kGm2k5mGnbT5QKq0E4cEyIG0b7T3mrl1a4 a@b"
CRASH: Final = "AttributeError: 'RestRequestsTransportResponse' object has no attribute 'items'"
"""How this program ends when it is to show a file's properties, whatever the service says."""
WRITES: Final = "printf 'a\\000b\\r\\n\\377' > 'wd file+1.bin'"
BYTES: Final = b"a\0b\r\n\xff"
WITHIN_S: Final = 30.0


@pytest.fixture(scope="module", params=["http", "https"])
def way(request: pytest.FixtureRequest) -> str:
    """How the program goes to the service."""
    return str(request.param)


@pytest.fixture(scope="module")
def az(
    way: str,
    service: Penstock,
    installed: Callable[[Client], Install],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Az]:
    """The program, pointed at a service in one way and in the other."""
    go = _over_http if way == "http" else _over_https
    with go(installed(AZURE_CLI), tmp_path_factory.mktemp("az"), service.ready) as az:
        yield az


@contextmanager
def _over_http(install: Install, place: Path, ready: Ready) -> Iterator[Az]:
    with Witness(ready.endpoint, ready.account_name) as witness:
        variables = {
            "AZURE_BATCH_ACCOUNT": ready.account_name,
            "AZURE_BATCH_ACCESS_KEY": ready.account_key,
            "AZURE_BATCH_ENDPOINT": witness.endpoint,
        }
        processes = Processes(install, place, variables)
        with processes.as_one() as program:
            yield Az(program, place, first=processes, witness=witness)


@contextmanager
def _over_https(install: Install, place: Path, ready: Ready) -> Iterator[Az]:
    authority = {"REQUESTS_CA_BUNDLE": str(ready.ca_file)}
    with Processes(install, place, authority).as_one() as program:
        yield Az(program, place, account=_account(ready))


def _account(ready: Ready) -> list[str]:
    return [
        *("--account-name", ready.account_name),
        *("--account-key", ready.account_key),
        *("--account-endpoint", ready.tls_endpoint),
    ]


@pytest.fixture(scope="module")
def client(service: Penstock) -> BatchClient:
    """Looks on, and waits, without being a command."""
    return service.client()


@pytest.fixture(scope="module")
def pool(az: Az, client: BatchClient) -> Iterator[str]:
    """A pool of two nodes, made from flags."""
    name = unique("pool")
    az(
        "pool create",
        *("--id", name, "--vm-size", "STANDARD_D2S_V3", *IMAGE),
        *("--target-dedicated-nodes", "2", "--task-slots-per-node", "2"),
        *("--resize-timeout", "PT10M", "--metadata", "a=b", "c=d"),
        *("--start-task-command-line", shell("echo $A")),
        *("--start-task-environment-settings", "A=started"),
        *("--start-task-max-task-retry-count", "1", "--start-task-wait-for-success"),
    )
    nodes_ready(client, name, 2)
    yield name
    az("pool delete", "--pool-id", name, "--yes")
    eventually(lambda: not pool_exists(client, name), WITHIN_S, "the end of the pool")


@pytest.fixture
def node(pool: str, client: BatchClient) -> str:
    """A node of it."""
    return min(each.id or "" for each in nodes_ready(client, pool, 2))


@pytest.fixture
def job(az: Az, pool: str, client: BatchClient) -> Iterator[str]:
    """A job on it."""
    name = unique("job")
    az("job create", "--id", name, "--pool-id", pool)
    yield name
    if job_exists(client, name):
        az("job delete", "--job-id", name, "--yes")


def ended(client: BatchClient, job: str, task: str) -> None:
    """Wait until a task has run."""
    eventually(
        lambda: client.get_task(job, task).state == BatchTaskState.COMPLETED,
        WITHIN_S,
        f"the end of task {task}",
    )


# --- pools -------------------------------------------------------------------------------------


def test_pool_from_flags_is_shown(az: Az, pool: str) -> None:
    shown = az("pool show", "--pool-id", pool)
    assert shown["vmSize"] == "standard_d2s_v3"
    assert (shown["targetDedicatedNodes"], shown["currentDedicatedNodes"]) == (2, 2)
    assert (shown["taskSlotsPerNode"], shown["resizeTimeout"]) == (2, "PT10M")
    assert shown["metadata"] == [{"name": "a", "value": "b"}, {"name": "c", "value": "d"}]
    assert shown["virtualMachineConfiguration"]["nodeAgentSkuId"] == "batch.node.ubuntu 22.04"
    assert shown["virtualMachineConfiguration"]["imageReference"]["version"] == "latest"
    start = shown["startTask"]
    assert (start["maxTaskRetryCount"], start["waitForSuccess"]) == (1, True)
    assert start["environmentSettings"] == [{"name": "A", "value": "started"}]


def test_flags_of_the_machine_are_kept(az: Az) -> None:
    name = unique("machine")
    az(
        "pool create",
        *("--id", name, "--vm-size", "standard_d2s_v3", *IMAGE),
        *("--enable-inter-node-communication", "--accelerated-networking", "true"),
        *("--policy", "zonal", "--disk-encryption-targets", "temporarydisk"),
        *("--os-disk-caching", "readonly", "--os-disk-size", "64"),
        *("--storage-account-type", "premium_lrs", "--enable-write-accel", "true"),
        *("--security-type", "trustedLaunch", "--encryption-at-host"),
        *("--enable-secure-boot", "true", "--enable-vtpm", "true"),
        *("--upgrade-policy-mode", "rolling", "--max-batch-instance-percent", "20"),
        *("--pause-time-between-batches", "PT5S", "--resource-tags", "a=b c=d"),
    )
    shown = az("pool show", "--pool-id", name)
    assert shown["enableInterNodeCommunication"] is True
    assert shown["networkConfiguration"]["enableAcceleratedNetworking"] is True
    machine = shown["virtualMachineConfiguration"]
    assert machine["nodePlacementConfiguration"]["policy"] == "zonal"
    assert machine["diskEncryptionConfiguration"]["targets"] == ["temporarydisk"]
    assert machine["osDisk"]["caching"] == "readonly"
    assert machine["osDisk"]["diskSizeGb"] == 64
    assert machine["osDisk"]["managedDisk"]["storageAccountType"] == "premium_lrs"
    assert machine["securityProfile"]["uefiSettings"]["vTpmEnabled"] is True
    upgrade = shown["upgradePolicy"]
    assert upgrade["mode"] == "rolling"
    assert upgrade["rollingUpgradePolicy"]["maxBatchInstancePercent"] == 20
    assert upgrade["rollingUpgradePolicy"]["pauseTimeBetweenBatches"] == "PT5S"
    assert az("pool show", "--pool-id", name, "--select", "id, state").keys() == {
        "id",
        "state",
        "odata.metadata",
    }
    az("pool delete", "--pool-id", name, "--yes")


def test_pool_from_a_file_is_changed_and_deleted(az: Az, client: BatchClient) -> None:
    name = unique("file")
    content = {
        "id": name,
        "displayName": "Ein Bündel",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": MACHINE,
        "targetDedicatedNodes": "0",
        "taskSchedulingPolicy": {"nodeFillType": "Pack"},
        "startTask": {
            "commandLine": "/bin/true",
            "userIdentity": {"autoUser": {"scope": "Task", "elevationLevel": "Admin"}},
        },
        "userAccounts": [{"name": "worker", "password": "Kt#_gahe12", "elevationLevel": "admin"}],
        "metadata": [{"name": "from", "value": "file"}],
    }
    az("pool create", "--json-file", az.file(content))
    shown = az("pool show", "--pool-id", name)
    assert (shown["displayName"], shown["targetDedicatedNodes"]) == ("Ein Bündel", 0)
    assert shown["taskSchedulingPolicy"]["nodeFillType"].lower() == "pack"
    (user,) = shown["userAccounts"]
    assert (user["name"], user["elevationLevel"], user["password"]) == ("worker", "admin", None)
    assert shown["startTask"]["userIdentity"]["autoUser"]["elevationLevel"] == "admin"

    az("pool set", "--pool-id", name, "--metadata", "from=flags")
    assert az.value("metadata[0].value", "pool show", "--pool-id", name) == "flags"
    patch = {"startTask": {"commandLine": "/bin/echo", "maxTaskRetryCount": 2}}
    az("pool set", "--pool-id", name, "--json-file", az.file(patch))
    shown = az("pool show", "--pool-id", name)
    assert shown["startTask"]["commandLine"] == "/bin/echo"
    assert shown["metadata"] == [{"name": "from", "value": "flags"}]

    reset = az("pool reset", "--pool-id", name, "--start-task-command-line", "/bin/true")
    assert (reset["startTask"]["commandLine"], reset["metadata"] or []) == ("/bin/true", [])
    content = {"metadata": [{"name": "x", "value": "y"}]}
    reset = az("pool reset", "--pool-id", name, "--json-file", az.file(content))
    assert (reset["startTask"], reset["metadata"]) == (None, [{"name": "x", "value": "y"}])

    az.refused(
        WRONG, "PoolExists", "pool create", "--id", name, "--vm-size", "standard_d2s_v3", *IMAGE
    )
    az("pool delete", "--pool-id", name, "--yes")
    eventually(lambda: not pool_exists(client, name), WITHIN_S, "the end of the pool")
    az.refused(NOT_FOUND, "PoolNotFound", "pool delete", "--pool-id", name, "--yes")


def test_pool_is_resized_and_a_resize_stopped(az: Az, client: BatchClient) -> None:
    name = unique("size")
    az("pool create", "--id", name, "--vm-size", "standard_d2s_v3", *IMAGE)
    az(
        "pool resize",
        *("--pool-id", name, "--target-dedicated-nodes", "1", "--target-low-priority-nodes", "1"),
        *("--resize-timeout", "PT6M", "--node-deallocation-option", "taskcompletion"),
    )
    nodes_ready(client, name, 2)
    shown = az("pool show", "--pool-id", name)
    assert (shown["currentDedicatedNodes"], shown["currentLowPriorityNodes"]) == (1, 1)
    job = unique("job")
    az("job create", "--id", job, "--pool-id", name)
    az("task create", "--job-id", job, "--task-id", "t", "--command-line", "sleep 300")
    eventually(
        lambda: client.get_task(job, "t").state == BatchTaskState.RUNNING, WITHIN_S, "a busy node"
    )
    az(
        "pool resize",
        *("--pool-id", name, "--target-dedicated-nodes", "0", "--target-low-priority-nodes", "0"),
        *("--node-deallocation-option", "taskcompletion"),
    )
    assert az.value("allocationState", "pool show", "--pool-id", name) == "resizing"
    az("pool resize", "--pool-id", name, "--abort")
    eventually(
        lambda: client.get_pool(name).allocation_state == "steady", WITHIN_S, "a steady pool"
    )
    assert az.value("resizeErrors[].code", "pool show", "--pool-id", name) == "ResizeStopped"
    az("job delete", "--job-id", job, "--yes")
    az("pool delete", "--pool-id", name, "--yes")


def test_pools_are_listed(az: Az, pool: str) -> None:
    assert pool in az.value("[].id", "pool list").splitlines()
    only = ("--filter", f"id eq '{pool}' and state eq 'active'", "--select", "id, vmSize")
    (shown,) = az("pool list", *only)
    assert shown == {"id": pool, "vmSize": "standard_d2s_v3"}
    (shown,) = az("pool list", "--filter", f"id eq '{pool}'", "--expand", "stats")
    assert shown["stats"]["usageStats"]["dedicatedCoreTime"].startswith("PT")
    (counts,) = az("pool node-counts list", "--filter", f"poolId eq '{pool}'")
    assert (counts["dedicated"]["idle"], counts["dedicated"]["upgradingOs"]) == (2, 0)
    assert counts["lowPriority"]["total"] == 0
    table = az.text("pool node-counts list", "-o", "table")
    assert "Dedicated Idle" in table
    assert pool in table
    images = az("pool supported-images list", "--filter", "osType eq 'linux'")
    assert MACHINE["nodeAgentSKUId"] in {image["nodeAgentSkuId"] for image in images}
    told = az.refused(
        WRONG, "InvalidQueryParameterValue", "pool list", "--filter", "colour eq 'red'"
    )
    assert "QueryParameterName: $filter" in told


def test_pool_usage_is_listed(az: Az, pool: str) -> None:
    assert pool in az.value("[].poolId", "pool usage-metrics list").splitlines()
    now = datetime.now(UTC)
    since, till = (now - timedelta(hours=2)).isoformat(), now.isoformat()
    metrics = az("pool usage-metrics list", "--start-time", since, "--end-time", till)
    assert all(each["totalCoreHours"] >= 0 for each in metrics)


def test_conditions_are_honoured(az: Az, pool: str) -> None:
    tag = az.value("eTag", "pool show", "--pool-id", pool)
    az("pool show", "--pool-id", pool, "--if-match", tag)
    az.refused(WRONG, "ConditionNotMet", "pool show", "--pool-id", pool, "--if-match", "0x1")
    same = az.run("pool show", "--pool-id", pool, "--if-none-match", tag)
    assert (same.code, same.error.endswith("'Not Modified'")) == (WRONG, True)
    since = datetime.now(UTC).isoformat()
    same = az.run("pool show", "--pool-id", pool, "--if-modified-since", since)
    assert (same.code, same.error.endswith("'Not Modified'")) == (WRONG, True)
    az("pool show", "--pool-id", pool, "--if-unmodified-since", since)


def test_formulas_are_refused_until_there_are_any(az: Az, pool: str) -> None:
    at = ("--pool-id", pool)
    formula = ("--auto-scale-formula", "$TargetDedicatedNodes=0;")
    interval = ("--auto-scale-evaluation-interval", "PT6M")
    told = az.refused(
        WRONG, "InvalidPropertyValue", "pool autoscale enable", *at, *formula, *interval
    )
    assert "PropertyName: autoScaleFormula" in told
    evaluate = "pool autoscale evaluate"
    az.refused(WRONG, "OperationNotValidOnPool", evaluate, *at, *formula)
    file = az.file({"autoScaleFormula": "$TargetDedicatedNodes=0;"})
    az.refused(WRONG, "OperationNotValidOnPool", evaluate, *at, "--json-file", file)
    az("pool autoscale disable", *at)


# --- nodes -------------------------------------------------------------------------------------


def test_nodes_are_shown(az: Az, pool: str, node: str) -> None:
    assert node in az.value("[].id", "node list", "--pool-id", pool).splitlines()
    only = ("--filter", "state eq 'idle'", "--select", "id,state")
    assert len(az("node list", "--pool-id", pool, *only)) == 2
    shown = az("node show", "--pool-id", pool, "--node-id", node)
    assert (shown["state"], shown["startTaskInfo"]["exitCode"]) == ("idle", 0)
    at = ("--pool-id", pool, "--node-id")
    az.refused(NOT_FOUND, "NodeNotFound", "node show", *at, "tvm-none")


def test_node_is_rebooted_and_taken_out_of_the_schedule(
    az: Az, pool: str, node: str, client: BatchClient
) -> None:
    at = ("--pool-id", pool, "--node-id", node)
    az("node scheduling disable", *at)
    assert az.value("schedulingState", "node show", *at) == "disabled"
    az.refused(WRONG, "NodeAlreadyInTargetSchedulingState", "node scheduling disable", *at)
    az("node scheduling enable", *at)
    # Its own fault: it wraps the option in an object of the same name.
    how = ("--node-disable-scheduling-option", "terminate")
    told = az.refused(WRONG, "InvalidPropertyValue", "node scheduling disable", *at, *how)
    assert 'PropertyValue: {"nodeDisableSchedulingOption":"terminate"}' in told
    nodes_ready(client, pool, 2)
    booted = client.get_node(pool, node).last_boot_time
    az("node reboot", *at, "--node-reboot-option", "terminate")
    eventually(
        lambda: client.get_node(pool, node).last_boot_time not in (booted, None),
        WITHIN_S,
        "a node that has booted",
    )
    nodes_ready(client, pool, 2)


def test_node_is_removed(az: Az, client: BatchClient) -> None:
    name = unique("gone")
    az(
        "pool create",
        *("--id", name, "--vm-size", "standard_d2s_v3", *IMAGE, "--target-dedicated-nodes", "3"),
    )
    first, second, _ = sorted(each.id or "" for each in nodes_ready(client, name, 3))
    how = ("--node-deallocation-option", "terminate", "--resize-timeout", "PT5M")
    az("node delete", "--pool-id", name, "--node-list", first, second, *how)
    nodes_ready(client, name, 1)
    assert az.value("targetDedicatedNodes", "pool show", "--pool-id", name) == "1"
    az.refused(NOT_FOUND, "NodeNotFound", "node delete", "--pool-id", name, "--node-list", first)
    az("pool delete", "--pool-id", name, "--yes")


def test_users_of_a_node(az: Az, pool: str, node: str) -> None:
    at = ("--pool-id", pool, "--node-id", node)
    made = ("--name", "someone", "--password", "Kt#_gahe12", "--is-admin")
    az("node user create", *at, *made, "--expiry-time", "2130-01-01T00:00:00Z")
    az.refused(WRONG, "NodeUserExists", "node user create", *at, *made)
    content = {"name": "other", "sshPublicKey": KEY, "isAdmin": False}
    az("node user create", *at, "--json-file", az.file(content))
    az("node user reset", *at, "--user-name", "someone", "--password", "Kt#_gahe13")
    content = {"sshPublicKey": KEY, "expiryTime": "2130-01-01T00:00:00Z"}
    az("node user reset", *at, "--user-name", "other", "--json-file", az.file(content))
    for name in ("someone", "other"):
        az("node user delete", *at, "--user-name", name, "--yes")
    again = ("--user-name", "other", "--yes")
    az.refused(NOT_FOUND, "NodeUserNotFound", "node user delete", *at, *again)


def test_remote_login_and_logs_of_a_node(az: Az, pool: str, node: str) -> None:
    at = ("--pool-id", pool, "--node-id", node)
    az.refused(WRONG, "OperationNotValidOnNode", "node remote-login-settings show", *at)
    content = {
        "containerUrl": "https://127.0.0.1/logs?sig=none",
        "startTime": "2026-01-01T00:00:00Z",
    }
    where = ("--container-url", content["containerUrl"], "--start-time", content["startTime"])
    for words in (where, ("--json-file", az.file(content))):
        sent = az("node service-logs upload", *at, *words)
        assert sent["numberOfFilesUploaded"] == 0
        assert node in sent["virtualDirectoryName"]


def test_applications_are_listed(az: Az) -> None:
    assert az("application summary list") == []
    none = ("--application-id", "none")
    az.refused(NOT_FOUND, "ApplicationNotFound", "application summary show", *none)


def test_node_files(az: Az, pool: str, node: str, tmp_path: Path) -> None:
    at = ("--pool-id", pool, "--node-id", node)
    names = az.value("[].name", "node file list", *at, "--recursive").splitlines()
    assert {"startup", "startup/stdout.txt", "shared"} <= set(names)
    prefix = ("--filter", "startswith(name,'start')")
    assert az.value("[].name", "node file list", *at, *prefix) == "startup"
    path = ("--file-path", "startup/stdout.txt")
    az("node file download", *at, *path, "--destination", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"started\n"
    shown = az.run("node file show", *at, *path)
    assert (shown.code, shown.error) == (WRONG, CRASH)
    az("node file delete", *at, *path, "--yes")
    az.refused(NOT_FOUND, "FileNotFound", "node file delete", *at, *path, "--yes")


# --- jobs --------------------------------------------------------------------------------------


def test_job_from_flags_is_changed(az: Az, pool: str, client: BatchClient) -> None:
    name = unique("job")
    az(
        "job create",
        *("--id", name, "--pool-id", pool, "--priority", "7", "--max-parallel-tasks", "5"),
        *("--allow-task-preemption", "--uses-task-dependencies", "--metadata", "a=b"),
        *("--job-max-wall-clock-time", "PT2H", "--job-max-task-retry-count", "1"),
        *("--on-all-tasks-complete", "noaction"),
    )
    at = ("--job-id", name)
    shown = az("job show", *at)
    assert (shown["priority"], shown["maxParallelTasks"]) == (7, 5)
    assert (shown["allowTaskPreemption"], shown["usesTaskDependencies"]) == (True, True)
    assert shown["constraints"] == {"maxWallClockTime": "PT2H", "maxTaskRetryCount": 1}
    az("job set", *at, "--priority", "-9")
    az("job set", *at, "--json-file", az.file({"maxParallelTasks": 3}))
    shown = az("job show", *at)
    assert (shown["priority"], shown["maxParallelTasks"]) == (-9, 3)
    az("job reset", *at, "--pool-id", pool, "--metadata", "c=d")
    shown = az("job show", *at)
    assert (shown["priority"], shown["maxParallelTasks"]) == (0, -1)
    assert shown["metadata"] == [{"name": "c", "value": "d"}]
    content = {"poolInfo": {"poolId": pool}, "priority": 4}
    az("job reset", *at, "--json-file", az.file(content))
    assert az.value("priority", "job show", *at) == "4"
    told = az.refused(WRONG, "InvalidPropertyValue", "job set", *at, "--priority", "1001")
    assert "PropertyName: priority" in told

    az("job disable", *at, "--disable-tasks", "requeue")
    eventually(lambda: client.get_job(name).state == "disabled", WITHIN_S, "a disabled job")
    az("job enable", *at)
    az("job disable", *at, "--json-file", az.file({"disableTasks": "Terminate"}))
    az("job enable", *at)
    az("job stop", *at, "--terminate-reason", "enough")
    eventually(lambda: client.get_job(name).state == "completed", WITHIN_S, "a completed job")
    assert az.value("executionInfo.terminateReason", "job show", *at) == "enough"
    az.refused(WRONG, "JobCompleted", "job stop", *at)
    az("job delete", *at, "--yes")
    az.refused(NOT_FOUND, "JobNotFound", "job show", "--job-id", unique("none"))


def test_job_from_a_file_runs_its_special_tasks(az: Az, pool: str, client: BatchClient) -> None:
    name = unique("job")
    content = {
        "id": name,
        "displayName": "all of it",
        "priority": "5",
        "poolInfo": {"poolId": pool},
        "constraints": {"maxTaskRetryCount": "2", "maxWallClockTime": "PT1H"},
        "jobManagerTask": {
            "id": "manager",
            "commandLine": shell("echo $WHO"),
            "killJobOnCompletion": False,
        },
        "jobPreparationTask": {"commandLine": "/bin/true"},
        "jobReleaseTask": {"commandLine": "/bin/true"},
        "commonEnvironmentSettings": [{"name": "WHO", "value": "me"}],
        "onAllTasksComplete": "TerminateJob",
    }
    az("job create", "--json-file", az.file(content))
    at = ("--job-id", name)
    assert az.value("displayName", "job show", *at, "--select", "displayName") == "all of it"
    eventually(lambda: client.get_job(name).state == "completed", WITHIN_S, "a completed job")
    (status,) = az("job prep-release-status list", *at)
    assert status["jobPreparationTaskExecutionInfo"]["exitCode"] == 0
    assert az.value("taskCounts.succeeded", "job task-counts show", *at) == "1"
    assert name in az.value("[].id", "job list", "--filter", "state eq 'completed'").splitlines()
    assert az("job list", "--select", "id", "--expand", "stats")
    assert "Id" in az.text("job list", "-o", "table").splitlines()[0]
    az("job delete", *at, "--yes")


def test_job_without_preparation_has_no_status_of_it(az: Az, job: str) -> None:
    az.refused(
        WRONG,
        "JobPreparationTaskOrReleaseTaskNotSpecified",
        "job prep-release-status list",
        "--job-id",
        job,
    )


# --- job schedules -----------------------------------------------------------------------------


def test_schedule_from_flags_is_changed(az: Az, pool: str, client: BatchClient) -> None:
    name = unique("schedule")
    az(
        "job-schedule create",
        *("--id", name, "--pool-id", pool, "--recurrence-interval", "PT1H"),
        *("--start-window", "PT10M", "--do-not-run-after", "2131-01-01T00:00:00Z"),
        *("--job-manager-task-id", "manager", "--job-manager-task-command-line", "sleep 300"),
        *("--job-manager-task-environment-settings", "A=b", "--required-slots", "2"),
        *("--metadata", "a=b", "--job-metadata", "c=d", "--priority", "3"),
        *("--max-parallel-tasks", "4", "--uses-task-dependencies", "--allow-task-preemption"),
        *("--job-max-wall-clock-time", "PT1H", "--job-max-task-retry-count", "2"),
        *("--on-all-tasks-complete", "terminatejob"),
    )
    at = ("--job-schedule-id", name)
    shown = az("job-schedule show", *at)
    assert shown["schedule"] == {
        "recurrenceInterval": "PT1H",
        "startWindow": "PT10M",
        "doNotRunAfter": "2131-01-01T00:00:00.0000000Z",
    }
    jobs = shown["jobSpecification"]
    assert (jobs["priority"], jobs["metadata"]) == (3, [{"name": "c", "value": "d"}])
    assert jobs["jobManagerTask"]["requiredSlots"] == 2
    eventually(lambda: job_exists(client, f"{name}:job-1"), WITHIN_S, "its job")
    assert az.value("[].id", "job list", *at) == f"{name}:job-1"
    assert az.value("id", "job show", "--job-id", f"{name}:job-1") == f"{name}:job-1"

    az("job-schedule set", *at, "--metadata", "e=f")
    az("job-schedule set", *at, "--recurrence-interval", "PT2H")
    shown = az("job-schedule show", *at)
    assert shown["schedule"] == {"recurrenceInterval": "PT2H"}
    assert shown["metadata"] == [{"name": "e", "value": "f"}]
    az("job-schedule reset", *at, "--pool-id", pool, "--recurrence-interval", "PT3H")
    shown = az("job-schedule show", *at)
    assert (shown["schedule"], shown.get("metadata", [])) == ({"recurrenceInterval": "PT3H"}, [])
    az("job-schedule disable", *at)
    assert az.value("state", "job-schedule show", *at) == "disabled"
    az("job-schedule enable", *at)
    az("job-schedule stop", *at)
    eventually(
        lambda: client.get_job_schedule(name).state == "completed", WITHIN_S, "the schedule's end"
    )
    az("job-schedule delete", *at, "--yes")
    az.refused(NOT_FOUND, "JobScheduleNotFound", "job list", "--job-schedule-id", unique("none"))


def test_schedule_from_a_file(az: Az, pool: str) -> None:
    name = unique("schedule")
    content: dict[str, Any] = {
        "id": name,
        "schedule": {"doNotRunUntil": "2130-01-01T00:00:00Z"},
        "jobSpecification": {"poolInfo": {"poolId": pool}, "priority": "2"},
    }
    az("job-schedule create", "--json-file", az.file(content))
    (shown,) = az("job-schedule list", "--filter", f"id eq '{name}'", "--expand", "stats")
    assert shown["executionInfo"]["nextRunTime"] == "2130-01-01T00:00:00.0000000Z"
    assert shown["jobSpecification"]["priority"] == 2
    at = ("--job-schedule-id", name)
    content = {"metadata": [{"name": "a", "value": "b"}]}
    az("job-schedule set", *at, "--json-file", az.file(content))
    assert az.value("metadata[].name", "job-schedule show", *at, "--select", "metadata") == "a"
    content = {
        "schedule": {"recurrenceInterval": "PT5H", "doNotRunUntil": "2130-01-01T00:00:00Z"},
        "jobSpecification": {"poolInfo": {"poolId": pool}},
    }
    az("job-schedule reset", *at, "--json-file", az.file(content))
    assert az.value("schedule.recurrenceInterval", "job-schedule show", *at) == "PT5H"
    az("job-schedule delete", *at, "--yes")


# --- tasks -------------------------------------------------------------------------------------


def test_task_from_flags_and_its_files(
    az: Az, job: str, client: BatchClient, tmp_path: Path
) -> None:
    made = az(
        "task create",
        *("--job-id", job, "--task-id", "t", "--command-line", shell(f"{WRITES}; echo $A")),
        *("--environment-settings", "A=hello", "--affinity-id", "TVM:nowhere"),
        *("--max-task-retry-count", "2", "--retention-time", "P1D"),
        *("--max-wall-clock-time", "PT1H"),
    )
    assert made["id"] == "t"
    assert made["constraints"] == {
        "maxTaskRetryCount": 2,
        "retentionTime": "P1D",
        "maxWallClockTime": "PT1H",
    }
    ended(client, job, "t")
    at = ("--job-id", job, "--task-id", "t")
    shown = az("task show", *at, "--expand", "stats")
    assert (shown["state"], shown["executionInfo"]["exitCode"]) == ("completed", 0)
    names = az.value("[].name", "task file list", *at, "--recursive").splitlines()
    assert {"stdout.txt", "stderr.txt", "wd", "wd/wd file+1.bin"} <= set(names)
    path = ("--file-path", "wd/wd file+1.bin")
    az("task file download", *at, *path, "--destination", str(tmp_path / "whole"))
    assert (tmp_path / "whole").read_bytes() == BYTES
    part = ("--start-range", "1", "--end-range", "3", "--destination", str(tmp_path / "part"))
    az("task file download", *at, *path, *part)
    assert (tmp_path / "part").read_bytes() == BYTES[1:4]
    (tmp_path / "in").mkdir()
    shown = az.run("task file show", *at, *path)
    assert (shown.code, shown.error) == (WRONG, CRASH)
    where = ("--destination", str(tmp_path / "none"))
    az.refused(NOT_FOUND, "FileNotFound", "task file download", *at, "--file-path", "none", *where)
    az("task file delete", *at, *path, "--yes")
    az("task file delete", *at, "--file-path", "wd", "--recursive", "--yes")
    assert az("task subtask list", *at) == []
    az.refused(WRONG, "TaskSucceeded", "task reactivate", *at)
    az("task delete", *at, "--yes")
    az.refused(NOT_FOUND, "TaskNotFound", "task show", *at)


def test_task_is_changed_stopped_and_run_again(az: Az, job: str, client: BatchClient) -> None:
    at = ("--job-id", job, "--task-id", "t")
    az("task create", *at, "--command-line", "sleep 300")
    az("task reset", *at, "--max-task-retry-count", "3", "--retention-time", "PT1H")
    shown = az("task show", *at)["constraints"]
    assert (shown["maxTaskRetryCount"], shown["retentionTime"]) == (3, "PT1H")
    content = {"constraints": {"maxTaskRetryCount": 1}}
    az("task reset", *at, "--json-file", az.file(content))
    assert az.value("constraints.retentionTime", "task show", *at) == "P7D"
    az("task stop", *at)
    ended(client, job, "t")
    assert az.value("executionInfo.failureInfo.code", "task show", *at) == "TaskEnded"
    az.refused(WRONG, "TaskCompleted", "task stop", *at)
    az("task reactivate", *at)
    eventually(
        lambda: client.get_task(job, "t").state != BatchTaskState.COMPLETED, WITHIN_S, "a new run"
    )
    az("task stop", *at)


def test_tasks_from_files(az: Az, job: str, client: BatchClient) -> None:
    one = {
        "id": "one",
        "commandLine": "/bin/false",
        "constraints": {"maxTaskRetryCount": "1"},
        "exitConditions": {"default": {"dependencyAction": "Block"}},
    }
    made = az("task create", "--job-id", job, "--json-file", az.file(one))
    assert made["constraints"]["maxTaskRetryCount"] == 1
    many = [{"id": f"m{number}", "commandLine": "/bin/true"} for number in range(250)]
    made = az("task create", "--job-id", job, "--json-file", az.file(many))
    assert {each["taskId"] for each in made} == {each["id"] for each in many}
    assert {each["status"].lower() for each in made} == {"success"}
    for name in ("one", *(each["id"] for each in many)):
        ended(client, job, name)
    ids = az.value("[].id", "task list", "--job-id", job, "--select", "id").splitlines()
    assert sorted(ids) == sorted(["one", *(each["id"] for each in many)])
    failed = ("--filter", "state eq 'completed' and executionInfo/exitCode ne 0")
    assert az.value("[].id", "task list", "--job-id", job, *failed) == "one"
    assert az.value("taskCounts.failed", "job task-counts show", "--job-id", job) == "1"
    # This program takes the body of an add-collection for one task, and so sends none with an id.
    told = az.refused(
        WRONG,
        "MissingRequiredProperty",
        "task create",
        *("--job-id", job, "--json-file", az.file({"value": many[:2]})),
    )
    assert "PropertyName: id" in told


def test_subtasks_are_listed(az: Az, client: BatchClient) -> None:
    pool, job = unique("pool"), unique("job")
    az(
        "pool create",
        *("--id", pool, "--vm-size", "standard_d2s_v3", *IMAGE),
        *("--target-dedicated-nodes", "2", "--enable-inter-node-communication"),
    )
    az("job create", "--id", job, "--pool-id", pool)
    many = {"numberOfInstances": 2, "coordinationCommandLine": "/bin/true"}
    task = {"id": "t", "commandLine": "/bin/true", "multiInstanceSettings": many}
    az("task create", "--job-id", job, "--json-file", az.file(task))
    ended(client, job, "t")
    (subtask,) = az("task subtask list", "--job-id", job, "--task-id", "t")
    assert (subtask["id"], subtask["exitCode"]) == (1, 0)
    az("job delete", "--job-id", job, "--yes")
    az("pool delete", "--pool-id", pool, "--yes")


# --- what is wrong with a call -----------------------------------------------------------------


def test_misuse_and_wrong_accounts_are_told_apart(az: Az, pool: str) -> None:
    at = ("--pool-id", pool)
    assert az.run("pool show").code == MISUSED
    assert az.run("pool set", *at, "--json-file", "/none.json").code == MISUSED
    told = az.refused(
        WRONG, "AuthenticationFailed", "pool show", *at, "--account-key", "c29tZSBvdGhlciBrZXk="
    )
    assert "AuthenticationErrorDetail: " in told
    az.refused(WRONG, "AuthenticationFailed", "pool show", *at, "--account-name", "nobody")
    # Its own fault: it hands a word to the HTTP library that was for itself.
    crashed = az.run(
        "pool create",
        *("--id", unique("pool"), "--vm-size", "standard_d2s_v3", *IMAGE),
        *("--auto-scale-formula", "$TargetDedicatedNodes=0;"),
    )
    assert "unexpected keyword argument 'enable_auto_scale'" in crashed.error


def test_https_needs_the_authority(
    service: Penstock, installed: Callable[[Client], Install], tmp_path: Path
) -> None:
    program = Processes(installed(AZURE_CLI), tmp_path, {})
    done = Az(program, tmp_path, account=_account(service.ready)).run("pool list")
    assert done.code == WRONG
    assert "CERTIFICATE_VERIFY_FAILED" in done.err


# --- what was done -----------------------------------------------------------------------------


def test_every_command_was_used_and_its_operations_worked(
    az: Az, installed: Callable[[Client], Install], tmp_path: Path, ran: set[str], way: str
) -> None:
    others = {
        name for name in globals() if name.startswith("test_") and f"{name}[{way}]" not in ran
    }
    if others != {
        "test_every_command_was_used_and_its_operations_worked",
        "test_https_needs_the_authority",
    }:
        pytest.skip("it sums up the other tests of this file")
    program = Processes(installed(AZURE_CLI), tmp_path, {})
    known = json.loads(program.python(str(SCRIPTS / "az_commands.py")).out)
    assert set(known) - az.used == set()
    if az.steps:
        results.check("az-batch-2.91.0", results.measured(NAME, API_VERSION, az.steps))
