"""What all client suites share: one Penstock, a witness before it, and installed clients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from tests.clients.installs import CannotInstall, Client, Install, ensure
from tests.clients.witness import Witness
from tests.e2e.harness import Penstock


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """A Penstock without storage."""
    with Penstock(tmp_path_factory.mktemp("plain") / "data") as service:
        yield service


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """A Penstock with Azurite as its linked storage account."""
    with Penstock(tmp_path_factory.mktemp("stored") / "data", storage="azurite") as service:
        yield service


@pytest.fixture
def witness(service: Penstock) -> Iterator[Witness]:
    """What stands between the test's client and `service`."""
    with Witness(service.ready.endpoint, service.ready.account_name) as witness:
        yield witness


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> Callable[[Client], Install]:
    """Gives a client, installed if need be; the test is skipped where that cannot be."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"\n{text}", file=sys.stderr, flush=True)

    def give(client: Client) -> Install:
        try:
            return ensure(client, say)
        except CannotInstall as reason:
            pytest.skip(str(reason))

    return give


@pytest.fixture(scope="module")
def ran() -> set[str]:
    """The names of the tests of this file that have run here."""
    return set()


@pytest.fixture(autouse=True)
def noted(request: pytest.FixtureRequest, ran: set[str]) -> Iterator[None]:
    """Let a test that sums up others know whether these were run."""
    yield
    ran.add(request.node.name)
