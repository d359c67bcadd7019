"""azure-batch before 15: every operation of every group, by an SDK of today and older ones."""

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

OLD: Final = "3.8"
"""The newest Python that releases before 9 were tried with in their time."""

_BESIDE: Final[Mapping[str | None, tuple[str, ...]]] = {OLD: ("setuptools<81",)}
"""What they took for granted in every Python."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the SDK, and the one api-version that it speaks."""

    number: str
    version: str
    python: str | None = None

    def client(self) -> Client:
        """What to install."""
        return Client(
            name="azure-batch",
            version=self.number,
            packages=(f"azure-batch=={self.number}", *_BESIDE.get(self.python, ())),
            python=self.python,
        )


RELEASES: Final = (
    Release("14.2.0", "2024-02-01.19.0"),
    Release("14.1.0", "2023-11-01.18.0"),
    Release("14.0.0", "2023-05-01.17.0"),
    Release("13.0.0", "2022-10-01.16.0"),
    Release("12.0.0", "2022-01-01.15.0"),
    Release("11.0.0", "2021-06-01.14.0"),
    Release("10.0.0", "2020-09-01.12.0"),
    Release("9.0.0", "2020-03-01.11.0"),
    Release("8.0.0", "2019-08-01.10.0", OLD),
    Release("7.0.0", "2019-06-01.9.0", OLD),
    Release("6.0.0", "2018-12-01.8.0", OLD),
    Release("5.1.1", "2018-08-01.7.0", OLD),
    Release("4.1.3", "2018-03-01.6.1", OLD),
    Release("4.0.0", "2017-09-01.6.0", OLD),
    Release("3.1.0", "2017-06-01.5.1", OLD),
    Release("3.0.0", "2017-05-01.5.0", OLD),
    Release("2.0.1", "2017-01-01.4.0", OLD),
    Release("1.0.0", "2016-07-01.3.1", OLD),
)

EXPECTED: Final[Mapping[str, str]] = {
    "application.get": "ApplicationNotFound",
    "certificate.add: again": "CertificateExists",
    "certificate.cancel_deletion: active": "CertificateStateActive",
    "certificate.get: deleted": "CertificateNotFound",
    "pool.add: again": "PoolExists",
    "pool.patch: stale ETag": "ConditionNotMet",
    "file.get_from_compute_node: deleted": "FileNotFound",
    "compute_node.delete_user: again": "NodeUserNotFound",
    "compute_node_extension.get: none": "ResourceNotFound",
    "compute_node.get_remote_login_settings": "OperationNotValidOnNode",
    "compute_node.get_remote_desktop": "OperationNotValidOnNode",
    "pool.enable_auto_scale": "InvalidPropertyValue",
    "pool.evaluate_auto_scale": "OperationNotValidOnPool",
    "job.add: again": "JobExists",
    "task.add: again": "TaskExists",
    "task.terminate: again": "TaskCompleted",
    "task.reactivate: successful": "TaskSucceeded",
    "task.get: deleted": "TaskNotFound",
    "file.get_from_task: deleted": "FileNotFound",
    "pool.stop_resize: steady": "OperationInvalidForCurrentState",
    "pool.upgrade_os": "PoolNotEligibleForOSVersionUpgrade",
    "pool.get: deleted": "PoolNotFound",
}
"""Steps that are to fail, where the release has them, with the service's code."""


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.number)
def test_every_operation(
    release: Release,
    installed: Callable[[Client], Install],
    service: Penstock,
    witness: Witness,
) -> None:
    install = installed(release.client())
    done = walk(install, "azure_batch_track1.py", witness, service.ready, "everything")
    found = results.measured(f"azure-batch {release.number}", release.version, done.steps)
    done.expect(EXPECTED)
    results.check(f"azure-batch-{release.number}", found)
