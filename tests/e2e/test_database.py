"""A database that is not as it should be: refused at the start, and fatal to nobody's request."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.batch.models import BatchPoolResizeOptions
from azure.core.exceptions import HttpResponseError

from penstock.domain.development import DEVELOPMENT_NAME
from penstock.launch.exits import Exit
from penstock.store.sqlite import SCHEMA
from tests.e2e.harness import STOP_S, Penstock, environment
from tests.e2e.things import pool_options
from tests.store import damage

WITHIN_S = 30.0
LARGE = 40_000
"""Tasks of a database that is too large to be looked through at each start."""


def refused_by(service: Penstock) -> str:
    """Start a Penstock that has to give up because of its database; give what it printed."""
    done = subprocess.run(
        service.command(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=30,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.NO_STORE, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("hurt", "reason"),
    [
        (damage.garbage, "it is not an SQLite database"),
        (damage.cut_off, "it is cut off"),
        (damage.ruined_page, "it is damaged"),
        (damage.newer, f"it has schema {SCHEMA + 1}, and this release knows up to {SCHEMA}"),
        (damage.empty, "it is empty"),
        (damage.directory, "it is a directory"),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_a_database_that_cannot_be_used_is_refused(
    tmp_path: Path, hurt: Callable[[Path], None], reason: str
) -> None:
    service = Penstock(tmp_path / "data")
    path = service.data / "store" / "penstock.db"
    path.parent.mkdir(parents=True)
    damage.fill(path, 100)
    hurt(path)
    before = path.read_bytes() if path.is_file() else None

    said = refused_by(service)

    service.expect_nothing_left(5)
    assert f"penstock: {path}: {reason}" in said
    assert (path.read_bytes() if path.is_file() else None) == before
    if hurt in (damage.garbage, damage.cut_off, damage.ruined_page, damage.empty):
        assert f"`penstock restore FILE --data {service.data} --force`" in said
    assert [file.name for file in path.parent.iterdir()] == ["penstock.db"]


def test_a_refusal_costs_no_task_that_runs(tmp_path: Path) -> None:
    """As of an older release that is started by mistake while tasks of a killed server run on."""
    with Penstock(tmp_path / "data") as service:
        host = service.node_host()
        path = service.data / "store" / "penstock.db"
        service.kill()
        damage.set_schema(path, SCHEMA + 1)

        assert f"it has schema {SCHEMA + 1}" in refused_by(service)

        assert host.is_running()
        damage.set_schema(path, SCHEMA)
        service.start()
        assert service.node_host().pid == host.pid


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Penstock:
    """A Penstock with a database of thousands of tasks, of which half are completed."""
    monkeypatch.setattr("tests.records.ACCOUNT", DEVELOPMENT_NAME)
    service = Penstock(tmp_path / "data")
    path = service.data / "store" / "penstock.db"
    path.parent.mkdir(parents=True)
    damage.fill(path, LARGE, done=lambda i: i % 2 == 0)
    return service


def test_damage_that_is_met_later_costs_the_requests_that_meet_it(large: Penstock) -> None:
    path = large.data / "store" / "penstock.db"
    damage.ruin_page(path, damage.page_with(path, damage.spec_of("t20000")))
    with large as service:
        client = service.client()
        with pytest.raises(HttpResponseError) as found:
            client.get_task("job", "t20000")
        assert found.value.status_code == 503
        assert found.value.error is not None
        assert found.value.error.code == "ServerBusy"
        assert client.get_task("job", "t39998").id == "t39998"
        assert client.get_job_task_counts("job").task_counts.active == LARGE // 2
        client.create_pool(pool_options("p"))
    said = large.log.read_text()
    assert "database_unreadable" in said
    assert "malformed" in said
    assert "Traceback" not in said


def test_a_server_that_meets_damage_itself_stops_and_says_so(large: Penstock) -> None:
    path = large.data / "store" / "penstock.db"
    damage.ruin_page(path, damage.page_with(path, damage.spec_of("t1")))  # the next to be placed
    large.start()
    grow = BatchPoolResizeOptions(target_dedicated_nodes=2)
    large.client().begin_resize_pool("pool", grow, polling_interval=30)

    code = large.process.wait(timeout=WITHIN_S)

    large.expect_nothing_left(STOP_S)
    said = large.log.read_text()
    large.close()
    assert code == Exit.NO_STORE, said
    assert f"penstock: {path}: it is damaged: DatabaseError: database disk image is malfor" in said
    assert f"`penstock restore FILE --data {large.data} --force`" in said
    assert "Traceback" not in said
    assert said.count("turn could not read") == 1
