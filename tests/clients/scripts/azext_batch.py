"""Templates of azure-batch-extensions: `azext_batch.py STORAGE DIRECTORY`.

It makes tasks out of a template: one for each file of a group in the storage account, or one for
each number of a range. What they write goes back to such a group.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from azext.batch import BatchExtensionsClient
from azure.batch.batch_auth import SharedKeyCredentials
from azure.batch.models import BatchErrorException
from azure.multiapi.storage.v2018_11_09.blob import BlockBlobService
from steps import ACCOUNT, ENDPOINT, KEY, check, go, step, until

STORAGE, PLACE = sys.argv[1], Path(sys.argv[2])
TEXTS = {"one.txt": "1\n", "two.txt": "1\n2\n", "three.txt": "1\n2\n3\n"}

client = BatchExtensionsClient(
    SharedKeyCredentials(ACCOUNT, KEY),
    batch_url=ENDPOINT,
    subscription_id="none",
    batch_account=ACCOUNT,
    storage_client=BlockBlobService(connection_string=STORAGE),
)


def code_of(error: Exception) -> str | None:
    """The service's code, where the error is one of the service."""
    return str(error.error.code) if isinstance(error, BatchErrorException) else None


def do(name: str, call: Any) -> Any:
    """A step."""
    return step(name, call, code_of)


def word(value: Any) -> Any:
    """The text of an enum's member."""
    return getattr(value, "value", value)


def files() -> None:
    """Files go into a group."""
    source = PLACE / "source"
    source.mkdir()
    for name, text in TEXTS.items():
        (source / name).write_text(text)
    do("file.upload", lambda: client.file.upload(str(source), "texts"))
    names = {each["name"] for each in client.file.list_from_group("texts")}
    check("the files are in their group", names == set(TEXTS), names)


def pool() -> None:
    """A pool by a template with parameters."""
    template = {
        "parameters": {"nodes": {"type": "int", "defaultValue": 1}, "name": {"type": "string"}},
        "pool": {
            "type": "Microsoft.Batch/batchAccounts/pools",
            "apiVersion": "2018-12-01",
            "properties": {
                "id": "[parameters('name')]",
                "vmSize": "standard_d2s_v3",
                "virtualMachineConfiguration": {
                    "imageReference": {
                        "publisher": "canonical",
                        "offer": "0001-com-ubuntu-server-jammy",
                        "sku": "22_04-lts",
                        "version": "latest",
                    },
                    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
                },
                "targetDedicatedNodes": "[parameters('nodes')]",
            },
        },
    }
    expanded = client.pool.expand_template(template, {"name": "azext", "nodes": 2})
    made = client.pool.poolparameter_from_json(expanded)
    do("pool.add", lambda: client.pool.add(made))
    until("two idle nodes", lambda: idle() == 2)


def idle() -> int:
    """How many nodes wait for work."""
    return [word(node.state) for node in client.compute_node.list("azext")].count("idle")


def job(job_id: str, factory: dict[str, Any]) -> None:
    """Add a job whose tasks a factory makes."""
    template = {
        "job": {
            "type": "Microsoft.Batch/batchAccounts/jobs",
            "apiVersion": "2018-12-01",
            "properties": {
                "id": job_id,
                "poolInfo": {"poolId": "azext"},
                "onAllTasksComplete": "terminateJob",
                "taskFactory": factory,
            },
        }
    }
    made = client.job.jobparameter_from_json(client.job.expand_template(template))
    do(f"job.add: {job_id}", lambda: client.job.add(made))
    until("its end", lambda: word(client.job.get(job_id).state) == "completed")
    codes = [task.execution_info.exit_code for task in client.task.list(job_id)]
    check(f"the tasks of {job_id} succeeded", codes and set(codes) == {0}, codes)


def task_per_file() -> None:
    """A task for each file, whose output goes to another group."""
    job(
        "files",
        {
            "type": "taskPerFile",
            "source": {"fileGroup": "texts"},
            "repeatTask": {
                "commandLine": "/bin/sh -c 'wc -l < {fileName} > {fileNameWithoutExtension}.n'",
                "resourceFiles": [{"httpUrl": "{url}", "filePath": "{fileName}"}],
                "outputFiles": [
                    {
                        "filePattern": "*.n",
                        "destination": {"autoStorage": {"fileGroup": "counts"}},
                        "uploadOptions": {"uploadCondition": "taskSuccess"},
                    }
                ],
            },
        },
    )
    found = PLACE / "found"
    do("file.download", lambda: client.file.download(str(found), "counts"))
    counts = {path.name: int(path.read_text()) for path in found.glob("*.n")}
    check("lines were counted", counts == {"one.n": 1, "two.n": 2, "three.n": 3}, counts)


def parametric_sweep() -> None:
    """A task for each number, more than one request takes, and one that waits for all."""
    job(
        "numbers",
        {
            "type": "parametricSweep",
            "parameterSets": [{"start": 1, "end": 120, "step": 1}],
            "repeatTask": {"commandLine": "/bin/sh -c 'test {0} -gt 0'"},
            "mergeTask": {"commandLine": "/bin/true"},
        },
    )
    ids = [task.id for task in client.task.list("numbers")]
    check("all were made", len(ids) == 121 and "merge" in ids, ids[-3:])


def end() -> None:
    """All goes."""
    for job_id in ("files", "numbers"):
        do(f"job.delete: {job_id}", lambda job_id=job_id: client.job.delete(job_id))
    do("pool.delete", lambda: client.pool.delete("azext"))


for part in (files, pool, task_per_file, parametric_sweep, end):
    go(part)
