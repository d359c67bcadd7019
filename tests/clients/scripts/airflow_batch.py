"""Airflow's hook and operator for Batch, as a worker runs them: no scheduler and no database."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from types import SimpleNamespace
from typing import Any

from steps import ACCOUNT, ENDPOINT, KEY, check, go, step

HOME = tempfile.TemporaryDirectory()
os.environ.update(
    AIRFLOW_HOME=HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    AIRFLOW_CONN_AZURE_BATCH_DEFAULT=json.dumps(
        {
            "conn_type": "azure_batch",
            "login": ACCOUNT,
            "password": KEY,
            "extra": {"account_url": ENDPOINT},
        }
    ),
)

from airflow.exceptions import TaskDeferred  # noqa: E402
from airflow.providers.microsoft.azure.hooks import batch as hooks  # noqa: E402
from airflow.providers.microsoft.azure.operators.batch import AzureBatchOperator  # noqa: E402
from azure.core.exceptions import HttpResponseError  # noqa: E402

# The hook asks every ten seconds; what it asks is the same when it waits for less.
hooks.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.2)))


def code_of(error: Exception) -> str | None:
    """The service's code, where the error is one of the service."""
    if isinstance(error, HttpResponseError) and error.error is not None:
        return error.error.code
    return None


def operator(task: str, command_line: str, **more: Any) -> AzureBatchOperator:
    """One run of a task; it makes pool and job where there are none."""
    return AzureBatchOperator(
        task_id=task,
        batch_pool_id="airflow",
        batch_pool_vm_size="standard_d2s_v3",
        batch_job_id=f"airflow-{task}",
        batch_task_id=task,
        batch_task_command_line=command_line,
        vm_publisher="canonical",
        vm_offer="0001-com-ubuntu-server-jammy",
        vm_sku="22_04-lts",
        vm_version="latest",
        vm_node_agent_sku_id="batch.node.ubuntu 22.04",
        target_dedicated_nodes=1,
        timeout=1,
        **more,
    )


def hook() -> None:
    """What a user does in a task of Python."""
    used = hooks.AzureBatchHook()
    well = step("test_connection", used.test_connection, code_of)
    check("the connection is well", bool(well and well[0]), well)
    latest = step(
        "configure_pool: latest image",
        lambda: used.configure_pool(
            pool_id="latest",
            vm_size="standard_d2s_v3",
            vm_node_agent_sku_id="",
            vm_publisher="canonical",
            vm_offer="0001-com-ubuntu-server-jammy",
            sku_starts_with="22",
            use_latest_image_and_sku=True,
        ),
        code_of,
    )
    agent = latest and latest.virtual_machine_configuration.node_agent_sku_id
    check("it found an image", agent == "batch.node.ubuntu 22.04", agent)


def runs() -> None:
    """Tasks that succeed, fail, and are waited for elsewhere."""
    good = operator("good", "/bin/sh -c 'echo out of airflow'")
    step("execute", lambda: good.execute({}), code_of)
    client = good.hook.connection
    text = b"".join(client.download_task_file("airflow-good", "good", "stdout.txt"))
    check("its output is read back", text == b"out of airflow\n", text)
    step("execute: again", lambda: good.execute({}), code_of)
    ran = client.get_job_task_counts("airflow-good").task_counts
    check("it has run once", (ran.completed, ran.succeeded) == (1, 1), ran)

    bad = operator("bad", "/bin/sh -c 'exit 3'", should_delete_job=True)
    step("execute: failing", lambda: failing(bad), code_of)
    elsewhere(
        operator("later", "/bin/true", deferrable=True, poll_interval=1, should_delete_job=True)
    )
    step("on_kill", good.on_kill, code_of)
    step("clean_up: job", lambda: good.clean_up(job_id="airflow-good"), code_of)
    step("clean_up: pool", lambda: good.clean_up(pool_id="airflow"), code_of)
    left = [each.id for each in client.list_pools()]
    check("the pool is gone", "airflow" not in left, left)


def failing(bad: AzureBatchOperator) -> None:
    """The operator tells by an error that a task has failed."""
    try:
        bad.execute({})
    except RuntimeError as error:
        check("it names the task", "'id': 'bad'" in str(error), error)
    else:
        check("it told", False)


def elsewhere(later: AzureBatchOperator) -> None:
    """The operator leaves the wait to a trigger, and goes on when that fires."""

    def deferred() -> Any:
        try:
            later.execute({})
        except TaskDeferred as told:
            return told.trigger
        return None

    trigger = step("execute: deferred", deferred, code_of)
    event = step("trigger", lambda: asyncio.run(first(trigger)), code_of)
    check("it tells of success", event and event.payload["status"] == "success", event)
    step("execute_complete", lambda: later.execute_complete({}, event.payload), code_of)


async def first(trigger: Any) -> Any:
    """The event that it fires."""
    return await anext(trigger.run())


if __name__ == "__main__":
    go(hook)
    go(runs)
