"""`penstock serve` and `penstock agent`: the parts of `penstock up`, started one by one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Penstock, Ready, agent, environment, refused
from tests.e2e.signing import Wire
from tests.e2e.things import (
    job_options,
    nodes_ready,
    pool_options,
    run,
    shell,
    stdout,
    task_options,
)
from tests.e2e.waiting import eventually


def over_http(ready: Ready, nodes: Path) -> Sequence[str]:
    """How an agent on another machine is started."""
    token = str(ready.data_dir / "agent.token")
    return ("--server", ready.endpoint, "--token-file", token, "--data", str(nodes))


def over_https(ready: Ready, nodes: Path) -> Sequence[str]:
    """The same with a certificate to check."""
    token = str(ready.data_dir / "agent.token")
    server = ("--server", ready.tls_endpoint, "--ca-file", str(ready.ca_file))
    return (*server, "--token-file", token, "--data", str(nodes))


def by_directory(ready: Ready, nodes: Path) -> Sequence[str]:
    """How an agent on the server's machine is started."""
    return ("--join", str(ready.data_dir))


@pytest.mark.parametrize("words", [over_http, over_https, by_directory])
def test_a_server_and_an_agent_by_hand_run_a_task(tmp_path: Path, words: object) -> None:
    assert callable(words)
    with Penstock(tmp_path / "data", verb="serve") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=2))
        client.create_job(job_options("j", "p"))
        said = words(service.ready, tmp_path / "data-of-nodes")
        with agent(*said, log=tmp_path / "agent.log"):
            nodes_ready(client, "p", 2)
            tasks = run(client, "j", [task_options(f"t{n}", shell(f"echo {n}")) for n in range(4)])
            printed = [stdout(client, "j", task_id) for task_id in sorted(tasks)]

    assert printed == [f"{n}\n" for n in range(4)]


def test_a_served_account_is_made_once_and_is_its_own(plain: Penstock, tmp_path: Path) -> None:
    with Penstock(tmp_path / "data", verb="serve") as service:
        first = service.ready
        again = service.restart()

    assert (again.account_name, again.account_key) == (first.account_name, first.account_key)
    assert first.account_key != plain.ready.account_key


def test_one_key_is_replaced_while_the_other_is_used(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data", verb="serve") as service:
        ready = service.ready
        assert ready.account_key in service.printed(), "it is shown when it is made"
        first = keys_of(service, "keys")
        assert first["primary"] == ready.account_key
        new = keys_of(service, "regenerate", "primary")
        assert new["secondary"] == first["secondary"]
        with Wire.to(ready) as wire:
            eventually(
                lambda: wire.send("GET", "/jobs", key=new["primary"]).status_code == 200,
                10,
                "the new key to be good",
            )
            for key, status in (
                (first["primary"], 403),
                (first["secondary"], 200),
                (new["primary"], 200),
            ):
                assert wire.send("GET", "/jobs", key=key).status_code == status
        service.log.unlink()
        again = service.restart()
        assert again.account_key == new["primary"]
        assert again.account_key not in service.printed(), "it is not shown again"


def keys_of(service: Penstock, *words: str) -> dict[str, str]:
    """What `penstock account` says of the only account of a service."""
    data = ("--data", str(service.data), "--output", "json")
    done = subprocess.run(
        [*COMMAND, "account", *words, *data], env=environment(), check=True, capture_output=True
    )
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_the_development_key_never_guards_a_service(plain: Penstock, tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text(f'[[accounts]]\nname = "mine"\nkeys = ["{plain.ready.account_key}"]\n')
    ports = ("--port", "0", "--tls-port", "0")

    printed = refused(["serve", "--data", str(tmp_path / "d"), "--config", str(config), *ports])

    assert "development key" in printed
    Penstock(tmp_path / "d").expect_nothing_left(5)


def test_an_agent_with_a_wrong_token_gets_nothing(tmp_path: Path) -> None:
    token = tmp_path / "wrong.token"
    token.write_text("wrong")
    with Penstock(tmp_path / "data", verb="serve") as service:
        client = service.client()
        client.create_pool(pool_options("p"))
        words = ("--server", service.ready.endpoint, "--token-file", str(token))
        with (
            agent(*words, "--data", str(tmp_path / "n"), log=tmp_path / "agent.log"),
            pytest.raises(AssertionError, match="ready nodes"),
        ):
            nodes_ready(client, "p", 1, within_s=3)
        assert [node.state for node in client.list_nodes("p")] in ([], ["creating"])
