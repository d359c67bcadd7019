"""The services that e2e tests share; a test that stops or kills one starts its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.batch import BatchClient

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire
from tests.e2e.things import job_options, made_job, made_pool, pool_options, unique


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """A Penstock without storage."""
    with Penstock(tmp_path_factory.mktemp("plain") / "data") as service:
        yield service


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """A Penstock with Azurite as its linked storage account."""
    with Penstock(tmp_path_factory.mktemp("stored") / "data", storage="azurite") as service:
        yield service


@pytest.fixture(scope="session")
def batch(plain: Penstock) -> BatchClient:
    """A client of `plain`."""
    return plain.client()


@pytest.fixture(scope="session")
def wire(plain: Penstock) -> Iterator[Wire]:
    """Signed requests to `plain`, byte for byte as a test writes them."""
    with Wire.to(plain.ready) as wire:
        yield wire


@pytest.fixture(scope="session")
def pool(batch: BatchClient) -> Iterator[str]:
    """A pool of `plain`: two nodes of four slots, shared by tests that leave it as it is."""
    with made_pool(batch, pool_options(unique("common"), nodes=2, slots=4)) as pool_id:
        yield pool_id


@pytest.fixture
def job(batch: BatchClient, pool: str) -> Iterator[str]:
    """A job of the test's own on the shared pool."""
    with made_job(batch, job_options(unique("job"), pool)) as job_id:
        yield job_id
