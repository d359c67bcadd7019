"""azure-batch 15.1.0, the newest SDK for Python: all of its client's methods, in both kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.walk import walk
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock

VERSION: Final = "2025-06-01"

SDK: Final = Client(
    name="azure-batch",
    version="15.1.0",
    packages=("azure-batch==15.1.0", "aiohttp>=3.11"),
)

_UNGIVEN: Final = "ValueError: No value for given attribute"

EXPECTED: Final[Mapping[str, str]] = {
    "get_application": "ApplicationNotFound",
    "create_pool: again": "PoolExists",
    "pool_exists: none": "status 404",
    "update_pool: stale ETag": "ConditionNotMet",
    "get_node_file_properties: deleted": "status 404",
    "delete_node_user: again": "NodeUserNotFound",
    "get_node_extension: none": "ResourceNotFound",
    "get_node_remote_login_settings": "OperationNotValidOnNode",
    "enable_pool_auto_scale": "InvalidPropertyValue",
    "evaluate_pool_auto_scale": "OperationNotValidOnPool",
    "create_job: again": "JobExists",
    "create_task: again": "TaskExists",
    "terminate_task: again": "TaskCompleted",
    "reactivate_task: successful": "TaskSucceeded",
    "get_task: deleted": "TaskNotFound",
    "download_task_file: deleted": "status 404",
    "job_schedule_exists: none": "status 404",
    "begin_stop_pool_resize: steady": "OperationInvalidForCurrentState",
    "get_pool: deleted": "PoolNotFound",
    "disable_node_scheduling without options": _UNGIVEN,
    "begin_reboot_node without options": _UNGIVEN,
    "begin_reimage_node without options": _UNGIVEN,
    "begin_deallocate_node without options": _UNGIVEN,
    "begin_terminate_job without options": _UNGIVEN,
}
"""Steps that are to fail, with the service's code, or with what the client itself raises."""

BROKEN: Final[Mapping[str, str]] = {
    "Disable node scheduling": "disable_node_scheduling without options",
    "Reboot node": "begin_reboot_node without options",
    "Reimage node": "begin_reimage_node without options",
    "Deallocate node": "begin_deallocate_node without options",
    "Terminate job": "begin_terminate_job without options",
}
"""Operations that this client cannot ask for when it is called without options."""


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_every_method(
    kind: str, installed: Callable[[Client], Install], service: Penstock, witness: Witness
) -> None:
    done = walk(installed(SDK), "azure_batch_15.py", witness, service.ready, kind, "everything")
    found = results.measured(f"azure-batch 15.1.0 ({kind})", VERSION, done.steps, BROKEN)
    done.expect(EXPECTED)
    results.check(f"azure-batch-15.1.0-{kind}", found)
