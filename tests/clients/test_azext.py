"""azure-batch-extensions: pools and jobs by template, tasks by factory, files by group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.walk import walk
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock

VERSION: Final = "2022-01-01.15.0"
EXTENSIONS: Final = Client(
    name="azure-batch-extensions",
    version="9.0.0",
    packages=("azure-batch-extensions==9.0.0", "azure-multiapi-storage==1.4.0"),
    python="3.8",
)


def test_tasks_are_made_by_template(
    installed: Callable[[Client], Install], stored: Penstock, tmp_path: Path
) -> None:
    install, ready = installed(EXTENSIONS), stored.ready
    connection = ready.storage_connection_string
    assert connection is not None
    with Witness(ready.endpoint, ready.account_name) as witness:
        done = walk(install, "azext_batch.py", witness, ready, connection, str(tmp_path))
    done.expect({})
    found = results.measured("azure-batch-extensions 9.0.0", VERSION, done.steps)
    results.check("azure-batch-extensions-9.0.0", found)
