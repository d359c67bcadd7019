"""Snakemake 7 with `--az-batch`: a small workflow, whose rules run as tasks on our nodes.

Its tasks ask for a container; Penstock has none yet, so this one is told to run their commands as
plain processes, which find snakemake itself on the path. It wants a name for each account, the
storage one with the domain that Azure has, and a proxy knows where those are.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from azure.batch import BatchClient
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
)

from penstock.launch import azurite, azurite_install, tls
from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.proxy import NameProxy
from tests.clients.results import Step
from tests.clients.walk import SCRIPTS
from tests.clients.witness import Witness
from tests.e2e.harness import FIRST_AZURITE_S, STOP_S, Penstock
from tests.e2e.waiting import eventually

VERSION: Final = "2024-02-01.19.0"
SNAKEMAKE: Final = Client(
    name="snakemake",
    version="7.32.4",
    packages=(
        "snakemake==7.32.4",
        "pulp<2.8",  # newer ones lack what it calls
        "azure-batch==14.2.0",
        "azure-mgmt-batch<18",
        "azure-identity",
        "azure-storage-blob",
        "msrest",
    ),
    python="3.11",
)
WORKFLOW: Final = Path(__file__).parent / "workflow"
STORAGE: Final = f"{azurite.ACCOUNT}.blob.core.windows.net.example"
CONTAINER: Final = "flow"
RUN_S: Final = 240
GONE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A Penstock and a storage account, each known by the name that Snakemake wants."""

    install: Install
    place: Path
    account: str
    """The URL of the Batch account."""
    key: str
    witness: Witness
    client: BatchClient
    blobs: BlobServiceClient


@pytest.fixture(scope="module")
def stage(
    installed: Callable[[Client], Install], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    install, place = installed(SNAKEMAKE), tmp_path_factory.mktemp("snakemake")
    files = tls.ensure(place, tls.names_for((STORAGE,)), tls.utc_now())
    places: dict[str, tuple[str, int]] = {}
    with (
        storage(place, files) as port,
        NameProxy(places) as proxy,
        pytest.MonkeyPatch.context() as own,
    ):
        places[STORAGE] = ("127.0.0.1", port)
        for name, value in {
            "HTTP_PROXY": proxy.url,
            "HTTPS_PROXY": proxy.url,
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(files.ca),
            "REQUESTS_CA_BUNDLE": str(files.ca),
            "PATH": f"{install.runner.parent}{os.pathsep}{os.environ['PATH']}",
            "PENSTOCK_CONTAINER_TASKS": "host",
        }.items():
            own.setenv(name, value)
        with (
            Penstock(place / "data") as service,
            Witness(service.ready.endpoint, service.ready.account_name) as witness,
        ):
            account = f"{service.ready.account_name}.batch.example"
            places[account] = ("127.0.0.1", urlsplit(witness.endpoint).port or 0)
            blobs = BlobServiceClient(
                f"https://127.0.0.1:{port}/{azurite.ACCOUNT}",
                credential=azurite.KEY,
                connection_verify=str(files.ca),
            )
            blobs.create_container(CONTAINER)
            key = service.ready.account_key
            yield Stage(install, place, f"http://{account}", key, witness, service.client(), blobs)
            blobs.close()
        assert proxy.unknown == set()


@contextmanager
def storage(place: Path, files: tls.TlsFiles) -> Iterator[int]:
    """Azurite with TLS, on which Snakemake insists; gives its port."""
    installation = azurite_install.ensure(azurite_install.user_cache())
    port = azurite.port_of(place / "port", random.Random())
    words = azurite.command(installation, port, place / "blobs")
    with (place / "azurite.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--cert", files.certificate, "--key", files.key],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: azurite.occupied(port), FIRST_AZURITE_S, "Azurite with TLS")
        yield port
    finally:
        process.terminate()
        process.wait(STOP_S)


def test_workflow_runs_on_our_nodes(stage: Stage) -> None:
    with stage.witness.watching() as exchanges:
        done = run(stage, "flow", str(stage.install.runner), str(SCRIPTS / "snakemake_repaired.py"))
    assert done.returncode == 0, done.stdout[-6000:]
    assert "6 of 6 steps (100%) done" in done.stdout
    made = stage.blobs.get_blob_client(CONTAINER, "flow/sum.txt").download_blob().readall()
    assert made == b"4 9 25 = 38\n"
    expect_nothing_left(stage)
    step = Step("workflow", exchanges=exchanges)
    results.check("snakemake-7.32.4", results.measured("snakemake 7.32.4", VERSION, [step]))


def test_its_own_quotes_let_it_run_nothing(stage: Stage) -> None:
    """Its fault, not a service's: the command that it sends ends well without any rule run."""
    with stage.witness.watching() as exchanges:
        done = run(stage, "alone", str(stage.install.program("snakemake")))
    assert done.returncode == 1
    assert "completed: result=TaskExecutionResult.success exit_code=0" in done.stdout
    assert "MissingOutputException" in done.stdout
    assert [str(each) for each in exchanges if each.status >= 400] == []
    expect_nothing_left(stage)


def expect_nothing_left(stage: Stage) -> None:
    """It deletes its job and its pool at the end."""
    client = stage.client
    eventually(lambda: not [*client.list_jobs(), *client.list_pools()], GONE_S, "an empty account")


def run(stage: Stage, prefix: str, *program: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a directory of its own, and keep its files under a prefix."""
    directory = stage.place / prefix
    shutil.copytree(WORKFLOW, directory)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "HOME": str(stage.place),
        "XDG_CACHE_HOME": str(stage.place / "cache"),
        "AZ_BATCH_ACCOUNT_KEY": stage.key,
        "AZ_BLOB_ACCOUNT_URL": f"https://{STORAGE}",
        "AZ_BLOB_CREDENTIAL": sas(),
        "BATCH_POOL_NODE_COUNT": "2",
        "CI": "true",  # lets it ask for the states of tasks each second, not each tenth
    }
    words = [
        *("--jobs", "3", "--az-batch", "--az-batch-account-url", stage.account, "--verbose"),
        *(
            "--default-remote-provider",
            "AzBlob",
            "--default-remote-prefix",
            f"{CONTAINER}/{prefix}",
        ),
        *("--envvars", "AZ_BLOB_ACCOUNT_URL", "AZ_BLOB_CREDENTIAL"),
        *("HTTPS_PROXY", "REQUESTS_CA_BUNDLE"),
        *("--container-image", "snakemake/snakemake:v7.32.4"),
    ]
    return subprocess.run(
        [*program, *words],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def sas() -> str:
    """Rights to the storage account, their parts in the one order that Snakemake takes."""
    now = datetime.now(UTC)
    text = generate_account_sas(
        azurite.ACCOUNT,
        azurite.KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
        start=now - timedelta(minutes=5),
        expiry=now + timedelta(hours=1),
        protocol="https",
    )
    parts = {name: values[0] for name, values in parse_qs(text).items()}
    order = ("sv", "ss", "srt", "sp", "se", "st", "spr", "sig")
    return "?" + urlencode([(name, parts[name]) for name in order])
