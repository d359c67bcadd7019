"""The clients for node.js: every operation of every group of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from tests.clients import results
from tests.clients.installs import Client, Install
from tests.clients.walk import walk
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm, and the one api-version that it speaks."""

    name: str
    number: str
    version: str

    def client(self) -> Client:
        """What to install."""
        return Client(
            name=self.name,
            version=self.number,
            packages=(f"{self.name}@{self.number}",),
            source="npm",
        )


PACKAGES: Final = (
    Package("azure-batch", "9.0.0", "2020-03-01.11.0"),
    Package("@azure/batch", "10.2.0", "2022-10-01.16.0"),
)

EXPECTED: Final[Mapping[str, str]] = {
    "application.get": "ApplicationNotFound",
    "certificate.cancelDeletion": "CertificateStateActive",
    "pool.add: again": "PoolExists",
    "pool.patch: stale ETag": "ConditionNotMet",
    "pool.enableAutoScale": "InvalidPropertyValue",
    "pool.evaluateAutoScale": "OperationNotValidOnPool",
    "file.getFromComputeNode: deleted": "status 404",
    "computeNode.deleteUser: again": "NodeUserNotFound",
    "computeNode.getRemoteLoginSettings": "OperationNotValidOnNode",
    "computeNode.getRemoteDesktop": "status 409",
    "computeNodeExtension.get": "ResourceNotFound",
    "job.add: again": "JobExists",
    "task.add: again": "TaskExists",
    "task.terminate: again": "TaskCompleted",
    "task.reactivate: successful": "TaskSucceeded",
    "task.get: deleted": "TaskNotFound",
    "file.getFromTask: deleted": "status 404",
    "pool.stopResize: steady": "OperationInvalidForCurrentState",
    "pool.get: deleted": "PoolNotFound",
}
"""Steps that are to fail, where the package has them, with the service's code; of an answer that
these clients hand on as a stream they read none."""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_operation(
    package: Package,
    installed: Callable[[Client], Install],
    service: Penstock,
    witness: Witness,
) -> None:
    install = installed(package.client())
    done = walk(install, "azure_batch_js.js", witness, service.ready, package.name)
    title = f"npm {package.name} {package.number}"
    found = results.measured(title, package.version, done.steps)
    done.expect(EXPECTED)
    results.check(f"npm-{package.name.strip('@').replace('/', '-')}-{package.number}", found)
