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

DOCUMENTED: Final[Mapping[str, str]] = {
    "get_application": "ApplicationNotFound",
    "create_pool: again": "PoolExists",
}
"""Steps that are to fail, with the service's code."""

BROKEN: Final[Mapping[str, str]] = {}


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_every_method(
    kind: str, installed: Callable[[Client], Install], service: Penstock, witness: Witness
) -> None:
    done = walk(installed(SDK), "azure_batch_15.py", witness, service.ready, kind)
    found = results.measured(f"azure-batch 15.1.0 ({kind})", VERSION, done.steps, BROKEN)
    assert not done.failures(DOCUMENTED), "\n".join(done.failures(DOCUMENTED))
    results.check(f"azure-batch-15.1.0-{kind}", found)
