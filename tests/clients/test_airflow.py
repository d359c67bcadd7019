"""Airflow's AzureBatchHook and AzureBatchOperator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.walk import walk
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock

AIRFLOW: Final = Client(
    name="airflow-azure",
    version="15.2.1",
    packages=(
        "apache-airflow==2.11.2",
        "apache-airflow-providers-microsoft-azure==15.2.1",
        "azure-batch==15.1.0",
    ),
)

EXPECTED: Final[Mapping[str, str]] = {"on_kill": "ValueError: No value for given attribute"}
"""The operator terminates the job without options, which this azure-batch cannot do."""


def test_hook_and_operator(
    installed: Callable[[Client], Install], service: Penstock, witness: Witness
) -> None:
    done = walk(installed(AIRFLOW), "airflow_batch.py", witness, service.ready)
    found = results.measured(
        "Airflow's provider 15.2.1", "2025-06-01", done.steps, {"Terminate job": "on_kill"}
    )
    done.expect(EXPECTED)
    results.check("airflow-15.2.1", found)
