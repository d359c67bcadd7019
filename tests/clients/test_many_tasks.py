"""Bulk adds of SDKs in their own ways: with coroutines (15.1.0), with threads (14.2.0).

The synchronous client of 15.1.0 does the same in `tests/e2e/test_big_collections.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.installs import Client, Install
from tests.clients.test_azure_batch_15 import SDK
from tests.clients.test_azure_batch_track1 import RELEASES
from tests.clients.walk import walk
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock


@pytest.mark.parametrize(
    ("client", "script", "words"),
    [
        (SDK, "azure_batch_15.py", ("aio", "many")),
        (RELEASES[0].client(), "azure_batch_track1.py", ("many",)),
    ],
    ids=["15.1.0-aio", "14.2.0"],
)
def test_two_thousand_tasks_with_a_hundred_files_each(
    client: Client,
    script: str,
    words: tuple[str, ...],
    installed: Callable[[Client], Install],
    service: Penstock,
    witness: Witness,
) -> None:
    done = walk(installed(client), script, witness, service.ready, *words)
    done.expect({})
    assert len(done.steps) == 2
    for step in done.steps:
        answers = {(exchange.status, exchange.code) for exchange in step.exchanges}
        assert answers == {(200, ""), (413, "RequestBodyTooLarge")}, step.name
